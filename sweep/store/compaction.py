"""A study compacted as one run, on its record: many small parts to few, while others read and write."""

from sweep.base import interrupts
from sweep.store import upkeep
from sweep.store.parts import commits
from sweep.store.records import files, runs
from sweep.store.study import Study

_BYTES = 100_000_000  # of the layers of one part: about two million rows, and 200 MB in memory


def compact_study(path: str) -> None:
    """Put small parts together, and say what became of them; StoreError where there is no study."""
    study = Study(path)
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
