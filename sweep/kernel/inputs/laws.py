"""The law of inputs as theory needs it: a few second moments and cosines, weighted, that stand for all.

They are the nodes of Gauss quadrature for log q and for the cosines, so that the mean of any smooth function
of them is that over all inputs. `correlated` is known exactly; of `student` a large sample is drawn, the same
for all seeds; of images and files all rows count, of large files _ROWS of them, and for cosines the pairs of
_PAIRED.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from sweep.base.arrays import Array
from sweep.base.inputs import Inputs
from sweep.kernel.draws import streams
from sweep.theory.gaussian.mixtures import UNIT, Law
from sweep.theory.gaussian.nodes import gauss, shares

_SIZES, _PAIR_SIZES, _COSINES, _COSINES_ALONE = 8, 4, 3, 8  # nodes
_ROWS, _PAIRED = 4096, 1024
_NUMBERS, _LEAST_ROWS = 1 << 22, 64  # of a sample of `student`, or of a file of long rows
_ONE_SIZE = 1e-3  # a spread of log q that makes no difference
_NOTHING = 1e-300  # the second moment of an input of zeros, of which log q would not be a number
_LEAST = 1e-9  # a share that makes no difference


@lru_cache(maxsize=64)
def law_of(inputs: Inputs, width: int) -> Law:
    """That of inputs of this kind and width; InputError where a file is gone, or another one."""
    if inputs.name == "correlated":
        return Law(pairs=((1.0, 1.0, inputs.c0, 1.0),))
    if inputs.name == "student":
        return _of_student(width, inputs.df)
    if inputs.name == "digits":
        from sweep.kernel.inputs.digits import unit_digits  # noqa: PLC0415  scikit-learn

        return _of_rows(unit_digits(width).astype(np.float64))
    if inputs.name == "npy":
        from sweep.kernel.inputs import files  # noqa: PLC0415  files are read where there are any

        return _of_rows(files.sample_of(inputs, max(_LEAST_ROWS, min(_ROWS, _NUMBERS // width))))
    return UNIT


def _of_student(width: int, df: float) -> Law:
    """That of independent entries: only the sizes differ, and two inputs are orthogonal but for chance."""
    count = max(_LEAST_ROWS, min(2 * _ROWS, _NUMBERS // width))
    log_q = np.log(
        np.square(streams.student_inputs([0], count, width, df)[0].astype(np.float64)).mean(axis=1)
    )
    few = _nodes(log_q, _PAIR_SIZES)
    pairs = [(q, other, 0.0, share * beside) for q, share in few for other, beside in few if q <= other]
    return Law(_nodes(log_q, _SIZES), tuple((q, r, c, s if q == r else 2 * s) for q, r, c, s in pairs))


def _of_rows(x: Array) -> Law:
    """That of all the rows; x: (rows, width) float64."""
    q = np.square(x).mean(axis=1)
    there = q > 0
    none, log_q = 1 - there.mean(), np.log(q[there])
    sizes = tuple((size, share * (1 - none)) for size, share in _nodes(log_q, _SIZES))
    if none:
        sizes = (*sizes, (_NOTHING, float(none)))
    mean = float(x.mean())
    alone = ((sizes[0][0], sizes[0][0], math.nan, 1.0),)  # no two of them that are not 0
    return Law(sizes, tuple(_pairs(x[there], log_q)) or alone, mean)


def _pairs(x: Array, log_q: Array) -> Iterator[tuple[float, float, float, float]]:
    """(q, q', cosine, share) of pairs of rows, none of which is 0."""
    if len(x) > _PAIRED and log_q.std() >= _ONE_SIZE:
        chosen = streams.rows(0, len(x), _PAIRED)
        x, log_q = x[chosen], log_q[chosen]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    nodes = _nodes(log_q, _PAIR_SIZES)
    order = np.argsort(log_q, kind="stable")
    of = shares(np.full(len(x), 1 / len(x)), np.array([share for _, share in nodes])).argmax(axis=0)
    place = np.empty(len(x), np.int64)
    place[order] = of  # the node of each row
    everyone = len(x) * (len(x) - 1) / 2
    for a in range(len(nodes)):
        for b in range(a, len(nodes)):
            first, second = np.flatnonzero(place == a), np.flatnonzero(place == b)
            cosines = unit[first] @ unit[second].T
            cosines = cosines[np.triu_indices(len(first), 1)] if a == b else cosines.ravel()
            if not cosines.size:
                continue
            for c, share in _weighted(cosines, _COSINES_ALONE if len(nodes) == 1 else _COSINES):
                yield nodes[a][0], nodes[b][0], min(max(c, -1.0), 1.0), share * cosines.size / everyone


def _nodes(log_q: Array, count: int) -> tuple[tuple[float, float], ...]:
    """Second moments that stand for these, and their shares."""
    if log_q.std() < _ONE_SIZE:
        return ((float(np.exp(log_q).mean()), 1.0),)
    return tuple((float(np.exp(point)), share) for point, share in _weighted(log_q, count))


def _weighted(values: Array, count: int) -> list[tuple[float, float]]:
    """The nodes of Gauss quadrature for the law of these values, with their shares."""
    points, weights = gauss(values, np.full(len(values), 1 / len(values)), count)
    kept = weights > _LEAST
    return list(zip(points[kept].tolist(), (weights[kept] / weights[kept].sum()).tolist(), strict=True))
