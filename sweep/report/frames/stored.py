"""A stored study as networks, in one pass over its cells: millions of rows of which none becomes pandas'."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweep import activations
from sweep.experiment.outcomes.verdict import ORDER, Thresholds
from sweep.kernel.statistics.table import PREDICTED
from sweep.report.frames import agreement
from sweep.report.frames.labels import NAMED_BY, SETTINGS
from sweep.report.frames.measures import MEASURES, THEORY, WORD, Measure
from sweep.report.frames.networks import words
from sweep.report.frames.own import with_stand_ins
from sweep.report.frames.tally import Groups, Spreads, Votes

if TYPE_CHECKING:
    import pandas as pd

    from sweep.store.query.batches import Batch, View

_KEYS = tuple(dict.fromkeys((*NAMED_BY, *SETTINGS, "depth", "width")))
_VOTED = ("status", "seed", "verdict", "verdicts", "delta_std_first", "rms", "theory_rms")
_KEPT = "histogram_low"  # a column of `layers` that is null where no histogram is kept
_FIRST_LAYERS = 2  # of every network: where a gradient arrives, and the first weights'
_MOST_JUDGED = 200  # specs whose spread over seeds theory is asked for


@dataclass(frozen=True)
class Totals:
    """What is said of all cells together. failures: by error, how many cells met it, and the first."""

    cells: int
    failed: int
    seeds: int
    seconds: float
    runs: tuple[str, ...]
    failures: Mapping[str, tuple[int, Mapping[Any, Any]]]

    @classmethod
    def of(cls, cells: "pd.DataFrame") -> "Totals":
        """Those of a frame of cells."""
        bad = cells[cells["status"] != "ok"]
        runs = tuple(cells["run_id"].dropna().unique())
        return cls(
            len(cells), len(bad), cells["seed"].nunique(), cells["seconds"].sum(), runs, _failures({}, bad)
        )


def _failures(
    known: Mapping[str, tuple[int, Mapping[Any, Any]]], failed: "pd.DataFrame"
) -> dict[str, tuple[int, Mapping[Any, Any]]]:
    """The errors that are known, and those of these cells."""
    found = dict(known)
    errors = failed["error"].fillna("no message")
    firsts = failed[~errors.duplicated()].to_dict("records")
    for (error, count), first in zip(errors.value_counts(sort=False).items(), firsts, strict=True):
        before, one = found.get(str(error), (0, first))
        found[str(error)] = before + count, one
    return found


@dataclass(frozen=True)
class Networks:
    """The networks of a study. rows: a frame of them, see `networks`; totals: of their cells.

    of_batches: for every batch of `View.cells` the row of each cell's network.
    """

    rows: "pd.DataFrame"
    totals: Totals
    of_batches: list[NDArray[np.int32]]


def read(
    view: "View",
    wanted: Thresholds,
    statistics: Iterable[Measure] = MEASURES.values(),
    columns: Iterable[str] = (),
) -> Networks:
    """The networks of a study with these statistics and with verdicts by these thresholds.

    columns: those of its table; predictions are taken where it has them. Raises as `View` does.
    """
    there, statistics = {*columns}, list(statistics)
    names = [one.name for one in statistics if one.scale != WORD]
    names += [f"{THEORY}{name}" for name in names if f"{THEORY}{name}" in there]
    found = _Found(statistics)
    more = ("sigma_w", "seed", "error")
    asked = dict.fromkeys((*_VOTED, *names, "seconds", "run_id"))
    for batch in view.cells(_KEYS, [*asked], wanted, more):
        found.add(batch, names)
    return found.networks()


@dataclass(frozen=True)
class Layers:
    """The layers of a study's networks. rows: a frame with a row for each network and layer that has seeds.

    kept: the networks with histograms, each with the seed of its first cell that has them, and where that is:
    the `piece` of the study, and the `row` of it.
    """

    rows: "pd.DataFrame"
    kept: "pd.DataFrame"


def layers(
    view: "View", networks: Networks, whole: NDArray[np.bool_], statistics: Sequence[Measure]
) -> Layers:
    """The layers of all networks with these statistics, of other than `whole` ones the first two alone.

    Raises as `View` does.
    """
    import pandas as pd  # noqa: PLC0415

    names = [one.name for one in statistics]
    names += [f"{THEORY}{name}" for name in names if name in PREDICTED]
    depth = networks.rows["depth"].to_numpy(np.int64)
    sizes = np.where(whole, depth + 1, np.minimum(depth + 1, _FIRST_LAYERS))
    starts = np.cumsum(sizes) - sizes
    spreads, seeds = Spreads(statistics), np.zeros(int(sizes.sum()), np.int64)
    kept = [pd.DataFrame({name: np.empty(0, np.int64) for name in ("network", "seed", "piece", "row")})]
    columns = view.layers(("layer", "seed", _KEPT, *names))
    batches = zip(networks.of_batches, columns, strict=True)
    for piece, (of_batch, (cell, values)) in enumerate(batches):
        network, layer = of_batch[cell], values["layer"]
        chosen = (cell >= 0) & (layer < sizes[network])
        group = np.where(chosen, starts[network] + layer, -1)
        spreads.add(Groups(group), {name: values[name] for name in names})
        seeds += np.bincount(group[chosen], minlength=len(seeds))
        own = (cell >= 0) & (layer == 0) & ~np.isnan(np.asarray(values[_KEPT], float))
        if own.any():
            cells = pd.DataFrame({"network": network[own], "seed": values["seed"][own], "row": cell[own]})
            kept.append(_firsts(cells.assign(piece=piece)))
    found: dict[str, Any] = {
        "network": np.repeat(np.arange(len(depth)), sizes),
        "layer": np.arange(len(seeds)) - np.repeat(starts, sizes),
        "seeds": seeds,
    }
    for name in names:
        if name in MEASURES:
            found[f"known:{name}"], found[f"zero:{name}"] = spreads.of(name).known(len(seeds))
    rows = pd.DataFrame(found | spreads.columns(len(seeds)), copy=False)
    firsts = _firsts(pd.concat(kept))
    return Layers(rows[seeds > 0], networks.rows.drop(columns="seed").merge(firsts, on="network"))


def _firsts(cells: "pd.DataFrame") -> "pd.DataFrame":
    """Of the cells of every network that of the least seed."""
    return cells.sort_values("seed", kind="stable").drop_duplicates("network").sort_values("network")


class _Found:
    """What is known of the cells so far."""

    def __init__(self, statistics: Sequence[Measure]) -> None:
        self._statistics = statistics
        self._numbers: dict[Any, int] = {}
        self._kinds: list[pd.DataFrame] = []
        self._votes, self._spreads = Votes(), Spreads(statistics)
        self._of_batches: list[NDArray[np.int32]] = []
        self._logs: list[NDArray[np.float64]] = []
        self._listed: list[NDArray[np.int32]] = []
        self._cells, self._seconds = 0, 0.0
        self._seeds: set[int] = set()
        self._runs: dict[str, None] = {}
        self._failures: dict[str, tuple[int, Mapping[Any, Any]]] = {}
        self._failed = 0

    def add(self, batch: "Batch", names: Sequence[str]) -> None:
        """More cells."""
        network = self._numbered(batch)[batch.kind]
        columns = batch.columns
        ok = _flags(columns["status"], "ok")
        measured = ~np.isnan(columns["delta_std_first"])
        places = np.array([*map(ORDER.index, columns["verdict"].values), ORDER.index("failed")])
        verdict = np.where(ok, places[columns["verdict"].codes], ORDER.index("failed"))
        said = columns["verdicts"].codes, columns["verdicts"].values
        self._votes.add(network, ok, columns["seed"], verdict, measured, said)
        self._spreads.add(Groups(np.where(ok, network, -1)), {name: columns[name] for name in names})
        known = batch.kinds["act"].isin(activations.known()).to_numpy()[batch.kind]
        logs = agreement.deviation_from_mean_field(columns["rms"], columns["theory_rms"], known & ok)
        self._of_batches.append(network.astype(np.int32))
        self._listed.append(self._of_batches[-1][~np.isnan(logs)])
        self._logs.append(logs[~np.isnan(logs)])
        self._cells += len(network)
        self._failed += int((~ok).sum())
        self._seconds += float(np.nansum(columns["seconds"]))
        self._seeds.update(np.unique(columns["seed"]).tolist())
        self._runs |= dict.fromkeys(columns["run_id"].values)
        self._failures = _failures(self._failures, batch.failed)

    def _numbered(self, batch: "Batch") -> NDArray[np.int64]:
        """The network of each kind of a batch."""
        kinds = with_stand_ins(batch.kinds)
        columns = [_hashable(kinds[name]) for name in _KEYS]
        before = len(self._numbers)
        numbers = [self._numbers.setdefault(key, len(self._numbers)) for key in zip(*columns, strict=True)]
        found = np.array(numbers, np.int64)
        self._kinds.append(kinds[found >= before])
        return found

    def networks(self) -> Networks:
        """All of it."""
        import pandas as pd  # noqa: PLC0415

        size = len(self._numbers)
        rows = pd.concat(self._kinds, ignore_index=True) if self._kinds else pd.DataFrame(columns=[*_KEYS])
        voted = self._votes.columns(size)
        columns = voted | self._spreads.columns(size) | words(voted, self._statistics)
        rows = pd.concat([rows, pd.DataFrame(columns)], axis=1)
        network, logs = (
            np.concatenate([np.empty(0, kind), *each])
            for kind, each in ((np.int64, self._listed), (np.float64, self._logs))
        )
        rows = rows.drop(columns=["status", "error"], errors="ignore").assign(
            network=np.arange(size),
            status=np.where(rows["computed"] > 0, "ok", "failed"),
            **{name: rows[column] for name, column in _ALSO.items() if column in rows},
            **agreement.by_network(rows, network, logs, _MOST_JUDGED),
        )
        totals = Totals(
            self._cells, self._failed, len(self._seeds), self._seconds, tuple(self._runs), self._failures
        )
        return Networks(rows, totals, self._of_batches)


# What is asked of a network as of a cell.
_ALSO = {"std": "value:std", "rms": "value:rms", "theory_rms": "theory:rms"}


def _flags(texts: Any, wanted: str) -> NDArray[np.bool_]:
    """Which rows have this text."""
    flags: NDArray[np.bool_] = np.array([*(text == wanted for text in texts.values), False])[texts.codes]
    return flags


def _hashable(column: "pd.Series[Any]") -> list[Any]:
    """An axis's values so that equal ones are one key: None for null, a text for a list."""
    if column.isna().any():
        column = column.astype(object).where(column.notna(), None)
    values = column.tolist()
    return [value if value is None else str(value) for value in values] if column.name == "widths" else values
