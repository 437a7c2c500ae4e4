"""torchvision, also beside a torch of another build."""

from typing import Any

import pytest

# The operators that its Python asks for as it is imported, none of which a classifier calls.
_ASKED_FOR = ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
              "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # fmt: skip
_declared: list[Any] = []  # a library's operators go with it


def torchvision():
    """The package; a test that asks for it is skipped where it is not installed.

    A package index has its build for CUDA alone, whose operators a torch for the CPU cannot load: they are
    declared, so that models can be built, and calling one is an error.
    """
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
    try:
        import torchvision  # noqa: PLC0415
    except ModuleNotFoundError:
        pytest.skip("torchvision is not installed: pip install -e '.[models]'")
    except RuntimeError:
        _declared.append(torch.library.Library("torchvision", "DEF"))
        for schema in _ASKED_FOR:
            _declared[-1].define(schema)
        import torchvision  # noqa: PLC0415
    return torchvision
