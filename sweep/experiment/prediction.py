"""Theory beside the measurements: the predicted statistics of a spec, the same for all seeds."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from sweep.base.arrays import Array
from sweep.base.blocks import BATCH, Block
from sweep.base.errors import SweepError
from sweep.experiment.axes import USUAL_INPUT
from sweep.experiment.cell import Spec
from sweep.initializers import Scheme
from sweep.kernel import Chain
from sweep.kernel.statistics.table import PREDICTED
from sweep.theory.blocks import Widening, block_cosines, block_prediction, samples_part
from sweep.theory.maps import layers_of
from sweep.theory.mixtures import UNIT, Law, mixed_prediction, mixture


def predicted(spec: Spec) -> dict[str, Array]:
    """PREDICTED by name, each (depth + 1,), by layer; NaN throughout where the theory does not apply.

    It applies to random weights of zero mean and known variance, whatever their distribution, in every layer;
    of inputs, to the law of all of which a seed sees some.
    """
    chain = replace(spec.family, depth=spec.depth)
    try:
        law = law_of(spec)
    except SweepError:  # a file that is gone
        return nothing(spec.depth)
    return _of_chain(chain, spec.widths or spec.width, spec.batch, law)


def law_of(spec: Spec) -> Law:
    """What theory knows of a spec's inputs; InputError where a file of them is gone."""
    if spec.input == USUAL_INPUT:
        return UNIT
    from sweep.kernel.inputs import laws  # noqa: PLC0415  most inputs are of none but this one

    return laws.law_of(spec.inputs, spec.profile[0])


def means_of_inputs(spec: Spec) -> tuple[float, float]:
    """q0 and c0: the mean second moment of a spec's inputs, and mean cosine of two; raises as `law_of`."""
    return law_of(spec).means


@lru_cache(maxsize=4096)
def _of_chain(chain: Chain, width: int | tuple[int, ...], batch: int, law: Law) -> dict[str, Array]:
    widths = (width,) * (chain.depth + 1) if isinstance(width, int) else width
    numbered = [(chain.scheme_of(number), fan) for number, fan in enumerate(pairwise(widths), 1)]
    if not all(scheme.known_std and not scheme.weight_mean(*fan) for scheme, fan in numbered):
        return nothing(chain.depth)
    parted = False
    biases = [chain.bias_std_of(number, *fan) for number, (_, fan) in enumerate(numbered, 1)]
    try:
        if chain.block.plain:
            layers = layers_of([scheme.weight_std(*fan) for scheme, fan in numbered], widths)
            found = mixed_prediction(chain.act, layers, biases, batch, law)
        else:
            matrices = [matrices_of(chain.block, scheme, *fan) for scheme, fan in numbered]
            if chain.block.norm == BATCH and len(law.pairs) > 1:  # samples of one batch that are unlike
                return nothing(chain.depth)

            def of(q: float, c: float) -> dict[str, Array]:
                return block_prediction(
                    chain.block, chain.act, matrices, biases, batch, q, c, law.mean
                ).statistics

            def cosines(first: dict[str, Array], second: dict[str, Array], c: float) -> Array:
                return block_cosines(chain.block, chain.act, matrices, biases, first, second, c)

            found = mixture(of, cosines, law)
            parted = chain.block.norm == BATCH and samples_part(chain.act, widths)
    except (SweepError, FloatingPointError, OverflowError):  # a user's function, not defined everywhere
        return nothing(chain.depth)
    unknown = _GRADIENTS if parted or has_mean_mode(chain.block, found["mean"]) else ()
    return {name: np.full(chain.depth + 1, np.nan) if name in unknown else found[name] for name in PREDICTED}


# A gradient of all entries alike grows in a skip whose branch has a mean, by what 1/width alone holds back;
# and any gradient under a norm over a batch whose samples come apart.
_GRADIENTS = ("delta_rms", "grad_rms")
_ROUNDING = 1e-9


def has_mean_mode(block: Block, means: Array) -> bool:
    """Whether what returns through a block is more than the first order in 1/width says."""
    added = block.skipped and not (block.out or block.act_first)
    of_branch = means[1:] - block.number("skip") * means[:-1]  # inputs may have a mean, which adds nothing
    return added and bool(np.any(np.abs(of_branch) > _ROUNDING * np.abs(means[:-1])))


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
