"""What is learned: its sizes, its classes, and that a projection keeps every cosine."""

import numpy as np
import pytest

from sweep.base.training import CLASSES, SOURCES
from sweep.kernel.training.examples import Batches, lessons


@pytest.fixture(params=SOURCES)
def data(request):
    if request.param == "digits":
        pytest.importorskip("sklearn", reason="the train extra is not installed: pip install -e '.[train]'")
    return request.param


def everything(data, width):
    parts = lessons(data, width)
    return (
        np.concatenate([part.inputs for part in (parts.training, parts.held_out)]),
        np.concatenate([part.classes for part in (parts.training, parts.held_out)]),
    )


def test_every_input_has_unit_second_moment(data):
    inputs, _ = everything(data, 80)
    assert np.square(inputs.astype(float)).mean(axis=1) == pytest.approx(np.ones(len(inputs)), rel=1e-5)


def test_one_in_five_of_every_class_is_held_out(data):
    parts = lessons(data, 64)
    for one in range(CLASSES):
        held = (parts.held_out.classes == one).sum()
        total = held + (parts.training.classes == one).sum()
        assert abs(held - total / 5) <= 0.5
    alike = {row.tobytes() for row in parts.training.inputs} & {
        row.tobytes() for row in parts.held_out.inputs
    }
    assert not alike


def test_the_mean_cosine_of_two_inputs_is_the_one_that_steps_are_made_for(data):
    inputs, _ = everything(data, 512)
    unit = inputs.astype(float) / np.linalg.norm(inputs, axis=1, keepdims=True)
    count = len(unit)
    mean = (np.square(unit.sum(axis=0)).sum() - count) / (count * (count - 1))
    assert mean == pytest.approx(SOURCES[data].cosine, abs=0.005)


def test_a_wider_network_sees_the_same_digits_at_the_same_angles():
    pytest.importorskip("sklearn", reason="the train extra is not installed: pip install -e '.[train]'")
    narrow, wide = (everything("digits", width)[0][:50].astype(float) for width in (64, 200))
    assert narrow @ narrow.T / 64 == pytest.approx(wide @ wide.T / 200, abs=1e-5)
    assert lessons("digits", 64).training.classes.tolist() == lessons("digits", 200).training.classes.tolist()


def test_passes_take_every_input_once_in_an_order_of_their_own_whatever_the_size_of_a_batch():
    batches = Batches(0, "mixture", 10, 4)
    taken = np.concatenate([next(batches) for _ in range(5)])
    first, second = taken[:10], taken[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist()
    halves = Batches(0, "mixture", 10, 2)
    assert np.concatenate([next(halves) for _ in range(10)]).tolist() == taken.tolist()
    assert next(Batches(1, "mixture", 10, 10)).tolist() != first.tolist()
