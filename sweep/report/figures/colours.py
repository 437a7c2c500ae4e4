"""The colours of a heatmap: one scale for each kind of statistic, readable in greyscale too."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.colors import (
    Colormap,
    LinearSegmentedColormap,
    ListedColormap,
    Normalize,
    TwoSlopeNorm,
)

from sweep.experiment.verdict import WORDS
from sweep.kernel.statistics.table import RATIO, SHARE, SIGNED, SIZE
from sweep.report.figures.style import decade
from sweep.report.frames.measures import Measure

DECADES = 2  # a ratio's reach on either side of 1
_MOST_DECADES = 8  # of a size, up to its greatest value
# Paper in the middle; ink-blue where a value is small, ochre where it is large. The low end is far
# darker than the high end, so that they differ in greyscale too.
DIVERGING = ("#0b1f3a", "#27598b", "#8fb8d6", "#fbfaf5", "#f0c987", "#d98c3f", "#b8621b")
# Paper to ink-blue: darker is more.
SEQUENTIAL = ("#fbfaf5", "#c3d9e6", "#7fabca", "#3f78a5", "#1c4a78", "#0b1f3a")
_DIVERGING_MAP = LinearSegmentedColormap.from_list("sweep_diverging", DIVERGING)
_SEQUENTIAL_MAP = LinearSegmentedColormap.from_list("sweep_sequential", SEQUENTIAL)


@dataclass(frozen=True)
class Scale:
    """How values become colours: position = transform(value), colour = map(norm(position))."""

    logarithmic: bool
    norm: Normalize
    colours: Colormap
    ticks: list[float]
    texts: list[str]
    extend: str

    @property
    def ends(self) -> tuple[float, float]:
        """The places of the last colours on either side."""
        assert self.norm.vmin is not None
        assert self.norm.vmax is not None
        return self.norm.vmin, self.norm.vmax

    def positions(self, values: pd.DataFrame) -> pd.DataFrame:
        """The values on the scale, clipped to its ends; NaN stays NaN."""
        with np.errstate(all="ignore"):
            placed = np.log10(values.to_numpy(float)) if self.logarithmic else values.to_numpy(float)
        return pd.DataFrame(np.clip(placed, *self.ends), values.index, values.columns)


def scale_of(measure: Measure, values: "pd.Series[float]") -> Scale:
    """The scale for one statistic of one figure. values: all that the figure shows of it."""
    if measure.scale == RATIO:
        decades = [float(tick) for tick in range(-DECADES, DECADES + 1)]
        norm = TwoSlopeNorm(0.0, -DECADES, DECADES)
        return Scale(True, norm, _DIVERGING_MAP, decades, [decade(10**tick) for tick in decades], "both")
    finite = values[np.isfinite(values.astype(float))].astype(float)
    if measure.scale == SIZE:
        finite = finite[finite > 0].map(math.log10)
        high = float(np.ceil(finite.quantile(0.95))) if len(finite) else 1.0
        low = float(np.floor(finite.quantile(0.05))) if len(finite) else 0.0
        low = min(max(low, high - _MOST_DECADES), high - 1)
        ticks = list(np.arange(low, high + 1, max(1, round((high - low) / 4))))
        return Scale(
            True, Normalize(low, high), _SEQUENTIAL_MAP, ticks, [decade(10.0**t) for t in ticks], "both"
        )
    if measure.scale == SIGNED:
        # The bulk sets the reach: one exploded mean would flatten all others.
        reach = max(0.1, float(finite.abs().quantile(0.8))) if len(finite) else 0.1
        reach = min(reach, 10.0)
        ticks = [-reach, 0.0, reach]
        norm = TwoSlopeNorm(0.0, -reach, reach)
        return Scale(False, norm, _DIVERGING_MAP, ticks, [f"{t:.2g}" for t in ticks], "both")
    high = 1.0 if measure.scale == SHARE else max(1.0, float(finite.max()) if len(finite) else 1.0)
    ticks = [0.0, high / 2, high]
    return Scale(False, Normalize(0.0, high), _SEQUENTIAL_MAP, ticks, [f"{t:g}" for t in ticks], "neither")


def verdict_scale() -> Scale:
    """A colour for every word."""
    colours = ListedColormap([word.colour for word in WORDS.values()])
    return Scale(False, Normalize(-0.5, len(WORDS) - 0.5), colours, [], [], "neither")
