"""A study's cells as networks: a row for each with what its seeds have in common, however many they are.

Such a frame goes wherever one of cells does: its rows name their network as those of a cell do, and what is
made of cells is made of it without averaging again.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweep.experiment.axes import UNTRAINED
from sweep.experiment.outcomes.verdict import ORDER
from sweep.report.frames.labels import NAMED_BY, SETTINGS
from sweep.report.frames.measures import THEORY, WORD, Measure
from sweep.report.frames.tally import Groups, Spreads, Votes

if TYPE_CHECKING:
    import pandas as pd

_MARK = "network"  # the column that only such a frame has: the network's number


def are_networks(frame: "pd.DataFrame") -> bool:
    """Whether the rows are networks, or their layers, instead of cells."""
    return _MARK in frame


def measured_once(frame: "pd.DataFrame", copies: bool = True) -> "pd.DataFrame":
    """Of cells, or of networks, that differ in their trainings alone, one: as drawn they are the same.

    copies: whether rounded copies tell them apart; the networks beside them are the same too. Of networks it
    is the one with the most seeds, of cells one that was computed; best one without a format.
    """
    beside: dict[str, str | None] = {"train": UNTRAINED, "train_params": "{}"}
    if not copies:
        beside["format"] = None
    beside = {name: usual for name, usual in beside.items() if name in frame}
    if all(frame[name].nunique(dropna=False) <= 1 for name in beside):
        return frame
    keys = ["depth", "width", *(() if are_networks(frame) else ("seed",))]
    keys += [name for name in (*NAMED_BY, *SETTINGS) if name not in beside and name in frame]
    best = frame.assign(**{key: frame[key].map(str) for key in keys if frame[key].dtype == object})
    merit = frame["seeds"] if are_networks(frame) else frame["status"] == "ok"
    best = best.loc[merit.sort_values(ascending=False, kind="stable").index]
    if "format" in beside:
        best = best.loc[best["format"].notna().sort_values(kind="stable").index]
    kept = frame[frame.index.isin(best.index[~best.duplicated(keys)])]
    return kept.assign(**beside)


def condensed(
    frame: "pd.DataFrame", group: NDArray[np.int64], statistics: Sequence[Measure]
) -> dict[str, Any]:
    """By group what the cells of a frame have in common: the columns of `Votes` and of `Spreads`.

    group: (cells,), the number of each one's.
    """
    votes, spreads = Votes(), Spreads(statistics)
    size = int(group.max(initial=-1)) + 1
    columns = _columns(frame, statistics)
    ok = (frame["status"] == "ok").to_numpy()
    # A gradient that was not measured, or cannot be, is null in every seed.
    measured = frame["delta_std_first"].notna().to_numpy() if "delta_std_first" in frame else ok
    verdict = codes_of_verdicts(frame["verdict"], ok)
    said = _said(frame["verdicts"]) if "verdicts" in frame else None
    votes.add(group, ok, frame["seed"].to_numpy(), verdict, measured, said)
    spreads.add(Groups(np.where(ok, group, -1)), columns)
    return votes.columns(size) | spreads.columns(size) | words(votes.columns(size), statistics)


def words(voted: dict[str, Any], statistics: Sequence[Measure]) -> dict[str, Any]:
    """The columns 'value:verdict' of the statistics that are words."""
    return {f"value:{one.name}": voted["verdict"] for one in statistics if one.scale == WORD}


def codes_of_verdicts(verdicts: "pd.Series[Any]", ok: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The place of each verdict in ORDER; of what was not computed, that of 'failed'."""
    import pandas as pd  # noqa: PLC0415

    codes, values = pd.factorize(verdicts)
    places = np.array([*map(ORDER.index, values), ORDER.index("failed")])
    return np.where(ok, places[codes], ORDER.index("failed"))


def _said(verdicts: "pd.Series[Any]") -> tuple[NDArray[np.int64], list[str]]:
    import pandas as pd  # noqa: PLC0415

    known = verdicts.notna()
    texts = verdicts[known].map(", ".join).reindex(verdicts.index)
    codes, values = pd.factorize(texts)
    return codes, list(values)


def _columns(frame: "pd.DataFrame", statistics: Sequence[Measure]) -> dict[str, NDArray[Any]]:
    names = [one.name for one in statistics if one.scale != WORD]
    predicted = [f"{THEORY}{name}" for name in names if f"{THEORY}{name}" in frame]
    return {name: frame[name].to_numpy(float) for name in (*names, *predicted)}


def layers_condensed(
    frame: "pd.DataFrame", group: NDArray[np.int64], statistics: Sequence[Measure]
) -> dict[str, Any]:
    """By group the 'seeds' and the columns of `Spreads` of layers; group: (layers,), the number of each."""
    spreads, size = Spreads(statistics), int(group.max(initial=-1)) + 1
    spreads.add(Groups(group), _columns(frame, statistics))
    seeds = frame["seed"].groupby(group).nunique().to_numpy() if size else np.empty(0, int)
    return {"seeds": seeds} | spreads.columns(size)


def parts_of(rows: "pd.DataFrame", statistics: Sequence[Measure], more: Collection[str]) -> "pd.DataFrame":
    """Of a frame of networks the columns `more` and those of these statistics."""
    names = {one.name for one in statistics}
    return rows[[name for name in rows if name in more or str(name).partition(":")[2] in names]]
