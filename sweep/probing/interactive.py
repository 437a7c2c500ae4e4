"""`sweep.probe`: one forward and one backward pass of a user's own torch module, and what they say."""

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from sweep.base import checks
from sweep.base.errors import RequestError

if TYPE_CHECKING:
    from torch import nn

    from sweep.probing.result import Probe


def probe(
    model: "nn.Module",
    *inputs: Any,
    loss: Callable[..., Any] | None = None,
    target: Any = None,
    modules: Collection[str] | None = None,
    batch_dim: int = 0,
    seed: int = 0,
    **kwargs: Any,
) -> "Probe":
    """Push a batch through a torch module and gradients back; measure every call, and judge.

    model: in training or evaluation, as it is, and afterwards as it was. inputs, kwargs: what it is called
    with. loss: outputs -> a scalar, or (outputs, target) -> one; None: sum(G · outputs) over all floating
    outputs, G ~ N(0, 1). modules: qualified names of those that get rows; None: every leaf, every functional
    activation and every weight used without its module. batch_dim: of inputs and outputs. seed: of G, and of
    torch's generators during the call, as for dropout.

    Returns `.layers`, a frame with a row per call; `.chain`, with a row per layer or block; `.verdict`,
    `.module` where that begins, `.advice`, `.plot()`. Under `no_grad` gradients are measured all the same;
    a frozen weight has none, and stays frozen. Raises RequestError for what is no module, inputs that it
    refuses, outputs without a floating tensor.
    """
    checks.torch("sweep.probe")
    from sweep.probing import checked, passing  # noqa: PLC0415
    from sweep.probing.result import Probe  # noqa: PLC0415

    if target is not None and loss is None:
        raise RequestError("target is what loss is given: give loss=… too, as in loss=F.cross_entropy")
    model = checked.module_of(model)
    names = checked.names_of(model, modules)
    checked.check_inputs({f"input {number}": one for number, one in enumerate(inputs, 1)} | kwargs)
    given = passing.Given(inputs, kwargs, loss, target, checks.whole("batch_dim", batch_dim, 0))
    passed = passing.passed(model, given, names, checks.whole("seed", seed, 0))
    return Probe.of(passed)
