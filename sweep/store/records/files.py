"""The files of a run's record, a folder of the study for each run; their names stand only here."""

FOLDER = "runs"
COMMAND, CONFIG, OVERRIDES = "command.txt", "config.yaml", "overrides.yaml"  # what was asked
THRESHOLDS = "verdict.json"  # those that the run was given
PLAN = "plan.jsonl.gz"  # the cells it was to compute, by spec and seeds
EARLIER_PLAN = "plan.parquet"  # that of an earlier program
SUMMARY = "summary.json"  # what was planned and predicted, and in the end how it went
LOG = "log.txt"
ALIVE = "alive"  # locked while the run lives, where the file system has locks
WEIGHTS = "weights.txt"  # of a model of one's own: what a scheme draws, and what is left
SLURM = "slurm"  # a folder: what others may know about its jobs


def path(run: str, file: str) -> str:
    """Where a file of a run's record lies in the study."""
    return f"{FOLDER}/{run}/{file}"
