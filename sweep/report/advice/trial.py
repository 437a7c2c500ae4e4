"""`sweep.recommend`: theory's candidates, measured by a quick sweep or from a stored study, in order."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median, mode
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from sweep import activations, initializers, kernel
from sweep.activations import Activation
from sweep.base import checks, machine
from sweep.base.errors import RequestError
from sweep.experiment.verdict import flat_share_of, verdict
from sweep.report.advice.candidates import Candidate, Survival, candidates, is_equal, rank
from sweep.report.advice.derivation import derivation
from sweep.report.advice.table import Recommendation

if TYPE_CHECKING:
    import pandas as pd

SEEDS, BATCH = 3, 100
_SETTING = ["batch", "dtype", "kernel_version"]  # networks that differ in these are not averaged
_STACKED = 1e9  # bytes up to which all schemes of one distribution cross the layers together
Advance = Callable[[int], None]


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
    act_params: its parameters. progress: takes the number of networks, and returns a function that
    takes how many more are done. Raises RequestError where a value breaks its rule, the activation has no
    Gaussian moments, or the study holds nothing of it at this depth and width.
    """
    activation = activations.resolved(act, checks.mapping("act_params", act_params))
    depth, width = checks.whole("depth", depth, 1), checks.whole("width", width, 1)
    if progress is not None and not callable(progress):
        raise RequestError(f"progress={progress!r}: progress must be a function, or None")
    name = activation.formula if activation.name == activations.CUSTOM else activation.name
    if study is None:
        measured = _measure(activation, candidates(activation, depth, width), depth, width, progress)
        source = f"measured: median of {SEEDS} seeds, batch {BATCH}"
    else:
        stored, setting = _stored(study, activation, depth, width)
        others = {sigma_w: tuple(by_scheme) for sigma_w, by_scheme in stored.items()}
        measured = [
            replace(candidate, measured=_measured_of(stored, candidate.sigma_w))
            for candidate in candidates(activation, depth, width, others)
        ]
        source = f"measured: median over the seeds of {study}, {setting}"
    lines, ranking = tuple(derivation(activation)), tuple(rank(measured))
    return Recommendation(name, depth, width, lines, ranking, source)


def _measured_of(stored: Mapping[float, Mapping[str, Survival]], sigma_w: float) -> Mapping[str, Survival]:
    return next((by_scheme for other, by_scheme in stored.items() if is_equal(other, sigma_w)), {})


def _measure(
    act: Activation,
    candidates: Sequence[Candidate],
    depth: int,
    width: int,
    progress: Callable[[int], Advance] | None,
) -> list[Candidate]:
    """The candidates measured: of each its first scheme, orthogonal weights and lsuv."""
    per_network = 8.0 * depth * width * BATCH
    if 4.0 * depth * width * width + 2 * per_network > machine.available_memory() / 2:
        raise RequestError(
            f"depth={depth}, width={width}: the quick sweep would not fit this machine's memory; "
            "choose less of either, or give a study that holds it"
        )
    names = sorted({name for candidate in candidates for name in _tried(candidate)})
    together = per_network * len(names) <= _STACKED
    stacks: dict[object, list[str]] = defaultdict(list)
    for name in names:
        stacks[_scheme(name).base, None if together else name].append(name)
    advance = progress(SEEDS * len(names)) if progress else lambda count: None
    seeds: dict[str, list[Survival]] = defaultdict(list)
    for stack, seed in product(stacks.values(), range(SEEDS)):
        for name, measured in zip(stack, _propagate(stack, act, depth, width, seed), strict=True):
            seeds[name].append(measured)
        advance(len(stack))
    return [
        replace(candidate, measured={name: _median(seeds[name]) for name in sorted(_tried(candidate))})
        for candidate in candidates
    ]


def _tried(candidate: Candidate) -> list[str]:
    """Those of its schemes that tell something new."""
    first, *others = candidate.schemes
    return [first, *(name for name in others if name == "lsuv" or name.startswith("orthogonal"))]


def _propagate(names: Sequence[str], act: Activation, depth: int, width: int, seed: int) -> list[Survival]:
    """What one seed leaves of the signal under each of these schemes."""
    chains = [kernel.Chain(_scheme(name), act, 0.0, depth, (depth,)) for name in names]
    with threadpool_limits(1):  # as every worker computes
        statistics = kernel.propagate(chains, (width,) * (depth + 1), [seed], BATCH)
    share, measured = flat_share_of(act), []
    for chain in statistics:
        of_seed = chain.of_seed(0)
        layers = of_seed.forward | of_seed.backward[depth]
        rms, delta = layers["rms"], layers["delta_std"]
        measured.append(Survival(float(rms[-1] / rms[0]), float(delta[0]), verdict(layers, share)[0]))
    return measured


def _scheme(name: str) -> initializers.Scheme:
    """That of a candidate's name, as in 'variance_scaling scale=2.35'."""
    option, *given = name.split()
    parameters = (text.split("=") for text in given)
    return initializers.get(option, **{key: float(value) for key, value in parameters})


def _median(seeds: Sequence[Survival]) -> Survival:
    return Survival(
        median(seed.forward for seed in seeds),
        median(seed.backward for seed in seeds),
        mode(seed.verdict for seed in seeds),
    )


def _stored(
    path: str | Path, act: Activation, depth: int, width: int
) -> tuple[dict[float, dict[str, Survival]], str]:
    """What a study holds of an activation, sigma_w -> scheme -> what survived; and of which setting."""
    from sweep.report.frames.labels import description  # noqa: PLC0415
    from sweep.store import results  # noqa: PLC0415

    cells = results.load(path, thresholds=results.thresholds(path))
    cells = cells[(cells["status"] == "ok") & (cells["act"] == act.name) & (cells["bias_std"] == 0)]
    cells = cells[cells["widths"].isna() & cells["sigma_w"].notna() & cells["delta_std_first"].notna()]
    parameters = activations.parameters_of(act.name, act)
    cells = cells[cells["act_params"].map(lambda text: json.loads(text) == parameters).astype(bool)]
    networks = cells[(cells["depth"] == depth) & (cells["width"] == width)]
    if networks.empty:
        sizes = sorted({(int(d), int(w)) for d, w in zip(cells["depth"], cells["width"], strict=True)})
        listed = ", ".join(f"depth {d} width {w}" for d, w in sizes[:8]) or "nothing of it with gradients"
        raise RequestError(
            f"{path} holds no {act.name} at depth {depth} and width {width}: it holds {listed}"
        )
    networks, setting = _of_one_setting(networks)
    layers = results.load(path, "layers", columns=["cell_id", "layer", "rms"])
    networks = networks.merge(layers[layers["layer"] == 0], on="cell_id", suffixes=("", "_of_input"))
    survivals: dict[float, dict[str, Survival]] = defaultdict(dict)
    for (init, params), rows in networks.groupby(["init", "init_params"], sort=False):
        columns = rows["rms"] / rows["rms_of_input"], rows["delta_std_first"], rows["verdict"]
        sigma_w = float(rows["sigma_w"].iloc[0])
        equal = next((other for other in survivals if is_equal(other, sigma_w)), sigma_w)
        survivals[equal][description(str(init), str(params))] = _median(list(map(Survival, *columns)))
    return dict(survivals), setting


def _of_one_setting(cells: "pd.DataFrame") -> "tuple[pd.DataFrame, str]":
    """The cells of the setting with the most seeds, or else the greatest batch; and which it is."""
    seeds = cells.groupby(_SETTING)["seed"].nunique().reset_index()
    chosen = seeds.sort_values(["seed", *_SETTING]).tail(1)
    named = _SETTING if cells["kernel_version"].nunique() > 1 else _SETTING[:-1]
    text = ", ".join(f"{name} {chosen[name].iloc[0]}" for name in named)
    return cells.merge(chosen[_SETTING], on=_SETTING), text
