"""python -m sweep.kernel.passes: compile the loops of all activations, or those named, for this machine.

--own: say which activations of a user's own numba cannot compile, and why.
"""

import argparse
import os
import sys
from contextlib import redirect_stdout

from sweep import activations
from sweep.activations.transformed import SUFFIX
from sweep.base.process.command import visible
from sweep.kernel.passes import folder, own


def main() -> None:
    """Compile and keep them; 1 where that is not possible."""
    about = (__doc__ or "").splitlines()[0].partition(": ")[2]
    parser = argparse.ArgumentParser(prog="python -m sweep.kernel.passes", description=about)
    every = sorted(folder.keys_of((name, way) for name in folder.ACTS for way in (False, True)))
    transformed = (f"{name}{SUFFIX}" for name in folder.ACTS)
    more = sorted(folder.keys_of((name, way) for name in transformed for way in (False, True)))
    parser.add_argument(
        "loops", nargs="*", choices=[[], *every, *more], metavar="loop", help="as in relu, gelu-slope"
    )
    parser.add_argument("--beside", action="store_true", help="let every other process go first")
    parser.add_argument(
        "--own",
        nargs="+",
        metavar="PARAMETERS",
        help="compile nothing; say which functions of your own numba cannot compile, and why",
    )
    arguments = parser.parse_args()
    if arguments.own:
        with redirect_stdout(sys.stderr):  # what a module or a function of the user's prints is no reason
            refused = {parameters: _refused(parameters) for parameters in arguments.own}
        for line in filter(None, refused.values()):
            print(line)
        return
    if arguments.beside and hasattr(os, "nice"):
        os.nice(19)
    if reason := folder.why_not() or folder.why_not_kept():
        sys.exit(f"sweep: {reason}")
    folder.build(folder.missing(arguments.loops or every))
    print(f"compiled: {folder.described()}")


def _refused(parameters: str) -> str:
    """Why an activation of a user's own, of these parameters, is not compiled; '' where it is."""
    act = activations.REGISTRY.from_json(activations.CUSTOM, parameters)
    reason = own.why_not(act)
    return visible(f"{act.formula}: {reason}") if reason else ""


if __name__ == "__main__":
    main()
