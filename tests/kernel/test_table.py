"""Every statistic of the table is measured, stored, shown, explained and verified, and named once."""

import dataclasses
import math

import numpy as np
import pytest

from sweep import activations, initializers, kernel
from sweep.execution.comparison import _like
from sweep.kernel.precision import careful
from sweep.kernel.statistics import table
from sweep.kernel.statistics.table import BACKWARD, FORWARD, PREDICTED, STATISTICS
from sweep.report.frames.measures import MEASURES
from sweep.report.page.data import CURVES
from sweep.store import tables


@pytest.mark.parametrize("name", STATISTICS)
def test_an_entry_is_complete(name):
    one = STATISTICS[name]
    assert one.name == name
    assert one.title
    assert one.scale in (table.RATIO, table.SIZE, table.SHARE, table.SIGNED)
    assert one.since <= tables.SCHEMA_VERSION
    assert all(name in schema.names for schema in tables.SCHEMAS.values())
    assert (f"theory_{name}" in tables.CELLS.names) == one.predicted == (name in PREDICTED)
    assert MEASURES[name].scale == one.scale
    assert (name in CURVES) == one.curve
    assert name in _like(name), "verify allows it what moves it"
    assert one.meaning, "the reference explains it"
    assert name in FORWARD or (name in BACKWARD and one.function is None)


def fourth(h):
    """The fourth root of the mean fourth power: it grows as h does."""
    return np.sqrt(np.sqrt(np.mean(h.astype(np.float64) ** 4, axis=(1, 2))))


def test_a_new_statistic_is_a_row_and_its_function(monkeypatch):
    """Whatever way a layer is measured: as float32 holds it, read off another chain, again in long double."""
    row = table.Statistic("fourth", table.H, "a title", table.RATIO, 1, math.inf, function=fourth)
    monkeypatch.setitem(STATISTICS, "fourth", row)
    monkeypatch.setattr("sweep.kernel.chains.chain.FORWARD", (*FORWARD, "fourth"))
    shown = {}

    def observe(kind, chain, depth, layer, values):
        if kind == "h":
            largest = np.abs(values).max()
            shown[chain, layer] = fourth(values[None] / largest)[0] * largest

    chains = [
        kernel.Chain(initializers.get("normal", std=std), activations.get("relu"), 0.0, 4)
        for std in (0.3, 1e-30, 1e30)
    ]
    measured = kernel.propagate(chains, (8,) * 5, [0], 20, observe=observe)
    again = careful.measure(chains, (8,) * 5, [0], 20, np.dtype(np.float32), False, None)
    for i, one in enumerate(chains):
        right = [shown[i, layer] for layer in range(one.depth + 1)]
        np.testing.assert_allclose(measured[i].forward["fourth"][0], right, rtol=1e-5)
        np.testing.assert_allclose(again[i].forward["fourth"][0], right, rtol=1e-5)
    huge = dataclasses.replace(chains[2], scheme=initializers.get("normal", std=1e200))
    (lost,) = kernel.propagate([huge], (8,) * 5, [0], 20)
    assert lost.forward["fourth"][0][-1] == math.inf
