"""What is worked out once per activation, not per entry: where it is flat, where linear, its range."""

import math
from functools import lru_cache

import numpy as np

from sweep.activations.activation import FLAT_SLOPE, Activation
from sweep.base.arrays import Array
from sweep.base.errors import UserCodeError

_NEAR, _FAR = 2.0**-30, 2.0**30
_SAME = 1e-7
Regions = tuple[tuple[float, float], ...]
# Where f' is sampled: finely as far as tails curve, then coarsely to where nothing curves any more.
_POINTS = np.concatenate([np.arange(64 * 128) / 128, np.geomspace(64, 1e6, 1000)])
_SCANNED = 1024.0  # beyond, an activation that goes on oscillating is sampled ever more sparsely
_STEP = 1 / 64


@lru_cache(maxsize=256)
def flat_regions(act: Activation) -> Regions | None:
    """The closed intervals of z on which abs(f'(z)) < FLAT_SLOPE; None where they cannot be listed."""
    return None if act.oscillates else _regions(act, _POINTS * act.unit)


def flat_within(act: Activation, reach: float, rough: tuple[float, ...] = ()) -> Regions:
    """The same for any activation: one whose regions cannot be listed is sampled up to abs(z) < reach.

    rough: points around which it is sampled as well, however close they lie.
    """
    listed = flat_regions(act)
    if listed is not None:
        return listed
    scanned, step = _SCANNED * act.unit, _STEP * act.unit
    near = np.arange(step / 2, min(reach, scanned), step)  # no kink at a round number falls on a point
    if rough:
        ends = np.abs(rough)
        about = np.concatenate([0.75 * ends, ends, 1.25 * ends])
        near = np.append(near, about[about < reach])
    return _regions(act, np.append(near, scanned * 2.0 ** np.arange(1, max(1, math.log2(reach / scanned)))))


@lru_cache(maxsize=256)
def limits(act: Activation) -> tuple[bool, float]:
    """How far f(c z) = c f(z) holds: (near 0, far out).

    Near 0: whether it holds for every tiny z, on either side, to float32's precision. Far out: the most by
    which f(z) misses its two rays, over all z; inf where it leaves them, as a bounded f does.
    """
    try:
        with np.errstate(all="ignore"):
            near, nearer, far, farther = (_rays(act, scale) for scale in (_NEAR, _NEAR**6, _FAR, _FAR**6))
            straight = bool(np.abs(far - farther).max() <= _SAME * np.abs(far).max())
            missed = _missed(act, farther) if straight else math.inf
    except UserCodeError:  # a user's function that is not defined everywhere
        return False, math.inf
    return bool((np.abs(near - nearer) <= _SAME * np.abs(near)).all()), missed


@lru_cache(maxsize=256)
def histogram_range(act: Activation) -> tuple[float, float]:
    """The range of f on [-4, 4], rounded outward: tanh (-1, 1), sigmoid (0, 1), relu (0, 4).

    Cut into 30 bins, it has 0 among their edges.
    """
    try:
        with np.errstate(all="ignore"):
            h = np.asarray(act.f(np.linspace(-4, 4, 1025)), dtype=np.float64)
    except UserCodeError:  # a user's function that is not defined everywhere
        return -1.0, 1.0
    if not np.isfinite(h).all():
        return -1.0, 1.0
    low, high = _outward(-h.min()), _outward(h.max())
    return (-low + 0.0, high) if low + high else (-1.0, 1.0)


def _outward(reach: float) -> float:
    """The least of 0, 1, 2 and 4 that `reach` does not exceed; 4 beyond."""
    return next((end for end in (0.0, 1.0, 2.0) if reach <= end), 4.0)


def _rays(act: Activation, scale: float) -> Array:
    rays: Array = np.asarray(act.f(np.array([-scale, scale])), np.float64) / scale
    return rays


def _missed(act: Activation, rays: Array) -> float:
    """The largest abs(f(z) - ray · z), as far as float64 resolves it."""
    z = np.geomspace(2.0**-20, _FAR, 2000)
    both = np.concatenate([-z, z])
    ray = both * np.repeat([-rays[0], rays[1]], len(z))
    off = np.abs(np.asarray(act.f(both), np.float64) - ray)
    largest = float(np.where(off > 4e-16 * np.abs(ray), off, 0.0).max())
    return largest if math.isfinite(largest) else math.inf


def _regions(act: Activation, half: Array) -> Regions:
    """The regions that the points `half` and their negatives reveal: all that are wider than their gaps."""
    z = np.unique(np.concatenate([-half, half]))
    flat = _is_flat(act, z)
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    inner, outer = _bisected(act, z[changes], z[changes + 1], flat[changes])
    # Of the two points that bracket a boundary, the flat one belongs to the region.
    ends = [float(i if f else o) for i, o, f in zip(inner, outer, flat[changes], strict=True)]
    if flat[0]:
        ends.insert(0, -math.inf)
    if flat[-1]:
        ends.append(math.inf)
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def _is_flat(act: Activation, z: Array) -> Array:
    with np.errstate(all="ignore"):
        flat: Array = np.abs(act.derivative(z, act.f(z))) < FLAT_SLOPE
    return flat


def _bisected(act: Activation, left: Array, right: Array, left_is_flat: Array) -> tuple[Array, Array]:
    """The brackets of boundaries, narrowed to neighbouring float64 numbers."""
    for _ in range(64):
        middle = (left + right) / 2
        stays = _is_flat(act, middle) == left_is_flat
        left, right = np.where(stays, middle, left), np.where(stays, right, middle)
    return left, right
