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
sizes of inputs as they are at each, and with the norms of gradients as they are at the smallest, for in this
parametrisation they depend on the width no further; the limit stands beside it.

Left out are attention, whose logits are sums over a head's width as outputs are, so that what comes behind it
may move by up to √n more; and what recurrent modules do within.
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
_WIDE = (INPUT, HIDDEN)
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
    """How far each layer should move, up to one factor: (models, layers); None where nothing is known.

    Norms of gradients are those of the smallest width, and the same at all.
    """
    if (by_sign := _by_sign(models)) is None:
        return None
    narrow = [one for one in models if one.width == models[0].width]
    deltas = np.mean([[call.delta for call in one.calls] for one in narrow], axis=0)
    if not (np.isfinite(deltas) & (deltas > 0)).all():  # a readout of 0, that passes nothing back
        deltas = np.ones(len(deltas))
    return np.array(
        [
            _changes(
                [one.weights[place] for one in fans],
                [one.role for one in fans],
                [layer.biases for layer in model.layers],
                model.calls,
                deltas * model.upstream / models[0].upstream if models[0].upstream else deltas,
                by_sign,
            )
            for place, model in enumerate(models)
        ]
    )


def limits(models: Sequence[Trained], fans: Sequence[Fans]) -> list[float]:
    """The slope of each layer's change where the width is far above all that does not grow with it."""
    if (by_sign := _by_sign(models)) is None:
        return [math.nan] * len(fans)
    reach = math.log(models[-1].width / models[0].width)
    upstream = [one.upstream for one in (models[0], models[-1])]
    grows = min(upstream) > 0 and max(upstream) < math.inf
    # That of outputs which widen: their gradient is of order 1 at each.
    power = round(2 * math.log(upstream[1] / upstream[0]) / reach) / 2 if grows else 0.0
    rows = []
    for width in _LARGE:
        weights = [one.at(width) for one in fans]
        calls = [
            replace(call, square=1.0, absolute=1.0, entries=weights[call.layer].fan_out)
            for call in models[0].calls
        ]
        deltas = np.full(len(calls), width**power)
        rows.append(_changes(weights, [one.role for one in fans], [0] * len(fans), calls, deltas, by_sign))
    with np.errstate(all="ignore"):
        slopes = np.log(np.divide(rows[1], rows[0])) / math.log(_LARGE[1] / _LARGE[0])
    return [round(4 * slope) / 4 if math.isfinite(slope) else math.nan for slope in slopes.tolist()]


def _by_sign(models: Sequence[Trained]) -> bool | None:
    """Whether the first steps move every entry alike; None where that is not known."""
    name = models[0].optimizer.__name__
    return name in _BY_SIGN if name in (*_SGD, *_BY_SIGN) else None


def _changes(
    weights: Sequence[Weight],
    roles: Sequence[str],
    biases: Sequence[int],
    calls: Sequence[Call],
    deltas: Array,
    by_sign: bool,
) -> list[float]:
    """By layer, the most of its calls; deltas: norms of the gradients at their outputs."""
    sizes = (deltas / np.sqrt([one.entries for one in calls])).tolist()  # of a gradient's entries
    entries: dict[str, float] = {}  # how far a weight's own entries move, of a tied one in its largest use
    for call, size in zip(calls, sizes, strict=True):
        name = weights[call.layer].name
        entries[name] = max(entries.get(name, 0.0), 1.0 if by_sign else size)
    along: list[float] = []  # the gradient
    across: list[float] = []
    found = [0.0] * len(weights)
    for number, call in enumerate(calls):
        weight, role = weights[call.layer], roles[call.layer]
        squares = weight.fan_in * (call.absolute if by_sign else call.square)
        along.append(entries[weight.name] * (squares * weight.trained + biases[call.layer]))
        across.append(0.0)
        for parent in call.parents:
            if role in _WIDE and roles[calls[parent].layer] not in _WIDE:
                across[-1] += along[parent]  # few directions among many
                continue
            # What is along a gradient of norm d comes out along the next one, of norm d', as d/d' as much.
            norms = deltas[parent] / deltas[number] * (calls[parent].entries / call.entries) ** 0.5
            along[-1] += float(norms) * along[parent]
            (across if role in _WIDE else along)[-1] += across[parent]
        found[call.layer] = max(found[call.layer], along[-1] + across[-1])
    return found
