"""What theory recommends for each activation of a study, at the study's greatest depth and width."""

from dataclasses import dataclass

import pandas as pd

from sweep import activations
from sweep.base.errors import SweepError
from sweep.report.advice.candidates import LSUV, NO, UNSURE, Candidate, candidates, rank
from sweep.report.advice.paste import paste
from sweep.report.frames.labels import add_labels
from sweep.report.frames.text import number


@dataclass(frozen=True)
class Advice:
    """A recommendation in a sentence, and the line to paste into torch: '' where none survives for sure."""

    text: str
    paste: str


def advice_by_act(cells: pd.DataFrame) -> dict[str, Advice]:
    """The best-ranked weights by act_label; none where an activation has no theory, or is a user's own."""
    frame = add_labels(cells)
    depth, width = int(frame["depth"].max()), int(frame["width"].max())
    advice = {}
    specs = frame[["act_label", "act", "act_params"]].drop_duplicates("act_label")
    for label, name, parameters in specs.itertuples(index=False):
        try:
            act = activations.stored(name, parameters)
            (_, best), *_ = rank(candidates(act, depth, width))
        except SweepError:
            continue
        survives = best.survives not in (NO, UNSURE)
        line = paste(best, act)["torch"] if survives and best.kind != LSUV else ""
        advice[str(label)] = Advice(_says(best, name, depth, width), line)
    return advice


def _says(best: Candidate, act: str, depth: int, width: int) -> str:
    """What theory says of the best at this depth and width, in a sentence or two."""
    at, named = f"at depth {depth} and width {width}", " or ".join(best.schemes[:2])
    command = f"python -m sweep.recommend {act} --depth {depth} --width {width}"
    if best.survives == NO:
        return (
            f"theory knows of nothing that survives {at}; {named} lasts longest, to depth {best.good_to}. "
            f"What would help: {command}"
        )
    numbers = f"sigma_w = {best.sigma_w:.4g}, χ₁ = {number(best.chi1)} per layer"
    if best.survives == UNSURE:
        return f"{named} ({numbers}) may survive {at}, but some seeds may not. Try it: {command}"
    more = " and more" if best.good_to == best.outlook.followed_to else ""
    line = f" For its code: {command}" if best.kind == LSUV else ""
    return (
        f"{named}: {numbers}; theory is sure of it to {best.good_to} layers{more} of {width} neurons.{line}"
    )
