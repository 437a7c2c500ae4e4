"""From changes at each width to slopes and a word for each layer, and one for the network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sweep.base.arrays import Array
from sweep.probing.coordinates import expected
from sweep.probing.coordinates.training import Trained

FLAT, STANDARD, GROWS, SHRINKS = "flat", "standard", "grows", "shrinks"
UNCHANGED, ROUNDED, NOT_FINITE, UNCERTAIN = "unchanged", "rounded", "not finite", "uncertain"
_UNTOLD = (UNCHANGED, ROUNDED, NOT_FINITE, UNCERTAIN)
MAXIMAL, NEITHER, UNKNOWN = "maximal update", "neither", "unknown"
# A slope this near 0 is 0. Those of maximal updates that we measured are within 0.12.
_NEAR_FLAT = 0.15
# And this near what is expected is that: the powers differ by 1/2. Plain networks of 4 to 784 inputs are
# within 0.14, and of a small transformer all layers within 0.24.
_NEAR_EXPECTED = 0.25
_SURE = 0.125  # the largest standard error of a slope from which a word is taken: a quarter of 1/2
# A change of so many roundings of the output, or fewer, is partly their noise.
_ROUNDINGS = 30
_LINEAR = 0.1  # of its size, by which an output may change while it is as good as linear in lr


def table_of(models: Sequence[Trained]) -> pd.DataFrame:
    """A row per layer, step, width and seed."""
    roles = [one.role for one in expected.fans_of(models)]
    rows = [
        (layer.name, layer.kind, role, step, one.width, one.seed, change, layer.size)
        for one in models
        for layer, role in zip(one.layers, roles, strict=True)
        for step, change in layer.change.items()
    ]
    columns = ["module", "kind", "role", "step", "width", "seed", "change", "size"]
    return pd.DataFrame(rows, columns=columns)


def slopes_of(models: Sequence[Trained], steps: Sequence[int]) -> pd.DataFrame:
    """A row per layer and step."""
    fans = expected.fans_of(models)
    limits = expected.limits(models, fans)
    predicted = expected.changes(models, fans)
    widths = np.array([one.width for one in models], float)
    eps = max(one.eps for one in models)
    attends = [
        any(call.attends for call in models[-1].calls if call.layer == place) for place in range(len(fans))
    ]
    rows = []
    for place, (layer, fan) in enumerate(zip(models[0].layers, fans, strict=True)):
        should = math.nan
        if predicted is not None and (predicted[:, place] > 0).all():
            should, _ = fitted(widths, predicted[:, place])
        sizes = np.array([one.layers[place].size for one in models])
        for step in steps:
            moved = np.array([one.layers[place].change[step] for one in models])
            slope, error = fitted(widths, moved)
            far = _beyond(slope, should, attends[place])
            word = _word(moved, sizes, eps) or _word_of(slope, error, far)
            figures = (slope, error, should, limits[place])
            rows.append((layer.name, layer.kind, fan.role, attends[place], step, *figures, word))
    columns = ["module", "kind", "role", "attention", "step", "slope", "stderr", "expected", "limit", "word"]
    return pd.DataFrame(rows, columns=columns)


def fitted(widths: Array, values: Array) -> tuple[float, float]:
    """The slope of log values over log widths by least squares, and its standard error.

    Not defined where a value is 0 or not finite; the error neither where two points are all.
    """
    if not (np.isfinite(values) & (values > 0)).all():
        return math.nan, math.nan
    x, y = np.log(widths), np.log(values)
    x, y = x - x.mean(), y - y.mean()
    slope = float(x @ y / (x @ x))
    if len(x) < 3:
        return slope, math.nan
    return slope, float(np.sqrt(np.square(y - slope * x).sum() / (len(x) - 2) / (x @ x)))


def _word(moved: Array, sizes: Array, eps: float) -> str | None:
    """Why no slope can be told, if so."""
    if not np.isfinite(moved).all():
        return NOT_FINITE
    if not moved.any():
        return UNCHANGED
    return ROUNDED if (moved < _ROUNDINGS * eps * sizes).any() or not moved.all() else None


def _word_of(slope: float, error: float, far: float) -> str:
    if error > _SURE:
        return UNCERTAIN
    spread = 0.0 if math.isnan(error) else error
    flat, standard = abs(slope) <= _NEAR_FLAT + spread, far <= _NEAR_EXPECTED + spread
    if flat and (not standard or abs(slope) <= far + _NEAR_FLAT):
        return FLAT
    return STANDARD if standard else GROWS if slope > 0 else SHRINKS


def _beyond(slope: float, should: float, attention: bool) -> float:
    """How far a slope is from what is expected.

    That is up to 1/2 more behind attention: its logits are sums over a head's width, as outputs are.
    """
    return max(slope - should - 0.5 * attention, should - slope)


def verdict_of(slopes: pd.DataFrame, too_large: bool) -> str:
    """In a word: whose slopes these are; too_large: whether lr is, so that they say little."""
    told = slopes[~slopes["word"].isin(_UNTOLD)]
    doubtful = int(slopes["word"].isin([ROUNDED, UNCERTAIN]).sum())
    if told.empty or 2 * doubtful > len(told) or slopes["word"].isin([NOT_FINITE]).any():
        return UNKNOWN
    slope, near = told["slope"].to_numpy(float), told["stderr"].fillna(0.0).to_numpy(float)
    should, attention = told["expected"].to_numpy(float), told["attention"].to_numpy(bool)
    far = np.array([_beyond(*one) for one in zip(slope, should, attention, strict=True)]).clip(0)
    flat = bool((abs(slope) <= _NEAR_FLAT + near).all())
    standard = bool((far <= _NEAR_EXPECTED + near).all())
    if flat and standard:  # of slopes that are all near 0 either way
        return MAXIMAL if slope @ slope < far @ far else STANDARD
    if flat or standard:
        return MAXIMAL if flat else STANDARD
    return UNKNOWN if too_large or np.isnan(should).any() else NEITHER


@dataclass(frozen=True)
class TooLarge:
    """Of the layers of the smallest width the one whose output moves most for its size, if above a tenth.

    share: of its size. lr: one that would do, in one digit.
    """

    module: str
    width: int
    step: int
    share: float
    lr: float


def too_large(table: pd.DataFrame, lr: float) -> TooLarge | None:
    """Whether any output of the smallest width moves by more than a tenth of its size."""
    narrow = table[(table["width"] == table["width"].min()) & (table["size"] > 0)]
    shares = narrow["change"] / narrow["size"]
    if narrow.empty or shares.max() <= _LINEAR:
        return None
    most = narrow.loc[shares.idxmax()]
    # As many times as far in as many steps; by the step of which that is least beyond what is linear.
    steps, last = shares.groupby(narrow["step"]).max(), narrow["step"].max()
    wanted = [lr * _LINEAR / (share * last / step) for step, share in steps.items() if 0 < share < math.inf]
    enough = max(wanted, default=lr / 1000)
    digit = 10.0 ** math.floor(math.log10(enough))
    rounded = float(f"{math.floor(enough / digit) * digit:.0e}")
    return TooLarge(most["module"], int(most["width"]), int(most["step"]), float(shares.max()), rounded)
