"""The page's lines of pandas: they run, on this study, and pool nothing but its seeds."""

import json

import pandas as pd
import pytest

from sweep.report.page import data
from sweep.report.page.reading import snippet
from tests.make import cell
from tests.studies import grid, stored

SMALL = {"batch": 20, "seeds": (0, 1), "widths": (8,)}


def studies():
    normal = [{"name": "normal", "std": std} for std in (0.1, 0.2, 0.3)]
    return {
        "schemes": grid(("xavier", "kaiming"), **SMALL),
        "one network": grid(("xavier",), ("tanh",), (2,), **SMALL),
        "widths alone": grid(("xavier",), ("tanh",), (2,), **SMALL | {"widths": (8, 9)}),
        "parameters": [cell(init=i, depth=2, width=8, seed=s, batch=20) for i in normal for s in (0, 1)],
        "parameters of some": [
            cell(init=i, depth=2, width=8, seed=s, batch=20)
            for i in [*normal, {"name": "xavier"}]
            for s in (0, 1)
        ],
        "first and last layers": [
            cell(depth=2, width=8, seed=s, batch=20, **ends)
            for ends in (
                {},
                {"first.init": {"name": "normal", "std": 0.1}},
                {"first.init": {"name": "normal", "std": 0.2}},
                {"last.init": {"name": "lecun_uniform"}},
            )
            for s in (0, 1)
        ],
        "biases": [c for b in (0.0, 0.1) for c in grid(("xavier",), ("tanh",), (2,), bias_std=b, **SMALL)],
        "tapered": [cell(widths=w, seed=s, batch=20) for w in ([9, 8, 7], [8, 8, 8]) for s in (0, 1)],
    }


@pytest.mark.parametrize("name", studies())
def test_the_snippet_sets_out_every_network_of_its_study(name, tmp_path):
    folder = tmp_path / "depth=99" / "it's a study"
    cells, _ = stored(folder, studies()[name])
    *lines, last = snippet(str(folder), cells).splitlines()
    space = {}
    exec("\n".join([*lines, f"shown = {last}"]), space)
    exec("groups = cells.groupby(by, dropna=False)", space)
    assert space["shown"].notna().to_numpy().sum() == len(data.networks(cells))
    assert (space["groups"]["seed"].nunique() == space["groups"].size()).all()
    pd.testing.assert_series_equal(space["cells"]["std"], cells["std"], check_names=False)


def test_what_only_a_text_of_parameters_tells_is_an_axis_as_that_text(study):
    cells = study[1].assign(init="custom")
    own = [{"function": "f", "kwargs": {"power": power}} for power in range(3)]
    cells["init_params"] = [json.dumps(own[i % 3]) for i in range(len(cells))]
    assert '"init_params"' in snippet("s", cells)
