"""What the fuzz draws: everything that a network can have; and inputs, each against its definition."""

from dataclasses import asdict

import pytest

from sweep.experiment.axes import FORMATS
from sweep.kernel.inputs import drawn
from tests import plain_inputs
from tests.stacks import Spec, spec_of


def test_random_stacks_have_whatever_has_come_since():
    pytest.importorskip("sklearn", reason="the train extra is not installed: pip install -e '.[train]'")
    drawn_ones = [spec_of(7, number) for number in range(1, 60, 2)]
    links = [link for one in drawn_ones for link in one.links]
    assert {link.format for link in links} == {None, *FORMATS}
    assert {one.input for one in drawn_ones} == {"gaussian", "correlated", "student", "npy", "digits"}
    assert any(link.first for link in links)
    assert any(link.last for link in links)
    assert any(one.jacobian for one in drawn_ones)
    assert len({link.block for link in links}) > 5
    assert any(link.act == "transformed" for link in links)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("correlated", {"c0": 0.5}),
        ("student", {"df": 2.5}),
        ("npy", {"law": "gaps", "rows": 33, "width": 20, "seed": 0}),
    ],
)
def test_inputs_are_what_their_definitions_say(kind, parameters):
    assert plain_inputs.wrong(plain_inputs.made(kind, parameters), 3, 30, 20) == 0


def test_images_keep_their_cosines():
    pytest.importorskip("sklearn", reason="the train extra is not installed: pip install -e '.[train]'")
    assert plain_inputs.wrong(plain_inputs.made("digits", {}), 3, 30, 70) == 0


def test_inputs_that_are_not_what_they_are_called_are_found(monkeypatch):
    old = drawn.streams.student_inputs
    monkeypatch.setattr(drawn.streams, "student_inputs", lambda *given: 1.001 * old(*given))
    assert plain_inputs.wrong(plain_inputs.made("student", {"df": 4.0}), 3, 30, 20) > 500


def test_a_stored_stack_is_the_one_that_was_drawn():
    one = spec_of(7, 1)
    assert Spec.of(asdict(one)) == one
