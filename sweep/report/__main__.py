"""`python -m sweep.report DIR`: draw the report of a study again."""

import sys

from sweep.command import Parser, guarded


def main() -> int:
    """Parse the command line, draw, and name the files."""
    parser = Parser(prog="python -m sweep.report", description=__doc__)
    parser.add_argument("study", help="the study's folder, as in outputs/standard")
    arguments = parser.parse_args()

    from sweep.report import draw  # noqa: PLC0415

    for path in draw(arguments.study):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
