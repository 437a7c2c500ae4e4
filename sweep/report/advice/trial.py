"""`sweep.recommend`: theory's candidates, measured by a quick sweep or from a stored study, in order."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median, mode
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from sweep import activations, initializers, kernel
from sweep.activations import Activation
from sweep.base import checks, memory
from sweep.base.errors import RequestError
from sweep.experiment.verdict import flat_share_of, verdict
from sweep.report.advice import candidates as advice
from sweep.report.advice.candidates import Candidate, Survival

if TYPE_CHECKING:
    import pandas as pd

SEEDS, BATCH = 3, 100
_STACKED = 1e9  # bytes up to which all schemes of one distribution cross the layers together
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Recommendation:
    """Ranked weights for an activation at one depth and width; `print` shows all of it.

    derivation: the gains step by step, a line each. ranking: (rank, candidate), the best first.
    source: where the measurements come from.
    """

    act: str
    depth: int
    width: int
    derivation: tuple[str, ...]
    ranking: tuple[tuple[int, Candidate], ...]
    source: str

    @property
    def best(self) -> Candidate:
        """The first of the ranking."""
        return self.ranking[0][1]

    @property
    def paste(self) -> dict[str, str]:
        """The best one's line in 'torch', 'keras' and 'jax'."""
        return advice.paste(self.best.sigma_w)

    @property
    def table(self) -> "pd.DataFrame":
        """A row per scheme: theory and measurement side by side, forward and backward apart."""
        import pandas as pd  # noqa: PLC0415

        rows = []
        for rank, one in self.ranking:
            for name in one.schemes:
                measured = one.measured.get(name, Survival(math.nan, math.nan))
                predicted = one.predicted_of(name)
                rows.append(
                    {
                        "rank": rank,
                        "init": name,
                        "sigma_w": one.sigma_w,
                        "chi1": one.chi1,
                        "v": one.v,
                        "slope": one.slope,
                        "depth_trusted": one.depth,
                        "theory_rms": predicted.forward,
                        "rms": measured.forward,
                        "theory_delta_first": predicted.backward,
                        "delta_std_first": measured.backward,
                        "verdict": measured.verdict,
                        "why": one.why,
                    }
                )
        return pd.DataFrame(rows).astype({"depth_trusted": "Int64"})

    def __str__(self) -> str:
        from sweep.report.frames.text import number  # noqa: PLC0415

        lines = [f"{self.act}, depth {self.depth}, width {self.width} ({self.source})", *self.derivation, ""]
        for rank, one in self.ranking:
            survival = one.survival
            lines.append(
                f"{rank}. {', '.join(one.schemes)}: sigma_w {one.sigma_w:.4g}, chi1 {one.chi1:.4g}, "
                f"rms {number(survival.forward, 3)} (theory {number(one.predicted.forward, 3)}), "
                f"delta {number(survival.backward, 3)} (theory {number(one.predicted.backward, 3)})"
                + (f", {survival.verdict}" if survival.verdict else "")
            )
        return "\n".join([*lines, "", *(f"{name:6} {line}" for name, line in self.paste.items())])


def recommend(
    act: str | Activation | Callable[..., object],
    depth: int = 50,
    width: int = 512,
    study: str | Path | None = None,
    *,
    act_params: Mapping[str, object] | None = None,
    progress: Callable[[int], Advance] | None = None,
) -> Recommendation:
    """Ranked initialisations for an activation, predicted and measured at one depth and width.

    First by abs(log chi1) where the signal settles, then by what survives forward and backward:
    measured by a quick sweep, or in a stored study. act: a name, an activation, or a function z -> h;
    act_params: its parameters. progress: told how many networks there are, returns what is told of
    each that is done. Raises RequestError where a value breaks its rule, the activation has no
    Gaussian moments, or the study holds nothing of it at this depth and width.
    """
    activation = activations.resolved(act, checks.mapping("act_params", act_params))
    depth, width = checks.whole("depth", depth, 1), checks.whole("width", width, 1)
    if progress is not None and not callable(progress):
        raise RequestError(f"progress={progress!r}: progress must be a function, or None")
    name = activation.formula if activation.name == activations.CUSTOM else activation.name
    if study is None:
        found = _tried(activation, advice.candidates(activation, depth, width), depth, width, progress)
        source = f"measured: median of {SEEDS} seeds, batch {BATCH}"
    else:
        stored = _stored(study, activation, depth, width)
        others = {sigma_w: tuple(by_scheme) for sigma_w, by_scheme in stored.items()}
        found = [
            replace(one, measured=_of(stored, one.sigma_w))
            for one in advice.candidates(activation, depth, width, others)
        ]
        source = f"measured: median over the seeds of {study}"
    derivation = tuple(advice.derivation(activation))
    return Recommendation(name, depth, width, derivation, tuple(advice.ranked(found)), source)


def _of(stored: Mapping[float, Mapping[str, Survival]], sigma_w: float) -> Mapping[str, Survival]:
    return next((by for other, by in stored.items() if abs(other / sigma_w - 1) < 1e-6), {})


def _tried(
    act: Activation,
    candidates: Sequence[Candidate],
    depth: int,
    width: int,
    progress: Callable[[int], Advance] | None,
) -> list[Candidate]:
    """The candidates measured: of each its first scheme, orthogonal weights and lsuv."""
    per_network = 8.0 * depth * width * BATCH
    if 4.0 * depth * width * width + 2 * per_network > memory.available() / 2:
        raise RequestError(
            f"depth={depth}, width={width}: the quick sweep would not fit this machine's memory; "
            "choose less of either, or give a study that holds it"
        )
    chosen = {
        (place, name)
        for place, one in enumerate(candidates)
        for name in one.schemes
        if name == one.schemes[0] or name == "lsuv" or name.startswith("orthogonal")
    }
    stacks: dict[object, list[tuple[int, str]]] = defaultdict(list)
    for place, name in sorted(chosen):
        alone = (place, name) if per_network * len(chosen) > _STACKED else None
        stacks[_scheme(name).base, alone].append((place, name))
    advance = progress(SEEDS * len(chosen)) if progress else lambda count: None
    found: dict[tuple[int, str], list[tuple[float, float, str]]] = defaultdict(list)
    share = flat_share_of(act)
    for members, seed in product(stacks.values(), range(SEEDS)):
        chains = [kernel.Chain(_scheme(name), act, 0.0, depth, (depth,)) for _, name in members]
        with threadpool_limits(1):  # as every worker computes
            measured = kernel.propagate(chains, (width,) * (depth + 1), [seed], BATCH)
        for member, one in zip(members, measured, strict=True):
            own = one.of_seed(0)
            layers = own.forward | own.backward[depth]
            rms, delta = layers["rms"], layers["delta_std"]
            word = verdict(layers, share)[0]
            found[member].append((float(rms[-1] / rms[0]), float(delta[0]), word))
        advance(len(members))
    return [
        replace(one, measured={name: _middle(found[p, name]) for p, name in sorted(chosen) if p == place})
        for place, one in enumerate(candidates)
    ]


def _scheme(name: str) -> initializers.Scheme:
    option, parameters = advice.scheme_of(name)
    return initializers.get(option, **parameters)


def _middle(seeds: Sequence[tuple[float, float, str]]) -> Survival:
    forward, backward, words = zip(*seeds, strict=True)
    return Survival(median(forward), median(backward), mode(words))


def _stored(path: str | Path, act: Activation, depth: int, width: int) -> dict[float, dict[str, Survival]]:
    """What a study holds of an activation: sigma_w -> scheme -> what survived."""
    from sweep.report.frames.labels import described  # noqa: PLC0415
    from sweep.store import results  # noqa: PLC0415

    cells = results.load(path, thresholds=results.thresholds(path))
    own = cells[(cells["status"] == "ok") & (cells["act"] == act.name) & (cells["bias_std"] == 0)]
    own = own[own["widths"].isna() & own["sigma_w"].notna() & own["delta_std_first"].notna()]
    asked = activations.parameters_of(act.name, act)
    own = own[own["act_params"].map(lambda text: json.loads(text) == asked).astype(bool)]
    here = own[(own["depth"] == depth) & (own["width"] == width)]
    if here.empty:
        there = sorted({(int(d), int(w)) for d, w in zip(own["depth"], own["width"], strict=True)})
        listed = ", ".join(f"depth {d} width {w}" for d, w in there[:8]) or "nothing of it with gradients"
        raise RequestError(
            f"{path} holds no {act.name} at depth {depth} and width {width}: it holds {listed}"
        )
    found: dict[float, dict[str, Survival]] = defaultdict(dict)
    for (init, params), rows in here.groupby(["init", "init_params"], sort=False):
        seeds = list(zip(rows["rms"], rows["delta_std_first"], rows["verdict"], strict=True))
        sigma_w = float(rows["sigma_w"].iloc[0])
        equal = next((other for other in found if abs(other / sigma_w - 1) < 1e-6), sigma_w)
        found[equal][described(str(init), str(params))] = _middle(seeds)
    return dict(found)
