"""Models of one's own among networks: they have no activation and no width, and stand by their names."""

from typing import TYPE_CHECKING, Any

from sweep.experiment.axes import MODEL

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


def with_stand_ins(cells: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of models with their model, and its parameters, as the act too; a width of 0.

    So they are told apart, and stand beside their inits, wherever networks do by init and act.
    """
    if MODEL not in cells or not cells[MODEL].notna().any():
        return cells
    own = cells[MODEL].notna()
    found = cells.assign(width=cells["width"].fillna(0).astype(int))
    for name, model in (("act", MODEL), ("act_params", f"{MODEL}_params")):
        if {name, model} <= set(cells):  # layers have no parameters
            found[name] = cells[name].where(~own, cells[model])
    return found


def are_models(frame: "pd.DataFrame") -> bool:
    """Whether all rows are of models of one's own."""
    return MODEL in frame and bool(frame[MODEL].notna().all())


def chains(path: "str | Path") -> list[dict[str, Any]]:
    """The layers of every model of a study by name, as its first cell has them: {model, layers}."""
    from sweep.store.query import results  # noqa: PLC0415  only for such studies

    cells = results.load(path, columns=["cell_id", "model", "status"], filters=[("status", "==", "ok")])
    found = []
    for model, group in cells.groupby("model", sort=False):
        its = [("cell_id", "==", group["cell_id"].iloc[0])]
        layers = results.load(path, "layers", columns=["layer", "module", "kind"], filters=its)
        found.append({"model": model, "layers": layers.sort_values("layer").to_dict("records")})
    return found
