"""A ranking of weights as people read it: a frame, a text, a table in the terminal, lines to paste."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from sweep.base.command import show
from sweep.report.advice.candidates import Candidate, Survival, is_equal
from sweep.report.advice.derivation import DEEPEST
from sweep.report.frames.text import number

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Recommendation:
    """Ranked weights for an activation at one depth and width; `print` shows all of it.

    derivation: the gains step by step, a line each. ranking: (rank, candidate), the best first.
    source: where the measurements come from.
    """

    act: str
    depth: int
    width: int
    derivation: tuple[str, ...]
    ranking: tuple[tuple[int, Candidate], ...]
    source: str

    @property
    def best(self) -> Candidate:
        """The first of the ranking."""
        return self.ranking[0][1]

    @property
    def paste(self) -> dict[str, str]:
        """The best one's line in 'torch', 'keras' and 'jax'."""
        return paste(self.best.sigma_w)

    @property
    def table(self) -> "pd.DataFrame":
        """A row per scheme: theory and measurement side by side, forward and backward apart."""
        import pandas as pd  # noqa: PLC0415

        rows = [_row(rank, candidate, name) for rank, candidate in self.ranking for name in candidate.schemes]
        return pd.DataFrame(rows).astype({"depth_trusted": "Int64"})

    def __str__(self) -> str:
        lines = [f"{self.act}, depth {self.depth}, width {self.width} ({self.source})", *self.derivation, ""]
        for rank, candidate in self.ranking:
            survival, predicted = candidate.survival, candidate.predicted
            lines.append(
                f"{rank}. {', '.join(candidate.schemes)}: sigma_w {candidate.sigma_w:.4g}, "
                f"chi1 {candidate.chi1:.4g}, "
                f"rms {number(survival.forward, 3)} (theory {number(predicted.forward, 3)}), "
                f"delta {number(survival.backward, 3)} (theory {number(predicted.backward, 3)})"
                + (f", {survival.verdict}" if survival.verdict else "")
            )
        return "\n".join([*lines, "", *(f"{name:6} {line}" for name, line in self.paste.items())])


def _row(rank: int, candidate: Candidate, name: str) -> dict[str, object]:
    """One scheme of a candidate as a row of the table."""
    measured = candidate.measured.get(name, Survival(math.nan, math.nan))
    predicted = candidate.predicted_of(name)
    return {
        "rank": rank,
        "init": name,
        "sigma_w": candidate.sigma_w,
        "chi1": candidate.chi1,
        "v": candidate.v,
        "slope": candidate.slope,
        "depth_trusted": candidate.depth,
        "theory_rms": predicted.forward,
        "rms": measured.forward,
        "theory_delta_first": predicted.backward,
        "delta_std_first": measured.backward,
        "verdict": measured.verdict,
        "why": candidate.why,
    }


def paste(sigma_w: float) -> dict[str, str]:
    """What to write for weights of Var W = sigma_w² / fan_in: in torch for `layer`, in Keras, in JAX."""
    scale = float(f"{sigma_w**2:.10g}")
    if is_equal(sigma_w, 1):
        return {
            "torch": 'torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")',
            "keras": "keras.initializers.LecunNormal()",
            "jax": "jax.nn.initializers.lecun_normal()",
        }
    if is_equal(sigma_w, math.sqrt(2)):
        return {
            "torch": 'torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")',
            "keras": "keras.initializers.HeNormal()",
            "jax": "jax.nn.initializers.he_normal()",
        }
    return {
        "torch": f"torch.nn.init.normal_(layer.weight, std=({scale} / layer.in_features) ** 0.5)",
        "keras": f'keras.initializers.VarianceScaling(scale={scale}, mode="fan_in", '
        'distribution="untruncated_normal")',
        "jax": f'jax.nn.initializers.variance_scaling({scale}, "fan_in", "normal")',
    }


def print_ranking(advice: Recommendation) -> None:
    """The derivation, the ranking as a table that fits the terminal, and the lines to paste, on stdout."""
    for line in advice.derivation:
        print(line)
    print()
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("rank", "init"):
        table.add_column(name, no_wrap=True)
    for name in ("sigma_w", "chi1", "v", "settles", "good to", "rms", "theory", "delta", "theory "):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    equals = []
    for rank, candidate in advice.ranking:
        names = [name for name in candidate.schemes if name in candidate.measured]
        names = names or list(candidate.schemes[:1])
        others = [name for name in candidate.schemes if name not in names]
        equals += [" = ".join((names[0], *others))] if others else []
        for index, name in enumerate(names):
            measured, predicted = candidate.measured.get(name), candidate.predicted_of(name)
            table.add_row(
                "" if index else str(rank),
                name.partition(" gain=")[0],  # sigma_w says it
                *([""] * 5 if index else _theory(candidate)),
                number(measured.forward, 3) if measured else "",
                number(predicted.forward, 3),
                number(measured.backward, 3) if measured else "",
                number(predicted.backward, 3),
                measured.verdict if measured else "",
            )
    caption = (
        "rank: by abs(log chi1) where v settles, then by what survives. forward: rms of the last layer;\n"
        "backward: delta, the std of dL/dh at the input; each beside theory. good to: the depth to which\n"
        f"theory, with the spread of this width as far as it is predicted, finds it healthy. {advice.source}"
        + (f"\nthe same sigma_w: {'; '.join(equals)}" if equals else "")
    )
    spare = ("v", "good to", "theory", "theory ", "chi1", "settles", "delta", "rms")
    show(table, f"{advice.act}, depth {advice.depth}, width {advice.width}", caption, spare)
    print()
    for framework, line in advice.paste.items():
        print(f"{framework:6} {line}")


def _theory(candidate: Candidate) -> list[str]:
    """What theory says of a candidate, in the table's five columns."""
    depth = "·" if candidate.depth is None else str(candidate.depth)
    depth = f"≥ {depth}" if candidate.depth is not None and candidate.depth >= DEEPEST else depth
    sigma_w, chi1, v = f"{candidate.sigma_w:.4f}", f"{candidate.chi1:.4f}", f"{candidate.v:.3g}"
    return [sigma_w, chi1, v, candidate.fate, depth]
