import pytest

from sweep.kernel import passes

LOOPS = ("numpy", "compiled")


@pytest.fixture(autouse=True, params=LOOPS)
def kind(request, monkeypatch):
    """Every test of the kernel is run with both kinds of passes."""
    if request.param == passes.COMPILED:
        pytest.importorskip("numba")
        monkeypatch.setattr(passes, "default", passes.COMPILED)
    return request.param
