"""Which weights for an activation: candidates, and their order. Pure: nothing is run here."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sweep import activations, theory
from sweep.activations import Activation
from sweep.base.errors import RequestError
from sweep.report.advice.derivation import trusted_depth
from sweep.theory.maps import layers_of, prediction
from sweep.theory.moments import Act, gaussian

_EQUAL = 1e-6  # a relative distance: sigma_w this close are one
_LARGEST_GAIN = 1e100
_DECIMALS = 6  # of abs(log chi1): below lies rounding

# sigma_w of the schemes people know by name, at layers that do not change their width.
_NAMED: Mapping[float, tuple[str, ...]] = {
    1.0: ("xavier", "glorot_normal", "glorot_uniform", "lecun_normal", "lecun_uniform"),
    math.sqrt(2): ("kaiming", "he_normal", "he_uniform"),
    1 / math.sqrt(3): ("torch/linear_default",),
}
_DERIVED = "keeps E[z²] = 1: 1/√E[f²]"
_PRESCRIBED = {"selu": "lecun_normal"}  # Klambauer et al. 2017: first among its equals


@dataclass(frozen=True)
class Survival:
    """What is left at one depth: rms at the last layer over the input's, delta_std at layer 0; a verdict."""

    forward: float
    backward: float
    verdict: str = ""

    @property
    def distance(self) -> float:
        """How far the worse of the two is from 1, in e-folds."""
        sizes = (self.forward, self.backward)
        if not all(0 < size < math.inf for size in sizes):
            return math.inf
        return max(abs(math.log(size)) for size in sizes)


@dataclass(frozen=True)
class Candidate:
    """One sigma_w: its schemes, textbook names first; and what theory says where the signal settles.

    v: the fixed point; slope = dV/dv there, below 1 where it attracts. depth: how deep it can be
    trusted, None where its spread over seeds is not predicted. predicted, measured: at the depth asked for;
    measured by scheme.
    """

    sigma_w: float
    schemes: tuple[str, ...]
    why: str
    v: float
    chi1: float
    slope: float
    depth: int | None
    predicted: Survival
    measured: Mapping[str, Survival] = field(default_factory=dict)

    def predicted_of(self, scheme: str) -> Survival:
        """What theory says of one of the schemes: nothing of lsuv, which looks at the data."""
        return Survival(math.nan, math.nan) if scheme == "lsuv" else self.predicted

    @property
    def imbalance(self) -> float:
        """abs(log chi1): by how many e-folds per layer a gradient changes its size."""
        return abs(math.log(self.chi1)) if 0 < self.chi1 < math.inf else math.inf

    @property
    def fate(self) -> str:
        """What becomes of the signal's variance near the fixed point."""
        if self.v in (0, math.inf):
            return "vanishes" if self.v == 0 else "grows"
        if abs(self.slope - 1) < 1e-9:
            return "stays"
        return "repels" if self.slope > 1 else "settles"

    @property
    def survival(self) -> Survival:
        """Measured where it was, of the first scheme that was; predicted elsewhere."""
        return next((self.measured[name] for name in self.schemes if name in self.measured), self.predicted)


def candidates(
    act: Act, depth: int, width: int, others: Mapping[float, tuple[str, ...]] | None = None
) -> list[Candidate]:
    """Every sigma_w worth a look: the named schemes', the derived gain, the edge of chaos, and `others`.

    Raises RequestError where the activation has no Gaussian moments, or its slope is not known.
    """
    activation = activations.resolved(act, {})
    if unknown := gaussian(activation).without_slope():
        raise RequestError(unknown)
    gain = theory.gain(activation)
    if not 1 / _LARGEST_GAIN < gain < _LARGEST_GAIN:
        raise RequestError(f"no weights keep {activation.formula}: that takes sigma_w = {gain:g}")
    first = _PRESCRIBED.get(activation.name, "")
    proposals = [
        (sigma_w, tuple(sorted(names, key=lambda name: name != first)), "")
        for sigma_w, names in _NAMED.items()
    ]
    proposals.append((gain, ("lsuv",), _DERIVED))
    if edge := _edge(activation):
        proposals.append((edge, (), "the edge of chaos: chi1 = 1"))
    proposals += [(sigma_w, names, "") for sigma_w, names in (others or {}).items()]
    merged: list[Candidate] = []
    for sigma_w, names, why in proposals:
        with contextlib.suppress(RequestError):  # its signal leaves what the activation has moments for
            merged = _merge(merged, _candidate(activation, sigma_w, names, why, depth, width))
    return [_with_general_names(candidate) for candidate in merged]


def rank(candidates: Sequence[Candidate]) -> list[tuple[int, Candidate]]:
    """(rank, candidate), the best first: by abs(log chi1) where the signal settles, then by survival.

    One whose signal grows without end settles nowhere, and comes last.
    """

    def key(candidate: Candidate) -> tuple[bool, float, float]:
        lost = candidate.v == math.inf
        return lost, round(candidate.imbalance, _DECIMALS), candidate.survival.distance

    return list(enumerate(sorted(candidates, key=key), start=1))


def _candidate(
    act: Activation, sigma_w: float, schemes: tuple[str, ...], why: str, depth: int, width: int
) -> Candidate:
    if why == _DERIVED:  # at the fixed point it is derived for, even one that repels
        means = gaussian(act).at(1.0)
        v, chi1, slope = 1.0, (sigma_w * means.slope_rms) ** 2, means.elasticity
    else:
        point = theory.fixed_point(act, sigma_w)
        v, chi1, slope = point.v, point.chi1, point.slope
    layers = layers_of([sigma_w / math.sqrt(width)] * depth, (width,) * (depth + 1))
    statistics = prediction(act, layers, 0.0, 1).statistics
    predicted = Survival(float(statistics["rms"][-1]), float(statistics["delta_rms"][0]))
    return Candidate(sigma_w, schemes, why, v, chi1, slope, trusted_depth(act, sigma_w, width), predicted)


def _edge(act: Activation) -> float | None:
    """The edge of chaos, if there is one without bias.

    Where it is the limit of vanishing signals, an activation that keeps unit variance by itself with
    sigma_w = 1 (Klambauer et al. 2017) has no need of it.
    """
    try:
        sigma_w = theory.critical_sigma_w(act)
    except RequestError:
        return None
    normalises = is_equal(theory.gain(act), 1) and gaussian(act).at(1.0).elasticity < 1
    return None if normalises and theory.fixed_point(act, sigma_w).v == 0 else sigma_w


def _merge(known: list[Candidate], new: Candidate) -> list[Candidate]:
    """`known` with one more; it joins one of its sigma_w, whose names come first."""
    for index, old in enumerate(known):
        if is_equal(old.sigma_w, new.sigma_w):
            names = tuple(dict.fromkeys((*old.schemes, *new.schemes)))
            both = replace(old, schemes=names, why="; ".join(filter(None, (old.why, new.why))))
            return [*known[:index], both, *known[index + 1 :]]
    return [*known, new]


def _with_general_names(candidate: Candidate) -> Candidate:
    """Textbook names, then the general scheme where there is none, then orthogonal, then lsuv."""
    named = [name for name in candidate.schemes if name != "lsuv"]
    named = named or [f"variance_scaling scale={candidate.sigma_w**2:.6g}"]
    lsuv = ["lsuv"] if "lsuv" in candidate.schemes else []
    return replace(candidate, schemes=(*named, f"orthogonal gain={candidate.sigma_w:.6g}", *lsuv))


def is_equal(sigma_w: float, other: float) -> bool:
    """Whether two sigma_w are one but for rounding."""
    return abs(sigma_w / other - 1) < _EQUAL
