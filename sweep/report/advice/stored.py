"""What a stored study has measured of an activation, in place of a trial."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import activations
from sweep.activations import Activation
from sweep.base.errors import RequestError
from sweep.experiment import axes
from sweep.experiment.outcomes.verdict import Thresholds
from sweep.report.advice.candidates import Survival, is_equal
from sweep.report.advice.trial import Seed, summary
from sweep.report.frames.text import cells as counted

if TYPE_CHECKING:
    import pandas as pd

_SETTING = ["batch", "dtype", "kernel_version"]  # networks that differ in these are not averaged
_MOST_LISTED = 8
_Rows = Callable[["pd.DataFrame"], "pd.Series[bool]"]
_Said = Callable[["pd.DataFrame"], str]


@dataclass(frozen=True)
class Stored:
    """survivals: sigma_w -> scheme -> what survived; of which setting; whether gradients were measured."""

    survivals: dict[float, dict[str, Survival]]
    setting: str
    thresholds: Thresholds
    backward: bool

    def of(self, sigma_w: float) -> dict[str, Survival]:
        """By scheme, those of one sigma_w."""
        return next((found for other, found in self.survivals.items() if is_equal(other, sigma_w)), {})


def stored(path: str | Path, act: Activation, depth: int, width: int) -> Stored:
    """What a study holds of an activation at one depth and width; RequestError where that is nothing."""
    from sweep.report.frames.labels import description  # noqa: PLC0415

    networks, setting, thresholds = networks_of(path, act, depth, width)
    backward = bool(networks["delta_std_first"].notna().any())
    survivals: dict[float, dict[str, Survival]] = defaultdict(dict)
    for (init, params), rows in networks.groupby(["init", "init_params"], sort=False):
        measured = zip(
            rows["rms"] / rows["rms_of_input"],
            rows["delta_std_first"] if backward else [math.nan] * len(rows),
            rows["verdict"],
            rows["sample_cosine"],
            strict=True,
        )
        sigma_w = float(rows["sigma_w"].iloc[0])
        equal = next((other for other in survivals if is_equal(other, sigma_w)), sigma_w)
        seeds = [Seed(float(rms), float(delta), str(word), float(c)) for rms, delta, word, c in measured]
        survivals[equal][description(str(init), str(params))] = summary(seeds, thresholds)
    return Stored(dict(survivals), setting, thresholds, backward)


def networks_of(
    path: str | Path, act: Activation, depth: int, width: int, block: str = axes.PLAIN
) -> "tuple[pd.DataFrame, str, Thresholds]":
    """The cells of an activation in one block at this depth and width, of one setting; which it is.

    With `rms_of_input`; without gradients only where none has any. RequestError where there is none.
    """
    from sweep.store.query import results  # noqa: PLC0415

    thresholds = results.thresholds(path)
    loaded = results.load(path, thresholds=thresholds)
    cells, lacking = _told(loaded, act, block)
    if lacking:
        raise RequestError(f"{path} {lacking}")
    networks = cells[(cells["depth"] == depth) & (cells["width"] == width)]
    if networks.empty:
        sizes = sorted({(int(d), int(w)) for d, w in zip(cells["depth"], cells["width"], strict=True)})
        listed = _listed(f"depth {d} width {w}" for d, w in sizes)
        raise RequestError(
            f"{path} holds no {act.name} at depth {depth} and width {width}: it holds {listed}"
        )
    if networks["delta_std_first"].notna().any():
        networks = networks[networks["delta_std_first"].notna()]
    networks, setting = _of_one_setting(networks)
    networks = networks.drop_duplicates(["init", "init_params", "block_params", "seed"])  # trained or not
    layers = results.load(path, "layers", columns=["cell_id", "layer", "rms"])
    networks = networks.merge(layers[layers["layer"] == 0], on="cell_id", suffixes=("", "_of_input"))
    return networks, setting, thresholds


def _told(cells: "pd.DataFrame", act: Activation, block: str) -> "tuple[pd.DataFrame, str]":
    """The cells of an activation of which theory ranks the weights, or else what the study lacks of them."""
    from sweep.report.frames.labels import description  # noqa: PLC0415

    parameters, name = activations.parameters_of(act.name, act), act.name
    asked = description(name, json.dumps(parameters))

    def other_parameters(rows: "pd.DataFrame") -> str:
        return _listed(description(name, str(text)) for text in rows["act_params"].unique())

    steps: tuple[tuple[_Rows, _Said], ...] = (
        (
            lambda rows: rows["act"] == name,
            lambda rows: f"holds no {name}: it holds {_listed(rows['act'].unique()) or 'no cells'}",
        ),
        (
            lambda rows: rows["act_params"].map(lambda text: json.loads(text) == parameters).astype(bool),
            lambda rows: f"holds no {asked}: it holds {other_parameters(rows)}",
        ),
        (
            lambda rows: rows["status"] == "ok",
            lambda rows: f"holds no {name} that could be computed: all of it failed ({counted(len(rows))})",
        ),
        (
            lambda rows: rows["bias_std"].isna() | (rows["bias_std"] == 0),  # null: of the scheme's own
            lambda rows: (
                f"holds {name} with biases alone (bias_std={_listed(sorted(rows['bias_std'].unique()))}), "
                "and advice is for networks without"
            ),
        ),
        (
            lambda rows: rows["block"] == block,
            lambda rows: f"holds {name} in no block {block}: it holds {_listed(rows['block'].unique())}",
        ),
        (
            lambda rows: rows["input"] == axes.USUAL_INPUT,
            lambda rows: (
                f"holds {name} with other inputs alone ({_listed(rows['input'].unique())}), and advice is "
                "for gaussian ones"
            ),
        ),
        (
            lambda rows: rows[["widths", *axes.ENDS.values()]].isna().all(axis=1),
            lambda rows: f"holds {name} only in tapered networks, or with first or last layers of their own",
        ),
        (
            lambda rows: rows["format"].isna(),
            lambda rows: (
                f"holds {name} only with a number format, whose losses are in its verdicts, and "
                "advice is for the network itself"
            ),
        ),
        (
            lambda rows: rows["sigma_w"] > 0,
            lambda rows: (
                f"holds {name} only with schemes without a sigma_w: {_listed(rows['init'].unique())}"
            ),
        ),
    )
    for keep, said in steps:
        kept = cells[keep(cells)]
        if kept.empty:
            return kept, said(cells)
        cells = kept
    return cells, ""


def _listed(texts: Iterable[object]) -> str:
    """The first of them, and how many more there are."""
    every = list(map(str, texts))
    more = f" and {len(every) - _MOST_LISTED} more" if len(every) > _MOST_LISTED else ""
    return ", ".join(every[:_MOST_LISTED]) + more


def _of_one_setting(cells: "pd.DataFrame") -> "tuple[pd.DataFrame, str]":
    """The cells of the setting with the most seeds, or else the greatest batch; and which it is."""
    seeds = cells.groupby(_SETTING)["seed"].nunique().reset_index()
    chosen = seeds.sort_values(["seed", *_SETTING]).tail(1)
    named = _SETTING if cells["kernel_version"].nunique() > 1 else _SETTING[:-1]
    text = ", ".join(f"{name} {chosen[name].iloc[0]}" for name in named)
    return cells.merge(chosen[_SETTING], on=_SETTING), text
