"""Blocks against the plain loop and torch's gradients, whatever the sizes of what is added."""

import numpy as np
import pytest

from sweep import activations, initializers, kernel
from sweep.base.blocks import BLOCKS, REGISTRY
from sweep.kernel.draws import streams
from sweep.kernel.precision import careful
from tests import reference

NOT_PLAIN = [name for name in BLOCKS if name != "plain"]
WITH_V = [name for name in NOT_PLAIN if REGISTRY.get(name).out]
ACTS = list(activations.ACTIVATIONS)
WIDTH, DEPTH, BATCH, BIAS = 16, 5, 24, 0.2
SEED = 4  # of seed 3 a z lies 9e-8 from the kink of relu, and rounding carries it across
ODD = {"skip": 0.9, "alpha": 0.7, "w_scale": 1.1, "v_scale": "depth**-0.5", "expand": 2}
TOLERANCE = {"float32": 1e-5, "float64": 1e-11}


def made(name, depth=DEPTH, **parameters):
    """The block at a depth, with those of the parameters that it takes."""
    taken = REGISTRY.parameter_names(name)
    return REGISTRY.get(name, **{key: parameters[key] for key in taken if key in parameters}).at(depth)


def chain(block, act="tanh", init="xavier", depth=DEPTH, back=True, bias_std=0.0, **init_params):
    scheme = initializers.get(init, **init_params)
    act = activations.get(act) if isinstance(act, str) else act
    return kernel.Chain(scheme, act, bias_std, depth, (depth,) if back else (), block=block)


def pushed(chains, seeds=(3,), batch=BATCH, dtype="float32", width=WIDTH, **others):
    depth = max(one.depth for one in chains)
    return kernel.propagate(chains, (width,) * (depth + 1), seeds, batch, dtype, **others)


def rms_of(arrays):
    return np.array([np.sqrt(np.square(values).mean()) for values in arrays])


def differences(found, wanted, tolerance):
    """Which figures differ: of size to the layer's rms, shares and cosines to 1."""
    wrong = []
    (back,), (other,) = found.backward.values(), wanted.backward.values()
    for name, values in {**wanted.forward, **other}.items():
        mine = (found.forward | back)[name]
        scale = np.abs(wanted.forward["rms"]) if name in ("mean", "std") else np.abs(values)
        if name in ("sample_cosine", "neuron_corr", "branch_corr", "flat", "dead"):
            scale = np.ones_like(values)
        with np.errstate(all="ignore"):
            close = np.abs(mine - values) <= tolerance * scale
        alike = close | (np.isnan(mine) & np.isnan(values)) | (mine == values)
        if not alike.all():
            wrong.append((name, *np.argwhere(~alike)[0], mine[~alike][0], values[~alike][0]))
    return wrong


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NOT_PLAIN)
def test_every_block_of_every_act_is_the_plain_loops(name, dtype):
    block, scheme = made(name, **ODD), initializers.get("xavier")
    found = pushed([chain(block, act, bias_std=BIAS) for act in ACTS], (3, 4), dtype=dtype)
    for act, statistics in zip(ACTS, found, strict=True):
        wanted = reference.propagate_blocks(scheme, activations.get(act), block, WIDTH, DEPTH, 3, BATCH, BIAS)
        of = statistics.of_seed(0)
        figures = {
            "rms": (of.forward["rms"], wanted.h), "pre_rms": (of.forward["pre_rms"][1:], wanted.z),
            "delta_rms": (of.backward[DEPTH]["delta_rms"], wanted.delta),
            "grad_rms": (of.backward[DEPTH]["grad_rms"][1:], wanted.gradients),
        }  # fmt: skip
        if block.out:
            figures["grad_out_rms"] = of.backward[DEPTH]["grad_out_rms"][1:], wanted.out
        else:
            assert np.isnan(of.backward[DEPTH]["grad_out_rms"]).all()
        for figure, (mine, arrays) in figures.items():
            np.testing.assert_allclose(mine, rms_of(arrays), rtol=TOLERANCE[dtype], err_msg=f"{act} {figure}")
        means = np.array([values.mean() for values in wanted.h])
        assert (np.abs(of.forward["mean"] - means) <= TOLERANCE[dtype] * rms_of(wanted.h)).all(), act


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", NOT_PLAIN)
def test_gradients_are_torchs(name, act):
    torch = pytest.importorskip("torch", reason="the peers extra is not installed")
    from tests.initializers.test_peers import PEERS  # noqa: PLC0415  it skips a module that has no torch

    f, block = PEERS[act], made(name, **ODD)
    norms = {
        "ln": lambda h: torch.nn.functional.layer_norm(h, h.shape[1:], eps=0),
        "rms": lambda h: h / h.square().mean(dim=1, keepdim=True).sqrt(),
        "bn": lambda h: torch.nn.functional.batch_norm(h, None, None, training=True, eps=1e-30),
    }
    weights = [
        [torch.tensor(values, requires_grad=True) for values in of_block if values is not None]
        for of_block in reference.blocks_of(initializers.get("kaiming"), block, WIDTH, DEPTH, SEED, BIAS)
    ]
    x = torch.tensor(streams.inputs([SEED], BATCH, WIDTH)[0].astype(float), requires_grad=True)
    h = [x]
    for w, b, *v in weights:
        below, norm = h[-1], norms.get(block.norm)
        if block.act_first:
            y = f(below) @ w + b
        else:
            z = (norm(below) if block.place == "before" else below) @ w + b
            y = f(norm(z) if block.place == "inside" else z)
            y = y @ v[0] if v else y
        above = block.number("skip") * below + block.number("alpha") * y if block.skipped else y
        h.append(norm(above) if block.place == "after" else above)
        h[-1].retain_grad()
    (h[-1] * torch.tensor(streams.upstream_gradient([SEED], BATCH, WIDTH)[0].astype(float))).sum().backward()
    for dtype in ("float32", "float64"):
        (found,) = pushed([chain(block, act, "kaiming", bias_std=BIAS)], (SEED,), dtype=dtype)
        back = found.of_seed(0).backward[DEPTH]
        # torch's softplus is z beyond 20, and its slope of hardsigmoid a float32.
        tolerance = 1e-5 if dtype == "float32" else 1e-6
        np.testing.assert_allclose(back["delta_rms"], rms_of([one.grad.numpy() for one in h]), tolerance)
        for column, index in (("grad_rms", 0), ("grad_out_rms", 2)):
            if index == 0 or block.out:
                wanted = rms_of([of_block[index].grad.numpy() for of_block in weights])
                np.testing.assert_allclose(back[column][1:], wanted, rtol=tolerance)


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_long_double_does_what_arrays_do(name):
    block = made(name, **ODD)
    for act in ("relu", "gelu", "sin"):
        one = chain(block, act, "kaiming", bias_std=BIAS)
        (found,) = pushed([one], dtype="float64")
        (wide,) = careful.measure([one], (WIDTH,) * (DEPTH + 1), [3], BATCH, np.dtype("float64"), False, None)
        assert not differences(found, wide, 1e-9)


@pytest.mark.parametrize("std", [1e-60, 1e-9, 1e3, 1e60])
@pytest.mark.parametrize("name", NOT_PLAIN)
def test_terms_of_any_size_are_added_as_long_double_would(name, std):
    """Branches and skips 1e±60 apart, a skip or a branch of nothing; float32 arrays."""
    for act in ("tanh", "relu", "gelu"):
        for odd in ({}, {"alpha": 1e-30}, {"alpha": 0, "skip": 1e-20}, {"v_scale": 0}, {"skip": 0}):
            one = chain(made(name, **odd), act, "normal", depth=3, std=std)
            (found,) = pushed([one], batch=12)
            (wide,) = careful.measure([one], (WIDTH,) * 4, [3], 12, np.dtype("float32"), False, None)
            # 1e-4: after a large w, tanh is a step, and what rounding carries across it counts.
            assert not differences(found, wide, 2e-4), (act, odd)


@pytest.mark.parametrize("name", ["pre_ln", "pre_rms", "mlp"])
@pytest.mark.parametrize("odd", [{"skip": 1e-60}, {"alpha": 1e60}, {"alpha": 1e50, "w_scale": 1e5}])
def test_a_sample_that_the_branch_does_not_see_is_not_lost_beside_the_others(name, odd):
    """The few neurons of some samples are all behind relu's kink: the skip is all that is left of them."""
    one = chain(made(name, depth=2, **odd), "relu", "kaiming", 2, bias_std=0.1)
    found, wide = (kernel.propagate([one], (5, 5, 5), [31], 4, dtype)[0] for dtype in ("float32", "float64"))
    assert not differences(found, wide, 1e-5)


def test_an_rms_of_1e200_and_of_its_inverse_is_normalised():
    for std in (1e100, 1e-100):  # of W and of V
        for name in ("pre_ln", "post_rms", "ln", "rms", "bn"):
            (found,) = pushed([chain(made(name), "relu", "normal", std=std)])
            back = found.of_seed(0).backward[DEPTH]
            assert np.isfinite(found.forward["rms"]).all()
            assert np.isfinite(back["delta_rms"]).all()
            assert (back["delta_rms"] > 0).all()


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_a_deeper_network_of_blocks_contains_the_shallower_one(name):
    block = made(name, alpha=0.5, expand=2)
    deep, shallow = chain(block, depth=8), chain(block, depth=5)
    both = kernel.Chain(deep.scheme, deep.act, 0.0, 8, (5, 8), block=block)
    (found,), (alone,) = pushed([both]), pushed([shallow])
    for column, values in alone.forward.items():
        np.testing.assert_array_equal(found.forward[column][:, :6], values, err_msg=column)
    for column, values in alone.backward[5].items():
        np.testing.assert_allclose(found.backward[5][column], values, rtol=1e-6, err_msg=column)


def test_blocks_share_the_draws_of_a_plain_network_and_each_is_what_it_is_alone():
    chains = [chain(made(name, **ODD), "gelu", bias_std=BIAS) for name in BLOCKS]
    for one, together in zip(chains, pushed(chains), strict=True):
        (alone,) = pushed([one])
        assert not differences(together, alone, 2e-5), one.block.name


def test_a_block_of_a_branch_alone_is_a_plain_network():
    """Its W are those that a plain network of the seed has."""
    (found,) = pushed([chain(made("residual", skip=0), "gelu", bias_std=BIAS)])
    (plain,) = pushed([chain(made("plain"), "gelu", bias_std=BIAS)])
    del found.forward["branch_corr"], plain.forward["branch_corr"]  # of a skip, even one times 0
    assert not differences(found, plain, 1e-5)


def test_the_second_matrix_has_draws_of_its_own():
    base = initializers.get("xavier").base
    first, out = (streams.weights([0], base, 1, 40, 40, out=out) for out in (False, True))
    assert abs(np.corrcoef(first.ravel(), out.ravel())[0, 1]) < 0.1  # 1600 pairs: 0.025 each


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_lsuv_gives_what_every_matrix_makes_unit_variance(name):
    (found,) = pushed([chain(made(name, expand=2), "tanh", "lsuv", tolerance=1e-3)], width=64, batch=200)
    of = found.of_seed(0)
    if name not in ("preact", "ln", "rms", "bn"):  # elsewhere z is not what W makes
        np.testing.assert_allclose(of.forward["pre_rms"][1:], 1, atol=0.02)  # the mean of z is next to 0
    if name in ("mlp", "preact"):  # branches of unit variance, independent of h
        np.testing.assert_allclose(of.forward["rms"] ** 2, 1 + np.arange(DEPTH + 1), rtol=0.2)


@pytest.mark.parametrize(
    "init", ["orthogonal", "sparse", "identity", "constant", "zeros", "torch/linear_default"]
)
@pytest.mark.parametrize("name", ["mlp", "pre_ln", "post_rms", "preact", "ln", "bn"])
def test_every_scheme_works_in_every_block(name, init):
    one = chain(made(name, expand=3 if init != "identity" else 1), "tanh", init, depth=3)
    (found,) = pushed([one], dtype="float64", batch=12)
    (wide,) = careful.measure([one], (WIDTH,) * 4, [3], 12, np.dtype("float64"), False, None)
    # Only rounding: row sums of what has the mean 0, gradients along what a norm takes off.
    noise = init == "constant" and name in ("pre_ln", "bn")
    assert noise or not differences(found, wide, 1e-8)


@pytest.mark.parametrize("name", [name for name in NOT_PLAIN if REGISTRY.get(name).skipped])
def test_copies_of_each_other_are_found_where_inputs_are_added_to_them(name):
    for init, copies in {"constant": True, "zeros": True, "xavier": False}.items():
        (found,) = pushed([chain(made(name), "tanh", init)])
        if name != "pre_ln" or init != "constant":  # its W sees the rounding of sums that are 0
            assert (found.forward["branch_corr"][0, 1] > 1 - 1e-6) == copies, init
        assert found.forward["neuron_corr"][0, 1] < 0.99
    (plain,) = pushed([chain(made("plain"))])
    assert np.isnan(plain.forward["branch_corr"]).all()


def test_a_bias_is_nothing_to_a_norm_over_the_batch():
    (plain,) = pushed([chain(made("bn"), "gelu")])
    (biased,) = pushed([chain(made("bn"), "gelu", bias_std=1e6)])
    assert not differences(biased, plain, 0)


def test_the_norm_of_nothing_is_nothing_and_hands_no_gradient_on():
    for name in ("ln", "rms", "bn"):
        (found,) = pushed([chain(made(name), "tanh", "zeros")])
        back = found.of_seed(0).backward[DEPTH]
        np.testing.assert_array_equal(found.forward["rms"][0, 1:], 0)
        np.testing.assert_array_equal(back["delta_rms"][:-1], 0)
        np.testing.assert_array_equal(back["grad_rms"][1:], 0)


def test_a_network_that_diverges_is_lost_from_there_on_and_has_no_gradients():
    (found,) = pushed([chain(made("mlp"), "squared_relu", "normal", depth=30, std=1e100)])
    rms = found.forward["rms"][0]
    lost = int(np.argmax(~np.isfinite(rms)))
    assert 0 < lost < 30
    assert np.isinf(rms[lost:]).all()
    assert np.isnan(found.backward[30]["delta_rms"][0, :lost]).all()


@pytest.mark.parametrize("name", ["residual", "pre_ln", "post_rms", "bn"])
def test_histograms_count_every_neuron_and_no_gradient_is_taken_unasked(name):
    (found,) = pushed([chain(made(name), "gelu", back=False)], histogram=True)
    assert (found.histogram.sum(axis=2) == BATCH * WIDTH).all()
    assert found.backward == {}


def test_a_users_own_act_is_what_it_is_in_a_plain_network():
    own = activations.REGISTRY.own(np.tanh)
    for name in NOT_PLAIN:
        (mine,) = pushed([chain(made(name, **ODD), own)], dtype="float64")
        (built_in,) = pushed([chain(made(name, **ODD), "tanh")], dtype="float64")
        assert not differences(mine, built_in, 1e-5), name  # its slope is a difference quotient


def test_what_is_observed_is_what_is_measured():
    seen = {}
    block = made("pre_ln", expand=2)
    pushed([chain(block)], observe=lambda kind, _, depth, layer, values: seen.update({(kind, layer): values}))
    wanted = reference.propagate_blocks(
        initializers.get("xavier"), activations.get("tanh"), block, WIDTH, DEPTH, 3, BATCH
    )
    for layer in range(1, DEPTH + 1):
        np.testing.assert_allclose(seen["h", layer], wanted.h[layer], atol=1e-4)
        np.testing.assert_allclose(seen["dW", layer], wanted.gradients[layer - 1], atol=1e-3)
        np.testing.assert_allclose(seen["dV", layer], wanted.out[layer - 1], atol=1e-3)
