"""What cannot be probed is refused in one clear line."""

import subprocess
import sys

import pytest

import sweep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from torch import nn  # noqa: E402

from tests.probing.networks import GPT, ConvNet, mlp, tokens, vectors  # noqa: E402


class Text(nn.Module):
    def forward(self, x):
        return {"text": "no numbers", "count": x.argmax()}


def nan():
    x = vectors()
    x[3, 4] = float("nan")
    return x


REFUSED = {
    "a function": (lambda: sweep.probe(len, vectors()), "is not a torch.nn.Module"),
    "a class": (lambda: sweep.probe(nn.ReLU, vectors()), "is not a torch.nn.Module"),
    "a wrong width": (lambda: sweep.probe(mlp(3), vectors(width=31)), r"inputs at 0 \(Linear\): Runtime.*31"),
    "a wrong shape within": (lambda: sweep.probe(ConvNet(), vectors()), r"at convs.0 \(Conv2d\)"),
    "too few inputs": (lambda: sweep.probe(mlp(3)), r"its top \(Sequential\): TypeError"),
    "a token too many": (lambda: sweep.probe(GPT(), tokens() + 50), r"at wte \(Embedding\): IndexError"),
    "no tensor": (lambda: sweep.probe(Text(), vectors()), "no floating tensor in .* outputs, a dict"),
    "no rows": (lambda: sweep.probe(mlp(3), vectors()[:0]), r"a Tensor of float32, shape \(0, "),
    "nan": (lambda: sweep.probe(mlp(3), nan()), "input 1 holds nan"),
    "zeros": (lambda: sweep.probe(mlp(3), 0 * vectors()), "the first input is all 0"),
    "inf by a keyword": (lambda: sweep.probe(mlp(3), input=vectors() / 0), "input holds"),
    "a lazy one": (lambda: sweep.probe(nn.Sequential(nn.LazyLinear(4)), vectors()), r"model\.0 is lazy"),
    "a meta module": (lambda: sweep.probe(nn.Linear(32, 4, device="meta"), vectors()), "meta device"),
    "no such module": (lambda: sweep.probe(mlp(3), vectors(), modules=["02"]), "unknown module '02'"),
    "one name": (lambda: sweep.probe(mlp(3), vectors(), modules="0"), "list of names"),
    "a seed": (lambda: sweep.probe(mlp(3), vectors(), seed=-1), "seed"),
    "a target alone": (lambda: sweep.probe(mlp(3), vectors(), target=vectors()), "give loss="),
    "a batch_dim": (lambda: sweep.probe(mlp(3), vectors(), batch_dim="0"), "batch_dim"),
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
        "import sys; sys.modules['torch'] = None; import sweep; probe = sweep.probe\n"
        "try: probe(None)\nexcept sweep.RequestError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        done.stdout.strip() == "sweep.probe needs torch, which is not installed: pip install 'sweep[torch]'"
    )


def test_what_torch_has_compiled_itself_is_refused():
    with pytest.warns(DeprecationWarning, match="jit"):
        traced = torch.jit.trace(nn.Linear(32, 4), vectors())
    with pytest.raises(sweep.RequestError, match=r"torch\.jit"):
        sweep.probe(traced, vectors())
