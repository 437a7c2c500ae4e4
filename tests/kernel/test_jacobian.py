"""Spreads of singular values against differences of a plain loop, whatever the block and the range."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sweep import activations, initializers, kernel
from sweep.base.blocks import AFTER, BATCH, BEFORE, BLOCKS, INSIDE, RMS
from sweep.kernel.draws import streams
from sweep.kernel.jacobian import SAMPLES, spreads
from tests.kernel.test_blocks import ODD, made

WIDTH, DEPTH, SEED, BIAS = 12, 3, 4, 0.2
MEASURED = [name for name in BLOCKS if made(name).norm != BATCH]


def chain(init="xavier", act="tanh", depth=DEPTH, bias_std=0.0, block="plain", **parameters):
    scheme, block = initializers.get(init, **parameters), made(block, depth, **ODD)
    return kernel.Chain(scheme, activations.get(act), bias_std, depth, block=block)


def of(one, widths=None, seed=SEED, batch=9):
    return spreads(one, widths or (WIDTH,) * (one.depth + 1), seed, batch, {one.depth})[one.depth]


def norm(kind, x):
    centred = x if kind == RMS else x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True))


def forward(one, widths, seed, h):
    """h of the last layer in float64: the formula of each block, line by line."""
    block, act = one.block, one.act

    def drawn(layer, fans, factor, out):
        z = streams.weights([seed], one.scheme.base, layer, *fans, out=out)[0]
        return factor * one.scheme.weight_std(*fans) * z.astype(np.float64)

    for layer, (below, above) in enumerate(pairwise(widths), 1):
        inner = (below, block.expand * below) if block.out else (below, above)
        w = drawn(layer, inner, block.number("w_scale"), out=False)
        b = one.bias_std * streams.biases([seed], one.scheme.base, layer, *inner)[0].astype(np.float64)
        u = norm(block.norm, h) if block.place == BEFORE else h
        z = (act.f(u) if block.act_first else u) @ w + b
        z = norm(block.norm, z) if block.place == INSIDE else z
        branch = z if block.act_first else act.f(z)
        if block.out:
            branch = branch @ drawn(layer, (inner[1], above), block.number("v_scale"), out=True)
        if block.skipped:
            branch = block.number("alpha") * branch
            if skip := block.number("skip"):
                branch = skip * h + branch
        h = norm(block.norm, branch) if block.place == AFTER else branch
    return h


def by_differences(one, widths, seed, samples=SAMPLES, step=1e-6):
    """Var(s²) / E[s²]² by the singular values of a Jacobian of central differences; mean over inputs."""
    found = []
    for x in streams.inputs([seed], samples, widths[0])[0].astype(np.float64):
        moves = step * np.eye(len(x))
        jacobian = (forward(one, widths, seed, x + moves) - forward(one, widths, seed, x - moves)) / (
            2 * step
        )
        squares = np.linalg.svd(jacobian, compute_uv=False) ** 2
        found.append(squares.var() / squares.mean() ** 2)
    return np.mean(found)


@pytest.mark.parametrize("act", ["tanh", "gelu"])
@pytest.mark.parametrize("block", MEASURED)
def test_every_block_has_the_singular_values_of_its_formula(block, act):
    one = chain(act=act, bias_std=BIAS, block=block)
    assert of(one) == pytest.approx(by_differences(one, (WIDTH,) * (DEPTH + 1), SEED), rel=1e-6)


@pytest.mark.parametrize("widths", [(12, 20, 6), (6, 20, 12), (9, 3, 7)])
def test_a_tapered_network_has_as_many_as_its_narrower_end(widths):
    one = chain(depth=2)
    assert of(one, widths) == pytest.approx(by_differences(one, widths, SEED), rel=1e-6)


def test_fewer_inputs_than_are_asked_for_are_all_there_are():
    one = chain()
    assert of(one, batch=2) == pytest.approx(by_differences(one, (WIDTH,) * 4, SEED, samples=2), rel=1e-6)


def test_the_shallower_networks_are_read_off_the_deepest():
    deep = spreads(chain(depth=6), (WIDTH,) * 7, SEED, 9, {2, 4, 6})
    assert deep == {depth: of(chain(depth=depth)) for depth in (2, 4, 6)}


def test_an_isometry_is_told_to_the_rounding_of_its_weights():
    """Z is drawn in float32: what is off by 1e-7 spreads by the square of it."""
    assert 0 < of(chain("orthogonal", "identity", depth=5)) < 1e-12


@pytest.mark.parametrize("std", [1e-200, 1e-3, 1e3, 1e200])
def test_no_scale_of_a_homogeneous_network_changes_its_spread(std):
    """Of 20 layers all but those of std near 1 leave float64's range, of the signal or of the Jacobian."""
    usual = of(chain("normal", "relu", depth=20, std=0.3))
    assert of(chain("normal", "relu", depth=20, std=std)) == pytest.approx(usual, rel=1e-9)


def test_a_network_that_passes_nothing_has_no_spread():
    assert math.isnan(of(chain("zeros")))
    assert math.isnan(of(chain("constant", "relu", depth=2, value=-1.0)))


def test_inputs_of_which_nothing_passes_are_left_out():
    """One neuron passes about every other input."""
    (inputs,) = streams.inputs([0], SAMPLES, 2)
    passed = (inputs.sum(axis=1) > 0).sum()
    assert 0 < passed < SAMPLES
    assert of(chain("constant", "relu", depth=1, value=1.0), (2, 1), seed=0) == 0.0


def test_a_scheme_that_looks_at_the_data_looks_at_the_batch_that_was_measured():
    few, many = (of(chain("lsuv"), batch=batch) for batch in (5, 400))
    assert few == pytest.approx(many, rel=0.3)
    assert few != many


@pytest.mark.parametrize(("block", "width"), [("post_ln", 2), ("ln", 2), ("post_rms", 1), ("rms", 1)])
def test_a_norm_of_as_many_numbers_as_it_fixes_passes_nothing(block, width):
    """Its result is ±1 whatever goes in: rounding is all that was left of J, and its spread was told."""
    assert math.isnan(of(chain(block=block), (width,) * (DEPTH + 1)))


@pytest.mark.parametrize("block", ["residual", "preact", "mlp", "post_rms"])
def test_a_block_without_a_skip_has_any_widths(block):
    one = chain(block=block)
    one = replace(one, block=replace(one.block, skip=0.0))
    for widths in ((5, 9, 4, 7), (6, 1, 5, 3)):
        if block != "post_rms" or 1 not in widths:
            assert of(one, widths) == pytest.approx(by_differences(one, widths, SEED), rel=1e-5, abs=1e-6)


def test_slopes_that_float64_cannot_hold_pass_what_long_double_says():
    """celu of alpha 1e-4 at z = -0.5: exp(-5000). One neuron has no spread, and it is not unknown."""
    act = activations.get("celu", alpha=1e-4)
    one = kernel.Chain(initializers.get("constant", value=1.0), act, 0.0, 1)
    (inputs,) = streams.inputs([0], SAMPLES, 1)
    assert inputs.min() < -0.5
    assert of(one, (1, 1), seed=0) == 0.0
    many = kernel.Chain(initializers.get("identity"), act, 0.0, 1)
    x = streams.inputs([0], SAMPLES, 3)[0].astype(np.longdouble)
    slopes = np.where(x > 0, np.longdouble(1), np.exp(np.minimum(x, 0) * 10_000)) ** 2
    wanted = np.mean([float(row.var() / row.mean() ** 2) for row in slopes])
    assert of(many, (3, 3), seed=0) == pytest.approx(wanted, rel=1e-9)
