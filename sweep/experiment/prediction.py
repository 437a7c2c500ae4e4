"""Theory beside the measurements: the predicted statistics of a spec, the same for all seeds."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from sweep.base.arrays import Array
from sweep.base.blocks import BATCH, Block
from sweep.base.errors import SweepError
from sweep.experiment.cell import Spec
from sweep.initializers import Scheme
from sweep.kernel import Chain
from sweep.kernel.statistics.table import PREDICTED
from sweep.theory.blocks import Widening, block_prediction, samples_part
from sweep.theory.maps import layers_of, prediction


def predicted(spec: Spec) -> dict[str, Array]:
    """PREDICTED by name, each (depth + 1,), by layer; NaN throughout where the theory does not apply.

    It applies to random weights of zero mean and known variance, whatever their distribution, in every layer.
    """
    chain = replace(spec.family, depth=spec.depth)
    width = spec.widths or spec.width
    if chain.format is None:
        return _of_chain(chain, width, spec.batch)
    return _of_chain(replace(chain, format=None), width, spec.batch) | _of_copy(chain, spec.profile)


@lru_cache(maxsize=4096)
def _of_copy(chain: Chain, widths: tuple[int, ...]) -> dict[str, Array]:
    """COPIED by name, of a plain network's copy in its format; {} where the theory does not apply."""
    from sweep.theory.consequences.formats import FORMATS  # noqa: PLC0415  theory: only where it is asked for
    from sweep.theory.consequences.precision import rounded_copy  # noqa: PLC0415

    numbered = [(chain.scheme_of(number), fan) for number, fan in enumerate(pairwise(widths), 1)]
    if chain.format is None or not chain.block.plain or not _is_known(numbered):
        return {}
    layers = layers_of([scheme.weight_std(*fan) for scheme, fan in numbered], widths)
    biases = [chain.bias_std_of(number, *fan) for number, (_, fan) in enumerate(numbered, 1)]
    try:
        found = rounded_copy(chain.act, layers, widths, biases, FORMATS[chain.format])
    except (SweepError, FloatingPointError, OverflowError):  # a user's function, not defined everywhere
        return {}
    return {"round_cosine": found.cosine, "zeroed": found.zeroed, "overflowed": found.overflowed}


@lru_cache(maxsize=4096)
def _of_chain(chain: Chain, width: int | tuple[int, ...], batch: int) -> dict[str, Array]:
    widths = (width,) * (chain.depth + 1) if isinstance(width, int) else width
    numbered = [(chain.scheme_of(number), fan) for number, fan in enumerate(pairwise(widths), 1)]
    if not _is_known(numbered):
        return nothing(chain.depth)
    parted = False
    biases = [chain.bias_std_of(number, *fan) for number, (_, fan) in enumerate(numbered, 1)]
    try:
        if chain.block.plain:
            layers = layers_of([scheme.weight_std(*fan) for scheme, fan in numbered], widths)
            found = prediction(chain.act, layers, biases, batch).statistics
        else:
            matrices = [matrices_of(chain.block, scheme, *fan) for scheme, fan in numbered]
            found = block_prediction(chain.block, chain.act, matrices, biases, batch).statistics
            parted = chain.block.norm == BATCH and samples_part(chain.act, widths)
    except (SweepError, FloatingPointError, OverflowError):  # a user's function, not defined everywhere
        return nothing(chain.depth)
    unknown = _GRADIENTS if parted or has_mean_mode(chain.block, found["mean"]) else ()
    return nothing(chain.depth) | {name: found[name] for name in found.keys() & {*PREDICTED} - {*unknown}}


def _is_known(numbered: Sequence[tuple[Scheme, tuple[int, int]]]) -> bool:
    """Whether theory knows of the weights of all layers: random, of zero mean and known variance."""
    return all(scheme.known_std and not scheme.weight_mean(*fan) for scheme, fan in numbered)


# A gradient of all entries alike grows in a skip whose branch has a mean, by what 1/width alone holds back;
# and any gradient under a norm over a batch whose samples come apart.
_GRADIENTS = ("delta_rms", "grad_rms")


def has_mean_mode(block: Block, means: Array) -> bool:
    """Whether what returns through a block is more than the first order in 1/width says."""
    added = block.skipped and not (block.out or block.act_first)
    return added and bool(np.any(means[1:] != 0))


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
