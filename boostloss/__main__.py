"""Losses for gradient-boosted trees on imbalanced data: find out which one suits a data file."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from boostloss import __version__
from boostloss.losses.registry import names
from boostloss.losses.validation import check_integer
from boostloss.optional import require

INTERRUPTED = 130

EXAMPLE = """\
example:
  boostloss compare claims.csv --target fraud --drop id --engine lightgbm --output comparison

exit codes:
  0    the report is written
  2    the file or an option must be changed; one line names it
  130  stopped by Ctrl-C; the finished results are written
"""


def main(arguments: list[str] | None = None) -> int:
    """Run ``boostloss``; return 0, 2 for input that the user can fix, or 130 after Ctrl-C."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(given)
    options.command_line = ["boostloss", *given]
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
    parser.add_argument("--version", action="version", version=f"boostloss {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    compare = commands.add_parser(
        "compare",
        help="cross-validate losses on a data file and write a report",
        description="Cross-validate each loss and the engine's built-in one on the same folds. "
        "Write a report, a table and the best model.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compare.add_argument("file", type=Path, help="CSV or Parquet file, one row for each example")
    compare.add_argument("--target", required=True, metavar="COLUMN", help="labels; required")
    compare.add_argument(
        "--positive", metavar="LABEL",
        help="of two classes the one to find; default: the rarer. A loss whose parameters are for "
        "this class, such as asymmetric, needs it unless the labels are 0 and 1 or false and true",
    )  # fmt: skip
    compare.add_argument(
        "--costs", metavar="FP:FN",
        help="costs of a false alarm and of a missed row of the class to find, such as 1:50; adds "
        "the cost of each loss to the results; default: none",
    )  # fmt: skip
    _add_roles(compare)
    _add_training(compare)
    _add_reading(compare)
    output = compare.add_argument_group("what is written")
    output.add_argument(
        "--output", type=Path, default=Path("comparison"), metavar="DIRECTORY",
        help="directory to write to; default: %(default)s",
    )  # fmt: skip
    output.add_argument(
        "--force", action="store_true", help="overwrite an earlier report in that directory"
    )
    compare.set_defaults(run=_compare)
    return parser


def _add_roles(compare: argparse.ArgumentParser) -> None:
    """Add options for columns that are not features."""
    roles = compare.add_argument_group("columns that are not features")
    order = roles.add_mutually_exclusive_group()
    order.add_argument(
        "--groups", metavar="COLUMN", help="rows with equal values (one customer) stay in one fold"
    )
    order.add_argument(
        "--time-order", metavar="COLUMN",
        help="train on the past, test on what follows: numbers, times or dates such as 2024-01-31; "
        "day or month may come first if all rows together show which",
    )  # fmt: skip
    roles.add_argument(
        "--weight", metavar="COLUMN",
        help="weights of the rows in training, early stopping and all metrics, numbers >= 0",
    )  # fmt: skip
    roles.add_argument(
        "--drop", nargs="+", default=[], metavar="COLUMN", help="columns to leave out"
    )


def _add_training(compare: argparse.ArgumentParser) -> None:
    """Add options for what to compare and how to train."""
    training = compare.add_argument_group("what is compared")
    training.add_argument(
        "--engine", choices=("xgboost", "lightgbm", "hist"),
        help="library that trains the trees, hist for scikit-learn's own; default: the first "
        "of them that is installed",
    )  # fmt: skip
    training.add_argument(
        "--losses", nargs="+", metavar="LOSS",
        help=f"any of {', '.join(names())}; default: balanced cross-entropy, focal with γ=1 and "
        "γ=2, ghm. The built-in loss is always compared",
    )  # fmt: skip
    training.add_argument(
        "--metric", default="log_loss",
        choices=("log_loss", "average_precision", "roc_auc", "brier"),
        help="stops the training and decides; default: %(default)s",
    )  # fmt: skip
    training.add_argument(
        "--folds", type=int, default=5, metavar="N", help="at least 2; default: %(default)s"
    )
    training.add_argument(
        "--rounds", type=int, default=500, metavar="N",
        help="maximum number of rounds, at least 5; default: %(default)s",
    )  # fmt: skip
    training.add_argument(
        "--learning-rate", type=float, default=0.05, metavar="RATE",
        help="step of each tree, above 0; default: %(default)s",
    )  # fmt: skip
    training.add_argument(
        "--seed", type=int, default=0, metavar="N",
        help="of folds and training; default: %(default)s",
    )  # fmt: skip


def _add_reading(compare: argparse.ArgumentParser) -> None:
    """Add options for reading an ambiguous file."""
    reading = compare.add_argument_group("how the file is read")
    reading.add_argument(
        "--separator", metavar="CHARACTER",
        help="between fields, also the words tab and space; default: found in the header",
    )  # fmt: skip
    reading.add_argument(
        "--decimal", choices=(".", ","),
        help="decimal mark, the other one groups thousands; default: found where it is certain",
    )  # fmt: skip
    reading.add_argument(
        "--encoding", help="such as cp1252; default: UTF-8, or UTF-16 with a byte order mark"
    )
    reading.add_argument(
        "--missing", nargs="+", metavar="STRING",
        help="strings that mean missing, also in the target; default: in features the usual ones "
        "(NA, N/A, null, None, nan, ?, ., -), in the target none",
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


def _compare(options: argparse.Namespace) -> int:
    """Read, compare, write the report and print the result. Return the exit status."""
    engines = [(options.engine,) * 2] if options.engine in ("xgboost", "lightgbm") else []
    for module, extra in (*engines, ("matplotlib", "report"), ("tqdm", "report")):
        require(module, extra)
    from boostloss.report import costs, page, table
    from boostloss.report.columns import Reading
    from boostloss.report.compare import cross_validate
    from boostloss.report.source import Format
    from boostloss.report.training import Settings, installed_engine

    # check all options before the file is read
    file, metric = options.file, options.metric
    engine = options.engine or installed_engine()
    settings = Settings(engine, metric, options.rounds, options.learning_rate, {}, options.seed)
    check_integer("folds", options.folds, 2)
    _check_losses(options.losses)
    cost_of = costs.parse(options.costs)
    _check_output(options.output, page.FILES, options.force)
    data = table.read(
        file, options.target, groups=options.groups, time=options.time_order,
        weight=options.weight, drop=options.drop, drop_unlabelled=options.drop_unlabelled,
        form=Format(options.separator, options.decimal, options.encoding),
        reading=Reading(options.missing, frozenset(options.categories), frozenset(options.numbers)),
    )  # fmt: skip
    comparison = cross_validate(
        data, settings, losses=options.losses, folds=options.folds,
        time_order=options.time_order is not None, positive=options.positive, costs=cost_of,
        keep_if_interrupted=True, say=_say,
    )  # fmt: skip
    if not comparison.folds:
        return INTERRUPTED
    comparison.command = options.command_line
    page.write(comparison, f"{file.name}: which loss?", options.output)
    cost = [] if cost_of is None else ["cost"]
    columns = [metric, f"{metric}_sd", "log_loss", "f1", *cost, "seconds", "rounds"]
    print(comparison.frame()[list(dict.fromkeys(columns))].round(4).to_string())
    print(*comparison.sentences(), f"report: {options.output / 'report.html'}", sep="\n")
    return INTERRUPTED if comparison.interrupted else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _check_losses(losses: list[str] | None) -> None:
    """Raise an error for a name that is not the name of a loss."""
    for loss in losses or []:
        if loss not in (*names(), "built-in"):
            raise ValueError(f"--losses must be any of {', '.join(names())}, got {loss!r}")


def _check_output(output: Path, files: tuple[str, ...], force: bool) -> None:
    """Raise an error if the directory cannot be written to, before hours of work."""
    there = output
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise ValueError(f"--output must be a directory, got {output}: {there} is a file")
    existing = [name for name in files if (output / name).exists()]
    if existing and not force:
        raise ValueError(
            f"--output must be a directory without an earlier report, got {output}, which contains "
            f"{', '.join(existing)}: use --force to overwrite them"
        )
    try:
        shutil.rmtree(tempfile.mkdtemp(dir=there))
    except OSError as error:
        raise ValueError(
            f"--output must be a directory to write to, got {output}: {error.strerror}"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
