"""`python -m sweep.report DIR`: draw the report of a study again."""

import sys

from sweep.base.errors import ReportError
from sweep.base.process.command import Parser, guarded, visible
from sweep.report import KINDS, NEEDS, draw


def main() -> int:
    """Parse the command line, draw, and name the files."""
    parser = Parser(prog="python -m sweep.report", description=__doc__)
    parser.add_argument("study", help="the study's folder or URL, as in outputs/standard")
    parser.add_argument(
        "--value",
        default="std",
        metavar="NAME,…",
        help="statistics of the heatmaps, as in rms,delta_std_first",
    )
    parser.add_argument(
        "--only", default=",".join(KINDS), metavar="KIND,…", help=f"some of {', '.join(KINDS)}"
    )
    for role, where in (
        ("rows", "down the figure, a panel each"),
        ("cols", "across the figure, a panel each"),
        ("x", "across each panel"),
        ("y", "down each panel"),
    ):
        parser.add_argument(f"--{role}", metavar="AXIS", help=f"what varies {where}: init, depth, init.std …")
    parser.add_argument("--to", metavar="FOLDER", help="where the files go; by default the study's report/")
    given = parser.parse_args()
    failed = None
    try:
        files = draw(
            given.study,
            values=_listed(given.value),
            only=_listed(given.only),
            axes={"rows": given.rows, "cols": given.cols, "x": given.x, "y": given.y},
            to=given.to,
        )
    except ReportError as error:
        files, failed = error.files, error
    for path in files:
        print(path)
    if failed:
        print(f"sweep: {visible(str(failed))}", file=sys.stderr)
        return 1
    if not files:
        why = [f"{kind} takes {NEEDS[kind]}" for kind in _listed(given.only) if kind in NEEDS]
        told = "; ".join(why) or "this study has no results for it"
        print(f"nothing to draw for {given.only}: {told}", file=sys.stderr)
    return 0


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",")))


if __name__ == "__main__":
    sys.exit(guarded(main))
