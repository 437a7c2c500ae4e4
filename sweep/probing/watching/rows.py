"""A row: one call, or one use of a weight without its module; what a pass leaves of it."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweep.activations import Activation
from sweep.kernel.statistics.table import BACKWARD, FORWARD
from sweep.probing.watching.kinds import Elementwise
from sweep.probing.watching.known import Matrix, Norm

if TYPE_CHECKING:
    import pandas as pd

INPUT, OUTPUT, SUM, PARAMETER = "input", "output", "sum", "parameter"  # roles beside those of `kinds`


@dataclass(eq=False)
class Row:
    """One row.

    module: its qualified name; of a function that of the module that calls it, of a weight its own. kind: a
    class or a function. role: what it is for. node, below: of its output and of its input in the flow.
    entries, width: of its output, and of its features. weight: the name of the parameter whose gradient it
    shows. act: the elementwise function it is; share: its flat share at unit variance. copies: whether its
    weights make all neurons one. known: what it does, where theory has a word on that.
    skip: of a sum, the node from which its two sides came; since: the first node of the module that adds;
    branch_rms: of the side that is no skip. values: what was measured, by column.
    """

    module: str
    kind: str
    role: str
    node: int | None = None
    below: int | None = None
    entries: int = 0
    width: int = 0
    weight: str | None = None
    act: Elementwise | None = None
    share: float = math.nan
    copies: bool = False
    known: Matrix | Norm | Activation | None = None
    skip: int | None = None
    since: int = 0
    branch_rms: float = math.nan
    values: dict[str, float] = field(default_factory=dict)

    def get(self, column: str) -> float:
        """A statistic, NaN where it was not measured."""
        return self.values.get(column, math.nan)


def frame(rows: list[tuple[str, str, dict[str, float]]], first: int = 0) -> "pd.DataFrame":
    """The table of rows, (module, kind, values) each, with the columns of `layers`."""
    import pandas as pd  # noqa: PLC0415

    columns: dict[str, Any] = {
        "layer": range(first, first + len(rows)),
        "module": [module for module, _, _ in rows],
        "kind": [kind for _, kind, _ in rows],
    }
    for name in (*FORWARD, *BACKWARD):
        columns[name] = [values.get(name, math.nan) for _, _, values in rows]
    return pd.DataFrame(columns)
