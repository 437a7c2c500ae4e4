"""Which weights for an activation: candidates, and their order. Pure: nothing is run here."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sweep import activations, initializers, theory
from sweep.activations import Activation
from sweep.base.errors import RequestError
from sweep.experiment.outcomes.verdict import DEFAULT, Thresholds
from sweep.report.advice.outlook import Outlook, outlook, outlook_of_lsuv
from sweep.theory.gaussian.moments import Act, gaussian

YES, NO, UNSURE = "yes", "no", "unsure"
THEORY, TRIAL, STUDY = "theory", "trial", "study"
INDEPENDENT, ORTHOGONAL, LSUV, LAYER = (
    "independent",
    "orthogonal",
    "lsuv",
    "layer",
)  # layer: biases of its own
_EQUAL = 1e-6  # a relative distance: sigma_w this close are one
_LARGEST_GAIN = 1e100
_DEEPEST = 100
_DECIMALS = 6  # of abs(log chi1): below lies rounding

# sigma_w of the schemes people know by name, at layers that do not change their width.
_NAMED: Mapping[float, tuple[str, ...]] = {
    1.0: ("xavier", "lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform"),
    math.sqrt(2): ("kaiming", "he_normal", "he_uniform"),
    1 / math.sqrt(3): ("torch/linear_default",),
}
_DERIVED = "keeps E[z²] = 1: 1/√E[f²]"
_EDGE = "the edge of chaos: chi1 = 1"
_PRESCRIBED = {"selu": "lecun_normal"}  # Klambauer et al. 2017: first among its equals
_ORDER = ("xavier", "kaiming", "variance_scaling", "lecun_normal", "he_normal", "orthogonal")  # of equals


@dataclass(frozen=True)
class Survival:
    """What is left at one depth, the median over seeds: rms at the last layer over the input's, delta_std at
    layer 0 (NaN where gradients were not measured); a verdict.

    healthy, of: so many of so many seeds are; clear: and the next one would be too, as far as they tell.
    """

    forward: float
    backward: float
    verdict: str = ""
    healthy: int = 0
    of: int = 0
    clear: bool = True

    @property
    def level(self) -> float:
        """The factor, above 1, by which the worse of the two differs from 1."""
        sizes = [size for size in (self.forward, self.backward) if not math.isnan(size)]
        if not sizes or not all(0 < size < math.inf for size in sizes):
            return math.inf if sizes else math.nan
        logs = max(abs(math.log(size)) for size in sizes)
        return math.exp(logs) if logs < 700 else math.inf


@dataclass(frozen=True, eq=False)
class Candidate:
    """Weights of one sigma_w and kind: its schemes, textbook names first; and what becomes of the signal.

    v: the fixed point; slope = dV/dv there, below 1 where it attracts. outlook: theory's word on every
    depth up to `depth`, the one asked for, or beyond. measured: by scheme, at that depth. source: where it
    was measured.
    """

    sigma_w: float
    schemes: tuple[str, ...]
    why: str
    v: float
    chi1: float
    slope: float
    depth: int
    outlook: Outlook
    kind: str = INDEPENDENT
    measured: Mapping[str, Survival] = field(default_factory=dict)
    source: str = TRIAL

    def __repr__(self) -> str:
        numbers = f"sigma_w={self.sigma_w:.4g}, chi1={self.chi1:.4g}, good_to={self.good_to}"
        return f"<Candidate {' = '.join(self.schemes)}: {self.verdict} by {self.by}, {numbers}>"

    @property
    def predicted(self) -> Survival:
        """Theory's word, at the depth asked for; of lsuv, which looks at the data, only an inner one."""
        of, depth = self.outlook, self.depth
        return Survival(float(of.rms[depth]), float(of.delta[depth]), str(of.words[depth]))

    @property
    def found(self) -> Survival | None:
        """What was measured, of the first scheme that was."""
        return next((self.measured[name] for name in self.schemes if name in self.measured), None)

    @property
    def survival(self) -> Survival:
        """What was measured, or else predicted."""
        return self.found or self.predicted

    @property
    def is_open(self) -> bool:
        """Whether theory leaves it open: its predicted spread reaches a threshold, or is not known."""
        of, depth = self.outlook, self.depth
        return bool(of.possible[depth] and not of.sure[depth])

    @property
    def is_at_risk(self) -> bool:
        """Whether it is open, and any variance but that of the fixed point moves away from it."""
        return self.is_open and self.fate == "repels"

    @property
    def survives(self) -> str:
        """'yes', 'no' or 'unsure': by what was measured, or else by theory with its spread."""
        if found := self.found:
            if found.healthy < found.of:
                return NO
            return YES if found.clear or not self.is_open else UNSURE
        return UNSURE if self.is_open else YES if self.outlook.sure[self.depth] else NO

    @property
    def by(self) -> str:
        """What says so: 'trial', 'study' or 'theory'."""
        return self.source if self.found else THEORY

    @property
    def verdict(self) -> str:
        """The verdict in a word, measured or else predicted of the typical network."""
        return self.survival.verdict

    @property
    def good_to(self) -> int:
        """The depth down to which theory, with its spread, is sure of it."""
        return self.outlook.good_to

    @property
    def imbalance(self) -> float:
        """abs(log chi1): by how many e-folds per layer a gradient changes its size."""
        return abs(math.log(self.chi1)) if 0 < self.chi1 < math.inf else math.inf

    @property
    def fate(self) -> str:
        """What becomes of the signal's variance near the fixed point."""
        if self.kind == LSUV:
            return "held"
        slowly = " slowly" if round(self.imbalance, _DECIMALS) == 0 else ""  # a power of the depth
        if self.v in (0, math.inf):
            return ("fades" if slowly else "vanishes") + slowly if self.v == 0 else "grows" + slowly
        if abs(self.slope - 1) < 1e-9:
            return "stays"
        return "repels" if self.slope > 1 else "settles"


def candidates(
    act: Act,
    depth: int,
    width: int,
    others: Mapping[float, tuple[str, ...]] | None = None,
    thresholds: Thresholds = DEFAULT,
    sigma_b: float = 0.0,
) -> list[Candidate]:
    """Every sigma_w worth a look: the named schemes', the derived gain, the edge of chaos, and `others`.

    sigma_b: the std of the biases, of every layer but those that draw their own; with biases theory has no
    word on lsuv, which is then no candidate. Raises RequestError where the activation has no Gaussian
    moments, or its slope is not known.
    """
    activation = activations.resolved(act, {})
    if unknown := gaussian(activation).without_slope():
        raise RequestError(unknown)
    gain = theory.gain(activation)
    if not 1 / _LARGEST_GAIN < gain < _LARGEST_GAIN:
        raise RequestError(
            f"no weights keep the signal of {activation.formula}: that would take sigma_w = {gain:g}"
        )
    proposals = [(sigma_w, names, "") for sigma_w, names in _NAMED.items()]
    if sigma_b < 1:
        proposals.append((gain * math.sqrt(1 - sigma_b**2), (), _DERIVED))
    if edge := _edge(activation, sigma_b):
        proposals.append((edge, (), _EDGE))
    proposals += [(sigma_w, names, "") for sigma_w, names in (others or {}).items()]
    found: list[Candidate] = []
    for sigma_w, names, why in _merged(proposals):
        with contextlib.suppress(RequestError):  # its signal leaves what the activation has moments for
            found += _of_sigma_w(activation, sigma_w, names, why, depth, width, thresholds, sigma_b)
    with contextlib.suppress(RequestError):
        if not sigma_b:
            found.append(_lsuv(activation, gain, depth, width, thresholds))
    return found


def rank(candidates: Sequence[Candidate]) -> list[tuple[int, Candidate]]:
    """(rank, candidate), the best first: those that survive, by abs(log chi1) where the signal settles.

    Where it grows without end that is the limit. Equals stand in the order of the schemes' table. Those
    that only the trial has found to survive come after those of which theory is sure, those at a variance
    that repels last; then those of which neither is; then the rest, the one that is good to the greatest
    depth first.
    """

    def key(candidate: Candidate) -> tuple[object, ...]:
        survives = (YES, UNSURE, NO).index(candidate.survives)
        order = -candidate.good_to if survives == 2 else candidate.is_open + candidate.is_at_risk
        return survives, order, round(candidate.imbalance, _DECIMALS), _place(candidate)

    return list(enumerate(sorted(candidates, key=key), start=1))


def _place(candidate: Candidate) -> int:
    """Among equals: that of its first scheme in DESIGN's table of schemes; LSUV, which needs data, last."""
    name = candidate.schemes[0].partition(" ")[0]
    if candidate.kind == LSUV:
        return len(_ORDER) + 1
    return _ORDER.index(name) if name in _ORDER else len(_ORDER)


def _merged(
    proposals: Sequence[tuple[float, tuple[str, ...], str]],
) -> list[tuple[float, tuple[str, ...], str]]:
    """Each sigma_w once, with all its names and reasons."""
    merged: list[tuple[float, tuple[str, ...], str]] = []
    for sigma_w, names, why in proposals:
        for index, (known, named, reason) in enumerate(merged):
            if is_equal(known, sigma_w):
                both = "; ".join(filter(None, (reason, why)))
                merged[index] = known, tuple(dict.fromkeys((*named, *names))), both
                break
        else:
            merged.append((sigma_w, names, why))
    return merged


def _of_sigma_w(
    act: Activation,
    sigma_w: float,
    names: tuple[str, ...],
    why: str,
    depth: int,
    width: int,
    thresholds: Thresholds,
    sigma_b: float,
) -> list[Candidate]:
    """The independent weights of one sigma_w, and the orthogonal ones, whose rms strays no farther."""
    layers = tuple(name for name in names if bias_std_of(name, width))
    found = [
        _independent(act, sigma_w, (name,), why, depth, width, thresholds, bias_std_of(name, width), LAYER)
        for name in layers
    ]
    rest = tuple(name for name in names if name not in layers and not is_orthogonal(name))
    first = _PRESCRIBED.get(act.name, "")
    rest = tuple(sorted(rest, key=lambda name: name != first))
    orthogonal = tuple(name for name in names if is_orthogonal(name))
    if layers and not rest and not orthogonal:
        return found
    rest = rest or (f"variance_scaling scale={sigma_w**2:.6g}",)
    one = _independent(act, sigma_w, rest, why, depth, width, thresholds, sigma_b)
    schemes, of = orthogonal or (f"orthogonal gain={sigma_w:.6g}",), one.outlook.of_orthogonal
    return [*found, one, replace(one, schemes=schemes, kind=ORTHOGONAL, outlook=of)]


def _independent(
    act: Activation,
    sigma_w: float,
    schemes: tuple[str, ...],
    why: str,
    depth: int,
    width: int,
    thresholds: Thresholds,
    sigma_b: float,
    kind: str = INDEPENDENT,
) -> Candidate:
    """Independent weights, with biases; kind LAYER: with those of the layer that they stand for."""
    if _DERIVED in why:  # at the fixed point it is derived for, even one that repels
        means = gaussian(act).at(1.0)
        kept = 1 - sigma_b**2  # sigma_w² E[f²]
        v, chi1, slope = 1.0, (sigma_w * means.slope_rms) ** 2, kept * means.elasticity
    else:
        point = theory.fixed_point(act, sigma_w, sigma_b)
        v, chi1, slope = point.v, point.chi1, point.slope
    of = outlook(act, sigma_w, width, depth, sigma_b, thresholds)
    if of.sure[depth]:
        with contextlib.suppress(RequestError):
            of = outlook(act, sigma_w, width, _farther(depth), sigma_b, thresholds)
    return Candidate(sigma_w, schemes, why, v, chi1, slope, depth, of, kind)


def bias_std_of(name: str, width: int) -> float:
    """The std of a scheme's own biases, if it stands for a framework's layer that draws them."""
    option, _, given = name.partition(" ")
    return 0.0 if given or option not in initializers.names() else _std_of(option, width)


def _std_of(option: str, width: int) -> float:
    try:
        scheme = initializers.get(option)
    except RequestError:  # it takes parameters
        return 0.0
    return 0.0 if scheme.bias is None else scheme.bias_std(width, width)


def _lsuv(act: Activation, gain: float, depth: int, width: int, thresholds: Thresholds) -> Candidate:
    """LSUV, which holds the variance at v = 1 whether or not that attracts."""
    means = gaussian(act).at(1.0)
    of = outlook_of_lsuv(act, width, depth, thresholds)
    if of.sure[depth]:
        of = outlook_of_lsuv(act, width, _farther(depth), thresholds)
    chi1, slope = (gain * means.slope_rms) ** 2, means.elasticity
    return Candidate(gain, (LSUV,), "holds Var z = 1 layer by layer", 1.0, chi1, slope, depth, of, LSUV)


def _farther(depth: int) -> int:
    """How far theory is followed where a network survives at the depth asked for."""
    return max(depth, min(2 * depth, _DEEPEST))


def is_orthogonal(name: str) -> bool:
    """Whether a scheme of this name, parameters or not, draws orthogonal weights."""
    return name.partition(" ")[0] in ("orthogonal", "torch/orthogonal", "keras/orthogonal", "jax/orthogonal")


def _edge(act: Activation, sigma_b: float) -> float | None:
    """The edge of chaos, if there is one with such biases; none of a transformed act, made for sigma_w = 1.

    Where it is the limit of vanishing signals, an activation that keeps unit variance by itself with
    sigma_w = 1 (Klambauer et al. 2017) has no need of it.
    """
    if activations.affine_of(act):
        return None
    try:
        sigma_w = theory.critical_sigma_w(act, sigma_b)
    except RequestError:
        return None
    normalises = is_equal(theory.gain(act), 1) and gaussian(act).at(1.0).elasticity < 1
    return None if normalises and theory.fixed_point(act, sigma_w, sigma_b).v == 0 else sigma_w


def is_equal(sigma_w: float, other: float) -> bool:
    """Whether two sigma_w are one but for rounding."""
    return abs(sigma_w / other - 1) < _EQUAL
