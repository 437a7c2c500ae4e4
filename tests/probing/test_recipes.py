"""docs/recipes.md: its code runs in its order, and prints what the page shows, but for digits."""

import ast
import re

import pytest

from tests.documents import PAGES
from tests.vision import torchvision

PAGE = "docs/recipes.md"
_FENCE = re.compile(r"^```(python|text)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"-?(\d[\d.]*(e[+-]\d+)?|\binf\b)")


@pytest.fixture(scope="module")
def printed():
    """What each block that the page shows was printed as, beside it."""
    torchvision()
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[models]'")
    names, last, pairs = {}, None, []
    for language, text in _FENCE.findall(PAGES[PAGE]):
        if language == "text":
            if last is not None:  # else what a command prints
                pairs.append((text, repr(last)))
            continue
        tree = ast.parse(text)
        end = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, PAGE, "exec"), names)
        last = eval(compile(ast.Expression(end.value), PAGE, "eval"), names) if end else None
    return pairs, names


def _lines(text):
    """Lines without digits and the columns' widths, which other processors round otherwise."""
    return [" ".join(_NUMBER.sub("#", line).split()) for line in text.splitlines()]


def test_the_page_shows_what_its_code_prints(printed):
    pairs, _ = printed
    assert len(pairs) > 10
    for shown, real in pairs:
        lines, found = _lines(shown), iter(_lines(real))
        assert lines[-2:] == _lines(real)[-2:]  # the verdict, and the advice
        for line in lines:
            assert line == "…" or line in found  # in the same order


def test_only_a_head_learns_on_a_frozen_backbone(printed):
    _, names = printed
    assert names["found"].layers.dropna(subset=["grad_rms"])["module"].tolist() == ["fc"]


def test_the_factor_of_branches_keeps_the_stream_small_and_both_healthy(printed):
    _, names = printed
    scaled, unscaled = names["scaled"], names["unscaled"]
    assert scaled.verdict == unscaled.verdict == "healthy"
    assert 3 < unscaled.chain["rms"].iloc[-3] / scaled.chain["rms"].iloc[-3] < 24**0.5


def test_weights_ten_times_as_large_are_healthy_in_a_small_model(printed):
    import sweep  # noqa: PLC0415

    _, names = printed
    assert sweep.probe(names["gpt2"](initializer_range=0.2), names["tokens"]).verdict == "healthy"
