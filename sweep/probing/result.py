"""What `sweep.probe` returns."""

from typing import TYPE_CHECKING

import numpy as np

from sweep.probing.chains.chain import links_of
from sweep.probing.chains.predicting import predicted
from sweep.probing.passing import Pass
from sweep.probing.verdicts.advice import advised
from sweep.probing.verdicts.judging import Finding, judged
from sweep.probing.watching.rows import INPUT, frame
from sweep.report.frames.text import number

if TYPE_CHECKING:
    import pandas as pd

    from sweep.report.figures.style import Axes

_THEORY = "theory_rms"  # shown where there is any
_SHOWN = ("rms", _THEORY, "flat", "sample_cosine", "neuron_corr", "delta_rms", "grad_rms")
_MOST_ROWS = 60  # of the table that is printed; of more, the middle is left out


class Probe:
    """One probe of a module.

    layers: a row per call, as the table `layers` has them, with `module` and `kind`. chain: each layer with
    the activation after it, or each block, from the input to the outputs; theory_* beside what is measured,
    NaN where theory has no word. verdict: in a word. module: where that begins, '' where nothing is wrong or
    the inputs are. verdicts: all words that hold, the verdict first. begins: its layer of the chain, None of
    a healthy model. advice: a line or two.
    """

    def __init__(
        self, layers: "pd.DataFrame", chain: "pd.DataFrame", found: list[Finding], advice: str
    ) -> None:
        self.layers, self.chain, self.advice = layers, chain, advice
        self.verdict, self.module, self.begins = found[0].verdict, found[0].module, found[0].link
        self.verdicts = [one.verdict for one in found]

    @classmethod
    def of(cls, passed: Pass) -> "Probe":
        """What a pass says."""
        links = links_of(passed)
        found = judged(passed, links)
        rows = [(row.module, row.kind, row.values) for row in passed.rows]
        layers = frame(rows, 0 if passed.start.role == INPUT else 1)
        chain = frame([(link.module, link.kind, link.values) for link in links])
        theory = predicted(passed, links)
        chain = chain.assign(**{f"theory_{name}": values for name, values in theory.items()})
        return cls(layers, chain, found, advised(found[0], links))

    def __repr__(self) -> str:
        shown = [name for name in _SHOWN if name != _THEORY or self.chain[name].notna().any()]
        heads = ("layer", "module", "kind", *shown)
        rows = [
            (str(row["layer"]), row["module"], row["kind"], *(number(row[name]) for name in shown))
            for _, row in self.chain.iterrows()
        ]
        if len(rows) > _MOST_ROWS:
            half = _MOST_ROWS // 2
            rows = [*rows[:half], ("…",) * len(heads), *rows[-half:]]
        widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        lines = [
            "  ".join(
                text.ljust(width) if place in (1, 2) else text.rjust(width)
                for place, (text, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [heads, *rows]
        ]
        return "\n".join([*lines, self._said, self.advice])

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """The signal forward and the gradient backward along the chain, and where the verdict begins."""
        from sweep.report.figures import curves, gradients, style  # noqa: PLC0415  matplotlib: only where it draws

        ax, drawn = style.given_or_current(ax), (gradients.FORWARD, gradients.BACKWARD)
        parts = {f"{part}:{name}": self.chain[name] for name in drawn for part in ("value", "low", "high")}
        parts |= {f"theory:{name}": self.chain[f"theory_{name}"] for name in drawn}
        gradients.draw(ax, self.chain.assign(**parts))
        sizes = self.chain[[f"{end}{name}" for end in ("", "theory_") for name in drawn]]
        sizes = sizes.where((sizes > 0) & np.isfinite(sizes))
        style.logarithmic(ax)
        ax.set_ylim(min(0.1, sizes.min().min() / 2), max(10.0, 2 * sizes.max().max()))
        if self.chain[_THEORY].notna().any():
            ax.plot([], [], label="theory", **curves.THEORY)
        if self.begins:
            ax.axvline(self.begins, color=style.FAINT, lw=1, zorder=0)
        ax.set(xlabel="layer", ylabel="rms", title=self._said)
        ax.legend(frameon=False, fontsize=8)
        return style.verbatim(ax)

    @property
    def _said(self) -> str:
        return f"{self.verdict} at {self.module}" if self.module else self.verdict
