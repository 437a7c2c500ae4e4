"""What theory predicts, as a frame."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from sweep.base import blocks, checks
from sweep.base.blocks import Block, Size
from sweep.base.errors import RequestError
from sweep.theory.blocks import GRAD_OUT, Widening, block_deviation, block_prediction
from sweep.theory.finite.width import log_rms_deviation
from sweep.theory.gaussian.moments import Act
from sweep.theory.maps import Layer, alike, check_inputs, prediction

if TYPE_CHECKING:
    import pandas as pd


def predict(
    act: Act,
    sigma_w: float,
    sigma_b: float = 0.0,
    depth: int | None = None,
    q0: float = 1.0,
    c0: float = 0.0,
    *,
    widths: Sequence[int] | None = None,
    batch: int = 1000,
    block: str | Block = "plain",
    skip: Size | None = None,
    alpha: Size | None = None,
    sigma_v: float | None = None,
    expand: int | None = None,
) -> "pd.DataFrame":
    """What mean-field theory predicts: a row per layer 0 .. depth, which is 10 unless given.

    sigma_w² = fan_in · Var W at every layer; sigma_b: std of the biases; q0 = E[h_0²]; c0: cosine of two
    inputs. widths: (w_0 .. w_L) of a tapered network, where gradients see fan_out · Var W, instead of depth.
    batch: how many inputs dL/dW sums over, and a norm over the batch is taken of. block: what stands between
    two layers, each counted as one, or a preset's name as in 'gpt2'; skip, alpha: its factors, numbers or
    texts as in 'depth**-0.5', 1 or the preset's unless given. sigma_v² = fan_in · Var V, by default sigma_w²;
    both before a w_scale and a v_scale of the preset. expand: how many times wider the layer between W and V
    is. What a block has no use for is ignored.
    Columns: layer, rms, mean, std, pre_rms, sample_cosine, flat, delta_rms, grad_rms; grad_out_rms too where
    there is a V. Raises RequestError where a value breaks its rule.
    """
    import pandas as pd  # noqa: PLC0415

    sigma_w, sigma_b, q0, c0, batch = check_inputs(sigma_w, sigma_b, q0, c0, batch)
    sigma_v = sigma_w if sigma_v is None else checks.real("sigma_v", sigma_v, 0.0)
    tapered = checks.widths(widths)
    if tapered and depth is not None:
        raise RequestError(
            f"depth={depth}, widths={list(tapered)}: widths replaces depth: give only one of them"
        )
    widths = tapered or (1,) * (checks.whole("depth", 10 if depth is None else depth, 1) + 1)
    block = _with(block, skip=skip, alpha=alpha, expand=expand)
    if block.plain:
        found = prediction(act, alike(sigma_w, widths), sigma_b, batch, q0, c0)
        return pd.DataFrame({"layer": range(len(widths)), **found.statistics})
    block = block.at(len(widths) - 1)
    if tapered:
        blocks.check_widths(block, tapered)
    matrices = [_matrices(block, sigma_w, sigma_v, *fans) for fans in pairwise(widths)]
    statistics = block_prediction(block, act, matrices, sigma_b, batch, q0, c0).statistics
    if not block.out:
        del statistics[GRAD_OUT]
    return pd.DataFrame({"layer": range(len(widths)), **statistics})


def finite_width(
    act: Act,
    sigma_w: float,
    sigma_b: float = 0.0,
    depth: int = 10,
    width: int = 500,
    batch: int = 1000,
    q0: float = 1.0,
    c0: float = 0.0,
    *,
    block: str | Block = "plain",
    skip: Size | None = None,
    alpha: Size | None = None,
    sigma_v: float | None = None,
    expand: int | None = None,
) -> "pd.DataFrame":
    """What a network of finite width adds to the mean field, with independent Gaussian weights.

    A row per layer 0 .. depth; layer; shift = E[log rms²] - log q, q the mean field's; std, the standard
    deviation of log rms²; both over seeds whose rms is not 0, rms² = mean_a |h_a|²/n over the batch. Inputs
    are Gaussian, of second moment q0 and cosine c0. To first order, and for one input, a layer adds -o/2n to
    shift and o/n to std², o = Var act² / E[act²]² (docs/finite-width.md). NaN where it would be off by more
    than 15 %: beyond depth / width = 6.5 for homogeneous activations, 2 for others (1 at widths below 16),
    1/2 where fluctuations grow by themselves; for several inputs at widths below 8; and where a few neurons
    decide. block: as in `predict`, with its parameters; then NaN beyond depth / width = 0.4, 1/8 for preact,
    at widths below 16, for bn, and for residual where E[act] is not 0. Raises RequestError for a wrong value.
    """
    import pandas as pd  # noqa: PLC0415

    sigma_w, sigma_b, q0, c0, batch = check_inputs(sigma_w, sigma_b, q0, c0, batch)
    sigma_v = sigma_w if sigma_v is None else checks.real("sigma_v", sigma_v, 0.0)
    widths = (checks.whole("width", width, 1),) * (checks.whole("depth", depth, 1) + 1)
    block = _with(block, skip=skip, alpha=alpha, expand=expand)
    if block.plain:
        shift, std = log_rms_deviation(act, alike(sigma_w, widths), widths, sigma_b, batch, q0, c0)
    else:
        block = block.at(len(widths) - 1)
        blocks.check_widths(block, widths)
        blocks.check_batch(block, batch)
        matrices = [_matrices(block, sigma_w, sigma_v, *fans) for fans in pairwise(widths)]
        shift, std = block_deviation(block, act, matrices, widths, sigma_b, batch, q0, c0)
    return pd.DataFrame({"layer": range(len(widths)), "shift": shift, "std": std})


def _with(block: str | Block, **given: Size | None) -> Block:
    """The block with those of the parameters that are given and that it takes."""
    taken = blocks.resolved(block, {}).takes
    values = {name: value for name, value in given.items() if value is not None and name in taken}
    return blocks.resolved(block, values)


def _matrices(block: Block, sigma_w: float, sigma_v: float, fan_in: int, fan_out: int) -> Widening:
    between = block.expand * fan_in if block.out else fan_out
    sigma_w, sigma_v = sigma_w * block.number("w_scale"), sigma_v * block.number("v_scale")
    inner = Layer(sigma_w, sigma_w * math.sqrt(between / fan_in))
    return Widening(inner, Layer(sigma_v, sigma_v * math.sqrt(fan_out / between)) if block.out else None)
