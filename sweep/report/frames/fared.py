"""How weights fared in the trainings that a study holds: a line for each kind of training."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sweep import activations, initializers
from sweep.activations import Activation
from sweep.base.blocks import PLAIN, Block
from sweep.experiment import axes
from sweep.experiment.axes import UNTRAINED
from sweep.report.frames.trained import distribution, distribution_of, rule

if TYPE_CHECKING:
    import pandas as pd

_ALIKE = 1e-3  # of sigma_w: a scheme's own arithmetic
_COLUMNS = (
    "init", "init_params", "seed", "act_params", "sigma_w", "bias_std", "block_params", "widths",
    *axes.ENDS.values(), "train_params", "train_lr", "test_accuracy", "readout_accuracy", "learned",
    "diverged_at",
)  # fmt: skip


def fared(
    study: str | Path,
    act: Activation,
    depth: int,
    width: int,
    scheme: str,
    sigma_w: float,
    block: Block = PLAIN,
) -> list[str]:
    """What became of networks of these weights that were trained, in words; empty where there are none.

    scheme: as in 'orthogonal gain=1.5'; others that draw the same are these weights too. block: with the
    parameters that were asked for. Raises as `load` does.
    """
    from sweep.store.query import results  # noqa: PLC0415

    its = [
        ("train", "!=", UNTRAINED), ("status", "==", "ok"), ("act", "==", act.name),
        ("block", "==", block.name), ("depth", "==", depth), ("width", "==", width),
    ]  # fmt: skip
    cells = results.load(study, columns=_COLUMNS, filters=its)
    if cells.empty:
        return []
    option, *given = scheme.split()
    parameters = {name: float(value) for name, value in (text.split("=") for text in given)}
    drawn = distribution_of(initializers.get(option, **parameters), scheme)
    return list(_lines(_of(cells, act, drawn, sigma_w, block)))


def _of(cells: "pd.DataFrame", act: Activation, drawn: str, sigma_w: float, block: Block) -> "pd.DataFrame":
    """Those of these weights, in layers that are all alike and have no biases; one of each seed."""
    parameters = activations.parameters_of(act.name, act)
    same = cells["act_params"].map(lambda text: json.loads(text) == parameters)
    same &= cells["block_params"].map(lambda text: json.loads(text) == dict(block.parameters))
    same &= cells[["widths", *axes.ENDS.values()]].isna().all(axis=1)
    same &= (cells["bias_std"] == 0) & ((cells["sigma_w"] / sigma_w - 1).abs() < _ALIKE)
    pairs = zip(cells["init"], cells["init_params"], strict=True)
    same &= np.array([distribution(str(init), str(params)) == drawn for init, params in pairs], bool)
    its: pd.DataFrame = cells[same].drop_duplicates(["train_params", "seed"])  # of schemes that are one
    return its


def _lines(cells: "pd.DataFrame") -> Iterator[str]:
    for text, networks in cells.groupby("train_params", sort=False):
        steps = networks["train_lr"].unique()
        told = rule(json.loads(str(text)), float(steps[0]) if len(steps) == 1 else None)
        accuracy, count = networks["test_accuracy"], len(networks)
        learned, diverged = int(networks["learned"].sum()), int(networks["diverged_at"].notna().sum())
        spread = f" ({accuracy.min():.2f} to {accuracy.max():.2f})" if count > 1 else ""
        ended = f", {diverged} diverged" if diverged else ""
        yield (
            f"in training ({told}) {learned} of {count} learned{ended}: {accuracy.median():.2f}{spread} of "
            f"held-out inputs right, their readouts alone {networks['readout_accuracy'].median():.2f}"
        )
