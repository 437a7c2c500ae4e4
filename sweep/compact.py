"""`python -m sweep.compact DIR`: merge many small parts into few, while others read and write."""

import sys

from sweep.base.process.command import Parser, guarded


def main() -> int:
    """Parse the command line and compact."""
    parser = Parser(prog="python -m sweep.compact", description=__doc__)
    parser.add_argument("study", help="the study's folder or URL, as in outputs/standard")
    arguments = parser.parse_args()

    from sweep.store.upkeep import compact_study  # noqa: PLC0415

    compact_study(arguments.study)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
