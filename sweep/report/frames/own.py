"""Models of one's own among networks: they have no activation and no width, and stand by their names."""

from typing import TYPE_CHECKING

from sweep.experiment.axes import MODEL

if TYPE_CHECKING:
    import pandas as pd


def with_stand_ins(cells: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of models with their model, and its parameters, as the act; a width of 0.

    So they are told apart, and stand beside their inits, wherever networks do by init and act.
    """
    if MODEL not in cells or not cells[MODEL].notna().any():
        return cells
    own = cells[MODEL].notna()
    found = cells.assign(width=cells["width"].fillna(0).astype(int))
    for name, model in (("act", MODEL), ("act_params", f"{MODEL}_params")):
        found[name], found[model] = cells[name].where(~own, cells[model]), None
    return found
