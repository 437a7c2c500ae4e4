"""Networks averaged as they are read are what pandas makes of the whole tables."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import sweep
from sweep.experiment.outcomes.verdict import ORDER, Thresholds
from sweep.report.frames import stored
from sweep.report.frames.agreement import agreement
from sweep.report.frames.labels import add_labels
from sweep.report.frames.measures import MEASURES, measure
from sweep.report.frames.seeds import average_over_seeds, by_layer, over_seeds
from sweep.report.frames.stored import Totals
from sweep.store.parts import pieces
from sweep.store.query.batches import View
from sweep.store.study import Study
from sweep.store.tables import CELLS
from tests.make import cell
from tests.studies import fail, grid, older, part, result_of, write

# Of one sign where they are large: what is left of a sum that cancels is its rounding, in whatever order.
SPECIAL = [0.0, np.inf, -np.inf, np.nan, 1e38, 3e38, 1e-45, 5e-324, 1e-300, 1.5e308, 1.0, 1.0]
LAYERS = [MEASURES[name] for name in ("mean", "std", "rms", "delta_rms", "grad_rms", "sample_cosine")]


def reference(values, geometric):
    """Mean, factor, least and greatest of one group, as formulas have them, in long double."""
    known = np.array(values, np.longdouble)
    known = known[~np.isnan(known)]
    with np.errstate(all="ignore"):
        scaled = np.log(np.abs(known[known != 0])) if geometric else known
        mean = scaled.mean() if len(scaled) else np.nan
        factor = np.sqrt(((scaled - mean) ** 2).mean()) if len(scaled) else np.nan
        if geometric:
            mean, factor = np.exp(mean), np.exp(factor)
            mean = 0.0 if not len(scaled) and len(known) else mean
        low, high = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
        return [float(value) for value in (mean, factor, low, high)]


def scrambled(study, number, seed):
    """A part with special numbers in every statistic of a grid whose names its predecessors share."""
    cells = grid(("xavier", "big_normal", "zeros"), ("tanh", "relu"), (2, 3), (4,), seeds=(seed, seed + 1))
    write(study, f"{number:04d}", cells)
    name = part(f"{number:04d}")
    scan, rng = study.scan, np.random.default_rng(number)
    tables = []
    for folder in ("cells", "layers"):
        table = scan.read(folder, [name]).drop_columns(["part"])
        for column in {one.name for one in MEASURES.values()} & {*table.column_names} - {"verdict_layer"}:
            if not pa.types.is_floating(table[column].type):
                continue
            values = rng.choice([*SPECIAL, *rng.lognormal(size=24)], table.num_rows)
            if column == "rms":  # what is judged again is compared with 1e38, in squares
                values = np.where(np.isinf(values), values, np.clip(values, None, 1e150))
            index = table.column_names.index(column)
            table = table.set_column(index, column, pa.array(values, from_pandas=bool(number % 2)))
        tables.append(table)
    study.write(name, *tables)


@pytest.fixture(params=["one piece", "a part at a time"])
def parts(request, study, monkeypatch):
    """A study of several parts, with failures, a single seed and a part of an older schema."""
    if request.param == "a part at a time":
        monkeypatch.setattr(pieces, "_ROWS", 1)
    for number in range(4):
        scrambled(study, number, 2 * number)
    write(study, "0004", [cell(depth=2, width=4, batch=64, bias_std=0.5)])
    fail(study, "0005", cell(depth=2, width=4, batch=64, bias_std=0.25), "ValueError: no")
    write(study, "0006", [cell(depth=2, width=4, batch=64, seed=seed) for seed in (20, 21)])
    older(study, part("0006"))
    return Study(study.path)


def read(study, wanted):
    view = View(study)
    networks = stored.read(view, wanted, columns=CELLS.names)
    return networks, stored.layers(view, networks, np.ones(len(networks.rows), bool), LAYERS)


@pytest.mark.parametrize("wanted", [{}, {"vanishing": 0.5, "exploding": 2.0}])
def test_networks_are_what_pandas_makes_of_all_cells(parts, wanted):
    networks, layers = read(parts, Thresholds.of(wanted))
    cells = sweep.load(parts.path, thresholds=wanted)
    statistics = list(MEASURES.values())
    # Sums of another order round otherwise; logarithms of 1e308 are 700, so 1e-12 of their exponentials.
    close = {"rtol": 1e-9, "check_dtype": False}
    once = average_over_seeds(add_labels(cells), statistics)
    found = average_over_seeds(add_labels(networks.rows), statistics)
    pd.testing.assert_frame_equal(found[once.columns], once, **close)
    curves = by_layer(cells[cells["status"] == "ok"], sweep.load(parts.path, "layers"), LAYERS, whole=True)
    ok = networks.rows[networks.rows["status"] == "ok"]
    pd.testing.assert_frame_equal(
        by_layer(ok, layers.rows, LAYERS, whole=True)[curves.columns], curves, **close
    )
    assert agreement(networks.rows) == agreement(cells)
    whole = Totals.of(cells)
    assert (networks.totals.cells, networks.totals.failed, networks.totals.seeds) == (
        whole.cells, whole.failed, whole.seeds
    )  # fmt: skip
    assert {error: count for error, (count, _) in networks.totals.failures.items()} == {
        error: count for error, (count, _) in whole.failures.items()
    }


def test_every_network_is_what_the_formulas_say(parts):
    networks, _ = read(parts, Thresholds())
    rows, cells = add_labels(networks.rows), add_labels(sweep.load(parts.path))
    key = ["init_label", "act_label", "setting", "depth", "width"]
    groups = dict(iter(cells[cells["status"] == "ok"].groupby(key)))
    for name in ("mean", "std", "flat", "grad_std", "verdict_layer"):
        one = measure(name)
        for _, row in rows[rows["status"] == "ok"].iterrows():
            own = groups[tuple(row[key])]
            found = [row[f"{part}:{name}"] for part in ("value", "factor", "low", "high")]
            wanted = reference(own[name].astype(float), one.geometric)
            np.testing.assert_allclose(found, wanted, rtol=1e-9, err_msg=f"{name} of {own[name].tolist()}")
            votes = own["verdict"].value_counts()
            most = [word for word in ORDER if votes.get(word, 0) == votes.max()]
            assert (row["verdict"], row["agree"]) == (most[0], votes.max() / len(own))


def test_a_network_that_failed_in_every_seed_has_no_values(parts):
    networks, _ = read(parts, Thresholds())
    (row,) = networks.rows.query("bias_std == 0.25").to_dict("records")
    assert (row["verdict"], row["seeds"], row["failed"], row["status"]) == ("failed", 0, 1, "failed")
    assert np.isnan(row["value:std"])


def test_a_predicted_value_is_averaged_as_others_are(parts):
    one = measure("theory_std", CELLS.names)
    rows = stored.read(View(parts), Thresholds(), [one], CELLS.names).rows
    wanted = over_seeds(sweep.load(parts.path), "theory_std")
    pd.testing.assert_series_equal(over_seeds(rows, "theory_std")["value"], wanted["value"])


def test_histograms_are_those_of_the_first_seed_that_has_them(study):
    cells = [cell(depth=2, width=4, batch=64, seed=seed) for seed in (3, 1, 2)]
    write(study, "0000", cells[:1])
    write(study, "0001", cells[1:], histogram=True)
    _, layers = read(study, Thresholds())
    (row,) = layers.kept.to_dict("records")
    view = View(study)
    (found,) = view.ids([row["piece"]], [row["row"]])
    assert found == cells[1].id
    assert view.layers_of([found])["histogram"].notna().all()


def test_cells_that_keep_their_verdicts_are_counted_in_one_warning(study, monkeypatch):
    monkeypatch.setattr(pieces, "_ROWS", 1)
    for number in range(2):
        result = result_of([cell(depth=2, width=4, batch=64, seed=number)])
        tables = list(sweep.store.tables.tables(result, "run"))
        study.write(part(f"{number:04d}"), tables[0], tables[1].slice(1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stored.read(View(study), Thresholds.of({"vanishing": 0.5}))
    assert [str(one.message).split(":")[0] for one in caught] == [
        f"2 cells of {study.name} keep the verdicts that they were stored with"
    ]
