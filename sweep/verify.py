"""`python -m sweep.verify DIR`: is every part intact, and do stored cells match when they are computed again?

Cells of functions of your own are computed again only if you name these with --function: a study runs
no code by itself. Damaged parts are moved to DIR/quarantine; the command that made the study then
computes their cells again. Exit status 0: all is well; 1: something is wrong.
"""

import argparse

from sweep.base import checks
from sweep.base.process.command import Parser, guarded
from sweep.base.process.threads import leave


def main() -> int:
    """Parse the command line, check, and say what was found."""
    parser = Parser(
        prog="python -m sweep.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", help="the study's folder or URL, as in outputs/standard")
    parser.add_argument("--cells", type=int, default=20, help="how many stored cells to compute again")
    parser.add_argument("--seed", type=int, default=0, help="chooses them: another seed, another sample")
    parser.add_argument(
        "--function",
        action="append",
        default=[],
        metavar="NAME",
        help="a function of your own that cells may call, as in my_module.my_function; may be repeated",
    )
    arguments = parser.parse_args()
    checks.whole("--cells", arguments.cells, 1)

    from sweep.execution.recompute import verify  # noqa: PLC0415

    well = verify(arguments.study, set(arguments.function), arguments.cells, arguments.seed)
    return 0 if well else 1


if __name__ == "__main__":
    leave(guarded(main))
