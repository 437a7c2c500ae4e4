"""Figures of copies that were wrong once, each with what is right."""

import numpy as np
import pytest

import sweep


def test_a_copy_of_another_size_has_the_angle_that_it_has():
    # Weights round up to 2^-9: the copy is twice as large at every layer, and all rows are one number.
    found = sweep.propagate(
        "constant",
        "relu",
        depth=40,
        width=512,
        batch=8,
        init_params={"value": 0.00098},
        format="float8_e4m3fn",
    )
    assert found["round_cosine"].tolist() == pytest.approx([1.0] * 41, abs=1e-12)
    assert found["zeroed"][1:].max() == 0


def test_sizes_whose_squares_float32_cannot_hold_are_compared():
    values = {"depth": 2, "width": 24, "batch": 8, "init_params": {"std": 1e20}, "bias_std": 0.1}
    narrow, wide = (
        sweep.propagate("normal", "relu", **values, dtype=dtype, format="bfloat16")["round_cosine"]
        for dtype in ("float32", "float64")
    )
    assert 0.9999 < wide[1] < 1
    assert narrow[1] == pytest.approx(wide[1], abs=1e-7)


@pytest.mark.parametrize(("act", "seed"), [("gelu", 2), ("silu", 2), ("softplus", 1)])
def test_a_network_that_needs_long_double_gives_its_copy_its_own_biases(tmp_path, act, seed):
    sizes = np.array([1e10, 1e-12, 1e10, 1e-12, 1e-12, 1e10, 1e-12, 1e-12])
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((8, 3)) * sizes[:, None])
    found = sweep.propagate(
        "normal", act, depth=2, width=3, batch=8, seed=seed, init_params={"std": 1e10}, bias_std=0.3,
        format="bfloat16", input="npy", input_params={"file": str(tmp_path / "x.npy")},
    )  # fmt: skip
    assert found["round_cosine"].iloc[-1] > 0.999_99


@pytest.mark.parametrize("act", ["tanh", "transformed"])
def test_slopes_that_are_nearly_0_count_by_their_own_size(act):
    # Wide NumPy layers of float32 have 1 - h², which is 0 from abs(z) = 9 on.
    parameters = {"act_params": {"of": "tanh", "method": "tat"}} if act == "transformed" else {}
    values = {"depth": 3, "width": 64, "batch": 64, "bias_std": 0.3, "format": "float16"}
    narrow, wide = (
        sweep.propagate("huge_normal", act, **values, **parameters, dtype=dtype)
        for dtype in ("float32", "float64")
    )
    np.testing.assert_allclose(narrow["delta_zeroed"], wide["delta_zeroed"], atol=0.02)
    assert wide["delta_zeroed"].iloc[-1] > 0.5


@pytest.mark.parametrize(
    ("block", "params"),
    [
        ("ln", {"w_scale": 1e22}),
        ("bn", {"w_scale": 1e22}),
        ("post_rms", {"alpha": 1e21}),
        ("pre_ln", {"alpha": 1e21}),
        ("pre_rms", {"skip": 0.0, "alpha": 1e-33}),
    ],
)
def test_norms_hold_numbers_whose_squares_float32_cannot(block, params):
    values = {"depth": 4, "width": 24, "batch": 40, "format": "bfloat16", "block": block}
    found = sweep.propagate("xavier", "tanh", **values, block_params=params)
    assert found["round_cosine"].min() > 0.9999  # four layers of eight bits
    assert (found[["zeroed", "overflowed"]] == 0).all(axis=None)
    assert (found["delta_overflowed"].iloc[1:] == 0).all()


def test_a_gradient_that_vanishes_below_float32_is_no_overflow():
    found = sweep.propagate(
        "lecun_uniform", "identity", depth=30, width=2, batch=37, block="post_rms",
        block_params={"v_scale": 167.0}, format="float8_e5m2",
    )  # fmt: skip
    assert (found["delta_overflowed"].iloc[1:] == 0).all()
    assert found["delta_zeroed"].max() == 1
