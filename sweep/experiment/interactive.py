"""One network in Python, without files: the layer table as a frame."""

import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sweep import activations, initializers, kernel
from sweep.activations import Activation
from sweep.base import blocks, checks, inputs
from sweep.base.blocks import Block, check_batch, check_widths
from sweep.base.errors import RequestError, SweepWarning
from sweep.base.inputs import Inputs
from sweep.base.jacobians import check_jacobian
from sweep.experiment.cell import Cell
from sweep.experiment.ingredients import families
from sweep.experiment.ingredients.choices import bias_std_beside, of_end
from sweep.experiment.ingredients.given import with_its_content
from sweep.initializers import Scheme
from sweep.kernel import passes

if TYPE_CHECKING:
    import pandas as pd


def propagate(
    init: str | Scheme | Callable[..., Any] = "xavier",
    act: str | Activation | Callable[..., Any] = "tanh",
    depth: int = 10,
    width: int = 500,
    *,
    widths: Sequence[int] | None = None,
    seed: int = 0,
    bias_std: float | None = 0.0,
    batch: int = 1000,
    dtype: str = "float32",
    backward: bool = True,
    jacobian: bool = False,
    init_params: Mapping[str, Any] | None = None,
    act_params: Mapping[str, Any] | None = None,
    first_init: str | Scheme | Callable[..., Any] | None = None,
    first_init_params: Mapping[str, Any] | None = None,
    last_init: str | Scheme | Callable[..., Any] | None = None,
    last_init_params: Mapping[str, Any] | None = None,
    block: str | Block = "plain",
    block_params: Mapping[str, Any] | None = None,
    input: str | Inputs = "gaussian",
    input_params: Mapping[str, Any] | None = None,
    format: str | None = None,
) -> "pd.DataFrame":
    """Push one batch through one network and back; a row per layer, 0 being the input.

    init: a scheme's name, a scheme, or a function (rng, fan_in, fan_out) -> (fan_in, fan_out).
    act: an activation's name, an activation, or an elementwise function z -> h; "transformed" as in
    act_params={"of": "gelu", "method": "tat"}.
    init_params, act_params: their parameters, or the function's keywords, as in {"std": 0.1}.
    first_init, last_init: schemes of these layers alone, with their parameters; None: as init. One layer has
    that of the last.
    block: what a layer is, by name, or by a preset's as in "gpt2", with parameters, as in
    {"alpha": "depth**-0.5"}.
    input: what is pushed through, by name, with parameters, as in {"c0": 0.5}.
    format: float16, bfloat16, float8_e4m3fn or float8_e5m2: a copy that is rounded to it is measured too.
    jacobian: a column `jac_spread` too, Var(s²) / E[s²]² of the singular values s of dh_l / dh_0.
    widths: a tapered network, input first; replaces depth and width. bias_std: 0, or None, with an init that
    draws its layer's biases itself.
    Raises RequestError where a value breaks its rule, UserCodeError where a function does.
    """
    import pandas as pd  # noqa: PLC0415
    from threadpoolctl import threadpool_limits  # noqa: PLC0415

    cell = Cell.of(
        {
            "init": {"name": "xavier"},  # any: only the other values are checked here
            "act": {"name": "tanh"},
            "depth": depth,
            "width": width,
            "widths": widths,
            "seed": seed,
            "batch": batch,
            "dtype": dtype,
            "backward": backward,
            "format": format,
            "jacobian": jacobian,
        }
    )
    back = (cell.depth,) if backward else ()
    scheme = initializers.resolved(init, checks.mapping("init_params", init_params))
    activation = activations.resolved(act, checks.mapping("act_params", act_params))
    activation = families.at_depth(activation, cell.depth)
    bias_std = bias_std_beside(scheme, init if isinstance(init, str) else scheme.formula, bias_std)
    first = _of_end("first_init", first_init, first_init_params)
    last = _of_end("last_init", last_init, last_init_params)
    layer = blocks.resolved(block, checks.mapping("block_params", block_params)).at(cell.depth)
    check_widths(layer, cell.profile)
    check_batch(layer, cell.batch)
    if cell.jacobian:
        check_jacobian(layer, cell.profile)
    given = inputs.REGISTRY.resolved(input, checks.mapping("input_params", input_params))
    given = with_its_content(given, cell.profile[0], cell.batch)
    chain = kernel.Chain(
        scheme, activation, bias_std or 0.0, cell.depth, back, first, last, layer, cell.format
    )
    with threadpool_limits(1):  # as workers compute, so that the numbers are those of a study
        loops = activations.loop_name(activation)
        kind = _passes(loops, backward) if cell.dtype == "float32" else passes.NUMPY
        try:
            stack = kernel.propagate(
                [chain], cell.profile, [cell.seed], cell.batch, cell.dtype, kind=kind, inputs=given
            )
        except MemoryError as error:
            raise RequestError(_beyond_memory(cell, layer, error)) from None
        spreads = _spreads(chain, cell, given) if cell.jacobian else {}
    measured = stack[0].of_seed(0)
    columns = {"layer": range(cell.depth + 1)} | measured.forward | measured.backward.get(cell.depth, {})
    return pd.DataFrame(columns | spreads)


def _beyond_memory(cell: Cell, layer: Block, error: MemoryError) -> str:
    expand = f" block.expand={layer.expand}" if layer.expand > 1 else ""
    asked = f"depth={cell.depth} width={max(cell.profile)} batch={cell.batch}{expand}"
    return f"{asked}: there is not the memory for it ({error or 'MemoryError'}): reduce them"


def _spreads(chain: kernel.Chain, cell: Cell, given: Inputs) -> dict[str, list[float]]:
    """The column of singular values: how far those of dh_l / dh_0 are apart, which are all 1 at layer 0."""
    from sweep.kernel.jacobian import spreads  # noqa: PLC0415  seldom asked for

    layers = range(1, cell.depth + 1)
    by_depth = spreads(chain, cell.profile, cell.seed, cell.batch, layers, given)
    return {"jac_spread": [0.0, *(by_depth[layer] for layer in layers)]}


def _passes(act: str, backward: bool) -> str:
    """The kind of passes that this call has; where it is compiled, all that it needs is loaded."""
    from sweep.kernel.passes import folder  # noqa: PLC0415  numba: only where it computes

    loops = folder.keys_of([(act, backward)])
    if not loops or folder.why_not():
        return passes.NUMPY
    if reason := folder.why_not_kept():
        _warn_once(f"NumPy's passes are used, compiled ones cannot be kept: {reason}")
        return passes.NUMPY
    from sweep.kernel.passes.compiled import Compiled  # noqa: PLC0415

    if missing := folder.missing(loops):
        several = f"{len(missing)} loop{'s' * (len(missing) > 1)}"
        print(f"sweep: compiling {several} for this machine, once", end="", file=sys.stderr, flush=True)
        start = time.perf_counter()
    try:
        folder.build(missing)
        Compiled.here().load(loops)
    except Exception as error:
        said = f"NumPy's passes are used: {folder.in_a_line(error)}"
        warnings.warn(SweepWarning(said), stacklevel=3)
        return passes.NUMPY
    finally:
        if missing:
            print(f": {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return passes.COMPILED


@lru_cache
def _warn_once(said: str) -> None:
    warnings.warn(SweepWarning(said), stacklevel=4)


def _of_end(
    name: str, init: str | Scheme | Callable[..., Any] | None, parameters: Mapping[str, Any] | None
) -> Scheme | None:
    """The scheme of one layer alone, None where it has that of all."""
    values = checks.mapping(f"{name}_params", parameters)
    if init is None:
        if values:
            raise RequestError(f"{name}_params: no scheme is chosen: choose one, as in {name}='normal'")
        return None
    try:
        return initializers.resolved(init, values)
    except RequestError as error:
        raise of_end(name, error) from None
