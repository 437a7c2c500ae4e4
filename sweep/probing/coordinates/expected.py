"""How far the layers of the standard parametrisation move at each width, up to a factor common to all widths.

Weights have entries of std ∝ 1/√fan_in, and the loss's gradient at each output is of order 1. Back through a
matrix that many units enter and few leave, it is of order n^-1/2 at each of the many, and it stays so back
through square ones. A step of SGD therefore changes the entry (i, j) of a weight by lr h_i delta_j, where
delta_j is of order n^-1/2 at a layer of many units, and 1 at one of few. On the same input h the output then
moves by lr sum_i h_i² delta_j = lr fan_in E[h²] delta_j, all terms of one sign. So alone

    SGD    input layer n^-1/2    hidden n · n^-1/2 = n^1/2    output n
    Adam   input layer n^0       hidden n                     output n

as each step of Adam moves each entry by lr times its sign, and the output by lr fan_in E|h|. But a layer's
output moves with its input too. What layers before have moved by is along the gradient that comes back
through the next matrix: one into many units passes it on at its order, and one into few adds up n products of
order n^-1/2, which makes it √n as much. So Adam's output moves as √n · n = n^3/2 where a hidden layer is
before it, while SGD's is n either way.

This is the limit of many more units than inputs. With d inputs of size 1, SGD moves a hidden layer as
n^-1/2 (n E[h²] + d): as n^-1/2 while n is below d. So what is expected at given widths is computed with the
inputs' sizes as they are, and the limit beside it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sweep.base.arrays import Array
from sweep.probing.coordinates.recording import Call, Weight
from sweep.probing.coordinates.training import Trained

INPUT, HIDDEN, OUTPUT, FIXED = "input", "hidden", "output", "fixed"
_ROLES = {(False, True): INPUT, (True, True): HIDDEN, (True, False): OUTPUT, (False, False): FIXED}
_SGD = ("SGD",)
_BY_SIGN = ("Adam", "AdamW", "NAdam", "Adamax", "SparseAdam", "RMSprop", "Adagrad", "Lion")
_LARGE = 1e12, 1e16  # widths at which nothing but the largest power of them counts


@dataclass(frozen=True)
class Fans:
    """The weight that makes a layer what it is, over widths: by which powers of the width its fans grow."""

    weights: tuple[Weight, ...]  # by model
    into: float
    out: float

    @property
    def role(self) -> str:
        """Whether many enter and leave, few enter, few leave, or neither depends on the width."""
        return _ROLES[self.into > 0, self.out > 0]

    def at(self, width: float) -> Weight:
        """The same at a width at which only powers count."""
        into, out = (width ** max(0.0, power) for power in (self.into, self.out))
        return replace(self.weights[0], fan_in=into, fan_out=out)


def fans_of(models: Sequence[Trained]) -> list[Fans]:
    """Of each layer: of its weights the one with most fans that grow, of these the largest."""
    ends = models[0], models[-1]
    reach = math.log(ends[1].width / ends[0].width)

    def power(name: str, layer: int, number: int) -> float:
        small, large = (getattr(one.layers[layer].weights[number], name) for one in ends)
        return math.log(large / small) / reach if small and large else 0.0

    found = []
    for layer, moved in enumerate(models[0].layers):
        several = [
            Fans(
                tuple(one.layers[layer].weights[number] for one in models),
                power("fan_in", layer, number),
                power("fan_out", layer, number),
            )
            for number in range(len(moved.weights))
        ]
        found.append(
            max(
                several,
                key=lambda one: (
                    (one.into > 0) + (one.out > 0),
                    one.weights[-1].fan_in * one.weights[-1].fan_out,
                ),
            )
        )
    return found


def changes(models: Sequence[Trained], fans: Sequence[Fans]) -> Array | None:
    """How far each layer is expected to move, relative to other widths: (models, layers).

    None where nothing is known of the optimizer.
    """
    by_sign = _by_sign(models)
    if by_sign is None:
        return None
    names = [layer.name for layer in models[0].layers]
    rows = [
        _changes(
            dict(zip(names, (one.weights[place] for one in fans), strict=True)),
            dict(zip(names, fans, strict=True)),
            model.calls,
            1.0 if by_sign else model.upstream,
            by_sign,
        )
        for place, model in enumerate(models)
    ]
    return np.array([[row[name] for name in names] for row in rows])


def limits(models: Sequence[Trained], fans: Sequence[Fans]) -> list[float]:
    """The slope of each layer's change where the width is far above all that does not grow with it."""
    by_sign = _by_sign(models)
    if by_sign is None:
        return [math.nan] * len(fans)
    names = [layer.name for layer in models[0].layers]
    sizes = [one.upstream for one in models if one.width == models[0].width]
    ends = np.mean(sizes), np.mean([one.upstream for one in models if one.width == models[-1].width])
    reach = math.log(models[-1].width / models[0].width)
    upstream = (
        round(2 * math.log(ends[1] / ends[0]) / reach) / 2 if min(ends) > 0 and max(ends) < math.inf else 0
    )
    calls = [replace(one, square=1.0, absolute=1.0) for one in models[0].calls]
    rows = [
        _changes(
            dict(zip(names, (one.at(width) for one in fans), strict=True)),
            dict(zip(names, fans, strict=True)),
            calls,
            1.0 if by_sign else width**upstream,
            by_sign,
        )
        for width in _LARGE
    ]
    with np.errstate(all="ignore"):
        slopes = [np.log(rows[1][name] / rows[0][name]) / np.log(_LARGE[1] / _LARGE[0]) for name in names]
    return [round(4 * slope) / 4 if math.isfinite(slope) else math.nan for slope in slopes]


def _by_sign(models: Sequence[Trained]) -> bool | None:
    """Whether the first steps move every entry alike; None where that is not known."""
    name = models[0].optimizer.__name__
    return name in _BY_SIGN if name in (*_SGD, *_BY_SIGN) else None


def _changes(
    weights: dict[str, Weight], fans: dict[str, Fans], calls: Sequence[Call], upstream: float, by_sign: bool
) -> dict[str, float]:
    """By layer, the most of its calls."""
    entries: dict[str, float] = {}  # how far a weight's own entries move, of a tied one in its largest use
    for name, weight in weights.items():
        gradient = 1.0 if by_sign or fans[name].out <= 0 else weight.fan_out**-0.5
        entries[weight.name] = max(entries.get(weight.name, 0.0), gradient * upstream)
    moved: list[float] = []
    for call in calls:
        weight, fan = weights[call.layer], fans[call.layer]
        own = entries[weight.name] * weight.fan_in * (call.absolute if by_sign else call.square)
        aligned = weight.fan_in**0.5 if fan.role == OUTPUT else 1.0
        moved.append(own * weight.trained + aligned * sum(moved[parent] for parent in call.parents))
    found = dict.fromkeys(weights, 0.0)
    for call, change in zip(calls, moved, strict=True):
        found[call.layer] = max(found[call.layer], change)
    return found
