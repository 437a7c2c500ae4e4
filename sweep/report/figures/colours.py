"""The colours of heatmaps and page: one scale for each kind of statistic, readable in greyscale too."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import Colormap, LinearSegmentedColormap, ListedColormap, Normalize

from sweep.base.arrays import Array
from sweep.experiment.outcomes.verdict import WORDS
from sweep.kernel.statistics.table import RATIO, SHARE, SIGNED, SIZE
from sweep.report.figures.style import decade
from sweep.report.frames.measures import WORD, Measure

DECADES = 2.0  # a ratio's reach on either side of 1
_MOST_DECADES = 8  # of a size, up to its greatest value
# Paper in the middle; ink-blue where a value is small, ochre where it is large. The low end is far
# darker than the high end, so that they differ in greyscale too.
DIVERGING = LinearSegmentedColormap.from_list(
    "diverging", ["#0b1f3a", "#27598b", "#8fb8d6", "#fbfaf5", "#f0c987", "#d98c3f", "#b8621b"]
)
# Paper to ink-blue: darker is more.
SEQUENTIAL = LinearSegmentedColormap.from_list(
    "sequential", ["#fbfaf5", "#c3d9e6", "#7fabca", "#3f78a5", "#1c4a78", "#0b1f3a"]
)


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
        """The positions of the last colours on either side."""
        assert self.norm.vmin is not None
        assert self.norm.vmax is not None
        return self.norm.vmin, self.norm.vmax

    def positions(self, values: pd.DataFrame) -> pd.DataFrame:
        """The values on the scale, clipped to its ends; NaN stays NaN."""
        with np.errstate(all="ignore"):
            placed = np.log10(values.to_numpy(float)) if self.logarithmic else values.to_numpy(float)
        return pd.DataFrame(np.clip(placed, *self.ends), values.index, values.columns)


def scale_of(measure: Measure, values: "pd.Series[Any]") -> Scale:
    """The scale for one statistic, or for the verdicts. values: all that is shown of it."""
    if measure.scale == WORD:
        words = ListedColormap([word.colour for word in WORDS.values()], name="verdicts")
        return Scale(False, Normalize(-0.5, len(WORDS) - 0.5), words, [], [], "neither")
    finite = values[np.isfinite(values.astype(float))].astype(float)
    if measure.scale == RATIO:
        low, high, step = -DECADES, DECADES, 1.0
    elif measure.scale == SIZE:
        finite = finite[finite > 0].map(math.log10)
        high = float(np.ceil(finite.quantile(0.95))) if len(finite) else 1.0
        low = float(np.floor(finite.quantile(0.05))) if len(finite) else 0.0
        low = min(max(low, high - _MOST_DECADES), high - 1)
        step = max(1, round((high - low) / 4))
    elif measure.scale == SIGNED:
        # The bulk sets the reach: one exploded mean would flatten all others.
        high = min(10.0, max(0.1, float(finite.abs().quantile(0.8)))) if len(finite) else 0.1
        low, step = -high, high
    else:
        high = 1.0 if measure.scale == SHARE else max(1.0, float(finite.max()) if len(finite) else 1.0)
        low, step = 0.0, high / 2
    ticks = np.arange(low, high + step / 2, step).tolist()
    digits = ".2g" if measure.scale == SIGNED else "g"
    texts = [decade(10.0**tick) if measure.geometric else f"{tick:{digits}}" for tick in ticks]
    colours = DIVERGING if measure.scale in (RATIO, SIGNED) else SEQUENTIAL
    extend = "both" if measure.geometric or measure.scale == SIGNED else "neither"
    return Scale(measure.geometric, Normalize(low, high), colours, ticks, texts, extend)


def takes_dark_ink(colours: Array, ink: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Array:
    """Whether text stands out more in this dark ink than in white: (colours, 3) -> (colours,)."""
    ground, dark = (_luminance(np.asarray(rgb)) + 0.05 for rgb in (colours, ink))
    darker: Array = ground / dark > 1.05 / ground  # the ratios of contrast of WCAG 2
    return darker


def _luminance(rgb: Array) -> Array:
    """The relative luminance of sRGB colours, by WCAG 2: (…, 3) -> (…)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance: Array = linear @ np.array([0.2126, 0.7152, 0.0722])
    return luminance
