"""The words of the command line: what can be set, and what can be an axis of a grid."""

GROUPS = ("init", "act")  # config groups that are axes
CELL_KEYS = ("depth", "width", "widths", "seed", "bias_std", "batch", "dtype", "backward")
AXES = (*GROUPS, *CELL_KEYS)

RUN_GROUPS = ("grid", "executor")
RUN_KEYS = (
    "study",
    "root",
    "n_jobs",
    "max_memory",
    "shard",
    "dry_run",
    "retry_failed",
    "overwrite",
    "fail_fast",
    "report",
    "histogram",
    "verdict",
)
KEYS = (*GROUPS, *RUN_GROUPS, *CELL_KEYS, *RUN_KEYS)
