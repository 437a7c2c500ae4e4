"""How far a few steps move each layer, over width: flat is right."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from sweep.report.figures import style

_ROLES = ("input", "hidden", "output", "fixed")


def draw(ax: Axes, rows: pd.DataFrame) -> None:
    """A line per layer, the geometric mean of its seeds; of more than can be told apart, a look per role.

    rows: module, role, width, seed and change, of one step. What is 0 or not finite leaves a gap.
    """
    logs = rows.assign(log=np.log(rows["change"].where(rows["change"].between(0, np.inf, "neither"))))
    layers = list(dict.fromkeys(rows["module"]))
    few = len(layers) <= len(style.LINES)
    named: set[str] = set()
    for number, layer in enumerate(layers):
        own = logs[logs["module"] == layer]
        role = str(own["role"].iloc[0])
        look = number if few else _ROLES.index(role)
        label = f"{layer} ({role})" if few else role
        means = own.groupby("width")["log"].agg(lambda values: values.mean(skipna=False))
        ax.plot(
            means.index.to_numpy(float), np.exp(means.to_numpy(float)),
            color=style.LINES[look], ls=style.DASHES[look], lw=1.6 if few else 0.9, marker="o", ms=3,
            label=label if label not in named else f"_{label}",
        )  # fmt: skip
        named.add(label)
    style.logarithmic(ax)
    if ax.get_autoscaley_on():  # two decades or more, in which a slope of a tenth looks as flat as it is
        low, high = ax.get_ylim()
        wider = max(1.0, (100 * low / high) ** 0.5)
        ax.set_ylim(low / wider, high * wider, auto=None)
    widths = sorted(rows["width"].unique())
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_locator(FixedLocator([float(width) for width in widths]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set(xlabel="width", ylabel="change of output (rms)")
    ax.legend(frameon=False, fontsize=8)
