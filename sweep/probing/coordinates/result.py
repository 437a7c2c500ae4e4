"""What `sweep.coord_check` returns."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweep.probing.coordinates import slopes
from sweep.probing.coordinates.asked import Asked
from sweep.probing.coordinates.training import Trained
from sweep.report.frames.text import number

if TYPE_CHECKING:
    import pandas as pd

    from sweep.report.figures.style import Axes

_MOST_ROWS = 60  # of the table that is printed; of more, the middle is left out
_SAID = {
    slopes.MAXIMAL: "no layer's change depends on the width: learning rates carry over to other widths",
    slopes.STANDARD: "changes depend on the width as weights of std ∝ 1/√fan_in and one lr make them",
    slopes.NEITHER: "changes depend on the width, and not as those of the standard parametrisation",
    slopes.UNKNOWN: "the slopes tell nothing of all layers, or nothing is known to compare them with",
}
_UNTOLD = {
    slopes.UNCHANGED: "no change at all: frozen, or no gradient but 0",
    slopes.ROUNDED: "little more than rounding: a larger lr, or float64 in make and inputs, would tell",
    slopes.NOT_FINITE: "not finite",
    slopes.UNCERTAIN: "scattered: more seeds or widths would tell",
}


class CoordCheck:
    """The changes of each layer over width.

    table: a row per layer, step, width and seed: `module`, `kind`, `role`, `change`: rms over its output's
    entries of what `step` steps add, `size`: rms of that output at initialisation; inf where not all is
    finite. role: input, hidden, output or fixed: whether its fan_out, both, its fan_in or neither grow with
    the width. slopes: a row per layer and step: `attention`: whether a softmax is in it or before it, `slope`
    of log change over log width and its standard error, `expected` of the standard parametrisation at these
    widths, its `limit`, and `word`: flat, standard, grows or shrinks; or unchanged, rounded, not finite,
    uncertain. verdict: 'maximal update', 'standard', 'neither' or 'unknown'. advice: what that means, and
    where lr is too large.
    """

    def __init__(self, table: "pd.DataFrame", found: "pd.DataFrame", lr: float) -> None:
        self.table, self.slopes = table, found
        beyond = slopes.too_large(table, lr)
        self.verdict = slopes.verdict_of(found, beyond is not None)
        self.advice = "\n".join(self._advised(lr, beyond))

    @classmethod
    def of(cls, asked: Asked, models: Sequence[Trained]) -> "CoordCheck":
        """What these models' training says."""
        return cls(slopes.table_of(models), slopes.slopes_of(models, asked.steps), asked.lr)

    def __repr__(self) -> str:
        steps = list(dict.fromkeys(self.slopes["step"]))
        heads = ["module", "kind", "role", *(f"slope {step}" for step in steps), "±", "expected", "limit", ""]
        rows = [heads]
        for name, several in self.slopes.groupby("module", sort=False):
            one = several.iloc[0]
            words = ", ".join(dict.fromkeys(several["word"]))
            figures = [*several["slope"], several["stderr"].max(), one["expected"], one["limit"]]
            rows.append([str(name), one["kind"], one["role"], *map(_two, figures), words])
        if len(rows) > _MOST_ROWS:
            half = _MOST_ROWS // 2
            rows = [*rows[: half + 1], ["…"] * len(heads), *rows[-half:]]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        left = (0, 1, 2, len(heads) - 1)
        lines = [
            "  ".join(
                text.ljust(width) if place in left else text.rjust(width)
                for place, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, self.advice])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Each layer's change after the last step over width, both logarithmic: flat is right."""
        from sweep.report.figures import coordinates, style  # noqa: PLC0415  matplotlib: only where it draws

        ax = style.given_or_current(ax)
        last = self.table["step"].max()
        coordinates.draw(ax, self.table[self.table["step"] == last])
        ax.set_title(f"{self.verdict}; {last} step{'s' if last > 1 else ''}")
        return style.verbatim(ax)

    def _advised(self, lr: float, beyond: slopes.TooLarge | None) -> list[str]:
        said = f"{self.verdict}: {_SAID[self.verdict]}"
        last = self.slopes[self.slopes["step"] == self.slopes["step"].max()]
        told = last[~last["word"].isin(_UNTOLD)]
        if self.verdict in (slopes.STANDARD, slopes.NEITHER) and len(told):
            moves = told.loc[told["slope"].abs().idxmax()]
            said += f"; most of all {_named(moves['module'])}, as width^{moves['slope']:.2f}"
        lines = [said]
        if beyond:
            after = f"{beyond.step} step{'s' * (beyond.step > 1)} at width {beyond.width}"
            lines.append(
                f"lr={lr:g} is too large for slopes of small steps: {_named(beyond.module)} moves by "
                f"{number(beyond.share, 2)} of its size in {after}, and up to a tenth is small: try "
                f"lr={beyond.lr:g}"
            )
        for word, what in _UNTOLD.items():
            names = [_named(name) for name in last.loc[last["word"] == word, "module"]]
            if names:
                lines.append(f"{', '.join(names[:3])}{' …' * (len(names) > 3)}: {what}")
        return lines


def _named(module: str) -> str:
    return module or "the model itself"


def _two(value: float) -> str:
    """With two digits after the point; '·' where it is not defined."""
    return "·" if math.isnan(value) else f"{value:.2f}".replace("-0.00", "0.00")
