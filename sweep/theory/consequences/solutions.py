"""Where the equations of an activation transform meet: a and b of g(x) = f(a x + b), x ~ N(0, 1).

With g_0 = g less its mean, Q'(1) and C'(1) of g_0 over its variance V are E[x g_0 g'] / V and E[g'²] / V.
DKS asks for Q'(1) = 1 and a C'(1). TAT keeps a shift t: by Stein's lemma E[x g g'] = E[g'²] + E[g g''], so
Q'(1) = C'(1) is E[(g + t) g''] = 0, t follows from it, and Q(1) = C'(1) leaves

    (V - E[g'²]) E[g'']² + E[g_0 g'']² = 0,   E[g''²] / E[g'²] = C''(1).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sweep.activations import Activation, structure_of
from sweep.base.arrays import Array

_REACH, _NODES = 10.0, 16  # φ(10) = 8e-23
_PANELS, _FINER = 20, 50  # of the search, and of the check
_BENDS = 2.0 ** np.arange(-2.0, 6.0)  # in the activation's unit
_X, _WEIGHTS = np.polynomial.legendre.leggauss(_NODES)
_VALUES = np.polynomial.legendre.legvander(_X, _NODES - 1)
# d/dx of the polynomial through a panel's nodes, at the nodes.
_DERIVATIVE = (
    np.stack([np.polynomial.legendre.Legendre.basis(k).deriv()(_X) for k in range(_NODES)], axis=1)
    @ np.linalg.inv(_VALUES)
).T
_SCALES = 2.0 ** np.arange(-14.0, 5.01, 0.25)  # a and b, in the activation's unit
_STEP, _FARTHEST = 0.05, 8
_CHUNK = 1 << 20  # nodes at a time
_CONSTANT = 1e-24  # a variance, in units of the second moment
_MET = 1e-9


@dataclass(frozen=True)
class Moments:
    """Of g(x) = f(a x + b), x ~ N(0, 1), each of a's shape.

    mean; variance; slope: E[g'²]; pull: E[x g_0 g']; bend: E[g'']; across: E[g_0 g'']; bends: E[g''²].
    """

    mean: Array
    variance: Array
    slope: Array
    pull: Array
    bend: Array
    across: Array
    bends: Array


def moments(act: Activation, a: Array, b: Array, panels: int = _PANELS) -> Moments:
    """The moments at every a and b, each (points,), on panels that no kink falls into."""
    apart = np.concatenate([-_BENDS, [0.0], _BENDS]) * act.unit
    breaks = np.union1d(apart, structure_of(act))
    rows = max(1, _CHUNK // (_NODES * (panels + len(breaks))))
    parts = [
        _moments(act, a[start : start + rows, None], b[start : start + rows, None], breaks, panels)
        for start in range(0, len(a), rows)
    ]
    return Moments(*np.concatenate(parts, axis=1))


def _moments(act: Activation, a: Array, b: Array, breaks: Array, panels: int) -> Array:
    """The fields of Moments: (7, points). a, b: (points, 1); breaks: where f is not smooth, or bends."""
    base = np.broadcast_to(np.linspace(-_REACH, _REACH, panels + 1), (len(a), panels + 1))
    edges = np.sort(np.concatenate([base, np.clip((breaks - b) / a, -_REACH, _REACH)], axis=1), axis=1)
    half = np.diff(edges)[..., None] / 2  # (points, panels, 1)
    x = (edges[:, :-1, None] + edges[:, 1:, None]) / 2 + half * _X  # (points, panels, nodes)
    weight = half * _WEIGHTS * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)
    with np.errstate(all="ignore"):
        z = a[..., None] * x + b[..., None]
        g = np.asarray(act.f(z), np.float64)
        slope = a[..., None] * np.asarray(act.derivative(z, g), np.float64)
        bend = np.where(half > 1e-12, slope @ _DERIVATIVE / half, 0.0)
        mean = (weight * g).sum(axis=(1, 2))
        apart = g - mean[:, None, None]
        of = (apart * apart, slope * slope, x * apart * slope, bend, apart * bend, bend * bend)
        found = np.stack([mean, *((weight * values).sum(axis=(1, 2)) for values in of)])
        # Where g is constant but for rounding its moments are rounding, too.
        return np.where(found[1] > _CONSTANT * (weight * g * g).sum(axis=(1, 2)), found, np.nan)


Equations = Callable[[Moments], tuple[Array, Array]]


def dks(steepness: float) -> Equations:
    """Q'(1) - 1, and C'(1) - 1 over what it is to be, less 1."""

    def equations(of: Moments) -> tuple[Array, Array]:
        return of.pull / of.variance - 1, (of.slope / of.variance - 1) / (steepness - 1) - 1

    return equations


def tat(curvature: float) -> Equations:
    """What Q(1) = Q'(1) = C'(1) leave, and C''(1) over what it is to be, less 1."""

    def equations(of: Moments) -> tuple[Array, Array]:
        together = ((of.variance - of.slope) * of.bend**2 + of.across**2) / of.bends**2
        return together, of.bends / of.slope / curvature - 1

    return equations


@dataclass(frozen=True)
class Found:
    """The solution (a, b), if any; the least and the most of the second equation wherever looked."""

    solution: tuple[float, float] | None
    least: float
    most: float


def nearest(act: Activation, equations: Equations) -> Found:
    """Look for a > 0 and b, the smaller abs(b) first; of b and -b, as an odd f has them, the positive."""
    least, most = np.inf, -np.inf
    for start in range(_FARTHEST):
        aside = np.arange(start, start + 1 + _STEP / 2, _STEP) * act.unit
        near: list[tuple[float, float]] = []
        for shifts in (aside, -aside):
            roots, seconds = _roots(act, equations, shifts)
            least, most = min([least, *seconds]), max([most, *seconds])
            near += [root for root in roots if abs(root[1]) <= (start + 1) * act.unit]
        if near:
            farthest = min(abs(b) for _, b in near) + 1e-7 * act.unit  # equal but for rounding
            alike = [root for root in near if abs(root[1]) <= farthest]
            return Found(max(alike, key=lambda root: root[1]), least, most)
    return Found(None, least, most)


def _roots(
    act: Activation, equations: Equations, shifts: Array
) -> tuple[list[tuple[float, float]], list[float]]:
    """Solutions from every cell of scales and shifts in which both equations change their sign.

    And the second equation at its corners.
    """
    scales = _SCALES * act.unit
    a, b = np.meshgrid(scales, shifts, indexing="ij")
    with np.errstate(all="ignore"):
        first, second = (e.reshape(a.shape) for e in equations(moments(act, a.ravel(), b.ravel())))
    rows, columns = np.nonzero(_changes(first) & _changes(second))
    middles = zip(
        np.sqrt(scales[rows] * scales[rows + 1]).tolist(),
        ((shifts[columns] + shifts[columns + 1]) / 2).tolist(),
        strict=True,
    )
    solved = [_solved(act, equations, *middle) for middle in middles]
    return [root for root in solved if root], second[np.isfinite(second)].tolist()


def _changes(values: Array) -> Array:
    """Whether the corners of each cell differ in sign; False where one is NaN."""
    corners = np.stack([values[:-1, :-1], values[1:, :-1], values[:-1, 1:], values[1:, 1:]])
    changes: Array = (corners.min(axis=0) <= 0) & (corners.max(axis=0) >= 0)
    return changes


def _solved(act: Activation, equations: Equations, a: float, b: float) -> tuple[float, float] | None:
    """The solution that Newton's steps from a and b lead to; None where they lead to none."""
    from scipy.optimize import root  # noqa: PLC0415

    def missed(point: Array, panels: int = _PANELS) -> Array:
        with np.errstate(all="ignore"):
            of = moments(act, np.exp(point[:1]), point[1:] * act.unit, panels)
            values = np.concatenate(equations(of))
        return np.where(np.isfinite(values), values, 1e3)

    result = root(missed, [np.log(a), b / act.unit], tol=1e-13)
    point = np.asarray(result.x)
    if not np.abs(point[0]) < 50 or np.abs(missed(point, _FINER)).max() > _MET:  # or an artefact of panels
        return None
    return float(np.exp(point[0])), float(point[1]) * act.unit
