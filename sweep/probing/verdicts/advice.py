"""What to do about a verdict, in a line or two that name the module and the figure."""

import math

import numpy as np

from sweep.activations import Activation
from sweep.base.errors import SweepError
from sweep.probing.chains.chain import Link
from sweep.probing.verdicts.judging import Finding
from sweep.probing.watching import kinds
from sweep.probing.watching.rows import Row
from sweep.report.frames.text import number
from sweep.theory import critical_sigma_w, gain

_GROWS = 1.19  # a factor of rms a block that is told as growth by that factor: 8 × in 12 blocks
_LARGE = 2.0  # of what a block adds, in units of the stream: beyond, its weights are too large anyway
_LEAST_BLOCKS = 4  # whose sizes say how they grow


def advised(found: Finding, links: list[Link]) -> str:
    """A line or two."""
    said = _ADVICE[found.verdict](found, links)
    return f"{found.module}: {said}" if found.module else said


def _healthy(found: Finding, links: list[Link]) -> str:
    blocks = _stream(links)
    if len(blocks) >= _LEAST_BLOCKS:
        rate = _rate(blocks)
        if rate > _GROWS:
            return (
                f"healthy at this depth, but rms of the stream {_multiplied(rate)} at every block: "
                f"divide what each adds by √{_branches(links)} before it gets deeper"
            )
        if blocks[-1] > _GROWS * blocks[0]:
            how = "grows linearly with depth" if _is_linear(blocks) else f"grows by {rate**2 - 1:.0%} a block"
            return f"rms² of the stream {how}, over {len(blocks)} sums: healthy"
    first, last = (number(links[end].final.get("rms"), 3) for end in (0, -1))
    return f"rms goes from {first} at the input to {last} at the outputs: nothing to mend"


def _size(found: Finding, links: list[Link]) -> str:
    row, up = found.row, found.verdict == "exploding"
    assert row is not None
    link = None if found.link is None else links[found.link]
    if row.get("rms") == math.inf:
        said = f"its output is not finite, for an input of rms {number(row.get('pre_rms'), 3)}: shrink the "
        said += "weights up to here, or use a type with more range"
    elif row.get("rms") == 0:
        said = _zeros(row, is_head=row is links[-1].opener)
    elif link and link.is_block:
        said = _block(links, link, up)
    elif row.role == kinds.NORM:
        before, after = number(row.get("pre_rms"), 3), number(row.get("rms"), 3)
        said = f"its output has rms {after}, for an input of {before}: "
        said += "look at its gain and its running statistics; frozen, they must be of inputs like these"
    else:
        said = _layer(found.link or 0, row, links, up)
    return said


def _zeros(row: Row, is_head: bool) -> str:
    if row.role == kinds.NORM:
        return "every output is 0: set its gain to 1"
    if row.role == kinds.ACT:
        return "every output is 0, dead for all inputs: raise the biases before it, or draw its weights again"
    if is_head and row.get("grad_rms") > 0:
        return (
            "every output is 0, and at first nothing before it learns; where that is meant, draw its weights "
            "for a probe, as with torch.nn.init.xavier_normal_"
        )
    return "every output is 0: draw its weights, as with torch.nn.init.kaiming_normal_"


def _block(links: list[Link], link: Link, up: bool) -> str:
    blocks = _stream(links)
    rate = _rate(blocks)
    if up and len(blocks) >= _LEAST_BLOCKS and rate > _GROWS:
        added = math.sqrt(rate**2 - 1)  # in units of the stream
        factor = f"{added:.2g}·" * (added > _LARGE)
        return (
            f"rms {_multiplied(rate)} at every block; divide its weights by {factor}√{_branches(links)}, "
            "and so those at the end of every other"
        )
    times = link.final.get("rms") / (links[0].final.get("rms") or math.nan)
    return f"rms of the stream is {number(times, 3)} × the input's; draw the block's weights {_smaller(up)}"


def _layer(place: int, row: Row, links: list[Link], up: bool) -> str:
    """Whether all layers up to here did it, or this one."""
    sizes = [link.final.get("rms") for link in links[: place + 1]]
    rate = (sizes[-1] / (sizes[0] or math.nan)) ** (1 / max(1, place))
    jump = row.get("rms") / (row.get("pre_rms") or math.nan)
    if place > 1 and 0.2 < jump / rate < 5:
        return f"up to here rms {_multiplied(rate)} at every layer; {_drawn(links, rate, gain)}"
    before, after = number(row.get("pre_rms"), 3), number(row.get("rms"), 3)
    return f"rms goes from {before} to {after} here; multiply its weights by {number(1 / jump, 2)}"


def _saturated(found: Finding, links: list[Link]) -> str:
    row = found.row
    assert row is not None
    z, act = row.get("pre_rms"), row.act.act if row.act else None
    rows = (one for link in links for one in link.rows)
    source = next((one for one in rows if one.node is not None and one.node == row.below), None)
    shifted = source is not None and abs(source.get("mean")) > source.get("std")  # biases do, not weights
    # Relu is as flat for weights of any size.
    too_large = z > _LARGE and not shifted and not (act and act.homogeneous)
    mend = (
        f"divide its weights by {number(z, 2)}" if too_large else "set its biases to 0, or centre its inputs"
    )
    flat = f"{row.get('flat'):.0%} of the units of its {row.kind}"
    return f"{flat} pass no gradient, z has rms {number(z, 3)}; {mend}"


def _collapsed(found: Finding, links: list[Link]) -> str:
    row = found.row
    assert row is not None
    alike = f"all inputs look alike, cosine {row.get('sample_cosine'):.6g}"
    if found.link == 0:
        return f"before the first layer {alike}: centre the inputs"
    return f"from here on {alike}; smaller biases, fewer layers, or skips around them keep inputs apart"


def _symmetric(found: Finding, links: list[Link]) -> str:
    return "all its neurons have the same weights, and stay copies of each other; draw them at random"


def _gradient(found: Finding, links: list[Link]) -> str:
    row = found.row
    if found.twice:
        return (
            "a softmax of a softmax, whose outputs hardly differ and pass little gradient; leave one out "
            "(cross_entropy takes one itself)"
        )
    assert row is not None
    if found.cut:
        return f"no gradient reaches {row.weight or 'it'}; look for detach, no_grad or a dead layer after it"
    if row.get("delta_rms") == math.inf or links[0].final.get("delta_rms") == math.inf:
        return (
            "from here to the input the gradient is not finite: shrink the weights from here on, scale the "
            "loss down, or use a type with more range"
        )
    upstream = links[-1].final.get("delta_rms") or math.nan
    rate = (links[0].final.get("delta_rms") / upstream) ** (1 / max(1, len(links) - 1))
    mend = _drawn(links, rate, critical_sigma_w)
    return f"on its way down to the input the gradient {_multiplied(rate)} at every layer; {mend}"


_ADVICE = {
    "healthy": _healthy,
    "exploding": _size,
    "vanishing": _size,
    "saturated": _saturated,
    "collapsed": _collapsed,
    "symmetric": _symmetric,
    "gradient-vanishing": _gradient,
    "gradient-exploding": _gradient,
}


def _multiplied(rate: float) -> str:
    return "doubles" if 1.8 < rate < 2.2 else f"is multiplied by {rate:.3g}"


def _smaller(up: bool) -> str:
    return "smaller" if up else "larger"


def _stream(links: list[Link]) -> list[float]:
    """rms at the end of every block."""
    return [link.final.get("rms") for link in links if link.is_block]


def _rate(sizes: list[float]) -> float:
    """The factor of a size from block to block, over the later half: there linear growth has slowed down."""
    half = np.array(sizes[len(sizes) // 2 - 1 :])
    with np.errstate(all="ignore"):
        return float((half[-1] / half[0]) ** (1 / max(1, len(half) - 1)))


def _is_linear(sizes: list[float]) -> bool:
    """Whether every block adds about as much to the square."""
    added = np.diff(np.square(sizes))
    half = len(added) // 2
    return float(added[half:].mean()) < 2 * float(added[:half].mean())


def _branches(links: list[Link]) -> str:
    """How many branches the stream has, as people count them: 2·24 where each of 24 blocks adds two."""
    sums = [link.opener.module for link in links if link.is_block]
    blocks = len(set(sums))
    return (
        f"({len(sums) // blocks}·{blocks})"
        if len(sums) > blocks and len(sums) % blocks == 0
        else str(len(sums))
    )


def _drawn(links: list[Link], rate: float, rule: object) -> str:
    """What to draw the weights with: by a rule of theory for the activation, where there is one of each."""
    acts = {link.act.act.act for link in links if link.act and link.act.act}
    (act,) = acts if len(acts) == 1 else (None,)
    sigma = _by_theory(act, rule) if act else math.nan
    if act and sigma > 0:
        return f"under {act.name} draw all weights with std {sigma:.4g}/√fan_in"
    return f"multiply all weights by {number(1 / rate, 3)}"


def _by_theory(act: Activation, rule: object) -> float:
    assert callable(rule)
    try:
        return float(rule(act))
    except SweepError:  # as of an activation that is critical nowhere
        return gain(act)
