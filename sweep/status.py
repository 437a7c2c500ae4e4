"""`python -m sweep.status DIR`: what a study holds, what is missing, which runs are at work on it."""

import sys

from sweep.base.process.command import Parser, guarded


def main() -> int:
    """Parse the command line and show the tables."""
    parser = Parser(prog="python -m sweep.status", description=__doc__)
    parser.add_argument("study", help="the study's folder or URL, as in outputs/standard")
    arguments = parser.parse_args()

    from sweep.execution.overview import show_study  # noqa: PLC0415

    show_study(arguments.study)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
