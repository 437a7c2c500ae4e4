"""The cells of a result by their specs: what all seeds of one have in common is made once."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sweep.activations import CUSTOM, histogram_range
from sweep.base.arrays import Array
from sweep.experiment.cell import ID_BYTES, Spec
from sweep.experiment.outcomes.outcome import ActivationFacts, Result
from sweep.experiment.outcomes.verdict import flat_share_of
from sweep.experiment.predictions.prediction import (
    CONSEQUENCES,
    consequences,
    no_consequences,
    nothing,
    predicted,
)
from sweep.kernel.statistics.table import PREDICTED

OF_ACT = ("flat_share", "histogram_low", "histogram_high")


class SpecRows:
    """The cells of a result, and what those of one spec have in common, computed once.

    specs: each once. spec: (cells,), the index of each cell's spec. seeds: (cells,). ok: (cells,), whether
    it was computed. sizes, ends: (cells,), its rows of layers and where they end. theory: name -> the
    predictions of one spec after another, by layer; starts: where each begins. consequences: name ->
    (specs,). of_act: (specs, 3), OF_ACT.
    """

    def __init__(self, result: Result) -> None:
        self._blocks = result.blocks
        numbers: dict[Spec, int] = {}
        parts = [
            np.repeat([numbers.setdefault(spec, len(numbers)) for spec in block.specs], len(block.seeds))
            for block in result.blocks
        ]
        self.specs = list(numbers)
        self.spec = np.concatenate(parts)
        self.seeds = np.concatenate([np.tile(block.seeds, len(block.specs)) for block in result.blocks])
        self.ok = np.ones(len(self.spec), bool)
        self.ok[list(result.errors)] = False
        self.depths = np.array([spec.depth for spec in self.specs])
        self.sizes = np.where(self.ok, self.depths[self.spec] + 1, 0)
        self.ends = np.cumsum(self.sizes)
        self.starts = np.cumsum(self.depths + 1) - (self.depths + 1)
        theories = [_theory(spec, result.facts) for spec in self.specs]
        self.theory = {name: np.concatenate([theory[name] for theory in theories]) for name in PREDICTED}
        whole = [_consequences(spec, result.facts) for spec in self.specs]
        self.consequences = {name: np.array([of[name] for of in whole]) for name in CONSEQUENCES}
        self.of_act = np.array([_known_of(spec, result.facts) for spec in self.specs])

    def keys(self, names: Iterable[str]) -> dict[str, pa.Array]:
        """The columns that both tables have, by cell; names: those that a spec has."""
        ids = b"".join([block.digests() for block in self._blocks]).hex()
        offsets = np.arange(0, len(ids) + 1, 2 * ID_BYTES, dtype=np.int32)
        text = pa.StringArray.from_buffers(len(self.spec), pa.py_buffer(offsets), pa.py_buffer(ids.encode()))
        named = {name: self.of_spec([getattr(spec, name) for spec in self.specs]) for name in names}
        return {"cell_id": text} | named | {"seed": pa.array(self.seeds, pa.int64())}

    def of_spec(self, values: Sequence[Any], kind: pa.DataType | None = None) -> pa.Array:
        """A value of each spec, by cell."""
        return pa.array(values, kind).take(pa.array(self.spec))


def _theory(spec: Spec, facts: Mapping[Spec, ActivationFacts]) -> dict[str, Array]:
    """The predictions of a spec; those for a user's own activation come from where it may be called."""
    if spec.act != CUSTOM:
        return predicted(spec)
    return facts[spec].theory if spec in facts else nothing(spec.depth)


def _consequences(spec: Spec, facts: Mapping[Spec, ActivationFacts]) -> dict[str, float]:
    """The same of the whole network."""
    if spec.act != CUSTOM:
        return consequences(spec)
    return facts[spec].consequences if spec in facts else no_consequences()


def _known_of(spec: Spec, facts: Mapping[Spec, ActivationFacts]) -> tuple[float, float, float]:
    """OF_ACT of a spec's activation; NaN of a user's own that could not be computed."""
    if spec.act != CUSTOM:
        return flat_share_of(spec.activation), *histogram_range(spec.activation)
    return (facts[spec].flat_share, *facts[spec].histogram_range) if spec in facts else (math.nan,) * 3
