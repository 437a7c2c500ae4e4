"""Where the maps settle: fixed points, how fast signals reach them, and the edge of chaos.

With z ~ N(0, v), (u1, u2) of variance v and correlation c, f = act:

    V(v) = sigma_w² E[f(z)²] + sigma_b²                      variance map; v: V(v) = v
    C(c) = (sigma_w² E[f(u1) f(u2)] + sigma_b²) / v          correlation map; c: C(c) = c
    chi1 = sigma_w² E[f'(z)²] = C'(1);   xi = -1 / log |slope|, of V at v and of C at c

Poole et al. 2016 (v, c, chi1), Schoenholz et al. 2017 (xi).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.theory.gaussian.correlation import pair, slope_of_pair
from sweep.theory.gaussian.moments import Act, Gaussian, gaussian

_STEP = 1.25  # in scale, while looking for a fixed point
_NOTHING, _INFINITE = 1e-7, 1e12  # scales beyond which the variance has vanished or diverged
_LIMIT = 1e-15  # a scale at which every activation is its two slopes at 0
_ROUNDING = 1e-14
_LEVEL = 5.0  # multiples of the noise: a larger growth is real
CRITICAL = 1e-12  # chi1 this close to 1 is 1
_MOST_STEPS, _FEW_STEPS = 2000, 300  # the second where act' is not known
_SAFETY = 4.0  # how much faster than here the slope may change nearby
_FARTHEST = 0.5  # in log v: the longest step
_POWER_LAW = 60.0  # abs(log v) from which on act is a power law to all its digits
_CLOSE, _NEAR = 1e-3, 1e-2  # in log v: a stretch that holds at most one fixed point; a distance close to one


@dataclass(frozen=True)
class FixedPoint:
    """Where signals settle: pre-activation variance v and correlation c, with their depth scales.

    chi1 = sigma_w² E[act'²] at v: the factor of E[δ²] per layer. slope = dV/dv = sigma_w² E[z act act']/v:
    the variance returns to v where it is below 1 in size. xi_q = -1/log |dV/dv|, xi_c = -1/log(sigma_w²
    E[act'(u1) act'(u2)]) at c: the layers in which v and c come e-fold closer; inf where critical.
    """

    v: float
    c: float
    chi1: float
    slope: float
    xi_q: float
    xi_c: float


def fixed_point(act: Act, sigma_w: float, sigma_b: float = 0.0, q0: float = 1.0) -> FixedPoint:
    """Where inputs of second moment q0 settle: Poole et al. 2016 (v, c, chi1), Schoenholz et al. 2017 (xi).

    v is where iterating the variance map V(v) = sigma_w² E[act²] + sigma_b² from there ends; c is the
    stable fixed point of the correlation map at v, 1 where chi1 <= 1. Where v diverges, v = inf, chi1 is its
    limit and the rest NaN; where act' is not known, all but v; where v does not settle, all (a user's
    function whose E[act²] falls with v, or whose act' is not known where v moves slowly). Raises
    RequestError where a value breaks its rule.
    """
    sigma_w, sigma_b = checks.real("sigma_w", sigma_w, 0.0), checks.real("sigma_b", sigma_b, 0.0)
    q0 = checks.real("q0", q0, 0.0, strictly=True)
    means_of = gaussian(act)
    start = math.hypot(sigma_w * math.sqrt(q0), sigma_b)
    if start == 0 < sigma_w:  # too small a number
        start = means_of.scales[0]
    scale = settle(means_of, sigma_w, sigma_b, start)
    if math.isnan(scale):
        return FixedPoint(*(math.nan,) * 6)
    if scale == math.inf:
        return FixedPoint(math.inf, math.nan, _limit_of_chi1(means_of, sigma_w), *(math.nan,) * 3)
    at = means_of.at(scale or _LIMIT)
    v, chi1 = _square(scale), _square(sigma_w * at.slope_rms)
    share = _square(sigma_w * at.rms / (scale or _LIMIT))
    if math.isnan(chi1):  # the slope of act is not known
        return FixedPoint(v, *(math.nan,) * 5)
    slope = share * at.elasticity
    c = settle_correlation(means_of, scale, min(share, 1.0)) if scale and chi1 > 1 + CRITICAL else 1.0
    slopes = chi1 if c == 1 else _square(sigma_w * slope_of_pair(means_of, scale, c))
    return FixedPoint(v, c, chi1, slope, depth_scale(slope), depth_scale(slopes))


def critical_sigma_w(act: Act, sigma_b: float = 0.0) -> float:
    """The edge of chaos: sigma_w at which chi1 = 1 at a stable fixed point of the variance map.

    v = sigma_w² E[act²] + sigma_b² and sigma_w² E[act'²] = 1 give v - E[act²]/E[act'²] = sigma_b², which is
    solved for v where dV/dv < 1; sigma_w = 1/√E[act'²]. At sigma_b = 0 it is the limit v -> 0 where that
    exists, as for tanh (1) and ReLU (√2). Raises RequestError, which says why, where there is none. Poole et
    al. 2016; Hayou et al. 2019.
    """
    sigma_b = checks.real("sigma_b", sigma_b, 0.0)
    means_of = gaussian(act)
    if unknown := means_of.without_slope():
        raise RequestError(unknown)
    limit, repels = None, False
    if sigma_b == 0:
        limit, repels = _critical_limit(means_of)
        if limit is not None and not repels:
            return limit
    unstable: list[tuple[float, float]] = []
    if not means_of.act.homogeneous:
        for scale in _crossings(lambda s: _excess(means_of, s) - _square(sigma_b / s), _farthest(sigma_b)):
            at = means_of.at(scale)
            slope = _square(at.rms / (scale * at.slope_rms)) * at.elasticity
            if slope < 1:
                return 1 / at.slope_rms
            unstable.append((_square(scale), slope))
    raise RequestError(_why_not(means_of, sigma_b, unstable, repels))


def settle(means_of: Gaussian, sigma_w: float, sigma_b: float, scale: float) -> float:
    """The scale sqrt(v) at which the variance map, iterated from `scale`, comes to rest: 0, inf or between.

    NaN where it does not. Let t = log v and g(t) = log V(v) - t. Where V rises, a step of the map never
    passes a fixed point. Neither does the d that solves g(t) - (1 - e) d - m d² / 2 = 0, for that is no more
    than g(t + d), e being the slope of log V and m a bound on how fast it falls; it converges quadratically.
    Where V falls the map itself is iterated.
    """
    if scale == 0 or means_of.act.homogeneous:
        return _settle_line(means_of, sigma_w, sigma_b, scale) if scale else 0.0

    def at(t: float) -> _Growth:
        return _growth(means_of, sigma_w, sigma_b, t)

    least, most = means_of.scales
    scale = min(max(scale, least), most)
    low, high = 2 * math.log(_NOTHING * min(1.0, scale)), 2 * math.log(_INFINITE * max(1.0, scale))
    t = 2 * math.log(scale)
    for _ in range(_FEW_STEPS if math.isnan(means_of.at(scale).elasticity) else _MOST_STEPS):
        here = at(t)
        if abs(here.growth) <= _noise(t):
            drift = _drift(at, t)
            if drift == 0:
                return math.exp(t / 2)
            if drift * t > 0:
                return math.inf if drift > 0 else 0.0
            t += drift
            continue
        step, ended = _follow(at, t, here, _farthest_step(t, here))
        t += step
        if ended or not low < t < high:
            return math.exp(t / 2) if ended else math.inf if t >= high else 0.0
    return math.nan


def _farthest_step(t: float, here: "_Growth") -> float:
    """The longest step from t: far from v = 1, where act is a power law, halfway to where it is not."""
    inward = here.growth * t < 0
    return max(_FARTHEST, (abs(t) - _POWER_LAW) / 2) if inward else _FARTHEST


def _drift(at: "Callable[[float], _Growth]", t: float) -> float:
    """Which way the map goes at t, where rounding hides its growth: 0 at a fixed point or where it stays.

    Away from v = 1 a map may approach v itself ever more closely; it goes the way that it goes nearer to 1.
    """
    if abs(at(t + math.copysign(0.5, t)).growth) > _LEVEL * _noise(t):
        return 0.0
    for distance in range(1, int(abs(t)) + 2):
        growth = at(t - math.copysign(distance, t)).growth
        if abs(growth) > _LEVEL * _noise(t):
            return math.copysign(1.0, growth)
    return 0.0


def _noise(t: float) -> float:
    """The largest growth at t that may be rounding."""
    return _ROUNDING * (2 + abs(t) / 20)


def _follow(at: "Callable[[float], _Growth]", t: float, here: "_Growth", most: float) -> tuple[float, bool]:
    """The step to take from t, which passes no fixed point, and whether it ends at one."""
    step = _step(here, most)
    while here.slope >= 0 and math.isfinite(step):
        there = at(t + step).growth
        if there * here.growth >= 0:
            break
        if abs(there) <= _noise(t):
            return step, False
        if abs(step) <= max(_CLOSE, abs(here.growth)):  # no room for a second fixed point
            root = _root(lambda s: at(2 * math.log(s)).growth, math.exp(t / 2), math.exp((t + step) / 2))
            return 2 * math.log(root) - t, True
        step /= 2
    return step, abs(step) <= _ROUNDING


@dataclass(frozen=True)
class _Growth:
    """At t = log v: growth = log V - t, slope = d log V / dt, bend = d slope / dt."""

    growth: float
    slope: float
    bend: float


def _growth(means_of: Gaussian, sigma_w: float, sigma_b: float, t: float) -> _Growth:
    scale = math.exp(t / 2)
    at = means_of.at(scale)
    signal = sigma_w * at.rms
    mapped = math.hypot(signal, sigma_b)
    if mapped == 0:
        return _Growth(-math.inf, 0.0, 0.0)
    share = (signal / mapped) ** 2 if signal < math.inf else 1.0
    slope = share * at.elasticity
    ratio = mapped / scale
    growth = math.log(ratio) if 0 < ratio < math.inf else math.log(mapped) - math.log(scale)
    return _Growth(2 * growth, slope, share * at.curvature + slope - slope**2)


def _step(here: _Growth, most: float) -> float:
    """How far in t the map may be followed at once; where it rises, no less than its own step."""
    size = abs(here.growth)
    if size == math.inf:
        return here.growth
    if not here.slope >= 0:  # or unknown, as act' is
        near = size < _NEAR and here.slope > -1  # it circles a fixed point that attracts
        return here.growth / (1 - here.slope) if near else here.growth
    fall, bound = 1 - here.slope, _SAFETY * abs(here.bend) + size
    step = 2 * size / (fall + math.sqrt(fall * fall + 2 * bound * size))
    return math.copysign(min(max(step, min(size, most)), most), here.growth)


def _settle_line(means_of: Gaussian, sigma_w: float, sigma_b: float, scale: float) -> float:
    """Where V(v) = a v + sigma_b² takes v."""
    factor = sigma_w * means_of.at(1.0).rms
    if abs(factor - 1) <= _ROUNDING:
        return scale if sigma_b == 0 else math.inf
    if factor > 1:
        return math.inf
    return sigma_b / math.sqrt((1 - factor) * (1 + factor))


def _root(function: Callable[[float], float], a: float, b: float) -> float:
    from scipy.optimize import brentq  # noqa: PLC0415

    if not math.isfinite(function(b)):  # nothing comes through
        return b
    root = brentq(lambda t: function(math.exp(t)), math.log(a), math.log(b), xtol=1e-15, rtol=1e-15)
    return math.exp(root)


def settle_correlation(means_of: Gaussian, scale: float, share: float) -> float:
    """The fixed point below 1 of C(c) = share · cosine(c) + 1 - share, which is convex."""
    from scipy.optimize import brentq  # noqa: PLC0415

    def pull(c: float) -> float:
        mapped = share * pair(means_of, scale, c).cosine + (1 - share)
        return (mapped - c) / (1 - c)  # without the root at 1

    if pull(0.0) <= _ROUNDING:
        return 0.0
    for exponent in range(1, 8):
        near = 1 - 10.0**-exponent
        if math.isnan(pull(near)):
            return math.nan
        if pull(near) < 0:
            return float(brentq(pull, 0.0, near, xtol=1e-14))
    return 1.0


def depth_scale(slope: float) -> float:
    """-1 / ln(slope): 0 for a map that forgets at once, inf for one that does not."""
    if math.isnan(slope):
        return math.nan
    if abs(slope) >= 1 - CRITICAL:
        return math.inf
    return -1 / math.log(abs(slope)) if slope else 0.0


def _limit_of_chi1(means_of: Gaussian, sigma_w: float) -> float:
    near, far = (_square(sigma_w * means_of.at(scale).slope_rms) for scale in (1e9, _INFINITE))
    return math.inf if far >= 2 * near else far  # NaN where act' is not known


def _square(size: float) -> float:
    """inf, not an error, where it overflows."""
    return size * size


def _excess(means_of: Gaussian, scale: float) -> float:
    """(v - E[act²] / E[act'²]) / v: sigma_b² / v of the network with chi1 = 1 at its fixed point v."""
    at = means_of.at(scale)
    excess = 1 - (at.rms / (scale * at.slope_rms)) ** 2 if at.slope_rms else -math.inf
    return 0.0 if abs(excess) < _ROUNDING else excess


def _critical_limit(means_of: Gaussian) -> tuple[float | None, bool]:
    """sigma_w with chi1 = 1 as v -> 0 without bias, and whether v = 0 repels there; None: v stays above 0."""
    ratio = means_of.at(_LIMIT).rms / _LIMIT
    if not 0 < ratio < 1e6 or abs(_excess(means_of, _LIMIT)) > 1e-6:
        return None, False
    return 1 / ratio, any(means_of.at(s).rms / s > ratio * (1 + 1e-10) for s in (1e-3, 1e-2))


def _farthest(sigma_b: float) -> float:
    """Where to look for the edge of chaos to: far out the excess of gelu and its like is some 1 / scale."""
    return min(max(1e6, 100 * sigma_b * sigma_b), _INFINITE)


def _crossings(function: Callable[[float], float], farthest: float) -> Iterator[float]:
    """The scales at which `function` changes its sign, from small to large."""
    scale, before = 1e-6, function(1e-6)
    while scale < farthest:
        further = scale * _STEP
        after = function(further)
        if before and after and (before > 0) != (after > 0) and math.isfinite(before + after):
            yield _root(function, scale, further)
        scale, before = further, after


def _why_not(means_of: Gaussian, sigma_b: float, unstable: list[tuple[float, float]], repels: bool) -> str:
    act = means_of.act
    line = f"act {act.formula or act.name} has no edge of chaos at sigma_b={sigma_b:g}: "
    if unstable:
        v, slope = unstable[0]
        return line + f"where chi1 = 1 the variance's fixed point v = {v:.4g} repels (dV/dv = {slope:.4g})"
    if repels:
        return line + "where chi1 = 1 the variance's fixed point v = 0 repels"
    if act.homogeneous and sigma_b:
        return line + "chi1 = 1 at every v or at none, and there the biases make v grow without bound"
    return line + "chi1 = 1 at no fixed point of the variance"
