"""A user's own activation as numba compiles it, and as NumPy's where numba cannot."""

import re

import numpy as np
import pytest

from sweep import activations, initializers, kernel
from sweep.execution.plan import compilers
from sweep.kernel.passes import NUMPY, OWN, own
from sweep.kernel.passes.folder import in_a_line

pytest.importorskip("numba")


@pytest.fixture(autouse=True, params=["compiled"])
def kind(request):
    """These compare both kinds themselves."""
    return request.param


def swish(z, beta=1.0):
    return z / (1 + np.exp(-beta * z))


def swish_slope(z, beta=1.0):
    s = 1 / (1 + np.exp(-beta * z))
    return s + beta * z * s * (1 - s)


def cut_in_place(z):
    h = z.copy()
    h[h < 0] = 0
    return h


@pytest.mark.parametrize(
    ("function", "derivative", "kwargs"),
    [
        (swish, None, {}),
        (swish, swish_slope, {"beta": 1.5}),
        (cut_in_place, None, {}),
        (np.arctan, lambda z: 1 / (1 + z * z), {}),
    ],
)
def test_a_function_of_your_own_is_the_same_compiled(function, derivative, kwargs):
    act = activations.get("custom", function=function, derivative=derivative, kwargs=kwargs)
    fast = own.compiled(act)
    for dtype in (np.float32, np.float64):
        z = np.random.default_rng(0).standard_normal((2, 9, 65)).astype(dtype) * 3
        for array in (z, z[:, ::2]):
            h, plain = fast(array), act(array)
            assert (h.dtype, h.shape) == (dtype, array.shape)
            np.testing.assert_allclose(h, plain, rtol=1e-5, atol=1e-6)
            slopes = (one.derivative(array, plain) for one in (fast, act))
            np.testing.assert_allclose(*slopes, rtol=1e-5, atol=1e-6)
    assert (own.why_not(act) == "") == (fast is not act) == isinstance(function, type(swish))
    chain = kernel.Chain(initializers.get("kaiming"), act, 0.1, 3, (3,))
    plain, fast = (
        kernel.propagate([chain], (70, 64, 48, 90), [0, 1], 130, kind=kind)[0] for kind in (NUMPY, OWN)
    )
    np.testing.assert_allclose(fast.forward["rms"], plain.forward["rms"], rtol=1e-5)
    np.testing.assert_allclose(fast.backward[3]["delta_rms"], plain.backward[3]["delta_rms"], rtol=1e-5)


def keyword_only(z, *, slope=0.1):
    return np.where(z > 0, z, slope * z)


def of_another_library(z):
    import math  # noqa: PLC0415

    return z * math.pi


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (keyword_only, "keyword_only has keyword-only arguments, which numba does not know"),
        (of_another_library, "numba cannot compile .*of_another_library: Use of unsupported opcode"),
        (np.vectorize(np.tanh), "numba cannot compile"),
    ],
)
def test_what_numba_cannot_compile_is_numpys_with_its_reason_in_a_line(function, says):
    act = activations.get("custom", function=function)
    assert own.compiled(act) is act
    assert re.search(says, own.why_not(act))
    assert "\n" not in own.why_not(act)


def of_its_neuron(z):
    return np.tanh(z) * np.linspace(0.0, 2.0, z.shape[-1]).astype(z.dtype)


def test_a_function_that_looks_at_its_arrays_shape_sees_the_kernels():
    act = activations.get("custom", function=of_its_neuron)
    z = np.random.default_rng(0).standard_normal((2, 5, 17)).astype(np.float32)
    for array in (z, z[0], z[0, 0]):
        np.testing.assert_allclose(own.compiled(act)(array), act(array), rtol=1e-5, atol=1e-6)
    assert own.why_not(act) == ""


def cancelling(z):
    return (1 + z) - 1


def easily_shocked(z):
    if np.abs(z).max() > 1000:
        raise ValueError("too big")
    return z


def of_another_shape(z):
    return z.sum()


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (cancelling, r"another function: -0\.0001, not -0\.000100017, at z = -0\.0001"),
        (easily_shocked, "easily_shocked cannot be compared with numba's: .*raised ValueError: too big"),
        (of_another_shape, "of_another_shape cannot be compared|numba cannot compile"),
    ],
)
def test_a_function_that_is_not_the_same_to_rounding_is_numpys(function, says):
    """numba computes in float64 where a whole number meets a float32, NumPy does not."""
    act = activations.get("custom", function=function)
    assert own.compiled(act) is act
    assert re.search(says, own.why_not(act))


def test_what_a_users_module_prints_is_no_reason_and_a_reason_has_no_colours(tmp_path, monkeypatch):
    text = "import numpy as np\nprint('loading')\ndef fine(z):\n    print('called')\n    return z * 2\n"
    (tmp_path / "talks.py").write_text(text + "def shaped(z):\n    assert z.ndim == 9\n    return z\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("FORCE_COLOR", "1")
    functions = [f'{{"function": "talks.{name}"}}' for name in ("fine", "shaped")]
    (line,) = compilers.refused(functions)
    assert re.fullmatch(
        r"talks\.shaped\(z\): numba cannot compile talks\.shaped: Unknown attribute 'ndim' .*", line
    )
    coloured = RuntimeError("\x1b[1mFailed in nopython mode pipeline (step: x)\n\x1b[1mUnknown 'ndim'\x1b[0m")
    assert in_a_line(coloured) == "Unknown 'ndim'"


def test_a_function_that_numba_takes_for_another_is_numpys(monkeypatch):
    """As where an entry by itself is not what it is within its array."""
    act = activations.get("custom", function=swish)
    monkeypatch.setattr(own, "_by_entry", lambda function, rest: lambda z: z)
    own._outcome.cache_clear()
    assert own.compiled(act) is act
    assert re.search(r"compiled by numba, .*swish is another function: -8, not -0\.0026828", own.why_not(act))
    own._outcome.cache_clear()
