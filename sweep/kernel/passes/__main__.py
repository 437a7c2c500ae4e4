"""python -m sweep.kernel.passes: compile the loops of all activations, or those named, for this machine."""

import argparse
import os
import sys

from sweep.kernel.passes import folder


def main() -> None:
    """Compile and keep them; 1 where that is not possible."""
    parser = argparse.ArgumentParser(prog="python -m sweep.kernel.passes", description=__doc__)
    every = sorted(folder.keys_of((name, way) for name in folder.ACTS for way in (False, True)))
    parser.add_argument(
        "loops", nargs="*", choices=[[], *every], metavar="loop", help="as in relu, gelu-slope"
    )
    parser.add_argument("--beside", action="store_true", help="let every other process go first")
    arguments = parser.parse_args()
    if arguments.beside and hasattr(os, "nice"):
        os.nice(19)
    if reason := folder.why_not() or folder.why_not_kept():
        sys.exit(f"sweep: {reason}")
    folder.build(folder.missing(arguments.loops or every))
    print(f"compiled: {folder.described()}")


if __name__ == "__main__":
    main()
