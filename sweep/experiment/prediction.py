"""Theory beside the measurements: the predicted statistics of a spec, the same for all seeds."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from sweep.base.arrays import Array
from sweep.base.errors import SweepError
from sweep.experiment.cell import Spec
from sweep.kernel import Chain
from sweep.kernel.layers.dense import DENSE
from sweep.kernel.layers.kinds import kind_of
from sweep.kernel.statistics.table import PREDICTED
from sweep.theory.maps import layers_of, prediction

_MAPS = {DENSE.name: prediction}  # by kind of layer


def predicted(spec: Spec) -> dict[str, Array]:
    """PREDICTED by name, each (depth + 1,), by layer; NaN throughout where the theory does not apply.

    It applies to random weights of zero mean and known variance, whatever their distribution, in every layer.
    """
    chain = replace(spec.family, depth=spec.depth)
    return _of_chain(chain, spec.widths or spec.width, spec.batch)


@lru_cache(maxsize=4096)
def _of_chain(chain: Chain, width: int | tuple[int, ...], batch: int) -> dict[str, Array]:
    widths = (width,) * (chain.depth + 1) if isinstance(width, int) else width
    numbered = [(chain.scheme_of(number), fan) for number, fan in enumerate(pairwise(widths), 1)]
    predict = _MAPS.get(kind_of(chain).name)
    known = all(scheme.known_std and not scheme.weight_mean(*fan) for scheme, fan in numbered)
    if predict is None or not known:
        return nothing(chain.depth)
    layers = layers_of([scheme.weight_std(*fan) for scheme, fan in numbered], widths)
    biases = [chain.bias_std_of(number, *fan) for number, (_, fan) in enumerate(numbered, 1)]
    try:
        found = predict(chain.act, layers, biases, batch).statistics
    except (SweepError, FloatingPointError, OverflowError):  # a user's function, not defined everywhere
        return nothing(chain.depth)
    return {name: found[name] for name in PREDICTED}


def nothing(depth: int) -> dict[str, Array]:
    """No prediction: NaN at every layer."""
    return dict.fromkeys(PREDICTED, np.full(depth + 1, np.nan))
