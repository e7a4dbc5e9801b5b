"""Command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``boostloss``."""
    parser = argparse.ArgumentParser(prog="boostloss", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="five losses, two engines, 336,776 flights")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), help="folder to write to")
    options = parser.parse_args(arguments)
    try:
        from boostloss.report.demo import run

        run(options.output)
    except (ImportError, OSError) as error:
        print(f"boostloss: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
