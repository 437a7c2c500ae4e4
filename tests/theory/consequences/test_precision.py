import math

import numpy as np
import pytest

from sweep import RequestError, activations, theory
from sweep.theory.consequences.formats import FORMATS
from sweep.theory.consequences.shares import share_between
from sweep.theory.gaussian.moments import gaussian

LAYERS = [1, 5, 10, 20, 30]
PUBLISHED = [
    (1.396, "bfloat16", (3.55e-6, 1.60e-5, 2.99e-5, 5.74e-5, 8.49e-5)),
    (2.000, "bfloat16", (4.37e-6, 3.86e-5, 1.94e-4, 3.43e-3, 5.18e-2)),
    (3.000, "float8_e5m2", (5.81e-3, 1.04e-1, 4.99e-1, 8.95e-1, 9.41e-1)),
]


@pytest.mark.parametrize(("sigma_w", "form", "expected"), PUBLISHED)
def test_the_published_horizons_are_met(sigma_w, form, expected):
    found = theory.precision("tanh", sigma_w, 0.3, 30, form, width=512)
    assert found["layer"].tolist() == list(range(31))
    # As printed; on the critical line, where all adds up, 3.5 digits of sigma_w and of eps.
    assert (1 - found["cosine"][LAYERS]).tolist() == pytest.approx(expected, rel=5e-3)


def measured(act, sigma_w, sigma_b, depth, form, q0, width=300, batch=64, seeds=3):
    """1 - cosine by layer, and the last layer's share of what becomes 0, of networks and their copies."""
    act, form, cosines, zeroed = activations.get(act), FORMATS[form], [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        h = copy = rng.standard_normal((batch, width)) * math.sqrt(q0)
        row = []
        for _ in range(depth):
            w = rng.standard_normal((width, width)) * sigma_w / math.sqrt(width)
            b = sigma_b * rng.standard_normal(width)
            h, copy = act.f(h @ w + b), act.f(form.rounded(copy) @ form.rounded(w) + b)
            sizes = np.sqrt((h * h).sum(axis=1) * (copy * copy).sum(axis=1))
            row.append(np.mean((h * copy).sum(axis=1) / sizes))
        cosines.append(row)
        zeroed.append((form.rounded(copy)[copy != 0] == 0).mean())
    return 1 - np.mean(cosines, axis=0), np.mean(zeroed)


@pytest.mark.parametrize(
    ("act", "sigma_w", "sigma_b", "depth", "form", "q0"),
    [
        ("gelu", 1.4, 0.0, 5, "bfloat16", 1.0),
        ("tanh", 0.9, 0.0, 5, "float16", 1e-10),  # all subnormal
        ("tanh", 1.3, 0.3, 5, "float8_e4m3fn", 1.0),  # weights subnormal
        ("relu", 0.3, 0.0, 4, "float8_e4m3fn", 1.0),  # a quarter becomes 0
    ],
)
def test_copies_part_from_their_networks_as_predicted(act, sigma_w, sigma_b, depth, form, q0):
    """Within 15 %: three networks of width 300, and the correlated errors of deep rounding."""
    cosines, zeroed = measured(act, sigma_w, sigma_b, depth, form, q0)
    found = theory.precision(act, sigma_w, sigma_b, depth, form, width=300, q0=q0)
    assert (1 - found["cosine"][1:]).tolist() == pytest.approx(cosines.tolist(), rel=0.15)
    assert found["zeroed"].iloc[-1] == pytest.approx(zeroed, rel=0.15, abs=1e-3)


def test_shares_of_gaussian_signals_are_error_functions():
    found = theory.precision("identity", 2.0, 0.0, 14, "float8_e4m3fn")
    std = 2.0 ** np.arange(15)
    zeroed = [math.erf(2.0**-9 / (2 * math.sqrt(2) * s)) for s in std]
    overflowed = [math.erfc(464 / (math.sqrt(2) * s)) for s in std]
    assert found["zeroed"].tolist() == pytest.approx(zeroed, rel=1e-9)
    assert found["overflowed"].tolist() == pytest.approx(overflowed, rel=1e-9, abs=1e-9)


def test_from_the_first_overflow_on_there_is_no_cosine():
    found = theory.precision("relu", 3.0, 0.0, 20, "float16")
    over = found["overflowed"] > 0
    assert 5 < over.idxmax() < 20
    assert over[over.idxmax() :].all()
    assert (found["cosine"].isna() == over).all()


def test_where_nothing_is_left_of_the_copy_there_is_no_cosine():
    found = theory.precision("tanh", 0.01, 0.0, 6, "float8_e4m3fn", q0=1e-12)
    assert found["zeroed"][0] == 1
    assert found["cosine"][1:].isna().all()
    biased = theory.precision("tanh", 0.5, 0.5, 6, "float8_e4m3fn", q0=1e-12)  # the biases are left
    assert biased["cosine"].notna().all()


def test_weights_beyond_the_format_leave_no_cosine():
    found = theory.precision("tanh", 1e6, 0.0, 2, "float8_e5m2", width=16)
    assert found["overflowed"].tolist() == [0.0, 0.0, 0.0]
    assert found["cosine"].isna().tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("bf16", "'bfloat16'"), ("half", "'float16'"), ("fp8", "'float8_e4m3fn' or 'float8_e5m2'")],
)
def test_an_unknown_format_is_refused_with_the_one_that_is_meant_and_the_options(name, meant):
    with pytest.raises(
        RequestError, match=rf"unknown format '{name}': did you mean {meant}\? options: bfloat16"
    ):
        theory.precision("tanh", 1.0, format=name)


@pytest.mark.parametrize("size", [1e-3, 0.1, 0.5, 0.95, 3.0])
@pytest.mark.parametrize("scale", [0.1, 1.0, 12.0, 200.0])
@pytest.mark.parametrize("act", ["gelu", "sin", "hardtanh", "squared_relu", "softsign", "sigmoid"])
def test_shares_of_any_activation_are_those_of_samples(act, scale, size):
    z = (np.arange(400_000) + 0.5) / 400_000  # quantiles of a Gaussian, not random numbers
    from scipy.special import ndtri  # noqa: PLC0415

    h = np.abs(activations.get(act).f(scale * ndtri(z)))
    assert share_between(gaussian(act), scale, 0.0, size) == pytest.approx(
        ((h > 0) & (h <= size)).mean(), abs=1e-4
    )


def test_a_share_far_below_rounding_keeps_its_digits():
    tiny = 2.0**-134
    density = 1 / math.sqrt(2 * math.pi)
    assert share_between(gaussian("tanh"), 1.0, 0.0, tiny) == pytest.approx(2 * tiny * density, rel=1e-9)
    assert share_between(gaussian("relu"), 1.0, 0.0, tiny) == pytest.approx(tiny * density, rel=1e-9)
