"""What theory recommends for each activation of a study, at the study's greatest depth and width."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from sweep import activations
from sweep.activations import Activation
from sweep.base.errors import SweepError
from sweep.experiment.ingredients.families import at_depth
from sweep.report.advice.candidates import (
    INDEPENDENT,
    LAYER,
    LSUV,
    NO,
    ORTHOGONAL,
    UNSURE,
    Candidate,
    candidates,
    is_equal,
    is_orthogonal,
    rank,
)
from sweep.report.advice.paste import paste
from sweep.report.frames.labels import add_labels
from sweep.report.frames.seeds import average_over_seeds
from sweep.report.frames.text import number


@dataclass(frozen=True)
class Advice:
    """A recommendation in a sentence, and the line to paste into torch: '' where none survives for sure."""

    text: str
    paste: str


def advice_by_act(cells: pd.DataFrame) -> dict[str, Advice]:
    """The best-ranked weights by act_label; none where an activation has no theory, or is a user's own.

    With the smallest biases that the study has of the activation, which is without where it has such
    networks; and never those that the study shows dying with them, at its greatest depth and width.
    """
    frame = add_labels(cells)
    depth, width = int(frame["depth"].max()), int(frame["width"].max())
    advice = {}
    specs = frame[["act_label", "act", "act_params"]].drop_duplicates("act_label")
    for label, name, parameters in specs.itertuples(index=False):
        own = frame[frame["act_label"] == label]
        sigma_b = float(own["bias_std"].fillna(0.0).min())
        try:
            act = at_depth(activations.stored(name, parameters), depth)
            ranking = [best for _, best in rank(candidates(act, depth, width, sigma_b=sigma_b))]
        except SweepError:
            continue
        dying = _dying(own[(own["depth"] == depth) & (own["width"] == width)], sigma_b)
        best = _best(ranking, dying)
        if best is None:
            advice[str(label)] = Advice(_refuted(ranking[0], depth, width), "")
            continue
        biases = _Biases(sigma_b, bool((own["bias_std"] > 0).any()))
        survives = best.survives not in (NO, UNSURE)
        line = paste(best, act)["torch"] if survives and best.kind != LSUV else ""
        if line and sigma_b and best.kind != LAYER:
            line = f"torch.nn.init.normal_(layer.bias, std={sigma_b:g}); {line}"
        advice[str(label)] = Advice(_says(best, act, depth, width, biases), line)
    return advice


@dataclass(frozen=True)
class _Biases:
    """The std of those that theory was asked about, and whether the study has any with the activation."""

    std: float
    some: bool

    def of(self, best: Candidate) -> str:
        """Which networks the recommendation is for; '' where the study has no others."""
        if not self.some or best.kind == LAYER:  # its biases are in its name
            return ""
        return f", with biases of std {self.std:g}" if self.std else ", without biases"


@dataclass(frozen=True)
class _Dying:
    """Schemes that die: by label, and by sigma_w and kind where theory has a word on them."""

    labels: frozenset[str]
    weights: frozenset[tuple[float, str]]

    def has(self, candidate: Candidate) -> bool:
        """Whether a candidate is one of these."""
        return not self.labels.isdisjoint(candidate.schemes) or any(
            kind == candidate.kind and is_equal(sigma_w, candidate.sigma_w) for sigma_w, kind in self.weights
        )


def _dying(cells: pd.DataFrame, sigma_b: float) -> _Dying:
    """Those of one activation and size that the study shows dying, with such biases or with their own.

    cells: labelled.
    """
    cells = cells[(cells["status"] == "ok") & (cells["bias_std"].isna() | (cells["bias_std"] == sigma_b))]
    if cells.empty:
        return _Dying(frozenset(), frozenset())
    rows = average_over_seeds(cells, [])
    labels = frozenset(rows.loc[rows["verdict"] != "healthy", "init_label"])
    told = (cells["sigma_w"] > 0) & cells["last_init"].isna()
    if "theory_rms" in cells:  # null where theory does not apply
        told &= cells["theory_rms"].notna()
    told &= cells["bias_std"].notna() & cells["init_label"].isin(labels)
    pairs = cells.loc[told, ["sigma_w", "init"]].drop_duplicates().itertuples(index=False)
    weights = ((float(size), ORTHOGONAL if is_orthogonal(init) else INDEPENDENT) for size, init in pairs)
    return _Dying(labels, frozenset(weights))


def _best(ranking: Sequence[Candidate], dying: _Dying) -> Candidate | None:
    """The first that may survive and does not die in the study; theory's first where none may; else None."""
    alive = (one for one in ranking if one.survives != NO and not dying.has(one))
    return next(alive, ranking[0] if ranking[0].survives == NO else None)


def _refuted(best: Candidate, depth: int, width: int) -> str:
    """What is said where the study shows all of theory's candidates dying."""
    named = " or ".join(best.schemes[:2])
    return (
        f"nothing: theory would take {named} at depth {depth} and width {width}, which dies here, "
        "and knows of nothing else that survives"
    )


def _asked(act: Activation) -> str:
    """What the command takes for an activation."""
    told = dict(act.parameters)
    if act.name != activations.TRANSFORMED:
        return act.name
    return f"{told['of']} --transform {told['method']} --target {told['target']:g}"


def _says(best: Candidate, act: Activation, depth: int, width: int, biases: _Biases) -> str:
    """What theory says of the best at this depth and width, in a sentence or two."""
    at, named = f"at depth {depth} and width {width}{biases.of(best)}", " or ".join(best.schemes[:2])
    command = f"python -m sweep.recommend {_asked(act)} --depth {depth} --width {width}"
    alone = biases.std > 0  # the command knows of networks without biases alone
    if best.survives == NO:
        lasts = f"lasts longest, to depth {best.good_to}" if best.good_to else "comes first, sure at no depth"
        return (
            f"theory knows of nothing that survives {at}; {named} {lasts}. "
            f"{'Without biases' if alone else 'What would help'}: {command}"
        )
    numbers = f"sigma_w = {best.sigma_w:.4g}, χ₁ = {number(best.chi1)} per layer"
    if best.survives == UNSURE:
        trial = "" if alone else f" Try it: {command}"
        return f"{named} ({numbers}) may survive {at}, but some seeds may not.{trial}"
    more = " and more" if best.good_to == best.outlook.followed_to else ""
    line = f" For its code: {command}" if best.kind == LSUV else ""
    return (
        f"{named}: {numbers}; theory is sure of it to {best.good_to} layers{more} of {width} neurons"
        f"{biases.of(best)}.{line}"
    )
