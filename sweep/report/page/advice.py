"""What theory recommends for each activation of a study, at the study's greatest depth and width."""

from dataclasses import dataclass

import pandas as pd

from sweep import activations
from sweep.base.errors import SweepError
from sweep.report.advice.candidates import candidates, rank
from sweep.report.advice.derivation import DEEPEST
from sweep.report.advice.table import paste
from sweep.report.frames.labels import add_labels
from sweep.report.frames.text import number


@dataclass(frozen=True)
class Advice:
    """A recommendation in a sentence, and the line to paste into torch."""

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
        numbers = f"sigma_w = {best.sigma_w:.4g}, χ₁ = {number(best.chi1)} per layer"
        text = f"{' or '.join(best.schemes[:2])}: {numbers}{_trust(best.depth, width)}."
        advice[str(label)] = Advice(text, paste(best.sigma_w)["torch"])
    return advice


def _trust(depth: int | None, width: int) -> str:
    if depth is None:
        return ""
    more = " and more" if depth >= DEEPEST else ""
    return f"; theory trusts it to {depth} layers{more} of {width} neurons"
