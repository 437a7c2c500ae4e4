"""The slopes are those that theory says, and the words those of their parametrisation."""

from itertools import pairwise

import numpy as np
import pytest

import sweep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402

from tests.probing.coordinates.networks import (  # noqa: E402
    GPT,
    WIDTHS,
    Attention,
    inputs,
    lazy,
    maximal,
    maximal_adam,
    maximal_sgd,
    plain,
    standard,
)
from tests.probing.networks import ConvNet, images, tokens  # noqa: E402

LR = {"sgd": 1e-3, "adam": 1e-5}
LIMITS = {"sgd": [-0.5, 0.5, 0.5, 1], "adam": [0, 1, 1, 1.5]}
ACTS = [nn.ReLU, nn.Tanh]


def slopes(checked, step=1):
    return checked.slopes[checked.slopes["step"] == step]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("optimizer", LR)
def test_of_many_more_units_than_inputs_the_slopes_are_those_of_the_limit(act, optimizer):
    """4 inputs; the smallest width is not yet far above them: 0.15."""
    checked = sweep.coord_check(
        lambda width: plain(width, act), inputs(4), widths=WIDTHS, optimizer=optimizer, lr=LR[optimizer]
    )
    for step in (1, 3):
        found = slopes(checked, step)
        assert found["slope"].tolist() == pytest.approx(LIMITS[optimizer], abs=0.15)
        assert found["limit"].tolist() == LIMITS[optimizer]
    assert checked.verdict == "standard"
    assert checked.slopes["role"].tolist()[::2] == ["input", "hidden", "hidden", "output"]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("optimizer", LR)
def test_of_as_many_inputs_as_units_the_slopes_are_far_from_the_limit_and_as_expected(act, optimizer):
    """784 inputs: SGD's hidden slopes are negative. Within 0.2, where the word asks for 0.25."""
    checked = sweep.coord_check(
        lambda width: plain(width, act, count=784),
        inputs(784),
        widths=WIDTHS,
        optimizer=optimizer,
        lr=LR[optimizer] / 20,
        seeds=2,
        steps=(1,),
    )
    found = slopes(checked)
    assert (found["limit"] - found["slope"]).max() > 0.5
    assert found["slope"].tolist() == pytest.approx(found["expected"].tolist(), abs=0.2)
    assert found["limit"].tolist() == LIMITS[optimizer]
    assert checked.verdict == "standard"


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("optimizer", [maximal_sgd, maximal_adam])
@pytest.mark.parametrize("count", [4, 784])
def test_maximal_updates_are_flat(act, optimizer, count):
    """Whatever the number of inputs. Outputs are ten, and of three seeds: 0.15 and their standard error."""
    lr = {maximal_sgd: 2e-3, maximal_adam: 2e-5}[optimizer] * (1 if count == 4 else 0.05)
    checked = sweep.coord_check(
        lambda width: maximal(width, act, count=count),
        inputs(count),
        widths=WIDTHS,
        optimizer=optimizer,
        lr=lr,
    )
    assert checked.verdict == "maximal update"
    assert set(checked.slopes["word"]) == {"flat"}
    assert checked.slopes["slope"].abs().max() < 0.2


def test_a_lazy_network_is_neither():
    """Of the tangent kernel: outputs move alike at all widths, and all before them less and less."""
    checked = sweep.coord_check(lazy, inputs(4), widths=WIDTHS, lr=0.03)
    assert checked.verdict == "neither"
    assert slopes(checked)["slope"].tolist() == pytest.approx([-0.5, -0.5, 0], abs=0.15)
    assert slopes(checked)["word"].tolist()[1:] == ["shrinks", "flat"]
    assert checked.advice.startswith("neither: ")


def bottleneck(width):
    sizes = [32, width, width, 4, width, width, 10]
    return standard(
        nn.Sequential(*(one for pair in pairwise(sizes) for one in (nn.Linear(*pair), nn.Tanh())))[:-1]
    )


def depthwise(width):
    return standard(
        nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=width), nn.ReLU(),
            nn.Conv2d(width, width, 1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
        )
    )  # fmt: skip


def default(width):
    """As torch draws them: Var W a third of 1/fan_in."""
    return nn.Sequential(
        nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)
    )


KINDS = {
    "convolutions": (lambda width: ConvNet(3, width, norm=False), images, [-0.5, 0.5, 0.5, 1]),
    "with batch norm": (lambda width: ConvNet(3, width, norm=True), images, [-0.5, 0.5, 0.5, 1]),
    "depthwise": (depthwise, images, [-0.5, -0.5, 0.5, 1]),
    "a transformer": (GPT, tokens, [-0.5, -0.5, *[0.5] * 8, 1]),
    "a tied one": (lambda width: GPT(width, tied=True), tokens, [0, -0.5, *[0.5] * 8, 1]),
    "torch's attention": (Attention, lambda: inputs(8, 24).reshape(4, 6, 8), [-0.5, 0.5, 1]),
    "torch's default": (default, lambda: inputs(32), [-0.5, 0.5, 1]),
    "outputs that widen": (
        lambda width: plain(width, nn.Tanh, out=width), lambda: inputs(4), [0, 1, 1, 1]
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_modules_of_any_kind_that_are_parametrised_as_usual_are_called_so(kind):
    make, batch, limits = KINDS[kind]
    checked = sweep.coord_check(make, batch(), widths=(32, 64, 128, 256), lr=2e-4, steps=(1,))
    assert checked.slopes["limit"].tolist() == limits
    told = checked.slopes[~checked.slopes["word"].isin(["uncertain", "rounded"])]
    assert set(told["word"]) <= {"standard", "flat"}
    assert checked.verdict == "standard"


@pytest.mark.parametrize(
    ("make", "sgd", "adam"),
    [
        (lambda width: plain(width, depth=0), [-0.5, 1], [0, 1]),
        (bottleneck, [-0.5, 0.5, 1, 1, 1, 1], [0, 1, 1.5, 1.5, 1.5, 1.5]),
    ],
)
def test_limits_follow_what_a_layer_comes_of(make, sgd, adam):
    """Without a hidden layer Adam moves outputs as n; what few units pass on, many after them pass on."""
    count = make(8)[0].in_features
    for optimizer, limits in (("sgd", sgd), ("adam", adam)):
        checked = sweep.coord_check(
            make, inputs(count), widths=(32, 64), optimizer=optimizer, lr=1e-5, seeds=1, steps=(1,)
        )
        assert checked.slopes["limit"].tolist() == limits


def test_a_slope_is_that_of_all_points_with_the_error_of_least_squares():
    from sweep.probing.coordinates.slopes import fitted  # noqa: PLC0415

    widths = np.repeat([2.0, 4.0, 8.0], 2)
    slope, error = fitted(widths, 3 * widths**0.5)
    assert (slope, error) == pytest.approx((0.5, 0), abs=1e-12)
    noise = np.exp([0.1, -0.1, 0.1, -0.1, 0.1, -0.1])
    slope, error = fitted(widths, widths * noise)
    # Residuals 0.1 six times, of 4 degrees of freedom; Σ (x - mean)² = 4 log(2)².
    assert (slope, error) == pytest.approx((1, (0.06 / 4) ** 0.5 / (2 * np.log(2))))
    assert np.isnan(fitted(widths, 0 * widths)).all()
    assert np.isnan(fitted(np.array([2.0, 4.0]), np.array([2.0, 4.0]))).tolist() == [False, True]
