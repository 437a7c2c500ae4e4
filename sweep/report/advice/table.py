"""A ranking of weights as people read it: plain words, a frame, a table in the terminal, lines to paste."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from rich.table import Table

from sweep import activations
from sweep.activations import Activation
from sweep.base.process.command import show
from sweep.report.advice.candidates import LSUV, NO, STUDY, THEORY, UNSURE, YES, Candidate, Survival
from sweep.report.advice.descent import Descent, descent_of, told
from sweep.report.advice.mend import looked_at
from sweep.report.advice.paste import paste
from sweep.report.advice.transformed import paste_act
from sweep.report.frames.text import number
from sweep.theory.consequences.step import StepSize

if TYPE_CHECKING:
    import pandas as pd

_SAID = {YES: "", NO: "", UNSURE: "?"}  # after a verdict


@dataclass(frozen=True)
class Recommendation:
    """Ranked weights for an activation at one depth and width; `print` shows all of it.

    derivation: the gains step by step, a line each. ranking: (rank, candidate), the best first. source:
    where the measurements come from. backward: whether gradients were measured. reach: the depth down to
    which the first survives, where it does not at `depth`. mends: what would, then.
    """

    activation: Activation
    depth: int
    width: int
    derivation: tuple[str, ...]
    ranking: tuple[tuple[int, Candidate], ...]
    source: str
    backward: bool = True
    reach: int = 0
    mends: tuple[str, ...] = ()

    @property
    def act(self) -> str:
        """The activation's name, or a user's own function."""
        return activations.called(self.activation)

    @property
    def best(self) -> Candidate | None:
        """The first of the ranking; None where it does not survive for sure."""
        first = self.ranking[0][1]
        return first if first.survives == YES else None

    @cached_property
    def descent(self) -> Descent:
        """What theory says of training with the first one's weights: step and isometry."""
        return descent_of(self.activation, self.ranking[0][1], self.depth, self.width)

    @property
    def step(self) -> StepSize | None:
        """The largest step of smooth descent and the conditioning, of a loss summed over 100 inputs."""
        return self.descent.step

    @property
    def paste(self) -> dict[str, str]:
        """The best one's lines for torch, keras and jax; of lsuv for torch alone; none without a best."""
        return paste(self.best, self.activation) if self.best else {}

    @property
    def paste_act(self) -> dict[str, str]:
        """A line that defines the activation for torch, keras and jax, where it is a transformed one."""
        return paste_act(self.activation)

    @property
    def table(self) -> "pd.DataFrame":
        """A row per scheme, the advice first: theory beside measurement, forward and backward apart."""
        import pandas as pd  # noqa: PLC0415

        rows = []
        for rank, candidate in self.ranking:
            of = descent_of(self.activation, candidate, self.depth, self.width)
            rows += [_row(rank, candidate, name, of) for name in candidate.schemes]
        return pd.DataFrame(rows)

    @property
    def says(self) -> list[str]:
        """The advice in plain words, a line each."""
        first, at = self.ranking[0][1], f"{self.act} at depth {self.depth} and width {self.width}"
        if self.best:
            return [f"{at}: take {_named(first)}. {_kept(first, self.backward)}"]
        if first.survives == UNSURE:
            return [
                f"{at}: nothing survives for sure. {_named(first)} comes nearest: it survives "
                f"{_of_seeds(first)}, but another seed may not.",
                *self._help(),
            ]
        lasts = f"{_named(first)} lasts longest, to depth {self.reach}"
        if not self.reach:
            known = "theory is sure of it" if first.source == STUDY else "it survives"
            lasts = f"{_named(first)} comes first, but {known} at no depth"
        return [
            f"{at}: nothing survives. {lasts}; at depth {self.depth} it is {first.verdict}.",
            *self._help(),
        ]

    @property
    def trains(self) -> list[str]:
        """What theory says of training with the best one's weights, a line each; none without a best."""
        return told(self.descent, self.act) if self.best else []

    def _help(self) -> list[str]:
        if not self.mends:
            return [
                "What would help: fewer layers. Looked at, and not found to survive for sure: "
                f"{looked_at(self.activation)}."
            ]
        return ["What would help:", *(f"  - {line}" for line in self.mends)]

    def __repr__(self) -> str:
        return f"<Recommendation: {self.says[0]} print(…) and .table have the rest>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the plain words and the table."""
        words = "".join(f"<p>{escape(line)}</p>" for line in (*self.says, *self.trains))
        return words + str(self.table.to_html(index=False, na_rep="", float_format="{:.4g}".format))

    def __str__(self) -> str:
        lines = [*self.says, "", *self.derivation, *self.trains, ""]
        for rank, candidate in self.ranking:
            survival, predicted = candidate.survival, candidate.predicted
            lines.append(
                f"{rank}. {', '.join(candidate.schemes)}: {_verdict(candidate)} by {_by(candidate)}, "
                f"sigma_w {candidate.sigma_w:.4g}, chi1 {candidate.chi1:.4g}, "
                f"rms {number(survival.forward, 3)} (theory {_of_theory(candidate, predicted.forward)}), "
                f"delta {number(survival.backward, 3)} (theory {_of_theory(candidate, predicted.backward)})"
            )
        lines += ["", f"({self.source})"]
        return "\n".join([*lines, *(["", *_lines(self)] if self.paste else [])])


def _row(rank: int, candidate: Candidate, name: str, of: Descent) -> dict[str, object]:
    """One scheme of a candidate as a row of the table."""
    measured = candidate.measured.get(name, Survival(math.nan, math.nan))
    predicted = candidate.predicted
    seen = candidate.kind == LSUV  # it looks at the data
    return {
        "rank": rank,
        "init": name,
        "survives": candidate.survives,
        "by": candidate.by,
        "verdict": candidate.verdict,
        "sigma_w": candidate.sigma_w,
        "chi1": candidate.chi1,
        "v": candidate.v,
        "slope": candidate.slope,
        "level": candidate.survival.level,
        "depth_trusted": candidate.good_to,
        "theory_rms": math.nan if seen else predicted.forward,
        "rms": measured.forward,
        "theory_delta_first": math.nan if seen else predicted.backward,
        "delta_std_first": measured.backward,
        "lr_max": of.step.lr_max if of.step and of.holds else math.nan,
        "kappa": of.step.kappa if of.step and of.holds else math.nan,
        "jac_spread": of.spread,
        "seeds": measured.of,
        "why": candidate.why,
    }


def _named(candidate: Candidate) -> str:
    """A candidate as a sentence names it."""
    name = candidate.schemes[0]
    return name if name == LSUV else f"{name.partition(' gain=')[0]} (sigma_w = {candidate.sigma_w:.4g})"


def _kept(candidate: Candidate, backward: bool) -> str:
    """What survives, of how many seeds or by theory, and how level it is."""
    of = candidate.survival
    signal = f"the last layer's rms is {number(of.forward, 2)} of the input's"
    told = "" if candidate.by != THEORY else " (predicted, not measured)"
    if not backward:
        return f"It keeps the signal, {_of_seeds(candidate)}: {signal}; gradients were not measured{told}."
    return (
        f"It keeps the signal and the gradient, {_of_seeds(candidate)}: {signal}, the gradient at the input "
        f"{number(of.backward, 2)} of the last layer's{told}."
    )


def _of_seeds(candidate: Candidate) -> str:
    found = candidate.found
    return f"in {found.healthy} of {found.of} seeds" if found else "with its spread over seeds"


def _verdict(candidate: Candidate) -> str:
    return candidate.verdict + _SAID[candidate.survives]


def _by(candidate: Candidate) -> str:
    found = candidate.found
    return f"{candidate.by} {found.healthy}/{found.of}" if found else THEORY


def _of_theory(candidate: Candidate, value: float) -> str:
    return "·" if candidate.kind == LSUV else number(value, 3)


def _lines(advice: Recommendation) -> list[str]:
    lines = [f"{framework:6} {line}" for framework, line in advice.paste_act.items() if advice.paste]
    lines += [f"{framework:6} {line}" for framework, line in advice.paste.items() if "\n" not in line]
    code = [line for text in advice.paste.values() if "\n" in text for line in text.splitlines()]
    if code:
        lines.append("Keras and JAX have no LSUV; in torch:")
    elif set(advice.paste) == {"torch"}:
        lines.append("Keras and JAX have no such default")
    return [*lines, *code]


def print_ranking(advice: Recommendation) -> None:
    """The advice in plain words, the derivation, the ranking, and the lines to paste, on stdout."""
    for line in (*advice.says, "", *advice.derivation, *advice.trains, ""):
        print(line)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("rank", "init", "verdict", "by"):
        table.add_column(name, no_wrap=True)
    columns = ("sigma_w", "chi1", "signal", "good to", "level", "rms", "theory", "delta", "theory ", "v")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    equals = []
    for rank, candidate in advice.ranking:
        first, *others = candidate.schemes
        equals += [" = ".join((first, *others))] if others else []
        found, predicted = candidate.found, candidate.predicted
        table.add_row(
            str(rank),
            first,
            _verdict(candidate),
            _by(candidate),
            *_theory(candidate),
            f"× {number(candidate.survival.level, 2)}",
            number(found.forward, 3) if found else "",
            _of_theory(candidate, predicted.forward),
            number(found.backward, 3) if found else "",
            _of_theory(candidate, predicted.backward),
            f"{candidate.v:.3g}",
        )
    spare = ("v", "good to", "theory", "theory ", "chi1", "signal", "delta", "rms", "sigma_w", "level")
    title = f"{advice.act}, depth {advice.depth}, width {advice.width}"
    show(table, title, _caption(advice, equals), spare)
    if advice.paste:
        print("", *_lines(advice), sep="\n")


def _caption(advice: Recommendation, equals: Sequence[str]) -> str:
    lines = [
        "rank: first what survives at this depth and width, by abs(log chi1) where the signal settles.",
        "verdict: measured, with how many seeds are healthy; or by theory, with its spread over seeds.",
        "good to: how deep theory is sure of it. level: the factor by which rms or delta changes at most.",
        "rms: of the last layer; delta: the std of dL/dh at the input; each beside theory. "
        f"{advice.source[0].upper()}{advice.source[1:]}.",
    ]
    if any(candidate.survives == UNSURE for _, candidate in advice.ranking):
        lines.append("?: too close to a threshold to be sure of another seed.")
    return "\n".join([*lines, *([f"The same sigma_w: {'; '.join(equals)}."] if equals else [])])


def _theory(candidate: Candidate) -> list[str]:
    """What theory says of a candidate, in the table's columns."""
    to = candidate.good_to
    depth = f"≥ {to}" if to == candidate.outlook.followed_to else str(to)
    return [f"{candidate.sigma_w:.4f}", f"{candidate.chi1:.4f}", candidate.fate, depth]
