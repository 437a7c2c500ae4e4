"""Theory beside the measurements: what it says of a spec, the same for all seeds."""

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from sweep.base.arrays import Array
from sweep.base.blocks import BATCH, Block
from sweep.base.errors import SweepError
from sweep.experiment.axes import USUAL_INPUT
from sweep.experiment.cell import Spec
from sweep.experiment.predictions.weights import biases_of, plain_layers, schemes_of
from sweep.initializers import ORTHOGONAL, Scheme
from sweep.kernel import Chain
from sweep.kernel.statistics.table import PREDICTED
from sweep.theory.blocks import Widening, block_cosines, block_prediction, samples_part
from sweep.theory.consequences import jacobian, step
from sweep.theory.gaussian.mixtures import UNIT, Law, mixed_prediction, mixture
from sweep.theory.maps import layers_of, prediction

CORRELATED = "correlated"
CONSEQUENCES = ("theory_lr_max", "theory_kappa", "theory_jac_spread")


def predicted(spec: Spec) -> dict[str, Array]:
    """PREDICTED by name, each (depth + 1,), by layer; NaN throughout where the theory does not apply.

    It applies to random weights of zero mean and known variance, whatever their distribution, in every layer;
    of inputs, to the law of all of which a seed sees some.
    """
    return _of(spec).by_layer


def consequences(spec: Spec) -> dict[str, float]:
    """CONSEQUENCES by name: what follows for the whole network; NaN where the theory does not apply.

    The largest step and the conditioning are those of `theory.step_size` for as many inputs as the batch has,
    the spread that of `theory.jacobian`, where the Jacobian is measured; all of plain networks alone.
    """
    return _of(spec).consequences


@dataclass(frozen=True)
class _Predicted:
    """What theory says of a network, by layer and of the whole."""

    by_layer: dict[str, Array]
    consequences: dict[str, float]


def _of(spec: Spec) -> _Predicted:
    chain = replace(spec.family, depth=spec.depth)
    try:
        law = law_of(spec)
    except SweepError:  # a file that is gone
        return _Predicted(nothing(spec.depth), no_consequences())
    plain, width = replace(chain, format=None), spec.widths or spec.width
    found = _of_chain(plain, width, spec.batch, law, spec.jacobian)
    # A copy's theory is that of Gaussian inputs of unit second moment, whatever they have in common.
    if chain.format is None or spec.input not in (USUAL_INPUT, CORRELATED):
        return found
    return replace(found, by_layer=found.by_layer | _of_copy(chain, spec.profile))


def law_of(spec: Spec) -> Law:
    """What theory knows of a spec's inputs; InputError where a file of them is gone."""
    if spec.input == USUAL_INPUT:
        return UNIT
    from sweep.kernel.inputs import laws  # noqa: PLC0415  most inputs are of none but this one

    return laws.law_of(spec.inputs, spec.profile[0])


@lru_cache(maxsize=4096)
def _of_copy(chain: Chain, widths: tuple[int, ...]) -> dict[str, Array]:
    """COPIED by name, of a plain network's copy in its format; {} where the theory does not apply."""
    from sweep.theory.consequences.formats import FORMATS  # noqa: PLC0415  theory: only where it is asked for
    from sweep.theory.consequences.precision import rounded_copy  # noqa: PLC0415

    numbered = schemes_of(chain, widths)
    if chain.format is None or not chain.block.plain or numbered is None:
        return {}
    layers, biases = plain_layers(numbered, widths), biases_of(chain, widths)
    try:
        found = rounded_copy(chain.act, layers, widths, biases, FORMATS[chain.format])
    except _UNDEFINED:
        return {}
    return {"round_cosine": found.cosine, "zeroed": found.zeroed, "overflowed": found.overflowed}


@lru_cache(maxsize=4096)
def _of_chain(chain: Chain, width: int | tuple[int, ...], batch: int, law: Law, isometry: bool) -> _Predicted:
    widths = (width,) * (chain.depth + 1) if isinstance(width, int) else width
    numbered = schemes_of(chain, widths)
    if numbered is None:
        return _Predicted(nothing(chain.depth), no_consequences())
    parted, whole = False, no_consequences()
    biases = biases_of(chain, widths)
    try:
        if chain.block.plain:
            layers = plain_layers(numbered, widths)
            maps = prediction(chain.act, layers, biases, batch, *law.means)
            found = maps.statistics
            with suppress(*_UNDEFINED):
                size = step.of_maps(chain.act, maps, layers, widths, biases, batch)
                if step.stands_out(size, widths, batch):
                    whole |= {"theory_lr_max": size.lr_max, "theory_kappa": size.kappa}
            if isometry:
                kinds = [_kind_of(scheme) for scheme, _ in numbered]
                each = [(maps, 1.0)]  # of all inputs alike, or of each size, with its share
                if len(law.sizes) > 1:
                    of_size = partial(prediction, chain.act, layers, biases, batch, c0=math.nan)
                    each = [(of_size(q0=q), share) for q, share in law.sizes]
                spreads = [jacobian.of_maps(chain.act, one, layers, widths, kinds).spread for one, _ in each]
                whole["theory_jac_spread"] = float(np.dot(spreads, [share for _, share in each]))
            if law != UNIT:
                found = mixed_prediction(chain.act, layers, biases, batch, law)
        else:
            matrices = [matrices_of(chain.block, scheme, *fan) for scheme, fan in numbered]
            if chain.block.norm == BATCH and len(law.pairs) > 1:  # samples of one batch that are unlike
                return _Predicted(nothing(chain.depth), whole)

            def of(q: float, c: float) -> dict[str, Array]:
                return block_prediction(
                    chain.block, chain.act, matrices, biases, batch, q, c, law.relative_mean
                ).statistics

            def cosines(first: dict[str, Array], second: dict[str, Array], c: float) -> Array:
                return block_cosines(chain.block, chain.act, matrices, biases, first, second, c)

            found = mixture(of, cosines, law)
            parted = chain.block.norm == BATCH and samples_part(chain.act, widths)
    except _UNDEFINED:
        return _Predicted(nothing(chain.depth), no_consequences())
    unknown = _GRADIENTS if parted or has_mean_mode(chain.block, found["mean"]) else ()
    by_layer = {name: found[name] for name in found.keys() & {*PREDICTED} - {*unknown}}
    return _Predicted(nothing(chain.depth) | by_layer, whole)


_UNDEFINED = (SweepError, FloatingPointError, OverflowError)  # a user's function, not defined everywhere
# A gradient of all entries alike grows in a skip whose branch has a mean, by what 1/width alone holds back;
# and any gradient under a norm over a batch whose samples come apart.
_GRADIENTS = ("delta_rms", "grad_rms")
_ROUNDING = 1e-9


def _kind_of(scheme: Scheme) -> str:
    """What a Jacobian's theory takes weights for; those of independent entries are all as Gaussian ones."""
    return jacobian.ORTHOGONAL if scheme.base == ORTHOGONAL else jacobian.GAUSSIAN


def has_mean_mode(block: Block, means: Array) -> bool:
    """Whether what returns through a block is more than the first order in 1/width says."""
    if not block.skipped or block.out or block.act_first:
        return False
    with np.errstate(all="ignore"):  # what has overflowed says nothing
        of_branch = means[1:] - block.number("skip") * means[:-1]  # inputs may have one, which adds nothing
        return bool(np.any(np.abs(of_branch) > _ROUNDING * np.abs(means[:-1])))


def matrices_of(block: Block, scheme: Scheme, fan_in: int, fan_out: int) -> Widening:
    """W, and V where there is one, of one block."""
    between = block.expand * fan_in if block.out else fan_out
    (inner,) = layers_of([block.number("w_scale") * scheme.weight_std(fan_in, between)], (fan_in, between))
    if not block.out:
        return Widening(inner)
    (outer,) = layers_of([block.number("v_scale") * scheme.weight_std(between, fan_out)], (between, fan_out))
    return Widening(inner, outer)


def nothing(depth: int) -> dict[str, Array]:
    """No prediction: NaN at every layer."""
    return dict.fromkeys(PREDICTED, np.full(depth + 1, np.nan))


def no_consequences() -> dict[str, float]:
    """None for the whole network."""
    return dict.fromkeys(CONSEQUENCES, math.nan)
