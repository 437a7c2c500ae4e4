"""Inputs of every kind as their definitions say them, and files of rows to be pushed through."""

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from sweep.base import inputs
from sweep.base.inputs import GAUSSIAN
from sweep.kernel.draws import streams
from sweep.kernel.draws.seeding import generators
from sweep.kernel.inputs.drawn import inputs_of
from sweep.kernel.inputs.files import content_of

CLOSE = 4 * 2.0**-24  # roundings of float32
ISOMETRIC = 1e-5  # of the cosines of images: float32 sums of at most a few hundred
_STUDENT = 9  # the key of its stream
LAWS = ("gamma", "unequal", "alike", "gaps")


def made(name, parameters):
    """The inputs of a kind; of npy, parameters say what the file has: law, rows, width and seed."""
    if name != "npy":
        return inputs.REGISTRY.get(name, **parameters)
    file = _file(**parameters)
    return inputs.REGISTRY.get("npy", file=file, sha256=content_of(file).sha256)


@lru_cache(maxsize=1)
def _folder():
    return tempfile.TemporaryDirectory()


@lru_cache(maxsize=64)
def _file(law, rows, width, seed):
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, size=(rows, width)) - 0.5
    if law == "unequal":
        values = rng.standard_normal((rows, width)) * 10 ** rng.uniform(-6, 6, (rows, 1))
    elif law == "alike":
        values[rows // 2 :] = values[: rows - rows // 2]
    elif law == "gaps":  # rows and columns of zeros
        values[rng.random(rows) < 0.3] = 0
        values[:, rng.random(width) < 0.3] = 0
        values[0, 0] = 1.0
    path = Path(_folder().name) / f"{law}-{rows}-{width}-{seed}.npy"
    np.save(path, values)
    return str(path)


def wrong(of, seed, batch, width):
    """Entries of x that are not what the definition says; of images pairs whose cosine is not."""
    x = inputs_of(of, [seed], batch, width)[0].astype(float)
    if of.name == "digits":
        return _wrong_images(x, seed)
    wanted = _wanted(of, seed, batch, width)
    return int((np.abs(x - wanted) > CLOSE * (np.abs(wanted) + (of.name == "correlated"))).sum())


def _wanted(of, seed, batch, width):
    if of == GAUSSIAN:
        return streams.inputs([seed], batch, width)[0].astype(float)
    if of.name == "correlated":
        own = streams.inputs([seed], batch, width)[0].astype(float)
        common = streams.common_input([seed], width)[0].astype(float)
        return np.sqrt(of.c0) * common + np.sqrt(1 - of.c0) * own
    if of.name == "npy":
        rows = np.load(of.file)
        return rows[streams.rows(seed, len(rows), batch)]
    (rng,) = generators([seed], (_STUDENT, width))
    at_once = max(1, (1 << 16) // (2 * width))
    found = []
    for start in range(0, batch, at_once):
        rows = min(at_once, batch - start)
        words = rng.bit_generator.random_raw(2 * rows * width).reshape(rows, 2, width)
        u, turn = (((words >> np.uint64(11)) + half) * 2.0**-53 for half in (0.5, 0.0))
        radius = np.sqrt(of.df * (u[:, 0] ** (-2 / of.df) - 1))
        found.append(radius * np.cos(2 * np.pi * turn[:, 1]) * np.sqrt((of.df - 2) / of.df))
    return np.concatenate(found)


def _wrong_images(x, seed):
    from sklearn.datasets import load_digits  # noqa: PLC0415  an extra

    images = load_digits().data
    chosen = images[streams.rows(seed, len(images), len(x))]
    cosines = (chosen @ chosen.T) / np.outer(*2 * [np.linalg.norm(chosen, axis=1)])
    return int((np.abs(x @ x.T / x.shape[1] - cosines) > ISOMETRIC).sum())
