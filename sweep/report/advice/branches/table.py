"""Advice on a block as people read it: plain words, how it follows, a frame, a table, lines to paste."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from rich.table import Table

from sweep import activations
from sweep.activations import Activation
from sweep.base.blocks import REGISTRY, Block
from sweep.base.process.command import show
from sweep.report.advice.branches.candidates import GPT2, Branch
from sweep.report.advice.branches.paste import paste
from sweep.report.frames.text import number

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class BlockRecommendation:
    """Ranked weights and scales for networks of one block at one depth and width; `print` shows all of it.

    block: as asked for. derivation: what the block does, step by step. ranking: the best first. source: where
    the measurements come from.
    """

    activation: Activation
    depth: int
    width: int
    block: Block
    derivation: tuple[str, ...]
    ranking: tuple[Branch, ...]
    source: str

    @property
    def act(self) -> str:
        """The activation's name, or a user's own function."""
        return activations.called(self.activation)

    @property
    def kind(self) -> str:
        """The block with what is not usual of it, as in 'mlp (v_scale=0)'."""
        usual = dict(REGISTRY.get(self.block.name).parameters)
        given = [(name, value) for name, value in self.block.parameters if value != usual[name]]
        told = ", ".join(
            f"{name}={value}" if isinstance(value, str) else f"{name}={value:g}" for name, value in given
        )
        return f"{self.block.name} ({told})" if told else self.block.name

    @property
    def best(self) -> Branch | None:
        """The first of the ranking; None where it did not survive."""
        return self.ranking[0] if self.ranking[0].healthy else None

    @property
    def paste(self) -> dict[str, str]:
        """Lines for torch that draw the best one's weights; none without a best."""
        return {"torch": paste(self.best, self.depth)} if self.best else {}

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each, the advice first: theory beside measurement."""
        import pandas as pd  # noqa: PLC0415

        return pd.DataFrame([_row(rank, one) for rank, one in enumerate(self.ranking, start=1)])

    @property
    def says(self) -> list[str]:
        """The advice in plain words, a line each."""
        at = f"{self.act} in {self.depth} blocks {self.kind} of width {self.width}"
        first = self.ranking[0]
        if self.best is None:
            return [
                f"{at}: nothing that was tried survives; {first.name} comes nearest, and is {_word(first)}."
            ]
        rule = f" ({first.why})" if first.told else ""
        lines = [f"{at}: take {first.name}{rule}. It keeps the signal and the gradient, {_kept(first)}."]
        others = {one.why: one for one in self.ranking if one is not first and one.init == first.init}
        for why, one in others.items():
            what = f"{GPT2} ({one.told})" if why == GPT2 else f"{one.told or 'the block as it is'}"
            lines.append(f"{what}: {_kept(one)}, {_word(one)}.")
        return lines

    def __repr__(self) -> str:
        return f"<BlockRecommendation: {self.says[0]} print(…) and .table have the rest>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the plain words and the table."""
        words = "".join(f"<p>{escape(line)}</p>" for line in self.says)
        return words + str(self.table.to_html(index=False, na_rep="", float_format="{:.4g}".format))

    def __str__(self) -> str:
        rows = [
            f"{rank}. {one.name}: {_word(one)} by {_by(one)}, {_kept(one)} ({one.why})"
            for rank, one in enumerate(self.ranking, start=1)
        ]
        lines = [*self.says, "", *self.derivation, "", *rows, "", f"({self.source})"]
        return "\n".join([*lines, *(["", *self.paste.values()] if self.paste else [])])


def _row(rank: int, one: Branch) -> dict[str, object]:
    found = one.found
    return {
        "rank": rank,
        "init": one.init,
        "sigma_w": one.sigma_w,
        "block": one.block.name,
        **dict(one.block.parameters),
        "by": _by(one),
        "verdict": _word(one),
        "level": one.level,
        "theory_rms": one.rms,
        "rms": found.forward if found else math.nan,
        "theory_delta_first": one.delta,
        "delta_std_first": found.backward if found else math.nan,
        "theory_sample_cosine": one.cosine,
        "seeds": found.of if found else 0,
        "why": one.why,
    }


def _word(one: Branch) -> str:
    return one.found.verdict if one.found else one.word


def _by(one: Branch) -> str:
    return f"trial {one.found.healthy}/{one.found.of}" if one.found else "theory"


def _kept(one: Branch) -> str:
    """What is left of signal and gradient, and who says so."""
    forward, backward = (one.found.forward, one.found.backward) if one.found else (one.rms, one.delta)
    told = f"in {one.found.healthy} of {one.found.of} seeds" if one.found else "by theory"
    gradient = "of no known size" if math.isnan(backward) else f"× {number(backward, 2)}"
    return f"{told}: rms × {number(forward, 2)}, gradient {gradient}"


def print_advice(advice: BlockRecommendation) -> None:
    """The advice in plain words, the derivation, the ranking, and the lines to paste, on stdout."""
    for line in (*advice.says, "", *advice.derivation, ""):
        print(line)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("rank", "init", "block", "verdict", "by"):
        table.add_column(name, no_wrap=True)
    for name in ("level", "rms", "theory", "delta", "theory ", "cosine"):
        table.add_column(name, justify="right", no_wrap=True)
    for rank, one in enumerate(advice.ranking, start=1):
        found = one.found
        table.add_row(
            str(rank),
            one.init,
            one.told or "as it is",
            _word(one),
            _by(one),
            f"× {number(one.level, 2)}",
            number(found.forward, 3) if found else "",
            number(one.rms, 3),
            number(found.backward, 3) if found else "",
            "·" if math.isnan(one.delta) else number(one.delta, 3),
            f"{one.cosine:.3f}",
        )
    title = f"{advice.act}, {advice.depth} blocks {advice.kind}, width {advice.width}"
    show(table, title, _caption(advice.ranking, advice.source), ("cosine", "theory", "theory ", "level"))
    for text in advice.paste.values():
        print("", text, sep="\n")


def _caption(ranking: Sequence[Branch], source: str) -> str:
    lines = [
        "rms: of the last block over the input's; delta: the std of dL/dh at the input; each beside theory.",
        f"cosine: of two inputs, by theory. {source[0].upper()}{source[1:]}.",
    ]
    whys = dict.fromkeys(f"{one.told or 'as it is'}: {one.why}" for one in ranking if one.told)
    return "\n".join([*lines, *whys])
