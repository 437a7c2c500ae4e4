"""What can be known of an activation once, instead of of every entry: where it is flat, where linear."""

import math
from functools import lru_cache

import numpy as np

from sweep.activations.activation import FLAT_SLOPE, Activation
from sweep.base.arrays import Array
from sweep.base.errors import UserCodeError

_NEAR, _FAR = 2.0**-30, 2.0**30
_SAME = 1e-7
Regions = tuple[tuple[float, float], ...]
# Where f' is looked at: finely as far as tails curve, then coarsely to where nothing curves any more.
_POINTS = np.concatenate([np.arange(64 * 128) / 128, np.geomspace(64, 1e6, 1000)])
_SCANNED = 1024.0  # an activation that goes on waving beyond is looked at ever less often
_STEP = 1 / 64


@lru_cache(maxsize=256)
def flat_regions(act: Activation) -> Regions | None:
    """The intervals of z on which abs(f'(z)) < FLAT_SLOPE, ends included; None where they can't be listed."""
    return None if act.oscillates else _regions(act, _POINTS)


def flat_within(act: Activation, reach: float, rough: tuple[float, ...] = ()) -> Regions:
    """The same for any activation. One whose regions can't be listed is looked at up to abs(z) < reach.

    rough: points about which it is to be looked at, however close they lie.
    """
    listed = flat_regions(act)
    if listed is not None:
        return listed
    near = np.arange(_STEP / 2, min(reach, _SCANNED), _STEP)  # no kink at a round number falls on a point
    if rough:
        ends = np.abs(rough)
        about = np.concatenate([0.75 * ends, ends, 1.25 * ends])
        near = np.append(near, about[about < reach])
    return _regions(act, np.append(near, _SCANNED * 2.0 ** np.arange(1, max(1, math.log2(reach / _SCANNED)))))


@lru_cache(maxsize=256)
def limits(act: Activation) -> tuple[bool, float]:
    """How far f(c z) = c f(z) holds: (near 0, far out).

    Near 0: whether it does for every tiny z, on either side, to float32's precision. Far out: by how
    much f(z) misses its two rays at most, whatever z; inf where it leaves them, as a bounded f does.
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
    """The range that f takes on [-4, 4], rounded outward: tanh (-1, 1), sigmoid (0, 1), relu (0, 4).

    Its ends are such that 0 is a bound of a bin when it is cut into 30.
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
    """0, 1, 2 or 4: the least that `reach` does not exceed, but for a little above 4."""
    return next((end for end in (0.0, 1.0, 2.0) if reach <= end), 4.0)


def _rays(act: Activation, scale: float) -> Array:
    rays: Array = np.asarray(act.f(np.array([-scale, scale])), np.float64) / scale
    return rays


def _missed(act: Activation, rays: Array) -> float:
    """The largest abs(f(z) - ray · z), as far as float64 resolves it."""
    z = np.geomspace(2.0**-20, _FAR, 2000)
    both = np.concatenate([-z, z])
    f = np.asarray(act.f(both), np.float64)
    ray = both * np.repeat([-rays[0], rays[1]], len(z))
    off = np.abs(f - ray)
    largest = float(np.where(off > 4e-16 * np.abs(ray), off, 0.0).max())
    return largest if math.isfinite(largest) else math.inf


def _regions(act: Activation, half: Array) -> Regions:
    """What the points `half`, and their negatives, find: all that is wider than the gaps between them."""
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
    """The brackets of boundaries, narrowed until float64 has nothing in between."""
    for _ in range(64):
        middle = (left + right) / 2
        stays = _is_flat(act, middle) == left_is_flat
        left, right = np.where(stays, middle, left), np.where(stays, right, middle)
    return left, right
