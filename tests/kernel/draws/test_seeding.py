import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.kernel.draws import seeding, streams

SEEDS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20)
KEYS = st.lists(st.integers(0, 2**80), min_size=1, max_size=8).map(tuple)


def numpys(seed: int, key: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=key)


@given(SEEDS, KEYS)
def test_seeds_hashed_together_are_what_numpy_makes_of_each(seeds: list[int], key: tuple[int, ...]) -> None:
    expected = [numpys(seed, key).generate_state(4, np.uint64) for seed in seeds]
    assert np.array_equal(seeding.states(seeds, key), expected)


@pytest.mark.parametrize("count", [1, seeding._FEW, seeding._FEW + 1, 100])
def test_the_generators_are_numpys_however_many_there_are(count: int) -> None:
    key = (1, 0, 2, 8, 8)
    for seed, rng in enumerate(seeding.generators(range(count), key)):
        assert rng.random() == np.random.Generator(np.random.PCG64(numpys(seed, key))).random()


def test_a_seed_beyond_64_bits_is_one_too() -> None:
    seeds = [*range(seeding._FEW), 2**64, 2**200 + 1]
    drawn = streams.inputs(seeds, 4, 4)
    assert np.array_equal(drawn[-1], streams.inputs(seeds[-1:], 4, 4)[0])
    assert len({one.tobytes() for one in drawn}) == len(seeds)
