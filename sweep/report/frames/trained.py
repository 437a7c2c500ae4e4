"""Trained networks as maps over sigma_w² × depth: what they learned, and how deep theory says one can.

Two inputs come to look alike, or lose touch, within a few xi_c layers; what lies deeper cannot be told apart,
and cannot be learned. How many xi_c is a matter of steps and threshold, and is measured on the map itself.
Schoenholz et al. 2017.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sweep import activations, initializers, theory
from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.base.errors import SweepError
from sweep.base.training import AUTO
from sweep.experiment import axes
from sweep.experiment.axes import PLAIN, UNTRAINED
from sweep.initializers import Scheme
from sweep.report.frames.labels import description, is_null, setting_text, whole
from sweep.report.frames.networks import are_networks
from sweep.report.frames.text import short

if TYPE_CHECKING:
    import pandas as pd

HALF = 0.5  # of the inputs right: what the literature, and `learned`, call learned
ACCURACIES = ("test_accuracy", "train_accuracy", "readout_accuracy")
_FINE = 80  # points of a predicted curve
_OF_TRAINING = ("steps", "lr", "batch", "data")
# What tells one map from another, beside the scheme's distribution.
_APART = (
    "act", "act_params", "block", "block_params", "bias_std", "width", "widths", "batch", "dtype",
    *axes.END_COLUMNS, "input", "input_params", "kernel_version", "train",
    *(f"train.{name}" for name in _OF_TRAINING),
)  # fmt: skip


@dataclass(frozen=True)
class Map:
    """Trained networks that differ in sigma_w, depth and seed alone.

    told: what tells it from the study's other maps. values: what makes it, by column. act: None of a user's
    own. points: sigma_w² and depth, and the means over seeds of ACCURACIES, with how many `seeds` there are.
    """

    told: str
    values: dict[str, Any]
    act: Activation | None
    points: "pd.DataFrame"

    @cached_property
    def factor(self) -> tuple[float, float, float, int]:
        """How many xi_c deep half of the training inputs are right: median, least, most, of how many sigma_w.

        Of the deepest network of each sigma_w that does, where there are deeper ones that do not. NaN where
        there is none, or no theory.
        """
        ratios = []
        for sigma_w2, column in self.points.groupby("sigma_w2"):
            learned = column.loc[column["train_accuracy"] >= HALF, "depth"]
            scale = self.depth_scale(float(str(sigma_w2)))
            if len(learned) and learned.max() < column["depth"].max() and 0 < scale < math.inf:
                ratios.append(float(learned.max()) / scale)
        if not ratios:
            return math.nan, math.nan, math.nan, 0
        return float(np.median(ratios)), min(ratios), max(ratios), len(ratios)

    def depth_scale(self, sigma_w2: float) -> float:
        """xi_c at this sigma_w²; NaN where there is no theory of it."""
        if not self._is_plain or self.act is None or sigma_w2 <= 0:
            return math.nan
        try:
            return theory.fixed_point(self.act, math.sqrt(sigma_w2), self.sigma_b).xi_c
        except SweepError:
            return math.nan

    @property
    def curve(self) -> tuple[Array, Array]:
        """sigma_w², and the factor times xi_c there; empty where there is none."""
        if not self.factor[-1]:
            return np.empty(0), np.empty(0)
        ends = self.points["sigma_w2"].min(), self.points["sigma_w2"].max()
        sigma_w2 = np.linspace(*ends, _FINE)
        return sigma_w2, self.factor[0] * np.array([self.depth_scale(float(one)) for one in sigma_w2])

    @property
    def critical(self) -> float:
        """sigma_w² of the edge of chaos; NaN where there is none."""
        if not self._is_plain or self.act is None:
            return math.nan
        try:
            return theory.critical_sigma_w(self.act, self.sigma_b) ** 2
        except SweepError:
            return math.nan

    @property
    def rule(self) -> str:
        """How it was trained, in words."""
        return rule({name: self.values[f"train.{name}"] for name in _OF_TRAINING})

    @property
    def _is_plain(self) -> bool:
        """Whether all layers are plain and alike, as the theory of one sigma_w and sigma_b has them."""
        others = [self.values.get(name) for name in ("widths", *axes.ENDS.values())]
        its_own = is_null(self.values["bias_std"])  # the scheme draws its biases
        return self.values["block"] == PLAIN and not its_own and all(map(is_null, others))

    @property
    def sigma_b(self) -> float:
        """The std of the biases."""
        std = self.values["bias_std"]
        return 0.0 if is_null(std) else float(std)

    def table(self, accuracy: str) -> "pd.DataFrame":
        """An accuracy by depth, upwards, and sigma_w²."""
        return self.points.pivot(index="depth", columns="sigma_w2", values=accuracy)


def rule(parameters: Mapping[str, Any], lr: float | None = None) -> str:
    """A training in words: '300 steps of 128 digits, step 0.01'; lr: what 'auto' was, of one network."""
    step = short(parameters["lr"])
    if parameters["lr"] == AUTO:
        step = "½ batch lr_max by theory" if lr is None else f"{lr:.2g} (auto)"
    count = parameters["steps"]
    data = "inputs of the mixture" if parameters["data"] == "mixture" else parameters["data"]
    return f"{count:,} step{'s' if count > 1 else ''} of {parameters['batch']} {data}, step {step}"


def learned(cell: Mapping[str, Any]) -> str:
    """What a cell has learned, in a line; '' where it was not trained."""
    if not cell["train"] or cell["train"] == UNTRAINED or cell["test_accuracy"] is None:
        return ""
    ended = cell["diverged_at"]
    told = f", diverged at step {int(ended)}" if ended is not None and not math.isnan(ended) else ""
    return (
        f"trained {rule(json.loads(cell['train_params']), cell['train_lr'])}{told}: "
        f"{cell['test_accuracy']:.2f} of held-out inputs right, {cell['train_accuracy']:.2f} of its own; "
        f"its readout alone: {cell['readout_accuracy']:.2f}"
    )


def _trained(cells: "pd.DataFrame") -> "pd.DataFrame":
    if "train" not in cells:
        return cells.iloc[:0]
    return cells[(cells["train"] != UNTRAINED) & cells["train"].notna()]


def rules(cells: "pd.DataFrame") -> list[str]:
    """How a study's networks were trained, in words, each way once; empty where none was."""
    texts = _trained(cells)["train_params"].unique() if "train" in cells else ()
    return list(dict.fromkeys(rule(json.loads(str(text))) for text in texts))


def off_the_map(cells: "pd.DataFrame") -> list[str]:
    """The schemes of trained networks that are on no map, for they have no sigma_w."""
    trained = _trained(cells)
    return [] if trained.empty else list(trained.loc[trained["sigma_w"].isna(), "init"].map(str).unique())


def maps(cells: "pd.DataFrame") -> list[Map]:
    """The maps of a study's trained networks; cells: with the columns of `cells`, or a frame of networks."""
    trained = _trained(cells)
    trained = trained[trained["sigma_w"].notna()] if len(trained) else trained
    if trained.empty:
        return []
    frame = _apart(trained)
    columns = [str(name) for name in frame if str(name).startswith("key:")]
    grouped = list(frame.groupby(columns, sort=False))
    varying = [name for name in columns if frame[name].nunique() > 1]
    return [_map(rows, varying) for _, rows in grouped]


def _apart(trained: "pd.DataFrame") -> "pd.DataFrame":
    """With a column of texts 'key:…' for everything that tells maps apart."""
    frame = whole(trained).reset_index(drop=True)
    parameters = [json.loads(text) for text in frame["train_params"]]
    for name in _OF_TRAINING:
        frame[f"train.{name}"] = np.array([values.get(name) for values in parameters], object)
    pairs = list(zip(frame["init"], frame["init_params"], strict=True))
    named = {pair: distribution(*map(str, pair)) for pair in dict.fromkeys(pairs)}
    keys: dict[str, Any] = {"key:weights": [named[pair] for pair in pairs]}
    keys |= {f"key:{name}": frame[name].map(str) for name in _APART if name in frame}
    return frame.assign(**keys)


def distribution(init: str, params: str) -> str:
    """What a scheme draws but for its scale; where no scale tells its weights, all that it is called."""
    told = description(init, params)
    try:
        return distribution_of(initializers.REGISTRY.stored(init, params), told)
    except SweepError:
        return told


def distribution_of(scheme: Scheme, told: str) -> str:
    """The same of a scheme that is called so."""
    if scheme.base is None or not scheme.known_std or scheme.weight_mean(1, 1) or scheme.bias is not None:
        return told
    return str(scheme.base.name)


def _map(rows: "pd.DataFrame", varying: list[str]) -> Map:
    first = rows.iloc[0]
    networks = are_networks(rows)
    names = {name: f"value:{name}" if networks else name for name in ACCURACIES}
    taken = rows.assign(
        sigma_w2=(rows["sigma_w"] ** 2).round(6),
        **{name: rows[column] for name, column in names.items()},
    )
    by = taken.groupby(["sigma_w2", "depth"])
    seeds = by["seeds"].max() if networks else by["seed"].nunique()
    points = by[list(ACCURACIES)].mean().assign(seeds=seeds)
    values = {name: first[name] for name in _APART if name in rows}
    act = None
    if values["act"] in activations.names():
        act = activations.stored(str(values["act"]), str(values["act_params"]))
    return Map(_told(first, varying), values, act, points.reset_index())


def _told(first: "pd.Series[Any]", varying: list[str]) -> str:
    """What a map is called among others."""
    told = []
    for key in varying:
        name = key.removeprefix("key:")
        if name == "weights":
            told.append(f"{first[key]} weights")
        elif name in ("act", "block", "input"):
            told.append(description(str(first[name]), str(first[f"{name}_params"])))
        elif not name.endswith("_params"):
            told.append(setting_text(name, first[name]))
    return ", ".join(filter(None, told))


def described(one: Map) -> Iterator[str]:
    """What a map is of, part by part, for a caption or a title."""
    values = one.values
    yield description(str(values["act"]), str(values["act_params"]))
    if values["block"] != PLAIN:
        yield f"block {description(str(values['block']), str(values['block_params']))}"
    yield f"width {values['width']}"
    if not is_null(values["bias_std"]):
        yield f"bias_std {one.sigma_b:.4g}"
