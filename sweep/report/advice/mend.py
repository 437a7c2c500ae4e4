"""What would help where no weights at hand keep the signal alive: other weights, biases, another act, a skip.

Each is computed, by the same theory with its spread, and none is named that would not survive.
"""

import contextlib
import math
from collections.abc import Callable

import numpy as np

from sweep import activations, theory
from sweep.activations import Activation
from sweep.base.errors import RequestError
from sweep.experiment.outcomes.verdict import DEFAULT, flat_share_of, verdict
from sweep.report.advice.candidates import Candidate, is_orthogonal
from sweep.report.advice.outlook import Outlook, outlook
from sweep.report.frames.text import number
from sweep.theory.gaussian.correlation import pair
from sweep.theory.gaussian.moments import gaussian

_BIASES = (0.0, 0.1, 0.3, 0.5)  # sigma_b
_BELOW = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7)  # of sigma_w at the edge of chaos
_GRID = tuple(1.15**k for k in range(-4, 18))  # times the gain, where there is no such edge
_WELL_KNOWN = (  # of those of one act the first that survives is named
    ("tanh", "xavier", 1.0),
    ("tanh", "orthogonal", 1.0),
    ("hardtanh", "xavier", 1.0),
    ("hardtanh", "orthogonal", 1.0),
    ("relu", "kaiming", math.sqrt(2)),
    ("selu", "lecun_normal", 1.0),
)
_WIDER = 8
_TRIALS = 4  # of other weights


Confirm = Callable[[Activation, str, float], bool]


def mends(
    act: Activation, best: Candidate, depth: int, width: int, confirm: Confirm | None
) -> tuple[str, ...]:
    """What would survive at this depth, a line each.

    best: the candidate that comes nearest to it. confirm: whether an activation survives a trial with
    a scheme, named as in a candidate, and biases of std sigma_b; None: there is none, and theory must be
    sure.
    """
    lines = [
        _other_weights(act, depth, width, confirm),
        _more_neurons(act, best, depth, width),
        _another_act(act, depth, width, confirm),
        _skip(act, best.sigma_w, depth),
    ]
    return tuple(line for line in lines if line)


def looked_at(act: Activation) -> str:
    """What `mends` looks at, for a sentence that says that none of it was found to do."""
    acts = dict.fromkeys(f"act={name}" for name, _, _ in _WELL_KNOWN if name != act.name)
    biases = f"biases of std {min(filter(None, _BIASES)):g} to {max(_BIASES):g}"
    return ", ".join(
        ["other weights", biases, f"{_WIDER} times the width", *acts, "a skip around every layer"]
    )


def _other_weights(act: Activation, depth: int, width: int, confirm: Confirm | None) -> str | None:
    """The most level weights, with biases where they help, that theory and trial agree on."""
    found: list[tuple[bool, float, float, float, Outlook]] = []
    for sigma_b in _BIASES:
        for sigma_w in _worth_a_look(act, sigma_b, depth):
            with contextlib.suppress(RequestError):
                of = outlook(act, sigma_w, width, depth, sigma_b)
                if of.sure[depth] or (confirm and of.words[depth] == "healthy"):
                    level = max(abs(math.log(of.rms[depth])), abs(math.log(of.delta[depth])))
                    found.append((not of.sure[depth], level, sigma_b, sigma_w, of))
    for _, _, sigma_b, sigma_w, of in sorted(found, key=lambda one: one[:3])[:_TRIALS]:
        if confirm is None or confirm(act, f"variance_scaling scale={sigma_w**2}", sigma_b):
            biases = f"biases of std {sigma_b:g} (bias_std={sigma_b:g})" if sigma_b else "no biases"
            return (
                f"init=variance_scaling init.scale={sigma_w**2:.4g} (sigma_w = {sigma_w:.4g}) with {biases}: "
                f"{_says(of.rms[depth], of.delta[depth])}"
            )
    return None


def _says(rms: float, delta: float) -> str:
    return f"theory says rms {number(float(rms), 2)}, gradient {number(float(delta), 2)}"


def _worth_a_look(act: Activation, sigma_b: float, depth: int) -> list[float]:
    """sigma_w at the edge of chaos, and below; where there is none, those that keep a gradient so deep."""
    try:
        edge = theory.critical_sigma_w(act, sigma_b)
        return [edge * share for share in _BELOW]
    except RequestError:
        pass
    near = []
    for factor in _GRID:
        sigma_w = theory.gain(act) * factor
        with contextlib.suppress(RequestError):
            chi1 = theory.fixed_point(act, sigma_w, sigma_b).chi1
            if chi1 > 0 and abs(math.log(chi1)) * depth / 2 < math.log(DEFAULT.gradient_exploding):
                near.append((abs(math.log(chi1)), sigma_w))
    return [sigma_w for _, sigma_w in sorted(near)[:6]]


def _more_neurons(act: Activation, best: Candidate, depth: int, width: int) -> str | None:
    with contextlib.suppress(RequestError):
        if best.sigma_w and outlook(act, best.sigma_w, _WIDER * width, depth).sure[depth]:
            return f"width {_WIDER * width}: at {width} neurons it dies of the spread over seeds"
    return None


def _another_act(act: Activation, depth: int, width: int, confirm: Confirm | None) -> str | None:
    """The well-known ones that theory is sure of, or holds likely and a trial confirms."""
    alive: dict[str, str] = {}
    for name, init, sigma_w in _WELL_KNOWN:
        if name == act.name or name in alive:
            continue
        other = activations.get(name)
        of = outlook(other, sigma_w, width, depth)
        of = of.of_orthogonal if is_orthogonal(init) else of
        likely = of.words[depth] == "healthy"
        if of.sure[depth] or (likely and confirm and confirm(other, init, 0.0)):
            alive[name] = f"act={name} init={init}"
    return " or ".join(alive.values()) or None


def _skip(act: Activation, sigma_w: float, depth: int) -> str | None:
    """A skip around every layer, h + f(h W) / √depth, if the mean field keeps it healthy.

    With W drawn afresh, E[h f(z)] = E[h] E[f]: q' = q + 2 a E[h] E[f] + a² E[f²], and of two inputs alike.
    """
    means_of, a = gaussian(act), 1 / math.sqrt(depth)
    q, mean, together, log_delta, flat = 1.0, 0.0, 0.0, 0.0, 0.0
    try:
        for _ in range(depth):
            scale = sigma_w * math.sqrt(q)
            at, flat = means_of.at(scale), means_of.flat(scale)
            both = pair(means_of, scale, max(-1.0, min(1.0, together / q))).cosine * at.rms**2
            log_delta += math.log1p((a * sigma_w * at.slope_rms) ** 2) / 2
            q, together = (
                old + 2 * a * mean * at.mean + a * a * more
                for old, more in ((q, at.rms**2), (together, both))
            )
            mean += a * at.mean
            if not q < 1e100:
                return None
    except RequestError:
        return None
    layers = {
        "rms": np.array([1.0, math.sqrt(q)]),
        "neuron_corr": np.full(2, math.nan),
        "flat": np.array([math.nan, flat]),
        "sample_cosine": np.array([math.nan, together / q]),
        "delta_std": np.array([math.exp(min(log_delta, 700.0)), 1.0]),
    }
    if verdict(layers, flat_share_of(act))[0] != "healthy":
        return None
    return f"a skip around every layer, h + f(h W) / √{depth}: {_says(math.sqrt(q), math.exp(log_delta))}"
