"""How much longer this machine takes than the plan's model says, and how far that may be off."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

_UNKNOWN = math.log(2.0)  # by so much, as a logarithm, the model's own rates are off on a machine never seen
_DEVIATIONS = 2.0  # standard deviations on either side: about 95 % of what happens
_MOST = math.log(100.0)  # a wider range tells nobody anything
_LEAST = 1.5  # a calibration is never surer than this: one second is not the next


@dataclass(frozen=True)
class Factor:
    """This machine's time over the model's: probably `middle`, between middle / below and middle * above."""

    middle: float
    below: float
    above: float


def of_runs(factors: Sequence[float], crowding: float = 1.0) -> Factor:
    """What earlier runs on this machine teach, each by its own factor: their median, and their spread.

    The model counts as one run more, which was off by a factor of two. The next run strays as they do, and
    the middle of a few is astray itself. crowding: see `machine.crowding`.
    """
    middle = median(factors) if factors else 1.0
    squares = [math.log(factor / middle) ** 2 for factor in factors]
    count = len(factors)
    deviation = math.sqrt((sum(squares) + _UNKNOWN**2) / (count + 1) * (1 + 1 / count if count else 1))
    return _crowded(middle, _spread(deviation), crowding)


def of_samples(seconds: Sequence[float], modelled: Sequence[float], crowding: float = 1.0) -> Factor:
    """What samples of a plan teach, from their seconds and the model's: the ratio of sums, and its error.

    Cochran 1977, Sampling Techniques, the ratio estimator.
    """
    took, model = np.asarray(seconds), np.asarray(modelled)
    if not model.sum() or not took.sum():
        return of_runs([], crowding)
    middle = float(took.sum() / model.sum())
    count = len(took)
    variance = count / max(count - 1, 1) * float(((took - middle * model) ** 2).sum())
    error = math.sqrt(variance) / float(took.sum()) if count > 1 else _UNKNOWN
    return _crowded(middle, max(_LEAST, _spread(error)), crowding)


def _spread(deviation: float) -> float:
    return math.exp(min(_DEVIATIONS * deviation, _MOST))


def _crowded(middle: float, spread: float, crowding: float) -> Factor:
    """What others run here may be in what was measured, or not: it may end, and it may go on."""
    ends, goes_on = min(crowding, middle), crowding / middle
    return Factor(middle, spread * max(1.0, ends), spread * max(1.0, goes_on))
