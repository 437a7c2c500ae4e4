"""Which corrections can have changed a cell's numbers: these, and no others, are part of its identity.

A wrong number is corrected by raising a revision: of the scheme, of the activation, or of the range rule
below, which says what a correction of the kernel itself can change. A revision enters the identity only
where it is above 1, so that a correction renames the cells that it can change.
"""

import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from sweep import activations, initializers
from sweep.base.blocks import BATCH, SIZES, Block
from sweep.base.registry import CUSTOM, TRANSFORMED, Option
from sweep.experiment.axes import AS_MADE, PLAIN, UNTRAINED, USUAL_INPUT
from sweep.initializers import Scheme
from sweep.initializers.custom import Custom
from sweep.initializers.scheme import Derived

if TYPE_CHECKING:
    from sweep.experiment.cell import Spec

Revisions = tuple[int, int, int]  # of the scheme, of the activation, of the range rule

_NAMES = ("init", "act", "range")


def of(spec: "Spec") -> Revisions:
    """The present revisions of all that makes a cell's numbers; imports and calls no user's function.

    Raises RequestError where the scheme or the activation is unknown.
    """
    if spec.model is not None:  # measured by torch: no activation and no range of the kernel's
        return (1 if spec.init == AS_MADE else _of_scheme(spec)), 1, 1
    return _of_scheme(spec), _of_activation(spec), _of_range(spec)


@lru_cache(maxsize=64)
def text(revisions: Revisions) -> str:
    """What a cell's id hashes of them: '' where nothing was ever corrected."""
    pairs = zip(_NAMES, revisions, strict=True)
    return "".join(f"\0{name}={number}" for name, number in pairs if number > 1)


def before(revisions: Revisions) -> list[Revisions]:
    """What they may have been earlier, the newest first."""
    states = itertools.product(*(range(1, number + 1) for number in revisions))
    return sorted(((init, act, rule) for init, act, rule in states), key=sum, reverse=True)[1:]


@lru_cache(maxsize=1)
def state() -> str:
    """All revisions above 1, in words: parts of one state never hold a cell at two revisions."""
    raised = {
        f"{registry.group} {name}": _of_option(registry.get(name))
        for registry in (initializers.REGISTRY, activations.REGISTRY)
        for name in registry.names()
    }
    raised |= {f"init {CUSTOM}": Custom.revision, f"act {CUSTOM}": _NUMERICAL_DERIVATIVE, "range": _NORMS}
    return ", ".join(f"{name}={number}" for name, number in sorted(raised.items()) if number > 1)


def _of_scheme(spec: "Spec") -> int:
    """That of the init; where first and last layers have their own, every correction of any raises it."""
    revision = Custom.revision if spec.init == CUSTOM else _of_option(spec.scheme)
    for name, params in ((spec.first_init, spec.first_init_params), (spec.last_init, spec.last_init_params)):
        if name is not None and params is not None:
            own = initializers.REGISTRY.from_json(name, params) if name != CUSTOM else None
            revision += (Custom.revision if own is None else _of_option(own)) - 1
    return revision


def _of_activation(spec: "Spec") -> int:
    if spec.act == CUSTOM:
        return 1 if json.loads(spec.act_params).get("derivative") else _NUMERICAL_DERIVATIVE
    return _of_option(
        activations.REGISTRY.from_json(spec.act, spec.act_params)
    )  # at no depth: nothing is solved


def _of_option(option: Option) -> int:
    revision = option.revision
    while isinstance(option, Derived):  # the scheme it stands for may have been corrected too
        option = option.core
        revision = max(revision, option.revision)
    return revision


_NUMERICAL_DERIVATIVE = 2  # of a user's own activation: its kinks are found, its step is relative to z

# The range rule names the cells that can have been wrong, and in doubt more of them.
# 2: exponents are carried, and statistics formed, beyond the range of the array's dtype.
# 3: a scheme that looks at z no longer takes rounding for variation.
# 4: the cosine that theory predicts of inputs so large that a bounded activation is a step.
# 5: a training that its last step blew up is marked as one that diverged.
# 6: norms over few or very unequal samples and those of copies of any size, and Jacobians that pass nothing,
#    or next to nothing, or through blocks without a skip between layers of different widths.
_RANGE, _FITTED, _STEPS, _LAST_STEP, _NORMS = 2, 3, 4, 5, 6
_STEP_FROM = 2.0**200  # sigma_w or bias_std
_BOUNDED = {"tanh", "sigmoid", "erf", "hardtanh", "softsign", CUSTOM}
_FEW = 3  # samples
_CUTS = 1e-9  # standard deviations between the cuts of a truncated normal
# Bounded on one side and linear on the other: one unit in the far tail decides, and dL/dW was inf in windows.
_TAILED = {"elu", "selu", "gelu", "gelu_tanh", "silu", "mish", "softplus"}
_WIDE = 64  # units: of so many, too few lie in the tails to matter
_FEW_SAMPLES, _FEW_UNITS = 8, 16  # of fewer, one may be nearly all of a norm, or pass nothing at all
_UNEQUAL = {"npy", "student"}  # inputs of which a few may be far larger than all others
_FACTORS, _LAYERS = (2.0**-3, 2.0**3), 40  # of blocks: no signal and no gradient leaves float32 so
_SIGMA_W = (2.0**-12, 2.0**7)  # a layer changes the signal by no more than float32's mantissa can bear
_BIAS_STD = 10.0
_LOG2_SIGNAL = 500.0  # float64's squares end at 2^±511: theory_* beyond them
_LAYERS_PER_UNIT = 3.0  # a narrow network without a scale of its own drifts by 2^1.8 in so many
_GAIN_OF_EQUAL_WEIGHTS = 5.01  # beyond, all units of tanh lie where 1 - h² says little
_LOG2_OF_EQUAL_WEIGHTS = 60.0  # float32 ends at 2^±126, and a square at half of that


def _of_range(spec: "Spec") -> int:
    if (spec.block != PLAIN or spec.jacobian) and _of_norms(spec):
        return _NORMS
    if spec.train != UNTRAINED:
        return _LAST_STEP
    ends = spec.first_init is not None or spec.last_init is not None
    if ends or spec.block != PLAIN or spec.input != USUAL_INPUT or spec.act == TRANSFORMED:
        return 1  # such cells came after all of these corrections
    if _steps(spec):
        return _STEPS
    looks_at_data = spec.init != CUSTOM and not spec.scheme.known_std
    if looks_at_data and (min(spec.widths or (spec.width,)) < _WIDE or _bias_std(spec) > 0):
        return _FITTED
    return _RANGE if _out_of_range(spec) else 1


def _of_norms(spec: "Spec") -> bool:
    block, narrowest = spec.block_at_depth, min(spec.profile)
    uneven = spec.batch < _FEW_SAMPLES or narrowest < _FEW_UNITS or spec.input in _UNEQUAL
    if block.norm == BATCH and spec.dtype == "float32" and uneven:
        return True
    if spec.format and block.norm and not _moderate(spec, block):
        return True
    if not spec.jacobian:
        return False
    tapered_sum = block.skipped and not block.number("skip") and spec.widths is not None
    return tapered_sum or narrowest < _FEW_UNITS or not _moderate(spec, block)


def _moderate(spec: "Spec", block: Block) -> bool:
    """Whether no layer makes a signal far larger or smaller, or leaves all units in their tails."""
    if spec.has_own or spec.input in _UNEQUAL or spec.act_params != "{}" or _bias_std(spec) > _BIAS_STD:
        return False
    low, high = _SIGMA_W
    for scheme in (spec.scheme, spec.first_scheme, spec.last_scheme):
        if scheme is None or not scheme.known_std:  # lsuv: unit variance
            continue
        for fan in _fans(spec):
            sigma_w = scheme.weight_std(*fan) * math.sqrt(fan[0])
            if scheme.weight_mean(*fan) != 0 or not low <= sigma_w <= high:
                return False
    if block.plain:
        return True
    low, high = _FACTORS
    return spec.depth <= _LAYERS and all(
        low <= number <= high for number in map(block.number, SIZES) if number
    )


def _steps(spec: "Spec") -> bool:
    if spec.act not in _BOUNDED or spec.init == CUSTOM:
        return False
    scheme, fans = spec.scheme, _fans(spec)
    sigmas = [scheme.weight_std(*fan) * math.sqrt(fan[0]) for fan in fans] if scheme.known_std else []
    return bool(sigmas) and max(*sigmas, _bias_std(spec)) > _STEP_FROM


def _out_of_range(spec: "Spec") -> bool:
    if spec.batch <= _FEW:  # neuron_corr says nothing about so few samples: it is null
        return True
    if CUSTOM in (spec.init, spec.act) or spec.act in _TAILED:
        return True
    base = spec.scheme.base
    if base is not None and base.name == "truncated_normal":
        low, high = base.parameters
        if high - low < _CUTS:  # draws between such cuts took only a few values
            return True
    scheme, fans, wide = spec.scheme, _fans(spec), min(spec.widths or (spec.width,)) >= _WIDE
    if scheme.base is None:
        return not _tame_equal_weights(spec, scheme, fans, wide)
    if not (scheme.random and scheme.known_std) or any(scheme.weight_mean(*fan) != 0 for fan in fans):
        return True  # a mean or a diagonal: affected at any width; lsuv: its scale is that of its data
    sigmas = {fan: scheme.weight_std(*fan) * math.sqrt(fan[0]) for fan in fans}
    return not _tame_draws(spec, sigmas, fans, wide)


def _tame_draws(
    spec: "Spec", sigmas: Mapping[tuple[int, int], float], fans: Counter[tuple[int, int]], wide: bool
) -> bool:
    """Whether a network of zero-mean draws was always right; sigmas: sigma_w by fan."""
    if not all(0 < sigma < math.inf for sigma in sigmas.values()):
        return False
    growth = sum(count * math.log2(sigmas[fan]) for fan, count in fans.items())
    if max(abs(growth), abs(growth - spec.depth / 2)) > _LOG2_SIGNAL:  # relu halves the square at every layer
        return False
    if spec.activation.homogeneous and not spec.activation.piecewise_linear:  # a slope so small that it hides
        return False
    if spec.activation.homogeneous:  # without bias an exact law reads it off a chain of unit scale
        return _bias_std(spec) == 0 and spec.depth <= _LAYERS_PER_UNIT * min(spec.widths or (spec.width,))
    low, high = _SIGMA_W
    return wide and _bias_std(spec) <= _BIAS_STD and all(low <= sigma <= high for sigma in sigmas.values())


def _tame_equal_weights(spec: "Spec", scheme: Scheme, fans: Counter[tuple[int, int]], wide: bool) -> bool:
    """Whether a network of equal weights keeps within float32: all 0, or tanh and relu of a moderate gain."""
    if _bias_std(spec) > 0:
        return False
    gains = {fan: abs(scheme.weight_mean(*fan)) * fan[0] for fan in fans}
    if not any(gains.values()):
        return True
    if spec.act not in {"tanh", "relu"} or not wide or not all(gains.values()):
        return False
    growth = sum(count * math.log2(gains[fan]) for fan, count in fans.items())
    return max(gains.values()) <= _GAIN_OF_EQUAL_WEIGHTS and abs(growth) <= _LOG2_OF_EQUAL_WEIGHTS


def _bias_std(spec: "Spec") -> float:
    return spec.bias_std or 0.0  # a scheme's own biases came after all of these corrections


def _fans(spec: "Spec") -> Counter[tuple[int, int]]:
    """(fan_in, fan_out) -> how many layers have them."""
    if spec.widths is None:
        return Counter({(spec.width, spec.width): spec.depth})
    return Counter(pairwise(spec.widths))
