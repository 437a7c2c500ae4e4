"""`python -m sweep.compact DIR`: many small parts to few, while others read and write."""

import sys

from sweep.base.command import Parser, guarded

_BYTES = 100_000_000  # of the layers of one part: about two million rows, and 200 MB in memory


def main() -> int:
    """Parse the command line, compact, and say what became of the parts."""
    parser = Parser(prog="python -m sweep.compact", description=__doc__)
    parser.add_argument("study", help="the study's folder or URL, as in outputs/standard")
    arguments = parser.parse_args()

    from sweep.base import interrupts  # noqa: PLC0415
    from sweep.store import upkeep  # noqa: PLC0415
    from sweep.store.parts import commits  # noqa: PLC0415
    from sweep.store.records import files, runs  # noqa: PLC0415
    from sweep.store.study import Study  # noqa: PLC0415

    study = Study(arguments.study)
    study.check_readable()
    study.check()
    with interrupts.held():
        run = runs.RunRecord(study, {files.COMMAND: f"python -m sweep.compact {study.path}\n"})
    status = 1
    try:
        upkeep.tidy(study, runs.has_ended(study))
        before = len(commits.names(study.place))
        upkeep.compact(study, _BYTES)
        upkeep.tidy(study, runs.has_ended(study))
        print(f"{study.path}: {before:,} parts before, {len(commits.names(study.place)):,} now")
        for line in commits.describe_strangers(study.place):
            print(line)
        status = 0
    finally:
        run.close(status)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
