"""f' of a function that comes without one: polynomials on panels that no kink falls into.

They are found at the first call, once per process, where the user's code runs. Beyond the panels that can be
listed f' is a difference quotient, and NaN where that does not settle.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from sweep.activations.polynomials import Table
from sweep.activations.refine import DEGREE, PROBES, ROUNDING, Panels, noise_of, panels_of
from sweep.base.arrays import Array
from sweep.base.user_code import UserFunction

Function = Callable[[Array], Array]

_LISTED = 2.0**-10  # with too many panels even for abs(z) this small there is no slope
_MOST_KINKS = 500  # that are reported
_MOST_STEPS = 2000  # from -1 to 1: rounding to fewer bits has more
_STAIRCASE = "it has more steps than can be listed"
_QUANTUM = 4.0  # times what float32 resolves: steps above that are the function's own
_ALONE = 1e-6  # of its values: how much an elementwise function may differ in an array of other numbers
_STEP = 2.0**-7  # of the narrowest panel nearby
_SETTLED = 1e-4
_LEAST_STEP = 32 * ROUNDING
_ROUNDS = 4
_MOST_RAISED = 1000  # exceptions of a user's function that never returned anything
_ROUGH = 64.0  # abs(z) up to which narrow panels are reported
_NEAREST = 2.0**-60
_FURTHEST = 1e100  # beyond it kinks are where something overflows
_NOTHING = 1e-290  # next to underflow no jump is looked for


class Slopes:
    """f' of one function, for arrays of any shape.

    reason: why there is no slope anywhere; None where there is one. kinks: where f, f' or f'' jumps.
    ends: of its rough parts and, next to 0, of its panels.
    """

    def __init__(self, function: Function) -> None:
        self._function = function
        self._raised, self._returned = 0, False
        self.kinks: tuple[float, ...] = ()
        self.ends: tuple[float, ...] = ()
        self._table: Table | None = None
        self._beyond = math.inf  # abs(z) from which difference quotients are taken
        with np.errstate(all="ignore"):
            noise = noise_of(self._f)
            self.reason = _unfit(self._f, noise)
            if self.reason is None:
                self._read(panels_of(self._f, noise), noise)

    def __call__(self, z: Array) -> Array:
        """f'(z) in z's dtype; at a kink the left limit; NaN where it is not known."""
        if self._table is None:
            return np.full_like(z, np.nan)
        slope = self._table(z)
        if self._beyond < math.inf and (far := (np.abs(z) > self._beyond) & np.isfinite(z)).any():
            with np.errstate(all="ignore"):
                slope[far] = self._quotients(z[far].astype(np.float64))
        return slope

    def _read(self, panels: Panels, noise: float) -> None:
        local = _Local.of(panels, noise)
        kinks = local.kinks()
        self.kinks = tuple(kinks[:_MOST_KINKS].tolist())
        if np.count_nonzero(np.abs(kinks) <= 1) > _MOST_STEPS and not np.median(np.abs(panels.secant)):
            self.reason = _STAIRCASE
        away = panels.away
        if (away[panels.missed & (away <= 1)] > _LISTED).any():
            self.reason = "its difference quotients do not converge, or it has too many kinks"
        if self.reason is not None:
            return
        self.ends = _rough_parts(panels)
        self._table = Table(panels.left[1:], local.origin, local.reach, local.powers)
        if panels.missed[-1] or panels.missed[0]:
            self._beyond = float(away[~panels.missed].max())
            nearby = ~panels.missed & (away > self._beyond / 4)
            self._step = float(panels.width[nearby].min()) * _STEP
            self._typical = float(np.median(np.abs(panels.secant[nearby])))
            self._check_beyond()

    def _check_beyond(self) -> None:
        """Give the quotients up where they do not settle, or where all are 0 though the function changes."""
        z = self._beyond * np.linspace(1.0, 4.0, 301)[1:] * (1 + 1e-3 * math.pi)
        z = np.concatenate([-z, z])
        slopes, values = self._quotients(z), self._f(z)
        known = np.isfinite(slopes)
        steps = not slopes[known].any() and np.ptp(values[np.isfinite(values)]) > 0
        if steps or known.mean() < 0.9:
            self._beyond = math.inf  # NaN, as in the table

    def _quotients(self, z: Array) -> Array:
        """Central differences, extrapolated (Richardson); steps shrink until two lengths agree."""
        slope, step = np.full(z.shape, np.nan), self._step
        for _ in range(_ROUNDS):
            todo = np.isnan(slope) & (step >= _LEAST_STEP * np.abs(z))
            if not todo.any():
                break
            x = z[todo]
            up, down, nearer_up, nearer_down = x + step, x - step, x + step / 2, x - step / 2
            values = self._f(np.concatenate([up, down, nearer_up, nearer_down])).reshape(4, -1)
            wide = (values[0] - values[1]) / (up - down)
            close = (values[2] - values[3]) / (nearer_up - nearer_down)
            agree = np.abs(wide - close) <= _SETTLED * np.maximum(np.abs(close), self._typical)
            slope[todo] = np.where(agree, (4 * close - wide) / 3, np.nan)
            step /= 8
        return slope

    def _f(self, z: Array) -> Array:
        """The function of a float64 array (n,); NaN where it raises or returns what it should not."""
        try:
            values = np.asarray(self._function(z.copy()))  # which it may write to
        except Exception:  # a user's code may raise anything where it is not defined
            self._raised += 1
            if len(z) < 2 or (self._raised > _MOST_RAISED and not self._returned):
                return np.full(len(z), np.nan)
            half = len(z) // 2
            return np.concatenate([self._f(z[:half]), self._f(z[half:])])
        self._returned = True
        if values.shape != z.shape or values.dtype.kind not in "fiu":
            return np.full(z.shape, np.nan)
        return values.astype(np.float64, copy=False)


@dataclass(frozen=True)
class _Same:
    """A function compared by identity and keywords: closures of one source differ."""

    identity: int
    keywords: str
    function: Function = field(compare=False)


def slopes_of(function: Function) -> Slopes:
    """The slopes of a function, found once."""
    if isinstance(function, UserFunction):  # which is made anew for every cell
        return _slopes(_Same(id(function.function), repr(function.keywords), function))
    return _slopes(_Same(id(function), "", function))


@lru_cache(maxsize=64)
def _slopes(same: _Same) -> Slopes:
    return Slopes(same.function)


def _rough_parts(panels: Panels) -> tuple[float, ...]:
    """The powers of two near 0 among the panels' ends, and where runs of narrow panels start and end."""
    left, away = panels.left, panels.away
    near = (np.abs(left) <= 1) & (np.abs(left) > _NEAREST) & (np.abs(np.frexp(left)[0]) == 0.5)
    narrow = (panels.width < away / 16) & (away < _ROUGH)
    runs = left[1:][narrow[1:] != narrow[:-1]]
    return tuple(np.union1d(left[near], runs[:_MOST_KINKS]).tolist())


def _unfit(f: Function, noise: float) -> str | None:
    """Why f has no slope, as far as a few points tell."""
    values = f(PROBES)
    others = f(np.concatenate([PROBES[::-1], 1.7 * PROBES[:7]]))[: len(PROBES)][::-1]
    finite = np.isfinite(values) & np.isfinite(others)
    if (np.abs(values - others)[finite] > _ALONE * np.abs(values[finite]).max(initial=0.0)).any():
        return "what it returns for one z depends on the others, or on chance"
    if noise > 2.0**-40 and _is_staircase(f):
        return _STAIRCASE
    return None


def _is_staircase(f: Function) -> bool:
    """Whether f is flat between jumps that are larger than float32's own."""
    grid = np.arange(64)
    fine = np.diff(f((PROBES[:, None] * (1 + grid * 2.0**-32)).ravel()).reshape(-1, 64), axis=1)
    values = f((PROBES[:, None] * (1 + grid * 2.0**-23)).ravel()).reshape(-1, 64)
    jumps = np.abs(np.diff(values, axis=1))
    with np.errstate(all="ignore"):
        quantum = np.where(jumps > 0, jumps, np.inf).min(axis=1) / (np.abs(values).max(axis=1) * 2.0**-23)
    quantum = quantum[np.isfinite(quantum)]
    return bool((fine == 0).mean() > 0.5 and len(quantum) and np.median(quantum) > _QUANTUM)


@dataclass(frozen=True)
class _Local:
    """f' on every panel as powers of (z - origin) / reach: (DEGREE, n), and f, f', f'' at its ends."""

    panels: Panels
    noise: Array  # (n,) of f
    origin: Array
    reach: Array
    powers: Array

    @classmethod
    def of(cls, panels: Panels, noise: float) -> "_Local":
        half = panels.width / 2
        series = panels.series[:, : DEGREE + 1]
        rounding = noise * panels.size + ROUNDING / 4 * panels.away * np.abs(panels.secant)
        unsure = 2 * (rounding + np.abs(panels.series[:, DEGREE + 1 :]).max(axis=1))
        powers = (_POWERS @ series.T) / half
        origin, reach = panels.left + half, half.copy()
        # Next to 0 in powers of z itself, so that f' keeps its relative accuracy down to z = 0.
        for at_0, shifted in ((panels.left == 0, _SHIFTED[1]), (panels.right == 0, _SHIFTED[-1])):
            for i in np.flatnonzero(at_0).tolist():
                powers[:, i] = shifted @ series[i] / half[i]
                origin[i], reach[i] = 0.0, 2 * half[i]
                if reach[i] < _NOTHING:  # f is singular at 0
                    powers[:, i] = 0.0
                    powers[0, i] = _limit_at_0(panels, i)
                    continue
                for k in range(DEGREE):  # what is only rounding is 0
                    if not abs(powers[k, i]) <= np.abs(shifted[k]).sum() * unsure[i] / half[i]:
                        break
                    powers[k, i] = 0.0
        with np.errstate(all="ignore"):
            straight = np.abs(series[:, 2:]).sum(axis=1) <= 32 * rounding
        powers[1:, straight], powers[0, straight] = 0.0, panels.secant[straight]
        powers[:, panels.missed] = np.nan
        return cls(panels, rounding, origin, reach, powers)

    def kinks(self) -> Array:
        """The ends between panels at which f, f' or f'' jumps by more than rounding; nearest to 0 first."""
        panels = self.panels
        half = panels.width / 2
        series = panels.series[:, : DEGREE + 1] @ _ENDS  # (n, 6): f, f' h, f'' h² at either end
        left, right = series[1:, :3], series[:-1, 3:]
        unit = np.minimum(half[1:], half[:-1])
        ratio = np.stack([unit / half[1:], unit / half[:-1]])[:, :, None] ** np.arange(3)
        with np.errstate(all="ignore"):
            left, right = left * ratio[0], right * ratio[1]
            jump = np.abs(left - right)
            missed = np.abs(panels.series[:, DEGREE + 1 :]).max(axis=1) + self.noise
            slack = (missed[1:] + missed[:-1])[:, None] * _END_NOISE
            size = np.abs(np.concatenate([left, right], axis=1))
            slack += 1e-7 * size[:, [1, 2, 4, 5]].max(axis=1)[:, None]
            slack += _NOTHING
            bent = (jump > slack).any(axis=1)
        lost = np.isnan(panels.series[:, 0]) | panels.missed
        bent |= (lost[1:] != lost[:-1]) & ~panels.missed[1:] & ~panels.missed[:-1]
        bent &= np.abs(panels.left[1:]) < _FURTHEST
        kinks: Array = panels.left[1:][bent]
        return kinks[np.argsort(np.abs(kinks), kind="stable")]


def _limit_at_0(panels: Panels, innermost: int) -> float:
    """f'(0+) or f'(0-) of a function that is singular there, judged by its slope further out."""
    middle = panels.left + panels.width / 2
    side = math.copysign(1.0, middle[innermost])
    further = int(np.searchsorted(middle, side * 2.0**-500))
    slope, before = float(panels.secant[innermost]), float(panels.secant[further])
    if abs(slope) > 4 * abs(before):
        return math.copysign(math.inf, slope)
    return 0.0 if abs(slope) < abs(before) / 4 else slope


def _power_matrices() -> tuple[Array, dict[int, Array]]:
    """From a Chebyshev series of f in t to the powers of f': in t, and in u with t = 2u ∓ 1."""
    basis = np.polynomial.chebyshev
    plain = np.zeros((DEGREE, DEGREE + 1))
    shifted = {side: np.zeros((DEGREE, DEGREE + 1)) for side in (1, -1)}
    for k in range(1, DEGREE + 1):
        power = np.polynomial.Polynomial(basis.cheb2poly(np.eye(DEGREE + 1)[k])).deriv()
        plain[: len(power.coef), k] = power.coef
        for side, matrix in shifted.items():
            moved = power(np.polynomial.Polynomial([-side, 2.0]))
            matrix[: len(moved.coef), k] = moved.coef
    return plain, shifted


_POWERS, _SHIFTED = _power_matrices()
_K = np.arange(DEGREE + 1.0)
_CURVED = _K**2 * (_K**2 - 1) / 3  # T_k'' at 1
_SIGN = (-1.0) ** _K
_ENDS = np.stack([_SIGN, -_SIGN * _K**2, _SIGN * _CURVED, np.ones_like(_K), _K**2, _CURVED], axis=1)
_END_NOISE = np.array([64.0, 4 * _K[-1] ** 2, 4 * _CURVED[-1]])
