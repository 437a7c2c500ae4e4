"""A model of one's own as cells have it: what makes it, what is pushed through it, who draws its weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweep import initializers
from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.base.registry import CUSTOM
from sweep.experiment.axes import AS_MADE
from sweep.experiment.ingredients.choices import canonical, check_choice

FLOATING, TOKENS = ("float16", "bfloat16", "float32", "float64"), "int64"
DTYPES = (*FLOATING, TOKENS)
# What a cell of such a model has no value of: in its spec these stand for the nulls of its row. The depth of
# the row is that of the chain, which is found out.
ABSENT: Mapping[str, Any] = {"act": "", "act_params": "{}", "width": 0}
_MOST_ENTRIES = 1 << 40


@dataclass(frozen=True)
class Given:
    """An input. shape: with the batch first. dtype: of DTYPES. below: of tokens, what they are less than."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    below: int | None = None

    def __post_init__(self) -> None:
        checks.option("dtype", self.dtype, DTYPES)
        entries = 1
        for size in self.shape:
            entries *= checks.whole("input", size, 1)
        if not self.shape or entries > _MOST_ENTRIES:
            raise RequestError(f"input={_listed(self.shape)}: give sizes, the batch first, as in 64,3,32,32")
        if (self.dtype == TOKENS) != (self.below is not None):
            raise RequestError(f"dtype={self.dtype}: tokens, and they alone, have a vocabulary")
        if self.below is not None:
            checks.whole("vocabulary", self.below, 1)


@dataclass(frozen=True)
class Model:
    """What makes a model, and its inputs.

    make: 'package.module:function'. source: a digest of its source and of the classes of its modules.
    """

    make: str
    inputs: tuple[Given, ...]
    source: str

    @property
    def parameters(self) -> str:
        """All but its name, as canonical JSON."""
        given = [
            {"shape": list(one.shape), "dtype": one.dtype}
            | ({} if one.below is None else {"below": one.below})
            for one in self.inputs
        ]
        return json.dumps(
            {"inputs": given, "source": self.source}, sort_keys=True, separators=(",", ":"), allow_nan=False
        )

    @classmethod
    def from_json(cls, make: str, parameters: object) -> "Model":
        """The model of a row; RequestError where no command could have asked for it."""
        values = checks.json_object("model_params", parameters)
        try:
            make = checks.text_of(make)
            inputs = tuple(
                Given(tuple(one["shape"]), one["dtype"], one.get("below")) for one in values["inputs"]
            )
            source = checks.text_of(values["source"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise RequestError(f"model_params={checks.shown(parameters)}: no inputs, or no source") from error
        if not make or not inputs or not source:
            raise RequestError(f"model={checks.shown(make)}: a model has a name, inputs and a source")
        return cls(make, inputs, source)

    @property
    def batch(self) -> int:
        """How many samples its first input has."""
        return self.inputs[0].shape[0]

    @property
    def dtype(self) -> str:
        """What it computes in: that of its first floating input, float32 where all are tokens."""
        return next((one.dtype for one in self.inputs if one.dtype != TOKENS), "float32")


def spec_values(init: Mapping[str, Any] | None, model: Model) -> dict[str, Any]:
    """What a spec has of such a model; init: a scheme as {name, parameters …}, None: as it is made.

    RequestError where the scheme's parameters break their rules, or it cannot draw these weights.
    """
    name, parameters = (AS_MADE, "{}") if init is None else canonical("init", json.dumps(init))
    if name not in (AS_MADE, CUSTOM):
        scheme = initializers.REGISTRY.from_json(name, parameters)
        if scheme.random and not scheme.known_std:
            raise RequestError(
                f"init={name}: it looks at what comes out of each layer; for a model of your own choose a "
                "scheme that draws without data"
            )
    return {
        "init": name,
        "init_params": parameters,
        **ABSENT,
        "depth": 0,
        "batch": model.batch,
        "dtype": model.dtype,
        "model": model.make,
        "model_params": model.parameters,
    }


def stored_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a study's row; RequestError where no command could have asked for it."""
    model = Model.from_json(row["model"], row["model_params"])
    if row["init"] != AS_MADE:
        check_choice("init", initializers.REGISTRY, row["init"], row["init_params"])
    elif row["init_params"] != "{}":
        raise RequestError(f"init_params={checks.shown(row['init_params'])}: weights as made have none")
    for name in ("act", "act_params", "width"):
        if row[name] not in (None, ABSENT[name]):
            raise RequestError(f"{name}={checks.shown(row[name])}: a model of your own has none")
    if (row["batch"], row["dtype"]) != (model.batch, model.dtype) or row["widths"] is not None:
        raise RequestError(f"batch={row['batch']}, dtype={row['dtype']}: they contradict the model's inputs")
    return {
        "init": row["init"],
        "init_params": row["init_params"],
        **ABSENT,
        "depth": 0,
        "batch": model.batch,
        "dtype": model.dtype,
        "model": model.make,
        "model_params": model.parameters,
    }


def as_row(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a spec as a table has them: null where a model of one's own has none."""
    absent = dict.fromkeys((*ABSENT, "depth")) if values["model"] is not None else {}
    return dict(values) | absent


def as_spec(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a row as a spec has them."""
    absent = dict(ABSENT) | {"depth": 0} if row["model"] is not None else {}
    return dict(row) | absent


def _listed(shape: Sequence[Any]) -> str:
    return ",".join(map(str, shape)) or "''"
