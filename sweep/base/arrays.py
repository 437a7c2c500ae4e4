"""The one name for an array whose dtype and shape its docstring says."""

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
