"""What became of a task's cells: their numbers, or why there are none."""

import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from sweep.base.arrays import Array
from sweep.base.secrets import hidden
from sweep.experiment.batches import Block
from sweep.experiment.cell import Cell, Spec

_TRACEBACK_LINES = 12  # of a failure, the last ones


@dataclass(frozen=True)
class Failure:
    """Why a cell failed: an error's type, message and the tail of its traceback, without secrets."""

    type: str
    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """The failure that `error` stands for."""
        root = error
        while root.__cause__ is not None:  # what a user's function raised says more than our error
            root = root.__cause__
        lines = hidden("".join(traceback.format_exception(root, chain=False))).splitlines()
        return cls(type(error).__name__, hidden(str(error)), "\n".join(lines[-_TRACEBACK_LINES:]))

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class Failures:
    """Failures, counted by cause: an error's type and message, whatever numbers it holds.

    causes: cause -> (how many, the first of them, whether their numbers differ).
    """

    def __init__(self) -> None:
        self.causes: dict[str, tuple[int, Failure, bool]] = {}

    def __len__(self) -> int:
        return sum(count for count, _, _ in self.causes.values())

    def add(self, failure: Failure) -> None:
        """Count one more."""
        cause = re.sub(r"\d+", "#", str(failure))
        count, first, differ = self.causes.get(cause, (0, failure, False))
        self.causes[cause] = count + 1, first, differ or str(first) != str(failure)


@dataclass(frozen=True)
class ActivationFacts:
    """What a worker finds out about a user's own activation, which the driver never calls.

    theory: its predictions by name. consequences: those for the whole network. flat_share: its share of flat
    units at unit variance. histogram_range: where its histograms begin and end. without_slope: why its slope,
    and so any gradient, is unknown; None where it is known.
    """

    theory: dict[str, Array]
    consequences: dict[str, float]
    flat_share: float
    histogram_range: tuple[float, float]
    without_slope: str | None


@dataclass(frozen=True)
class Result:
    """What one task computed.

    blocks: the cells, in the order of everything below. estimate: the planned seconds on one core.
    errors: index of a failed cell -> why. seconds: (cells,). statistics: name -> (rows,), layers 0 .. depth
    of one cell after another, none of a failed one. histogram: (rows, 30), or None. leaves_float32: (cells,),
    the first layer that float32 could not hold, NaN where there is none. training: name -> (cells,), NaN
    where a cell was not trained; {} where none was to be. loss_scale, jac_spread: (cells,), NaN where a cell
    has none; None where nothing was computed. facts: of users' own activations. stored: the worker has stored
    it already, and kept the statistics.
    """

    blocks: tuple[Block, ...]
    estimate: float
    errors: Mapping[int, Failure]
    seconds: Array
    statistics: dict[str, Array]
    histogram: Array | None
    leaves_float32: Array
    training: dict[str, Array] = field(default_factory=dict)
    loss_scale: Array | None = None
    facts: dict[Spec, ActivationFacts] = field(default_factory=dict)
    stored: bool = False
    jac_spread: Array | None = None

    def __len__(self) -> int:
        """The number of cells."""
        return len(self.seconds)

    @property
    def loss_scales(self) -> Array:
        """`loss_scale` of every cell, NaN where there is none."""
        return self._known(self.loss_scale)

    @property
    def jac_spreads(self) -> Array:
        """`jac_spread` of every cell, NaN where there is none."""
        return self._known(self.jac_spread)

    def _known(self, values: Array | None) -> Array:
        return np.full(len(self), np.nan) if values is None else values

    @property
    def cells(self) -> Iterator[Cell]:
        """The cells, in order."""
        return (cell for block in self.blocks for cell in block)
