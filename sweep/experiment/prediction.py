"""Theory beside the measurements: the predicted statistics of a spec, the same for all seeds."""

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

    It applies to random weights of zero mean and known variance, whatever their distribution.
    """
    return _of_chain(spec.family, spec.widths or spec.width, spec.depth, spec.batch)


@lru_cache(maxsize=4096)
def _of_chain(chain: Chain, width: int | tuple[int, ...], depth: int, batch: int) -> dict[str, Array]:
    widths = (width,) * (depth + 1) if isinstance(width, int) else width
    fans = list(pairwise(widths))
    scheme, predict = chain.scheme, _MAPS.get(kind_of(chain).name)
    if predict is None or not scheme.known_std or any(scheme.weight_mean(*fan) for fan in fans):
        return nothing(depth)
    layers = layers_of([scheme.weight_std(*fan) for fan in fans], widths)
    biases = [chain.bias_std_of(*fan) for fan in fans]
    try:
        found = predict(chain.act, layers, biases, batch).statistics
    except (SweepError, FloatingPointError, OverflowError):  # a user's function, not defined everywhere
        return nothing(depth)
    return {name: found[name] for name in PREDICTED}


def nothing(depth: int) -> dict[str, Array]:
    """No prediction: NaN at every layer."""
    return dict.fromkeys(PREDICTED, np.full(depth + 1, np.nan))
