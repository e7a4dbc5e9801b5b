"""The command ``boostloss compare``: from a file to a folder with the report."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from boostloss.optional import require
from boostloss.report import compare, page, table
from boostloss.report.training import Rows

INTERRUPTED = 130


def compare_file(
    file: Path, target: str, engine: str, losses: list[str] | None, folds: int,
    groups: str | None, time_order: str | None, drop: list[str], metric: str, rounds: int,
    learning_rate: float, seed: int, output: Path, positive: str | None = None,
) -> int:  # fmt: skip
    """Read, compare, print what came out and write the report; the exit status."""
    for module, extra in ((engine, engine), ("matplotlib", "report"), ("tqdm", "report")):
        require(module, extra)
    _check_output(output)
    data = table.read(file, target, groups=groups, time=time_order, drop=drop)
    done = compare.run(
        data.X, data.y, losses=losses, engine=engine, folds=folds, groups=data.groups,
        time_order=time_order is not None, metric=metric, rounds=rounds,
        learning_rate=learning_rate, positive=positive, seed=seed, stop_quietly=True,
    )  # fmt: skip
    if not done.folds:
        return INTERRUPTED
    rows = Rows(data.X, done.codes, None, len(done.labels))
    settings = {"learning_rate": learning_rate, "seed": seed}
    output.mkdir(parents=True, exist_ok=True)
    # files appear all together, once they are whole
    with tempfile.TemporaryDirectory(dir=output, prefix=".writing-") as unfinished:
        page.write(done, rows, f"{file.name}: which loss?", settings, Path(unfinished))
        for other in ("model.json", "model.txt"):  # of an earlier run on the other engine
            (output / other).unlink(missing_ok=True)
        for path in Path(unfinished).iterdir():
            os.replace(path, output / path.name)
    columns = [metric, f"{metric}_sd", "log_loss", "f1", "seconds", "rounds"]
    print(done.frame()[list(dict.fromkeys(columns))].round(4).to_string())
    print(*done.sentences(), f"report: {output / 'report.html'}", sep="\n")
    return INTERRUPTED if done.interrupted else 0


def _check_output(output: Path) -> None:
    """Raise before hours of work if the folder cannot be written to; leaves nothing behind."""
    there = output
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise table.BadInput(f"--output must be a folder, got {output}: {there} is a file")
    try:
        shutil.rmtree(tempfile.mkdtemp(dir=there))
    except OSError as error:
        raise table.BadInput(f"--output must be a folder to write to, got {output}: "
                             f"{error.strerror}") from error  # fmt: skip
