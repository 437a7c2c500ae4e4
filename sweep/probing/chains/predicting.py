"""Theory beside the chain of a network whose layers and blocks are those that theory knows.

Forward it goes as far as they are: a matrix with a norm before its activation or none, a skip around such, a
norm between them, as at the end of a stream.
Gradients have come through all of the network, so they are predicted only where all of it is known, and where
they begin as independent ones of unit size, which those of a loss of the user's own are not.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from sweep import activations
from sweep.activations import Activation
from sweep.base.arrays import Array
from sweep.base.blocks import AFTER, BEFORE, INSIDE, PLAIN, Block
from sweep.base.errors import SweepError
from sweep.experiment.predictions.prediction import has_mean_mode
from sweep.kernel.statistics.table import BACKWARD, COPIED, PREDICTED
from sweep.probing.chains.chain import Link
from sweep.probing.passing import Pass
from sweep.probing.watching.flow import Flow
from sweep.probing.watching.kinds import ACT, NORM, WEIGHT
from sweep.probing.watching.known import Matrix, Norm
from sweep.probing.watching.rows import SUM, Row
from sweep.theory.blocks import Crossing, Widening, unlike_prediction
from sweep.theory.gaussian.moments import gaussian
from sweep.theory.maps import Layer, layers_of

NAMES = tuple(name for name in PREDICTED if name not in COPIED)
_NO_EPSILON = 1e-3  # of the square of what a norm divides by: an epsilon below this does not show
_AS_BEFORE = 0.01  # that rms may differ by, as of another dtype, where nothing has changed a tensor since
_LAYERS = ((WEIGHT,), (WEIGHT, ACT), (WEIGHT, NORM), (WEIGHT, NORM, ACT))
_BRANCHES = (
    (WEIGHT,), (WEIGHT, ACT), (ACT, WEIGHT), (WEIGHT, WEIGHT), (WEIGHT, ACT, WEIGHT),
    (NORM, WEIGHT), (NORM, WEIGHT, ACT), (NORM, WEIGHT, WEIGHT), (NORM, WEIGHT, ACT, WEIGHT),
)  # fmt: skip


def predicted(passed: Pass, links: Sequence[Link]) -> dict[str, Array]:
    """NAMES by name, each (links,); NaN from the first link on of which theory knows nothing.

    Sizes of weights and biases are those that they have, the input's second moment, mean and cosine those
    measured, as if every sample had them.
    """
    flow, columns = passed.watch.flow, {name: np.full(len(links), math.nan) for name in NAMES}
    crossings = list(_crossings(flow, links))
    rms, cosine, mean = (links[0].final.get(name) for name in ("rms", "sample_cosine", "mean"))
    if not crossings or not 0 < rms < math.inf:
        return columns
    if _fan_in(links[1]) not in (None, links[0].final.width):
        cosine = math.nan
    try:
        found = unlike_prediction(
            crossings, rms * rms, min(max(cosine, -1.0), 1.0), min(max(mean / rms, -1.0), 1.0)
        )
    except (SweepError, FloatingPointError, OverflowError):  # beyond what the activation is known for
        return columns
    each = zip(crossings, pairwise(found["mean"]), strict=True)
    returns = not any(has_mean_mode(one.block, np.array(means)) for one, means in each)
    for name in NAMES:
        if name not in BACKWARD or (returns and _is_whole(passed, links, len(crossings))):
            columns[name][: len(found[name])] = found[name]
    unmeasured = [math.isnan(link.values.get("grad_rms", math.nan)) for link in links]
    columns["grad_rms"][unmeasured] = math.nan  # as of weights that are frozen
    narrow = [link.final.width == 1 for link in links]  # where a cosine is a sign
    columns["sample_cosine"][narrow] = math.nan
    return columns


def _is_whole(passed: Pass, links: Sequence[Link], known: int) -> bool:
    """Whether gradients begin as theory has them, and come through nothing that it does not know."""
    flow, end = passed.watch.flow, links[-1].final.node
    if (
        known != len(links) - 1
        or not passed.unit
        or passed.watch.hooked
        or flow.factor(end, passed.output.node) != 1
    ):
        return False
    rows = [row for link in links[1:] for row in (*link.inside, link.opener, link.final)]
    return not any(math.isnan(row.get("delta_rms")) for row in rows if row.role in (WEIGHT, ACT, NORM, SUM))


def _crossings(flow: Flow, links: Sequence[Link]) -> Iterator[Crossing]:
    """The links after the input as theory crosses them, up to the first that it does not know."""
    used = {links[0].opener.weight}  # as an embedding's
    for number, (before, link) in enumerate(pairwise(links)):
        names = [row.weight for row in link.weighted]
        if len({*names} - used) < len(names):  # tied: no longer independent of what enters it
            return
        used.update(names)
        look = _block if link.is_block else _norm if link.opener.role == NORM else _layer
        crossing = look(flow, before, link)
        # Places become features of one sample only of the input, whose cosine is then not known.
        if crossing is None or (number and _fan_in(link) not in (None, before.final.width)):
            return
        yield crossing


def _layer(flow: Flow, before: Link, link: Link) -> Crossing | None:
    """One of weights, with a norm before its activation if there is one."""
    rows = [link.opener, *(row for row in link.followers if row.role in (NORM, ACT))]
    rows = rows[: rows.index(link.final) + 1] if link.final in rows else []
    kinds = tuple(row.role for row in rows)
    if kinds not in _LAYERS or _factor(flow, before.final, rows, link.final.node) != 1:
        return None
    block = PLAIN
    if NORM in kinds:
        (name,) = (row.known.name for row in rows if isinstance(row.known, Norm))
        block = Block(name, "", norm=name, place=INSIDE)
    return _crossing(block, rows)


def _norm(flow: Flow, before: Link, link: Link) -> Crossing | None:
    """A norm alone: that after a sum of h and nothing."""
    norm = link.final.known
    if not isinstance(norm, Norm) or _factor(flow, before.final, [link.opener], link.final.node) != 1:
        return None
    block, nothing = Block("", "", True, True, norm.name, AFTER, alpha=0.0), Layer(0.0, 0.0)
    return Crossing(block, gaussian("identity"), Widening(nothing, nothing), 0.0, 1, last=False)


def _block(flow: Flow, before: Link, link: Link) -> Crossing | None:
    """One that a skip goes around, with a norm before its branch or after the sum."""
    rows, total, skip = [row for row in link.inside if row.role in (NORM, ACT, WEIGHT)], link.opener, None
    kinds = tuple(row.role for row in rows)
    assert total.node is not None
    sides = flow.parents[total.node]
    if kinds not in _BRANCHES or len(sides) != 2 or flow.steps[total.node] != 1:
        return None
    if flow.factor(before.final.node, total.skip) != 1:
        return None
    for one, other in (sides, sides[::-1]):
        skip, alpha = flow.factor(total.skip, one), _factor(flow, before.final, rows, other)
        if skip is not None and alpha is not None:
            break
    if skip is None or alpha is None or min(skip, alpha) < 0:
        return None
    norm, place, out = "", "", kinds.count(WEIGHT) > 1
    if NORM in kinds:
        norm, place = rows[0].known.name if isinstance(rows[0].known, Norm) else "", BEFORE
    if link.final is not total:
        after = link.final.known
        if place or not out or not isinstance(after, Norm):
            return None
        if _factor(flow, total, [link.final], link.final.node) != 1:
            return None
        norm, place = after.name, AFTER
    block = Block("", "", True, out, norm, place, act_first=kinds[0] == ACT, skip=skip, alpha=alpha)
    return _crossing(block, rows)


def _factor(flow: Flow, start: Row, rows: Sequence[Row], end: int | None) -> float | None:
    """What the last of these rows is multiplied by at the end, if each is known and comes of the one before.

    None too where a matrix has its biases elsewhere, or a norm's own parameters or epsilon show.
    """
    for row, after in zip(rows, [*(row.below for row in rows[1:]), end], strict=True):
        known = row.known
        if known is None or flow.factor(start.node, row.below) != 1 or after is None:
            return None
        changes = isinstance(start.known, Matrix) and start.known.biased is not None  # by the biases
        if not (changes or math.isclose(row.get("pre_rms"), start.get("rms"), rel_tol=_AS_BEFORE)):
            return None
        if isinstance(known, Norm) and not (
            known.alone and known.eps <= _NO_EPSILON * row.get("pre_rms") ** 2
        ):
            return None
        late = known.biased if isinstance(known, Matrix) else None
        if late is not None and flow.straight_to(after, {late}) is None:
            return None
        start = row
    return flow.factor(start.node, end)


def _crossing(block: Block, rows: Sequence[Row]) -> Crossing | None:
    """A block of these rows; None where its weights or biases are not those of theory."""
    weighted = [row for row in rows if row.role == WEIGHT]
    matrices = _matrices(weighted)
    stds = [one.stds() for one in matrices]
    for row, std in zip(weighted, stds, strict=True):
        if std is None or (row.copies and std[0]):
            return None
    known = [one for one in stds if one is not None]
    if any(one.fan_out != other.fan_in for one, other in pairwise(matrices)):
        return None
    layers = [
        layers_of([std], (one.fan_in, one.fan_out))[0] for one, (std, _) in zip(matrices, known, strict=True)
    ]
    act = next((row.known for row in rows if isinstance(row.known, Activation)), activations.get("identity"))
    return Crossing(
        block,
        gaussian(act),
        Widening(*layers),
        known[0][1],
        weighted[0].entries // matrices[0].fan_out,
        last=False,  # of a norm over the batch alone
        sigma_out=known[1][1] if len(known) > 1 else 0.0,
    )


def _fan_in(link: Link) -> int | None:
    """Of its first matrix; None of a norm alone."""
    return next((one.fan_in for one in _matrices(link.weighted)), None)


def _matrices(rows: Sequence[Row]) -> list[Matrix]:
    return [row.known for row in rows if isinstance(row.known, Matrix)]
