import numpy as np
import pytest

from sweep.kernel.copies.rounding import rounding
from tests.rounded import LAYOUTS, numbers, rounded


def cases(name):
    """Float32s that matter: what the format has, its ties and their neighbours, borders, and any bits."""
    there = numbers(name)
    ties = (there[1:] + there[:-1]) / 2
    there, ties = (one[one < np.finfo(np.float32).max].astype(np.float32) for one in (there, ties))
    beside = [np.nextafter(one, np.float32(to)) for one in (there, ties) for to in (0, np.inf)]
    patterns = np.arange(1 << 16, dtype=np.uint32) << 16  # all of bfloat16
    anything = np.random.default_rng(0).integers(0, 1 << 32, 200_000, dtype=np.uint32)
    normal = np.random.default_rng(1).standard_normal(50_000).astype(np.float32)
    special = np.float32([0, np.inf, np.nan, 1e-45, 3.4e38])
    odd = np.uint32([0x7FFFFFFF, 0x7F800001, 0x7FFF8000])  # NaNs whose bits a sum could carry over
    bits = [one.view(np.float32) for one in (patterns, anything, odd)]
    positive = np.concatenate([there, ties, *beside, normal, special, *bits])
    return np.concatenate([positive, -positive])


def same(found, wanted):
    return (found == wanted) | (np.isnan(found) & np.isnan(wanted))


@pytest.mark.filterwarnings("ignore:invalid value|overflow")
@pytest.mark.parametrize("name", LAYOUTS)
def test_every_float32_rounds_to_the_nearest_number_of_the_format(name):
    x = cases(name)
    out = np.empty_like(x)
    counts = rounding(name).into(x[None, None], out[None, None])
    wanted = rounded(name, x)
    assert same(out, wanted).all()
    assert counts.entries == len(x)
    assert counts.something == np.count_nonzero(x)
    assert counts.zeroed == np.count_nonzero((wanted == 0) & (x != 0))
    assert counts.overflowed == np.count_nonzero(~np.isfinite(wanted))


@pytest.mark.filterwarnings("ignore:invalid value|overflow")
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_cast_there_and_back_says_the_same(name):
    """As the libraries of these formats round: NumPy has float16, ml_dtypes all others."""
    dtype = np.float16
    if name != "float16":
        dtype = getattr(pytest.importorskip("ml_dtypes"), name)
    x = cases(name)
    out = np.empty_like(x)
    rounding(name).into(x[None, None], out[None, None])
    assert same(out, x.astype(dtype).astype(np.float32)).all()


@pytest.mark.parametrize("shape", [(7, 3, 5), (2, 400, 300), (1, 3, 1)])
def test_counts_are_of_each_network(shape):
    x = np.random.default_rng(2).standard_normal(shape).astype(np.float32) * np.float32(0.01)
    x[:, 0, 0] = 0
    out = np.empty_like(x)
    form = rounding("float8_e4m3fn")
    counts = form.into(x, out)
    for i in range(len(x)):
        alone = np.empty_like(x[i])
        own = form.into(x[i][None], alone[None])
        assert (alone == out[i]).all()
        assert (own.zeroed[0], own.something[0]) == (counts.zeroed[i], counts.something[i])
