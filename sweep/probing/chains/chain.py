"""The chain: what a network comes down to, layer by layer, as the kernel's own networks have it.

A link is a call with weights and the norm and activation after it; or a whole block, where a skip goes
around some weights and meets what came through them; or what stands between such. Layer 0 is the input, the
last layer the outputs.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise

from sweep.kernel.statistics.table import FORWARD
from sweep.probing.chains.blocks import blocks_of
from sweep.probing.passing import Pass
from sweep.probing.watching import kinds
from sweep.probing.watching.rows import INPUT, OUTPUT, SUM, Row
from sweep.probing.watching.watch import Watch

_OF_OUTPUT = (
    *(name for name in FORWARD if name not in ("pre_rms", "flat", "dead")),
    "delta_std",
    "delta_rms",
)


@dataclass
class Link:
    """One layer of the chain.

    opener: what it begins with. final: whose output is the layer. act: its activation, if any. inside: of a
    block, the rows between skip and sum; out: the one whose weights come last.
    """

    opener: Row
    final: Row
    act: Row | None = None
    inside: list[Row] = field(default_factory=list)
    out: Row | None = None
    followers: list[Row] = field(default_factory=list)

    @property
    def is_block(self) -> bool:
        """Whether it is one that a skip goes around."""
        return self.opener.role == SUM

    @property
    def weighted(self) -> list[Row]:
        """Its rows with weights, in their order."""
        rows = self.inside if self.is_block else [self.opener]
        return [row for row in rows if row.role == kinds.WEIGHT]

    @property
    def last(self) -> Row:
        """Its last row with weights: of a block that at the end of the branch."""
        return self.out or self.opener

    @property
    def module(self) -> str:
        """The module that it is known by: of a block the one that adds, or that of its last weights."""
        if not self.is_block or self.opener.module:
            return self.opener.module
        return self.last.module

    @property
    def rows(self) -> list[Row]:
        """All of it, in the order of calls."""
        return [*self.inside, self.opener, *self.followers]

    @property
    def kind(self) -> str:
        """What it is made of, as in 'Linear + ReLU'."""
        weighted = [row.kind for row in self.weighted] if self.is_block else [self.opener.kind]
        named = weighted if len(weighted) < 4 else [weighted[0], "…", weighted[-1]]
        act = [self.act.kind] if self.act and self.act is not self.opener else []
        if not self.is_block:
            return " + ".join([*named, *act])
        return f"x + {' '.join(named[:1] + act + named[1:])}"

    @property
    def values(self) -> dict[str, float]:
        """The statistics, by column of `layers`."""
        values = {name: self.final.get(name) for name in _OF_OUTPUT}
        if self.opener.role in (INPUT, OUTPUT, kinds.LOOKUP):
            return values
        values |= {"flat": 0.0, "dead": 0.0, "pre_rms": self.final.get("rms")}  # of no act: those of f(z) = z
        if self.act:
            values |= {name: self.act.get(name) for name in ("flat", "dead", "pre_rms")}
        elif self.is_block:
            del values["pre_rms"]
        owners = self.weighted
        for end in ("std", "rms"):
            if owners:
                values[f"grad_{end}"] = owners[0].get(f"grad_{end}")
            if self.is_block and len(owners) > 1:
                values[f"grad_out_{end}"] = self.last.get(f"grad_{end}")
        if self.is_block:
            # As in the kernel: of the activation where weights follow it, else of all that is added.
            inner = self.act if len(owners) > 1 and self.act in self.inside else None
            values["branch_corr"] = inner.get("neuron_corr") if inner else self.opener.get("branch_corr")
        return values


def links_of(passed: Pass) -> list[Link]:
    """The chain of a pass, from the input to the outputs."""
    watch, start, output = passed.watch, passed.start, passed.output
    blocks = blocks_of(watch)
    links = [Link(start, start)]
    openers: dict[int, Link] = {}
    rows = [(row.node, row) for row in (*watch.rows, *(one.sum for one in blocks)) if row.node is not None]
    rows.sort(key=lambda one: one[0])
    inside = {id(row) for block in blocks for row in block.inside}
    for node, row in rows:
        if row is start or id(row) in inside:
            continue
        if row.role in (kinds.WEIGHT, SUM):
            openers[node] = Link(row, row)
            links.append(openers[node])
            continue
        before = None if row.below is None else watch.flow.straight_to(row.below, openers)
        link = None if before is None else openers[before]
        if link and _joins(row, link):
            link.followers.append(row)
        elif row.role == kinds.ACT:
            links.append(Link(row, row, act=row))
        elif row.role in (kinds.NORM, kinds.WHOLE):
            links.append(Link(row, row))
    for block in blocks:
        openers[block.end].inside, openers[block.end].out = [*block.inside], block.out
    _close(watch, links)
    if len(links) == 1 or not _same(links[-1].final, output):  # or nothing is done to it
        made = next((row for row in reversed(watch.rows) if row.node == output.node), output)
        output.module, output.kind = made.module, made.kind
        links.append(Link(output, output))
    return links


def _joins(row: Row, link: Link) -> bool:
    """Whether a row belongs to the link that it came straight of: its first activation, and norms."""
    if row.role == kinds.ACT:
        return not any(one.role == kinds.ACT for one in link.followers)
    return row.role not in (kinds.LOOKUP, kinds.WHOLE)


def _close(watch: Watch, links: list[Link]) -> None:
    """Where each link ends. A block ends where the next begins, the last as the one before it did."""
    blocks = [link for link in links if link.is_block]
    openers = {link.opener.node for link in links}
    ends: set[str] = {kinds.ACT}
    for link, following in [*pairwise(blocks), *((one, None) for one in blocks[-1:])]:
        end = None
        if following is not None:
            skip = following.opener.skip
            assert skip is not None
            assert link.opener.node is not None
            if watch.flow.straight_to(skip, openers) == link.opener.node:  # and no weights between
                end = skip
        if end is None:
            own = [one for one in link.followers if one.role in ends]
        else:
            own = [one for one in link.followers if one.node is not None and one.node <= end]
            ends = {one.role for one in own}
        rest = [one for one in link.followers if one not in own and one.role in (kinds.ACT, kinds.NORM)]
        link.followers = own
        place = links.index(link) + 1
        links[place:place] = [Link(one, one, act=one if one.role == kinds.ACT else None) for one in rest]
    for link in links:
        acts = [one for one in link.followers if one.role == kinds.ACT]
        norms = [one for one in link.followers if one.role == kinds.NORM]
        if acts:
            link.act = acts[0]
        elif link.is_block:
            link.act = next((one for one in reversed(link.inside) if one.role == kinds.ACT), None)
        if link.is_block and norms:
            link.final = link.followers[-1]
        else:
            link.final = acts[0] if acts else norms[-1] if norms else link.final


def _same(one: Row, other: Row) -> bool:
    """Whether two rows are of the same numbers, however they are arranged; what is no number is the same."""
    pairs = [(one.get(name), other.get(name)) for name in ("mean", "std", "rms")]
    same = all(mine == its or (math.isnan(mine) and math.isnan(its)) for mine, its in pairs)
    return one.entries == other.entries and same
