"""Losses for gradient-boosted trees on imbalanced data: find out which one suits a data file."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from boostloss.optional import require

INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``boostloss``; 0, 2 for input that can be fixed, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        expected = isinstance(error, ImportError | OSError | ValueError | TypeError)
        if not expected and type(error).__name__ not in ("LightGBMError", "XGBoostError"):
            raise
        print(f"boostloss: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="boostloss", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", help="cross-validate losses on a data file")
    compare.add_argument("file", type=Path, help="CSV or Parquet file, a row for each example")
    compare.add_argument("--target", required=True, help="column of the labels")
    compare.add_argument("--engine", choices=("xgboost", "lightgbm"), default="xgboost")
    compare.add_argument(
        "--losses",
        nargs="+",
        metavar="LOSS",
        help="of cross_entropy, balanced, focal, ghm; default: five, with two γ",
    )
    compare.add_argument("--folds", type=int, default=5)
    compare.add_argument("--positive", metavar="LABEL", help="of two classes; default: the rarer")
    order = compare.add_mutually_exclusive_group()
    order.add_argument("--groups", metavar="COLUMN", help="equal values stay in one fold")
    order.add_argument("--time-order", metavar="COLUMN", help="train on the past, test on the next")
    compare.add_argument(
        "--drop", nargs="+", default=[], metavar="COLUMN", help="columns to leave out"
    )
    compare.add_argument(
        "--weight", metavar="COLUMN", help="weights of the rows in training, numbers >= 0"
    )
    _add_reading(compare)
    compare.add_argument(
        "--metric",
        default="log_loss",
        choices=("log_loss", "average_precision", "roc_auc", "brier"),
        help="stops the training and decides",
    )
    compare.add_argument("--rounds", type=int, default=500, help="maximum number of rounds")
    compare.add_argument("--learning-rate", type=float, default=0.05)
    compare.add_argument("--seed", type=int, default=0)
    compare.add_argument(
        "--output", type=Path, default=Path("comparison"), help="directory to write to"
    )
    compare.set_defaults(run=_compare)
    return parser


def _add_reading(compare: argparse.ArgumentParser) -> None:
    """Options for what a file does not say for certain."""
    reading = compare.add_argument_group("how the file is read")
    reading.add_argument(
        "--separator", metavar="CHARACTER", help="between fields; tab, space; default: found out"
    )
    reading.add_argument(
        "--decimal", choices=(".", ","), help="decimal mark; the other one groups thousands"
    )
    reading.add_argument("--encoding", help="default: UTF-8, or UTF-16 that says so itself")
    reading.add_argument(
        "--missing", nargs="+", metavar="TEXT",
        help="texts that mean missing, also in the target; default: in features the usual ones "
        "(NA, N/A, null, None, nan, ?, ., -)",
    )  # fmt: skip
    reading.add_argument(
        "--categories", nargs="+", default=[], metavar="COLUMN",
        help="columns to read as categories, such as codes and postcodes",
    )  # fmt: skip
    reading.add_argument(
        "--numbers", nargs="+", default=[], metavar="COLUMN",
        help="columns to read as numbers: other text is missing, dates are days since 1970",
    )  # fmt: skip
    reading.add_argument(
        "--drop-unlabelled", action="store_true", help="leave out rows without a label"
    )


def _say(line: str) -> None:
    print(line, flush=True)


def _compare(options: argparse.Namespace) -> int:
    """Read, compare, write the report and print what came out; the exit status."""
    for module, extra in ((options.engine,) * 2, ("matplotlib", "report"), ("tqdm", "report")):
        require(module, extra)
    from boostloss.report import page, table
    from boostloss.report.columns import Reading
    from boostloss.report.compare import cross_validate
    from boostloss.report.source import Format
    from boostloss.report.training import Settings

    file, metric = options.file, options.metric
    _check_writable(options.output)
    data = table.read(
        file, options.target, groups=options.groups, time=options.time_order,
        weight=options.weight, drop=options.drop, drop_unlabelled=options.drop_unlabelled,
        form=Format(options.separator, options.decimal, options.encoding),
        reading=Reading(options.missing, frozenset(options.categories), frozenset(options.numbers)),
    )  # fmt: skip
    settings = Settings(
        options.engine, metric, options.rounds, options.learning_rate, {}, options.seed
    )
    comparison = cross_validate(
        data, settings, losses=options.losses, folds=options.folds,
        time_order=options.time_order is not None, positive=options.positive,
        keep_if_interrupted=True, say=_say,
    )  # fmt: skip
    if not comparison.folds:
        return INTERRUPTED
    page.write(comparison, f"{file.name}: which loss?", options.output)
    columns = [metric, f"{metric}_sd", "log_loss", "average_precision", "f1", "seconds", "rounds"]
    print(comparison.frame()[list(dict.fromkeys(columns))].round(4).to_string())
    print(*comparison.sentences(), f"report: {options.output / 'report.html'}", sep="\n")
    return INTERRUPTED if comparison.interrupted else 0


def _check_writable(output: Path) -> None:
    """Raise before hours of work if the directory cannot be written to; leaves nothing behind."""
    there = output
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"--output must be a directory, got {output}: {there} is a file")
    try:
        shutil.rmtree(tempfile.mkdtemp(dir=there))
    except OSError as error:
        raise ValueError(
            f"--output must be a directory to write to, got {output}: {error.strerror}"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
