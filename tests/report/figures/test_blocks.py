"""The figure of blocks: a row each, in the order of their table, theory beside them."""

import pytest

from sweep.report.figures import blocks, style
from tests.make import cell
from tests.studies import stored

NAMES = ("plain", "residual", "pre_ln", "bn")


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    cells = [
        cell(block={"name": name}, depth=depth, width=16, batch=20, seed=seed)
        for name in reversed(NAMES)
        for depth in (2, 4)
        for seed in (0, 1)
    ]
    return stored(tmp_path_factory.mktemp("blocks") / "study", cells)


def test_there_is_a_row_for_every_block_and_a_column_for_every_question(frames):
    with style.applied():
        (figure,) = blocks.figures(*frames).values()
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert labels == list(NAMES)
    assert len([ax for ax in figure.axes if ax.get_title() or ax.lines]) == len(NAMES) * len(blocks.SHOWN)
    ends = {ax.lines[0].get_xdata()[-1] for ax in figure.axes if ax.lines}
    assert ends == {4}  # each at its greatest depth
    assert "thin black: theory" in figure._supxlabel.get_text().replace("\n", " ")


def test_there_is_none_where_no_block_varies(frames):
    cells, layers = frames
    assert blocks.figures(cells[cells["block"] == "bn"], layers) == {}


@pytest.mark.parametrize(
    ("block", "act", "bias_std", "told"),
    [
        ("post_ln", "relu", 0.0, True),
        ("post_rms", "leaky_relu", 0.0, True),
        ("post_ln", "relu", 0.1, False),
        ("post_ln", "tanh", 0.0, False),
        ("pre_ln", "relu", 0.0, False),
    ],
)
def test_the_caption_says_where_a_norm_after_the_sum_contradicts_the_tale(
    block, act, bias_std, told, tmp_path
):
    cells = [
        cell(block={"name": name}, depth=3, width=16, batch=20, act={"name": act}, bias_std=bias_std)
        for name in ("plain", block)
    ]
    with style.applied():
        (figure,) = blocks.figures(*stored(tmp_path / "study", cells)).values()
    caption = figure._supxlabel.get_text().replace("\n", " ")
    assert (blocks.AGAINST_THE_TALE in caption) == told
