"""What a stored number rests on, in so many digits: it changes only where somebody means it to."""

import hashlib

import numpy as np
import pytest

from sweep import initializers
from sweep.execution.workers.compute import run_task
from sweep.initializers import Distribution, distributions
from sweep.initializers.normal import standard_normal
from sweep.kernel.draws import streams
from tests.make import cell, packed

WORDS = {  # the first 64 words of each stream
    ("inputs", 0): "f2dc60e56e0ac41d",
    ("upstream_gradient", 0): "4dd10009863d518e",
    ("weights", 0): "5cceaef40c1ce276",
    ("weights cut", 0): "87f03ddfc7b39669",
    ("biases", 0): "b39f716a02f71f3a",
    ("biases of no draws", 0): "b57e8892740dcd6d",
    ("inputs", 7): "a6332d25655c84ff",
    ("upstream_gradient", 7): "c0f97f1b68a55cd9",
    ("weights", 7): "3d9445500247dc2a",
    ("weights cut", 7): "2d047aaa1f0800cb",
    ("biases", 7): "af1c733c4d4697d5",
    ("biases of no draws", 7): "7fdc09eb52861d37",
}

# Z of layer 2 of seed 3, (2, 12), and the shape parameters that key its stream.
DRAWN = {
    distributions.NORMAL: """
        -0.7046309 1.0001211 -0.41990265 0.63125944 0.74248093 -0.2369714 -0.23873794 0.13280852 -1.3790214
        -2.623438 0.59249616 -0.41297048 0.27786398 -0.8167496 0.97871846 -0.66319495 0.77125376 0.5399436
        -1.0991693 0.38558608 0.6190753 0.003457884 0.61464643 -0.41069877
    """,
    distributions.UNIFORM: """
        1.0943102 0.5513083 -0.37894908 -1.1035947 1.0450197 -0.40652093 1.3518083 -1.6148043 1.1476336
        -1.2799174 0.22314456 1.575923 1.1819832 -0.8444139 -0.8379068 -0.5510485 0.5937522 -1.6763314
        1.3280203 -0.1088693 1.5281699 -0.44907367 1.5185133 0.10425496
    """,
    distributions.TRUNCATED: """
        1.6111925 1.3945178 0.9585832 1.1973963 -1.6134211 -1.5479099 -1.0953504 0.14676607 0.07131796
        -0.54148 -0.13771082 0.18253644 -1.0884329 0.20430277 -0.6553932 -0.41194504 -1.0096424 -2.0553389
        0.22004622 1.9125193 1.2270486 1.5045016 -0.4450415 -1.2697598
    """,
    distributions.truncated(1.5, 3.0): """
        -0.4800778 -1.1628561 -0.6625719 -0.6802959 -0.47306103 -0.45877838 0.42932612 0.35694316 -0.8357232
        0.62167686 -0.6467648 0.15583959 -0.52629584 -0.75405926 -1.1514649 -0.15996256 -0.4036626
        0.028007016 0.04367595 0.7865539 -0.56965977 -0.97092575 0.80659205 -0.624375
    """,
    distributions.ORTHOGONAL: """
        -1.1337093 0.54731154 0.7155367 0.10770026 1.0075973 0.5777475 1.0369271 0.019620758 -2.157441
        -0.30125067 -1.1311573 -1.2008722 -1.3858174 0.20290604 -0.36885375 0.16510454 2.1256108 -0.52598375
        0.86538684 0.4588309 0.7669658 0.035236273 1.8450737 0.3563018
    """,
    distributions.EYE: """
        1 0 0 0 0 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0
    """,
    distributions.sparse(0.9): """
        0 0 0 0 -6.0809665 0 0 0 0 0 0 0 0 3.3452125 0 0 0 0 0 0 0 0 0 0
    """,
    distributions.sparse(0.5): """
        0 0 -0.5721178 -0.46622798 0 -1.472317 0 -2.4529161 -0.39295515 -1.4698595 0 0 0 0 0 -0.76196736
        0.08060679 -1.118801 0 1.6919227 0 0 -1.512254 2.0959327
    """,
}

CELLS = [
    (
        {"depth": 3},
        [
            0.4205132554513043,
            0.0,
            0.00316415095869072,
            0.19039976440453643,
            0.7165520072581207,
            3.3159002733332144,
        ],
    ),
    (
        {"init": {"name": "kaiming"}, "act": {"name": "relu"}, "depth": 4, "seed": 1},
        [
            0.9149045016789363,
            0.5584375,
            0.6672459300598492,
            0.1695664788580227,
            0.9991295882325459,
            4.953178538380508,
        ],
    ),
    (
        {
            "init": {"name": "glorot_uniform"},
            "widths": [80, 72, 64],
            "seed": 2,
            "bias_std": 0.2,
            "dtype": "float64",
        },
        [
            0.5164971133877067,
            0.0,
            0.094369477121464,
            0.17042876177791746,
            0.7528613325473575,
            3.5440396855633467,
        ],
    ),
    ({"init": {"name": "zeros"}, "depth": 2}, [0.0, 0.0, None, None, 0.0, 0.0]),
]
STATISTICS = ("rms", "flat", "sample_cosine", "neuron_corr")  # of the last layer; and of the first gradients

IDS = [
    (
        {"init": {"name": "xavier"}, "act": {"name": "tanh"}, "depth": 50, "width": 64, "seed": 4},
        "7fdd71b88653afe8d68b9bea40b6b7b4",
    ),
    (
        {"init": {"name": "small_normal"}, "act": {"name": "relu"}, "depth": 20, "width": 512, "seed": 3},
        "2d0b3d156d37e1246606ca794b4e49af",
    ),
    ({"init": {"name": "zeros"}, "seed": 1}, "828efb5a2c73f92467d57ee456a25c0f"),
    ({"init": {"name": "constant"}, "seed": 2}, "6c07620e750ecf3b335ab03538cf0615"),
    ({"init": {"name": "huge_normal"}, "seed": 0}, "86a3c7ddede55dd65000c1367c27624c"),
    ({"init": {"name": "kaiming"}, "act": {"name": "relu"}, "seed": 0}, "22765ecbd7a12231d8f6ee58b417a6d2"),
    (
        {"init": {"name": "glorot_uniform"}, "widths": [784, 512, 256, 64], "seed": 7},
        "063f9d7c5cfe365063f7d5ecff1cbbd9",
    ),
    (
        {"init": {"name": "big_normal"}, "dtype": "float64", "depth": 5, "width": 128},
        "aef814d136d75a665f7a5a861488783d",
    ),
    (
        {
            "init": {"name": "variance_scaling", "scale": 2.5},
            "bias_std": 0.3,
            "depth": 100,
            "width": 256,
            "batch": 100,
            "seed": 1,
        },
        "a87daef9a08057b2e62e46afb678ac99",
    ),
    (
        {
            "init": {"name": "orthogonal", "gain": 1.2},
            "act": {"name": "relu"},
            "backward": False,
            "seed": 2**63 - 1,
        },
        "5ae54d3e28105219a642bfba29e5976e",
    ),
    # What was corrected since the first tables: as it is named now.
    ({"act": {"name": "gelu"}}, "6393ed12d077b83c74c2703dc21ebae3"),
    ({"batch": 3}, "5c7f24f98b8774c65f20c026776c524c"),
]


def words(monkeypatch, draw):
    """A digest of the first words of the stream that `draw` takes its numbers from."""
    seen = []

    def taken(rng, *shape):
        (rng,) = rng if isinstance(rng, list) else [rng]
        seen.append(rng.bit_generator.random_raw(64).astype("<u8").tobytes())
        return np.zeros(1, np.float32)

    monkeypatch.setattr(streams, "standard_normals", taken)
    draw(taken)
    (content,) = seen
    return hashlib.blake2b(content, digest_size=8).hexdigest()


@pytest.mark.parametrize(("stream", "seed"), WORDS)
def test_a_stream_has_the_words_that_it_always_had(monkeypatch, stream, seed):
    draw = {
        "inputs": lambda z: streams.inputs([seed], 9, 20),
        "upstream_gradient": lambda z: streams.upstream_gradient([seed], 9, 20),
        "weights": lambda z: streams.weights([seed], Distribution("normal", z), 3, 20, 10),
        "weights cut": lambda z: streams.weights(
            [seed], Distribution("truncated_normal", z, (-2.0, 2.0)), 3, 20, 10
        ),
        "biases": lambda z: streams.biases([seed], Distribution("normal", z), 3, 20, 10),
        "biases of no draws": lambda z: streams.biases([seed], None, 3, 20, 10),
    }[stream]
    assert words(monkeypatch, draw) == WORDS[stream, seed]


def test_no_two_streams_are_one():
    assert len(set(WORDS.values())) == len(WORDS)


@pytest.mark.parametrize("distribution", DRAWN, ids=lambda one: f"{one.name}{one.parameters or ''}")
def test_a_distribution_draws_what_it_always_drew(distribution):
    found = streams.weights([3], distribution, 2, 2, 12).ravel()
    expected = np.array(DRAWN[distribution].split(), np.float32)
    if distribution is distributions.ORTHOGONAL:  # a sum of products: the last bits of its terms cancel
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
        return
    # log and cos of two SIMD kernels differ in the last bits; -0 is 0
    np.testing.assert_array_max_ulp(found + np.float32(0), expected, maxulp=2)


def test_every_scheme_draws_from_one_of_these():
    assert {initializers.get(name).base for name in initializers.names()} - {None} <= set(DRAWN)


def test_normal_draws_go_on_as_they_always_did_where_one_block_of_words_ends():
    drawn = standard_normal(np.random.Generator(np.random.PCG64(7)), 40_000)
    expected = np.array([-0.23791373, -0.23819919, -0.29601523, 0.08394246, -1.3379166], np.float32)
    np.testing.assert_array_max_ulp(drawn[[0, 1, 32767, 32768, 39999]], expected, maxulp=2)


@pytest.mark.parametrize(("values", "expected"), CELLS)
def test_a_small_cell_measures_what_it_always_did(values, expected):
    (task,) = packed([cell(**{"width": 64, "batch": 50} | values)], 1)
    measured = run_task(task, histogram=False).statistics
    found = [measured[name][-1] for name in STATISTICS] + [measured[n][1] for n in ("delta_std", "grad_std")]
    for one, other in zip(found, expected, strict=True):
        if other is not None:  # where all of a layer is 0, nothing correlates
            # float32's rounding, averaged over thousands of entries: BLAS libraries differ by 1e-7
            assert one == pytest.approx(other, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("values", "expected"), IDS)
def test_a_cell_has_the_id_that_it_always_had(values, expected):
    assert cell(**values).id == expected
