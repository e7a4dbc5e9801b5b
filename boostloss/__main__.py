"""Losses for boosted trees on imbalanced data: the demo, and which loss for a file of yours."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``boostloss``; 0, 2 for input that can be mended, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        expected = isinstance(error, ImportError | OSError | ValueError | TypeError)
        if not expected and type(error).__name__ not in ("LightGBMError", "XGBoostError"):
            raise
        print(f"boostloss: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="boostloss", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    compare = commands.add_parser("compare", help="which loss for my data: cross-validated")
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
    compare.add_argument("--drop", nargs="+", default=[], metavar="COLUMN", help="no features")
    compare.add_argument(
        "--metric",
        default="average_precision",
        choices=("average_precision", "roc_auc", "log_loss", "brier"),
    )
    compare.add_argument("--rounds", type=int, default=500, help="the most rounds")
    compare.add_argument("--learning-rate", type=float, default=0.05)
    compare.add_argument("--seed", type=int, default=0)
    compare.add_argument("--output", type=Path, default=Path("comparison"))
    compare.set_defaults(run=_compare)  # fmt: skip
    return parser


def _compare(options: argparse.Namespace) -> int:
    from boostloss.report import files

    unneeded = ("command", "run")
    given: dict[str, Any] = {k: v for k, v in vars(options).items() if k not in unneeded}
    return files.compare_file(**given)


if __name__ == "__main__":
    sys.exit(main())
