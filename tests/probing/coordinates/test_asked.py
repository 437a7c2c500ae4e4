"""What cannot be checked is refused in one clear line; no caller's generator or mode is touched."""

import random
import subprocess
import sys

import numpy as np
import pytest

import sweep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402

from tests.probing.coordinates.networks import inputs, plain  # noqa: E402


def check(make=plain, given=None, **options):
    settings = {"widths": (8, 16), "lr": 1e-3, "seeds": 1, "steps": (1,)} | options
    return sweep.coord_check(make, inputs(4) if given is None else given, **settings)


def growing(width):
    """A layer more at width 16."""
    return nn.Sequential(nn.Linear(4, width), *[nn.Linear(width, width)] * (width > 8), nn.Linear(width, 3))


class Idle(nn.Module):
    """Its layer is never called."""

    def __init__(self, width):
        super().__init__()
        self.spare, self.gain = nn.Linear(4, width), nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.gain


class Text(Idle):
    def forward(self, x):
        return str(self.spare(x))


class Fickle(nn.Module):
    """Calls its layer once more at every pass."""

    def __init__(self, width):
        super().__init__()
        self.fc, self.passes = nn.Linear(4, width), 0

    def forward(self, x):
        self.passes += 1
        return sum(self.fc(x) for _ in range(self.passes))


def frozen(width):
    return plain(width).requires_grad_(False)


REFUSED = {
    "no function": (lambda: check(3), "make must be a function width -> a new torch.nn.Module, not int"),
    "a module": (lambda: check(plain(3)), "make must be a function .* not Sequential"),
    "makes no module": (lambda: check(lambda width: width), "model: int is not a torch.nn.Module"),
    "raises": (lambda: check(lambda width: 1 / 0), r"make\(8\): ZeroDivisionError"),
    "one width": (lambda: check(widths=(8, 8)), r"widths=\[8\]: a slope takes two different"),
    "a width of 0": (lambda: check(widths=(0, 8)), "width=0: width must be a whole number, at least 1"),
    "half a width": (lambda: check(widths=(8.5, 9)), "width=8.5"),
    "a number of widths": (lambda: check(widths=8), "widths=8: give a list of whole numbers"),
    "lr 0": (lambda: check(lr=0), "lr=0: lr must be a finite number above 0"),
    "lr nan": (lambda: check(lr=float("nan")), "lr=nan"),
    "an optimizer": (lambda: check(optimizer="adm"), "unknown optimizer 'adm': did you mean 'adam'"),
    "no optimizer": (lambda: check(optimizer=lambda model, lr: None), "must return a torch.optim"),
    "its error": (lambda: check(optimizer=lambda model, lr: 1 / 0), "optimizer at width 8: ZeroDivision"),
    "one that asks": (lambda: check(optimizer=torch.optim.LBFGS), "at width 8: TypeError: .*closure"),
    "steps": (lambda: check(steps=(3, 1)), r"steps=\[3, 1\]: steps must increase"),
    "no steps": (lambda: check(steps=()), r"steps=\[\]: steps must increase"),
    "step 0": (lambda: check(steps=(0, 1)), "step=0: step must be a whole number, at least 1"),
    "no seeds": (lambda: check(seeds=0), "seeds=0: seeds must be a whole number, at least 1"),
    "a seed twice": (lambda: check(seeds=[1, 1]), r"seeds=\[1, 1\]: give different ones"),
    "other layers": (lambda: check(growing), r"number 3 is none in the one and Linear '2' in"),
    "no width": (lambda: check(lambda width: nn.Linear(4, 3)), r"make\(8\) and make\(16\) have weights"),
    "no weights": (lambda: check(lambda width: nn.ReLU()), r"make\(8\): the model has no module"),
    "idle weights": (lambda: check(Idle), "calls none of its modules .* spare"),
    "other calls": (lambda: check(Fickle), "layer fc: more calls than at first"),
    "nan": (lambda: check(given=inputs(4) * float("nan")), "input 1 holds nan"),
    "no inputs": (lambda: check(given=3), "inputs must be a tensor, a tuple .* not int"),
    "inputs' error": (lambda: check(given=lambda width: 1 / 0), r"inputs\(8\): ZeroDivisionError"),
    "a wrong shape": (lambda: check(given=inputs(5)), "the model of width 8: RuntimeError: .*5"),
    "a loss": (lambda: check(loss=3), "loss=3: give a function outputs -> a scalar"),
    "a loss of many": (lambda: check(loss=lambda out: out), "the loss at width 8: it must be one number"),
    "its own error": (lambda: check(loss=lambda out: 1 / 0), "the loss at width 8: ZeroDivisionError"),
    "all frozen": (lambda: check(frozen), "no gradient can come from the first output"),
    "no tensor": (lambda: check(Text), "no floating tensor in the outputs, a str"),
    "lazy": (lambda: check(nn.LazyLinear), r"make\(8\): model is lazy"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_bad_request_is_refused_in_one_line(what):
    ask, says = REFUSED[what]
    with pytest.raises(sweep.RequestError, match=says) as caught:
        ask()
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 400


def test_without_torch_the_extra_is_named_once_it_is_called_and_not_before():
    code = (
        "import sys; sys.modules['torch'] = None; import sweep; check = sweep.coord_check\n"
        "try: check(None, None, widths=[1, 2], lr=1)\nexcept sweep.RequestError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = "sweep.coord_check needs torch, which is not installed: pip install 'sweep[torch]'"
    assert done.stdout.strip() == line


def drawing(width):
    """Draws from all three generators."""
    model = plain(width)
    with torch.no_grad():
        model[0].weight += random.random() + np.random.rand()  # noqa: NPY002
    return model


@pytest.mark.parametrize("make", [drawing, lambda width: drawing(width)[3]])
def test_generators_are_as_they_were_also_after_an_error(make):
    def state():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    before = state()
    try:
        checked = check(make)
    except sweep.RequestError:
        checked = None
    assert state() == before
    torch.randn(3), random.random()
    if checked is not None:
        assert check(make).table.equals(checked.table)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_gradients_are_taken_whatever_mode_is_around(mode):
    with mode():
        x = inputs(4)
        found = check(given=x).table
    assert found.equals(check().table)
    assert torch.equal(x, inputs(4))


def test_inputs_may_be_a_tuple_keywords_or_a_function_of_the_width():
    first = check().table
    x = inputs(4)
    for given in ((x,), {"input": x}, lambda width: x, lambda width: {"input": x}):
        assert check(given=given).table.equals(first)


def test_an_optimizer_may_be_a_class_or_a_function_of_the_model():
    first = check(optimizer="adam").table
    assert check(optimizer=torch.optim.Adam).table.equals(first)
    own = check(optimizer=lambda model, lr: torch.optim.Adam(model.parameters(), lr=lr))
    assert own.table.equals(first)


def test_seeds_may_be_named():
    table = check(seeds=3).table
    named = check(seeds=[2, 0]).table
    assert named["seed"].tolist()[:8] == [2] * 4 + [0] * 4
    for seed in (0, 2):
        one, other = (frame[frame["seed"] == seed].reset_index(drop=True) for frame in (named, table))
        assert one.equals(other)
