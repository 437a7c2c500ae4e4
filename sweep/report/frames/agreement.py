"""Measured against predicted: how many cells have the rms that theory predicts for their width."""

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweep import activations, initializers
from sweep.activations import Activation
from sweep.base import blocks
from sweep.base.blocks import Block
from sweep.base.errors import RequestError
from sweep.experiment.axes import END_COLUMNS, USUAL_INPUT
from sweep.experiment.ingredients.families import at_depth
from sweep.experiment.predictions.prediction import matrices_of
from sweep.initializers import NORMAL, Scheme
from sweep.report.frames.labels import group_index
from sweep.theory.blocks import block_deviation
from sweep.theory.finite.width import log_rms_deviation
from sweep.theory.maps import alike, layers_of

if TYPE_CHECKING:
    import pandas as pd

SPREADS = 2.0  # standard deviations within which 95 % of normal deviations lie
# Below this a spread is that of the measurement: float32 sums of entries rounded to 6e-8.
_LEAST_SPREAD = 1e-5
# Independent weights, of which this many make z Gaussian: at width 16 uniform ones leave 5 % of a std.
_NEARLY_GAUSSIAN, _MANY = ("uniform", "truncated_normal"), 16
_SCHEMES = ("init", "init_params", *END_COLUMNS)
_KNOWN = ("judged", "within", "silent")  # columns of a frame of networks
_SPEC = (*_SCHEMES, "act", "act_params", "depth", "width", "widths", "bias_std", "batch")
_INPUT = ("input", "input_params")
_BLOCK = ("block", "block_params")


@dataclass(frozen=True)
class Agreement:
    """Of `cells` cells with a prediction, `within` have the rms that theory gives their width.

    silent: cells with a mean field whose spread over seeds is not predicted.
    """

    cells: int
    within: int
    silent: int = 0

    @property
    def share(self) -> float:
        """within / cells; NaN where there is no cell."""
        return self.within / self.cells if self.cells else math.nan

    def __str__(self) -> str:
        left_out = f"no spread over seeds is predicted for {self.silent} cells" if self.silent else ""
        if not self.cells:
            return f"theory: {left_out or 'applies to none of these cells'}"
        return (
            f"theory: {100 * self.share:.0f} % of {self.cells} cells have the predicted rms, within "
            f"{SPREADS:g} standard deviations over seeds at their width (95 % expected)"
            + (f"; {left_out}" if left_out else "")
        )


def agreement(cells: "pd.DataFrame", most: int | None = None) -> Agreement:
    """How far a frame of cells, as `sweep.load` gives it, is what theory predicts.

    most: the greatest number of specs to look at, evenly spread over the frame.
    """
    if "within" in cells:  # networks, that know it: see `by_network`
        judged, within, silent = cells[list(_KNOWN)].sum().astype(int)
        return Agreement(judged, within, silent)
    if most is not None and len(cells):
        cells = cells[_sampled(_specs(cells), most)]
    distance = deviations(cells).dropna().abs()
    silent = int((~np.isnan(_logs(cells))).sum()) - len(distance)
    return Agreement(len(distance), int((distance <= SPREADS).sum()), silent)


def _sampled(spec: NDArray[Any], most: int) -> NDArray[np.bool_]:
    """The rows of at most so many specs."""
    return np.isin(spec, np.linspace(0, spec.max(), most).round())


def by_network(
    rows: "pd.DataFrame", network: NDArray[np.int64], logs: NDArray[np.float64], most: int
) -> dict[str, NDArray[np.int64]]:
    """What `agreement` looks for in a frame of networks: how many cells of each are as predicted, or are not.

    network, logs: of every cell of which `deviation_from_mean_field` is known, its row in `rows` and that.
    most: the greatest number of specs to look at.
    """
    size = len(rows)
    spec = _specs(rows)
    chosen = _sampled(spec, most) if size else np.zeros(0, bool)
    network, logs = (values[chosen[network]] for values in (network, logs))
    shifts, spreads = _expected(rows, spec, np.unique(spec[network]))
    distance = np.abs((logs - shifts[spec[network]]) / spreads[spec[network]])
    found = ~np.isnan(distance), distance <= SPREADS, np.isnan(distance)
    return {
        name: np.bincount(network[flags], minlength=size) for name, flags in zip(_KNOWN, found, strict=True)
    }


def deviations(cells: "pd.DataFrame") -> "pd.Series[float]":
    """By row: log rms² of the last layer less its predicted mean, in predicted standard deviations.

    NaN where theory does not apply, where rms is 0 or not finite, for users' own functions, which
    workers alone may call, and where the spread is not predicted: at a depth too great for the width
    (`sweep.theory.finite_width`), for inputs other than gaussian, and for weights that are not independent,
    or not so many that their sum is Gaussian (orthogonal, sparse; uniform at widths below 16).
    """
    import pandas as pd  # noqa: PLC0415

    logs, spec = _logs(cells), _specs(cells)
    shifts, spreads = _expected(cells, spec, np.unique(spec[~np.isnan(logs)]))
    return pd.Series((logs - shifts[spec]) / spreads[spec], cells.index)


def _expected(
    cells: "pd.DataFrame", spec: NDArray[Any], known: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """By spec the predicted mean and spread of log rms² less the mean field's; NaN of all but the known."""
    shifts, spreads = np.full((2, spec.max(initial=-1) + 1), math.nan)
    first = cells.iloc[np.unique(spec, return_index=True)[1]]
    # Not another program's; nor inputs whose own fluctuations are not those of independent normal numbers.
    of_ours = first["block"].isin(list(blocks.BLOCKS)) & (first["input"] == USUAL_INPUT)
    known = known[of_ours.to_numpy()[known]]
    columns = [first[name].iloc[known] for name in (*_BLOCK, *_SPEC)]
    # The deepest network of a kind has the layers of the others.
    chains: dict[Any, list[tuple[int, tuple[int, ...]]]] = defaultdict(list)
    for number, block, block_params, *spec_of in zip(known, *columns, strict=True):
        *named, act, act_params, depth, width, widths, bias_std, batch = spec_of
        schemes = tuple(name if isinstance(name, str) else None for name in named)
        tapered = None if widths is None or isinstance(widths, float) else tuple(map(int, widths))
        profile = tapered or (int(width),) * (int(depth) + 1)
        std = None if math.isnan(bias_std or 0.0) else bias_std  # null: the scheme's own
        # A last layer of its own is in no deeper network, nor a block or an act that follows from it.
        of_block = str(block), str(block_params)
        of_depth = schemes[-1] is not None or _block(*of_block).of_depth or act == activations.TRANSFORMED
        alone = int(depth) if of_depth else None
        key = (of_block, schemes, act, act_params, std, int(batch), tapered or width, alone)
        chains[key].append((number, profile))
    for (*network, _, _), members in chains.items():
        shift, std = _deviation(*network, max((profile for _, profile in members), key=len))
        for number, profile in members:
            last = len(profile) - 1
            shifts[number], spreads[number] = shift[last], max(std[last], _LEAST_SPREAD)  # NaN stays
    return shifts, spreads


def _logs(cells: "pd.DataFrame") -> NDArray[Any]:
    """By row: log rms² less the mean field's; NaN where either is 0, not finite or not known.

    NaN for users' own functions too, which workers alone may call.
    """
    rms, theory = cells["rms"].to_numpy(float), cells["theory_rms"].to_numpy(float)
    return deviation_from_mean_field(rms, theory, cells["act"].isin(activations.known()).to_numpy())


def deviation_from_mean_field(
    rms: NDArray[Any], theory: NDArray[Any], listed: NDArray[np.bool_]
) -> NDArray[Any]:
    """log rms² less log theory², NaN where that is not finite; listed: whether the activation is ours."""
    with np.errstate(all="ignore"):
        logs: NDArray[Any] = 2 * (np.log(rms) - np.log(theory))
    logs[~(np.isfinite(logs) & listed)] = math.nan
    return logs


def _specs(cells: "pd.DataFrame") -> NDArray[Any]:
    """By row: the number of its spec."""
    keys = cells[[*_SPEC, *_BLOCK, *_INPUT]]
    if keys["widths"].notna().any():
        keys = keys.assign(widths=keys["widths"].map(str))
    return group_index(keys, (*_SPEC, *_BLOCK, *_INPUT))


@lru_cache(maxsize=4096)
def _block(name: str, parameters: str) -> Block:
    return blocks.REGISTRY.from_json(name, parameters)


@lru_cache(maxsize=4096)
def _deviation(
    of_block: tuple[str, str],
    named: tuple[str | None, ...],
    act: str,
    act_params: str,
    bias_std: float | None,
    batch: int,
    widths: tuple[int, ...],
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and std over seeds of log rms² by layer, less the mean field's; NaN where not known.

    of_block: of _BLOCK. named: of _SCHEMES.
    """
    block = _block(*of_block).at(len(widths) - 1)
    numbered = _schemes(named, len(widths) - 1)
    known = [(one, fan) for one, fan in zip(numbered, pairwise(widths), strict=True) if one]
    unknown = np.full(len(widths), math.nan)
    if len(known) < len(numbered) or not all(_is_gaussian(scheme, widths) for scheme, _ in known):
        return unknown, unknown
    try:
        activation = at_depth(activations.stored(act, act_params), len(widths) - 1)
    except RequestError:  # a transform without a solution, which only another program's row can have
        return unknown, unknown
    biases = [scheme.bias_std(*fan) if scheme.bias else bias_std or 0.0 for scheme, fan in known]
    if not block.plain:
        matrices = [matrices_of(block, scheme, *fan) for scheme, fan in known]
        return block_deviation(block, activation, matrices, widths, biases, batch)
    if activation.homogeneous and not any(biases):  # whatever their scale
        return _deviation_homogeneous(activation, widths, batch)
    layers = layers_of([scheme.weight_std(*fan) for scheme, fan in known], widths)
    return log_rms_deviation(activation, layers, widths, biases, batch)


def _schemes(named: tuple[str | None, ...], depth: int) -> list[Scheme | None]:
    """By layer, None for a user's own and another program's; named: of _SCHEMES."""
    every, first, last = (
        initializers.stored(name, params) if name in initializers.names() and name and params else None
        for name, params in zip(named[::2], named[1::2], strict=True)
    )
    found = [every] * depth
    if named[2] is not None:
        found[0] = first
    if named[4] is not None:
        found[-1] = last
    return found


def _is_gaussian(scheme: Scheme, widths: tuple[int, ...]) -> bool:
    """Whether sums of its weights are, or nearly: independent ones, and so many."""
    family = "" if scheme.base is None else scheme.base.name
    return family == NORMAL.name or (family in _NEARLY_GAUSSIAN and min(widths) >= _MANY)


@lru_cache(maxsize=4096)
def _deviation_homogeneous(
    act: Activation, widths: tuple[int, ...], batch: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    return log_rms_deviation(act, alike(1.0, widths), widths, 0.0, batch)
