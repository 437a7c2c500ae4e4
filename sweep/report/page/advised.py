"""What theory recommends for each activation of a study, at the study's greatest depth and width."""

import json
from dataclasses import dataclass

import pandas as pd

from sweep import activations, advice
from sweep.errors import SweepError
from sweep.labels import labelled, number


@dataclass(frozen=True)
class Advice:
    """A recommendation in a sentence, and the line to paste into torch."""

    text: str
    paste: str


def advised(cells: pd.DataFrame) -> dict[str, Advice]:
    """The best-ranked weights by act_label; none where an activation has no theory, or is not here."""
    frame = labelled(cells)
    depth, width = int(frame["depth"].max()), int(frame["width"].max())
    found = {}
    specs = frame[["act_label", "act", "act_params"]].drop_duplicates("act_label")
    for label, name, parameters in specs.itertuples(index=False):
        try:
            act = activations.get(name, **json.loads(parameters))
            (_, best), *_ = advice.ranked(advice.candidates(act, depth, width))
        except (SweepError, ValueError):
            continue
        deep = f"{best.depth} layers" if best.depth < advice.DEEPEST else f"{best.depth} layers and more"
        schemes, chi1 = " or ".join(best.schemes[:2]), number(best.chi1, 4)
        numbers = f"sigma_w = {best.sigma_w:.4g}, χ₁ = {chi1} per layer"
        text = f"{schemes}: {numbers}; theory trusts it to {deep} of {width} neurons."
        found[str(label)] = Advice(text, advice.paste(best.sigma_w)["torch"])
    return found
