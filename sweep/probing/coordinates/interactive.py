"""`sweep.coord_check`: do learning rates carry over from a narrow network to a wide one?"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sweep.base import checks

if TYPE_CHECKING:
    from torch import nn

    from sweep.probing.coordinates.result import CoordCheck


def coord_check(
    make: "Callable[[int], nn.Module]",
    inputs: Any,
    *,
    widths: Iterable[int],
    loss: Callable[[Any], Any] | None = None,
    optimizer: str | Callable[..., Any] = "sgd",
    lr: float,
    steps: Iterable[int] = (1, 3),
    seeds: int | Sequence[int] = 3,
) -> "CoordCheck":
    """Train `make(width)` for a few steps at every width: how far does each layer's output move?

    make: width -> a torch.nn.Module of it, of the same modules at all widths. inputs: a tensor, a tuple of
    arguments, a dict of keywords, or a function width -> such. widths: two or more. loss: outputs -> a
    scalar; None: sum(G · outputs) / samples over the first floating output, G ~ N(0, 1). optimizer: 'sgd',
    'adam', a class of torch.optim, or a function (model, lr) -> optimizer, as for groups whose lr depends on
    the width. lr: that of every width. steps: after how many to look. seeds: how many, or which; torch's,
    NumPy's and Python's generators are set before `make(width)`, and again before every call of the model, so
    that dropout draws the same.

    A layer is a module with matrices or kernels and without modules of its own; one that is called several
    times has one row, all its calls together. Its change is the rms over all entries of its output after
    `step` steps minus that at initialisation, on the same inputs.

    Returns `.table`, a row per layer, step, width and seed; `.slopes`, a row per layer and step: the slope of
    log change over log width, its standard error, and the slopes expected of the standard parametrisation
    (weights of std ∝ 1/√fan_in, one lr for all), at these widths and in the limit; `.verdict`, `.advice`,
    `.plot()`. Generators are afterwards as they were. Raises RequestError for a `make` whose modules cannot
    be trained on these inputs or differ by more than sizes.
    """
    checks.torch("sweep.coord_check")
    from sweep.probing.coordinates.asked import Asked  # noqa: PLC0415
    from sweep.probing.coordinates.result import CoordCheck  # noqa: PLC0415
    from sweep.probing.coordinates.training import trained  # noqa: PLC0415

    asked = Asked.of(make, inputs, widths, loss, optimizer, lr, steps, seeds)
    return CoordCheck.of(asked, trained(asked))
