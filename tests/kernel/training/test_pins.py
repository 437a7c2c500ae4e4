"""What the numbers of a training rest on: they change only where somebody means them to."""

import pytest

from sweep.kernel.draws import streams
from sweep.kernel.training.examples import lessons
from tests.make import cell

INPUTS = {
    ("mixture", 8): [-0.03973377, 0.5992717, -0.39890674, 2.4098475, 0.72959876, 0.6145633],
    ("digits", 64): [-0.43778113, -1.1862622, -0.96909130, -0.33879998, -0.57471925, 0.6343425],
}
HELD_OUT = {"mixture": [1, 7, 2, 4, 5, 6]}
IDS = [
    ({"name": "sgd"}, "da9dab662936fea471ebd17ee7554d7c"),
    ({"name": "sgd", "data": "mixture", "lr": "auto"}, "b36db3b3c9eb369716757f3f256b500f"),
]


def test_the_readout_and_the_order_of_a_pass_have_the_draws_that_they_always_had():
    readout = streams.readout([3], 4, 10)[0, 0, :4]
    assert readout == pytest.approx([0.20868672, -0.35482302, -0.95786744, 0.31077361], rel=1e-5)
    assert streams.order(3, 1, 1, 12).tolist() == [2, 8, 10, 7, 11, 0, 4, 1, 9, 3, 6, 5]


@pytest.mark.parametrize(("data", "width"), INPUTS)
def test_what_is_learned_is_what_it_always_was(data, width):
    if data == "digits":
        pytest.importorskip("sklearn", reason="the train extra is not installed: pip install -e '.[train]'")
    parts = lessons(data, width)
    assert parts.training.inputs[0, :6] == pytest.approx(INPUTS[data, width], rel=1e-4)
    if data in HELD_OUT:
        assert parts.held_out.classes[:6].tolist() == HELD_OUT[data]


@pytest.mark.parametrize(("train", "wanted"), IDS, ids=["digits", "mixture"])
def test_a_trained_cell_has_the_id_that_it_always_had(train, wanted):
    if train.get("data", "digits") == "digits":
        pytest.importorskip("sklearn", reason="the train extra is not installed: pip install -e '.[train]'")
    one = cell(width=64, train=train)
    assert one.digests([one.seed], of=(1, 1, 1)).hex() == wanted
    assert one.digests([one.seed], of=one.revisions).hex() == one.id != wanted  # a mark was corrected
