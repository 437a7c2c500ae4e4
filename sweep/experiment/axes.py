"""Every axis of a grid, declared once, and the other keys of the command line."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from sweep.base import checks
from sweep.base.errors import RequestError

WHOLE, REAL, TEXT, FLAG, WHOLES = "whole", "real", "text", "flag", "wholes"
DTYPES = ("float32", "float64")
FORMATS = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")  # of rounded copies
_MOST_LAYERS = 100_000


@dataclass(frozen=True)
class Axis:
    """One property of a network that a grid can vary, beside init and act.

    rule: turns a value into what a cell holds; RequestError for a bad one. column: the kind of its column.
    setting: whether labels name it where it varies. caption: whether captions name it where it does not.
    since: the first schema version that has it. An axis later than version 1 enters a cell's identity only
    where it differs from its default, which is what rows of earlier versions are taken to have.
    """

    name: str
    rule: Callable[[Any], Any]
    default: Any
    column: str
    setting: bool = True
    caption: bool = True
    since: int = 1


def _depth(value: Any) -> int:
    depth = checks.whole("depth", value, 1)
    if depth > _MOST_LAYERS:
        raise RequestError(f"depth={depth}: depth must be at most {_MOST_LAYERS}")
    return depth


def _format(value: Any) -> str | None:
    return None if value is None else checks.option("format", value, FORMATS)


ALL = {
    axis.name: axis
    for axis in (
        Axis("depth", _depth, 10, WHOLE, setting=False),
        Axis("width", partial(checks.whole, "width", minimum=1), 500, WHOLE, setting=False),
        Axis("widths", checks.widths, None, WHOLES),
        Axis("seed", partial(checks.whole, "seed", minimum=0), 0, WHOLE, setting=False),
        Axis("bias_std", partial(checks.real, "bias_std", minimum=0.0), 0.0, REAL),
        Axis("batch", partial(checks.whole, "batch", minimum=2), 1000, WHOLE),
        Axis("dtype", partial(checks.option, "dtype", options=DTYPES), "float32", TEXT),
        Axis("backward", partial(checks.flag, "backward"), True, FLAG, caption=False),
        Axis("jacobian", partial(checks.flag, "jacobian"), False, FLAG, caption=False, since=7),
        Axis("format", _format, None, TEXT, since=7),
    )
}
SETTINGS = tuple(axis for axis in ALL.values() if axis.setting)
LATER = tuple(axis for axis in ALL.values() if axis.since > 1)

GROUPS = ("init", "act")  # config groups that are axes
# Such as came later, of which an option is what networks had before.
LATER_GROUPS = ("block", "train", "input")
# Config groups of one layer alone -> their column: a scheme for it, or null, which is that of all layers.
# Another column, of the same name and '_params', has the scheme's parameters.
ENDS = {"first.init": "first_init", "last.init": "last_init"}
END_COLUMNS = tuple(name for column in ENDS.values() for name in (column, f"{column}_params"))
AS_MADE = "default"  # the init of a model of one's own whose weights are as they were made
MODEL = (
    "model"  # the column of what makes a model of one's own, null of our networks; not a key of this command
)
# The columns of the choices beside init and act, and of their parameters, with what a network has there that
# has nothing of its own. They came later: they are part of a cell's identity where they are not that.
BESIDE = (*LATER_GROUPS, *ENDS.values(), MODEL)
PLAIN, UNTRAINED, USUAL_INPUT = "plain", "none", "gaussian"
BESIDE_COLUMNS: dict[str, str | None] = {
    "block": PLAIN, "block_params": "{}", "train": UNTRAINED, "train_params": "{}",
    "input": USUAL_INPUT, "input_params": "{}",
    **dict.fromkeys(END_COLUMNS),
    **dict.fromkeys((MODEL, f"{MODEL}_params")),
}  # fmt: skip
CHOICES = (*GROUPS, *LATER_GROUPS, *ENDS)
CELL_KEYS = tuple(ALL)
AXES = (*CHOICES, *CELL_KEYS)


def choice_of(key: str) -> str:
    """The one of CHOICES that a key sets, itself or a parameter of it: 'first.init.std'; '' where none."""
    return next((group for group in CHOICES if key == group or key.startswith(f"{group}.")), "")


def parameter_of(key: str) -> str:
    """The parameter of it that a key sets, as in 'std' or 'kwargs.power'; '' where none."""
    group = choice_of(key)
    return key[len(group) + 1 :] if group else ""


RUN_GROUPS = ("grid", "executor")
RUN_KEYS = (
    "study", "root", "n_jobs", "max_memory", "shard", "dry_run", "retry_failed", "overwrite", "fail_fast",
    "compiled", "report", "histogram", "verdict",
)  # fmt: skip
KEYS = (*CHOICES, *RUN_GROUPS, *CELL_KEYS, *RUN_KEYS)
