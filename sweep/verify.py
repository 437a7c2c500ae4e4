"""`python -m sweep.verify DIR`: is every part whole, and do stored cells come out again as they are stored?

Cells of functions of your own are computed again where you name these with --function, for a study
runs no code by itself. Damaged parts are set aside in DIR/quarantine; the command that made the study
then computes their cells again. Exit status 0: all is well; 1: something was not.
"""

import argparse
import sys

from sweep.base import checks
from sweep.base.command import Parser, guarded, visible


def main() -> int:
    """Parse the command line, check, and say what was found."""
    parser = Parser(
        prog="python -m sweep.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("study", help="the study's folder or URL, as in outputs/standard")
    parser.add_argument("--cells", type=int, default=20, help="how many stored cells to compute again")
    parser.add_argument("--seed", type=int, default=0, help="which: another seed, another sample")
    parser.add_argument(
        "--function",
        action="append",
        default=[],
        metavar="NAME",
        help="a function of your own that cells may call, as in my_module.my_function; can be repeated",
    )
    arguments = parser.parse_args()
    checks.whole("--cells", arguments.cells, 1)

    from sweep.execution.recompute import recompute  # noqa: PLC0415
    from sweep.store.index import older  # noqa: PLC0415
    from sweep.store.parts import commits, integrity  # noqa: PLC0415
    from sweep.store.study import Study  # noqa: PLC0415

    study = Study(arguments.study)
    study.check_readable()
    names = commits.names(study.place)
    broken = integrity.damaged(study.place, names)
    for name, why in broken.items():
        print(f"damaged: {name} ({why})")
    if broken:
        study.set_aside(broken)
        print(f"set aside in {study.path}/quarantine; the command that made this study computes them again")
    old = older(study)
    found = recompute(study, old, set(arguments.function), arguments.cells, arguments.seed)
    for line in (*found.unchecked, *found.wrong):
        print(visible(line))
    same = f"{found.compared - len(found.wrong)} of {found.compared} cells come out again"
    print(f"{len(names) - len(broken):,} of {len(names):,} parts whole; {same}")
    odd = [name for name in sorted(names - set(broken)) if not study.scan.possible(name)]
    if odd:
        print(f"{len(odd)} of them hold rows that no run could have written, and are left out")
    if count := len(old.ids):
        rows = "1 row is" if count == 1 else f"{count:,} rows are"
        print(f"{rows} of an older revision and left out: the command that made them computes them anew")
    for line in commits.describe_strangers(study.place):
        print(line)
    if found.foreign:
        cells = "1 cell is" if found.foreign == 1 else f"{found.foreign:,} cells are"
        named = visible(", ".join(found.functions))
        print(f"{cells} of functions of your own and left out: --function names them ({named})")
    if found.unchecked:
        print(f"{len(found.unchecked)} of the cells could not be computed again")
    return 1 if broken or odd or found.wrong or found.unchecked else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
