"""Order and chaos: how similar inputs end up over sigma_w × sigma_b, and how deep a difference is felt.

Deep inside either phase every network forgets within a few layers how its inputs differed; along the
critical line chi1 = 1 it takes longest, and so deep it can be trained. Schoenholz et al. 2017.
"""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from sweep import activations, theory
from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.base.errors import SweepError
from sweep.experiment import axes
from sweep.experiment.axes import PLAIN, USUAL_INPUT
from sweep.report.figures import style
from sweep.report.frames.labels import common, description
from sweep.report.frames.networks import are_networks
from sweep.report.frames.text import counted, spread

SHOWN = ("rms", "sample_cosine")  # the statistics of layers that a plane is made of
_FEWEST = 3  # values of each axis that make a plane
_ARRIVED = 0.1  # of the first distance to the fixed point
_SEEN = 0.1  # a shorter way than this is lost in the noise of a finite width
_FREE = ("scale", "std", "gain")  # parameters that move sigma_w
_MOST_LINES = 4
_INFINITE = 1e9  # layers: how high a line goes on to infinity
_FINE = 60  # points of a predicted curve
_NOTHING = "#dfe3e6"  # where there is no cosine to show
_HIGHEST = 30  # times the depth: how far the axes of depths reach at most
_COLOURS = LinearSegmentedColormap.from_list(
    "cosine", ["#c8702a", "#f0c987", "#fbfaf5", "#8fb8d6", "#27598b"]
)


def figures(cells: pd.DataFrame, layers: pd.DataFrame) -> dict[str, Figure]:
    """A figure per init and act whose cells span sigma_w × bias_std; none where there is no such plane."""
    pages = [_figure(plane, act, points(plane, layers, act)) for plane, act in planes(cells)]
    return style.numbered("phase", pages)


def planes(cells: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, Activation]]:
    """The cells of every sigma_w × bias_std plane at its greatest depth, width and batch, and its act."""
    known = cells["act"].isin(activations.names())  # a study runs no code
    apart = [name for name in ("widths", *axes.ENDS.values()) if name in cells]
    alike = cells[apart].isna().all(axis=1)  # the layers
    if "block" in cells:
        alike &= cells["block"] == PLAIN
    if "input" in cells:
        alike &= cells["input"] == USUAL_INPUT
    flat = cells[known & alike & cells["sigma_w"].notna() & (cells["sigma_w"] > 0)]
    fixed = flat["init_params"].map({text: _fixed(text) for text in flat["init_params"].unique()})
    for key, plane in flat.groupby(["init", fixed.rename("fixed"), "act", "act_params"], sort=False):
        _, _, act, params = map(str, key)
        for name in ("depth", "width", "batch"):
            plane = plane[plane[name] == plane[name].max()]  # noqa: PLW2901
        if min(plane["sigma_w"].round(9).nunique(), plane["bias_std"].nunique()) >= _FEWEST:
            yield plane, activations.stored(act, params)


def _fixed(init_params: str) -> str:
    return json.dumps({key: value for key, value in json.loads(init_params).items() if key not in _FREE})


def points(plane: pd.DataFrame, layers: pd.DataFrame, act: Activation) -> pd.DataFrame:
    """One row per sigma_w and bias_std, the mean over seeds beside theory.

    cosine: sample_cosine of the last layer. fades: whether theory has the signal vanish, as without bias
    in order: cosines of nothing say nothing. depth_c, depth_q: the first layer at which sample_cosine, and
    log rms, are within a tenth of their first distance from the fixed point; inf where none is, NaN
    where the way is too short to see. theory_c, theory_q: the depth scales xi_c and xi_q times ln 10.
    """
    profile = _profiles(plane, layers)
    rows = []
    for key, seeds in plane.groupby([plane["sigma_w"].round(9), "bias_std"]):
        sigma_w, sigma_b = float(str(key[0])), float(str(key[1]))
        point = theory.fixed_point(act, sigma_w, sigma_b)
        cosine, log_q = profile(seeds)
        q = (point.v - sigma_b**2) / sigma_w**2
        settled = (point.v * point.c - sigma_b**2) / (sigma_w**2 * q) if 0 < q < math.inf else math.nan
        rows.append(
            {
                "sigma_w": sigma_w,
                "sigma_b": sigma_b,
                "seeds": seeds["seeds"].max() if are_networks(seeds) else seeds["seed"].nunique(),
                "cosine": cosine[-1],
                "fades": not q > 0,
                "chi1": point.chi1,
                "depth_c": _arrival(cosine, settled),
                "depth_q": _arrival(log_q, math.log(q) if 0 < q < math.inf else math.nan),
                "theory_c": point.xi_c * math.log(1 / _ARRIVED),
                "theory_q": point.xi_q * math.log(1 / _ARRIVED),
            }
        )
    return pd.DataFrame(rows)


def _profiles(plane: pd.DataFrame, layers: pd.DataFrame) -> Callable[[pd.DataFrame], tuple[Array, Array]]:
    """What gives the mean over some rows of the plane of sample_cosine and of log rms², by layer."""
    key = "network" if are_networks(plane) else "cell_id"
    by_row = dict(iter(layers[layers[key].isin(plane[key])].groupby(key, sort=False)))

    def profile(rows: pd.DataFrame) -> tuple[Array, Array]:
        profiles = [by_row[row].sort_values("layer") for row in rows[key]]
        if key == "network":
            weights = rows["computed"].to_numpy(float)
            cosines = [_mean_of(one, "sample_cosine") for one in profiles]
            logs = [_mean_of(one, "rms") for one in profiles]
        else:
            weights = np.ones(len(rows))
            cosines = [one["sample_cosine"].to_numpy(float) for one in profiles]
            logs = [_log(one["rms"]) for one in profiles]
        return np.average(cosines, 0, weights), 2 * np.average(logs, 0, weights)

    return profile


def _mean_of(layers: pd.DataFrame, name: str) -> Array:
    """By layer of one network the mean of a share, or of a size's logarithm; NaN where a seed has none."""
    values = layers[f"value:{name}"].to_numpy(float, copy=True)
    zero = layers[f"zero:{name}"].to_numpy(bool)
    if name == "rms":
        values = np.where(zero, -np.inf, _log(layers[f"value:{name}"]))
    some = layers[f"known:{name}"].to_numpy() < layers["seeds"].to_numpy()
    values[some & ~zero] = np.nan
    return values


def _log(values: "pd.Series[float]") -> Array:
    with np.errstate(all="ignore"):
        logs: Array = np.log(values.to_numpy(float))
    return logs


def critical_line(act: Activation, sigma_b: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> pd.DataFrame:
    """sigma_w of the edge of chaos at every sigma_b that has one."""
    rows = []
    for value in sigma_b.tolist():
        try:
            rows.append((theory.critical_sigma_w(act, value), value))
        except SweepError:
            continue
    return pd.DataFrame(rows, columns=["sigma_w", "sigma_b"])


def _arrival(values: "np.ndarray[tuple[int], np.dtype[np.float64]]", settled: float) -> float:
    first = abs(values[0] - settled)
    if not first >= _SEEN:
        return math.nan
    arrived = np.flatnonzero(np.abs(values - settled) <= _ARRIVED * first)
    return float(arrived[0]) if len(arrived) else math.inf


def _figure(plane: pd.DataFrame, act: Activation, rows: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(12.5, 4.6), layout="constrained")
    alike, reach, against = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
    depth = int(plane["depth"].iloc[0])
    _draw_plane(figure, alike, act, rows)
    _draw_reach(reach, rows, depth, act)
    _draw_against(against, rows, depth)
    init = description(str(plane["init"].iloc[0]), _fixed(str(plane["init_params"].iloc[0])))
    style.headline(figure, f"Order and chaos: {act.formula}, {init}")
    style.caption(
        figure,
        f"a point per sigma_w and sigma_b: mean over {counted(rows['seeds'])}, depth {depth}, "
        f"width {plane['width'].iloc[0]}, {common(plane)}",
        "settled: at most a tenth of the initial distance to the fixed point is left; "
        f"theory: xi ln 10; ▲: not within {depth} layers; at an edge: beyond it",
        *(["grey: the signal vanishes, and its cosine says nothing"] if rows["fades"].any() else []),
    )
    return figure


def _draw_plane(figure: Figure, ax: Axes, act: Activation, rows: pd.DataFrame) -> None:
    # Without bias inputs that are orthogonal stay so while the signal vanishes: that is no chaos.
    alive = rows.assign(cosine=rows["cosine"].mask(rows["fades"]))
    table = alive.pivot(index="sigma_b", columns="sigma_w", values="cosine")
    x, y = table.columns.to_numpy(float), table.index.to_numpy(float)
    mesh = ax.pcolormesh(x, y, table.to_numpy(), cmap=_COLOURS, vmin=0, vmax=1, shading="nearest")
    ax.set_facecolor(_NOTHING)
    x_limits, y_limits = ax.get_xlim(), ax.get_ylim()
    line = critical_line(act, np.linspace(0, y_limits[1], 25))
    if not line.empty:
        ax.plot(line["sigma_w"], line["sigma_b"], color=style.INK, lw=2, label="chi1 = 1 (theory)")
        ax.legend(loc="upper left", facecolor="white", framealpha=0.9, edgecolor="none", fontsize=8)
    ax.set(xlim=x_limits, ylim=y_limits, xlabel="sigma_w", ylabel="sigma_b (bias_std)")
    ax.set_title("how similar inputs end up")
    bar = figure.colorbar(mesh, ax=ax, fraction=0.05, pad=0.02)
    bar.set_label("sample_cosine of the last layer: 1: order, below 1: chaos")


def _draw_reach(ax: Axes, rows: pd.DataFrame, depth: int, act: Activation) -> None:
    top = 0.0
    shown = spread(sorted(rows["sigma_b"].unique()), _MOST_LINES)
    for sigma_b, colour in zip(shown, style.LINES, strict=False):
        line = rows[rows["sigma_b"] == sigma_b].sort_values("sigma_w")
        seen = line.dropna(subset="depth_c")
        # Without bias the inputs' cosine of 0 stays where it is: nothing to see but the prediction.
        labels = (
            (f"sigma_b {sigma_b:g} (theory alone)", None) if seen.empty else (None, f"sigma_b {sigma_b:g}")
        )
        ax.plot(*_predicted(line, act), color=colour, lw=1, ls="--", label=labels[0] or f"_{sigma_b:g}")
        arrived = seen["depth_c"].where(np.isfinite(seen["depth_c"]))
        ax.plot(seen["sigma_w"], arrived, "o-", ms=3.5, color=colour, lw=1.4, label=labels[1])
        late = seen.loc[arrived.isna(), "sigma_w"]
        ax.plot(late, np.full(len(late), float(depth)), "^", ms=5, color=colour, mew=0)
        finite = line["theory_c"][np.isfinite(line["theory_c"])]
        top = max([top, *finite])
    ax.axhline(depth, color=style.FAINT, lw=0.6)
    ax.text(
        0.99, depth, f"depth {depth}", transform=ax.get_yaxis_transform(), ha="right", va="bottom", fontsize=7
    )
    style.logarithmic(ax)
    ax.set(xlabel="sigma_w", ylabel="layers until cosines settle")
    ax.set_ylim(0.8, 1.5 * min(max(top, depth), _HIGHEST * depth))
    style.mark_exits(ax, hidden=True)
    ax.set_title("trainable depth (dashed: xi_c ln 10)")
    ax.legend(frameon=False, fontsize=7.5)


def _predicted(line: pd.DataFrame, act: Activation) -> tuple[Array, Array]:
    """sigma_w and xi_c ln 10 at one sigma_b, between the points of `line` too: a peak is no corner."""
    sigma_w = np.linspace(line["sigma_w"].min(), line["sigma_w"].max(), _FINE)
    sigma_w = np.unique(np.concatenate([sigma_w, line["sigma_w"].to_numpy(float)]))
    sigma_b = float(line["sigma_b"].iloc[0])
    scales = [theory.fixed_point(act, float(value), sigma_b).xi_c for value in sigma_w]
    return sigma_w, np.minimum(scales, _INFINITE) * math.log(1 / _ARRIVED)


def _draw_against(ax: Axes, rows: pd.DataFrame, depth: int) -> None:
    both = rows[["theory_c", "theory_q"]].to_numpy(float)
    ends = [0.8, 1.5 * min(max(depth, both[np.isfinite(both)].max(initial=0)), _HIGHEST * depth)]
    ax.plot(ends, ends, color=style.FAINT, lw=0.8, zorder=0)
    for name, label, marker, colour in (
        ("c", "sample_cosine, xi_c", "o", style.LINES[0]),
        ("q", "rms, xi_q", "s", style.LINES[1]),
    ):
        seen = rows.dropna(subset=f"depth_{name}")
        x, y = seen[f"theory_{name}"], seen[f"depth_{name}"]
        arrived, far = np.isfinite(y), x > ends[1]
        look: dict[str, Any] = {"color": colour, "lw": 0}
        here = arrived & ~far
        ax.scatter(x[here], y[here], s=14, marker=marker, alpha=0.7, label=label, **look)
        late = y[~arrived & ~far].clip(upper=depth)
        ax.scatter(x[late.index], late, s=22, marker="^", **look)
        beyond = y[far].clip(upper=depth)  # what theory has at infinity stands at the edge
        ax.scatter(np.full(len(beyond), ends[1]), beyond, s=22, marker=">", clip_on=False, **look)
    ax.axhline(depth, color=style.FAINT, lw=0.6, zorder=0)
    ax.set(xlim=ends, ylim=(ends[0], 2.0 * depth), xlabel="predicted: xi ln 10", ylabel="measured layers")
    style.logarithmic(ax, "x")
    style.logarithmic(ax, "y")
    ax.set_title("measured against predicted")
    ax.legend(frameon=False, fontsize=7.5, loc="upper left")
