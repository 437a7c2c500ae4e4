"""Scikit-learn's images of digits as inputs of any width: turned by orthonormal rows, which keep cosines."""

from functools import lru_cache

import numpy as np

from sweep.base.arrays import Array
from sweep.base.errors import RequestError
from sweep.kernel.draws import streams

_SET, _TURN = 0, 2  # of the stream: the number of the set, and which part of it


def digits(width: int) -> tuple[Array, Array]:
    """The images, (1797, width) float64, and which digit each is; RequestError where there are none."""
    images, classes = _loaded()
    pixels = images.shape[1]
    drawn = streams.examples(_SET, _TURN, width, pixels)
    turn, triangle = np.linalg.qr(drawn.astype(np.float64))
    turn = turn * np.sign(np.diagonal(triangle))  # (width, pixels), of orthonormal columns
    return images @ turn.T, classes


@lru_cache(maxsize=4)
def unit_digits(width: int) -> Array:
    """The images, each of unit second moment: (1797, width) float32; not to be written to."""
    inputs = np.ascontiguousarray(of_unit_second_moment(digits(width)[0]), np.float32)
    inputs.setflags(write=False)
    return inputs


def of_unit_second_moment(inputs: Array) -> Array:
    """Every row divided by its rms."""
    scaled: Array = inputs / np.sqrt(np.square(inputs).mean(axis=1, keepdims=True))
    return scaled


@lru_cache(maxsize=1)
def _loaded() -> tuple[Array, Array]:
    """(1797, 64) float64, and (1797,) int64."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415  an extra, and half a second

        images, classes = load_digits(return_X_y=True)
    except Exception as error:
        why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise RequestError(
            f"digits: scikit-learn, which has them, cannot be used ({why}): mend it with pip install "
            "--force-reinstall 'sweep[train]', or choose other inputs"
        ) from error
    return np.asarray(images, np.float64), np.asarray(classes, np.int64)
