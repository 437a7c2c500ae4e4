"""What stands between two layers of a network: the blocks, each a row of one table.

    plain      act(h W + b)                 residual   s h + a act(h W + b)
    preact     s h + a (act(h) W + b)       mlp        s h + a (act(h W + b) V)
    pre_…      s h + a (act(norm(h) W + b) V)
    post_…     norm(s h + a (act(h W + b) V))
    ln, rms, bn  act(norm(h W + b))

s is `skip`, a is `alpha`, `w_scale` and `v_scale` multiply W and V, which go from N to expand · N neurons and
back. Each but `expand` is a number, or one that depends on the depth of the network, `C*depth**P`. What
people call by a name, as GPT-2's, is one of these with parameters of its own: `PRESETS`.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from numbers import Real
from typing import Any

from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.base.registry import Registry

LAYER, RMS, BATCH = "ln", "rms", "bn"  # norms: of a sample less its mean, of a sample, of a neuron
BEFORE, AFTER, INSIDE = "before", "after", "inside"  # of h, of the sum, of the argument of act
_MOST_EXPAND = 100_000
LEAST_BATCH = 4  # inputs that a gradient through a norm over the batch takes
Size = float | str  # of a parameter: a number, or a text as in '2*depth**-0.5'

_NUMBER = r"[+]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?"
_OF_DEPTH = re.compile(rf"(?:({_NUMBER})\s*\*\s*)?depth\s*\*\*\s*(-?{_NUMBER})", re.IGNORECASE)


@dataclass(frozen=True)
class Block:
    """One kind of block with its parameters.

    formula: h of a layer from that below. skipped: whether h is added to what is made of it. out: whether
    there is a matrix V. norm: which, if any; place: of what. act_first: whether act comes before W.
    takes: the parameters that it has a use for.
    """

    name: str
    formula: str
    skipped: bool = False
    out: bool = False
    norm: str = ""
    place: str = ""
    act_first: bool = False
    takes: tuple[str, ...] = ()
    skip: Size = 1.0
    alpha: Size = 1.0
    w_scale: Size = 1.0
    v_scale: Size = 1.0
    expand: int = 1
    revision = 1

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        """(name, value) of each that it takes."""
        return tuple((name, getattr(self, name)) for name in self.takes)

    @property
    def plain(self) -> bool:
        """Whether it is a layer and no more."""
        return not (self.skipped or self.norm)

    @property
    def of_depth(self) -> bool:
        """Whether it is another block in a network of another depth."""
        return any(isinstance(value, str) for _, value in self.parameters)

    def at(self, depth: int) -> "Block":
        """The same with numbers for its parameters, in a network of so many blocks."""
        values: dict[str, Any] = {name: at(one, depth) for name, one in self.parameters if name in SIZES}
        return replace(self, **values)

    def number(self, name: str) -> float:
        """A parameter, 0 where h is not added; of a block `at` a depth."""
        value = getattr(self, name)
        assert not isinstance(value, str), "a block of a network is one at its depth"
        return float(value) if name != "skip" or self.skipped else 0.0


def check_batch(block: Block, batch: int) -> None:
    """RequestError where a block takes a norm over too few inputs."""
    if block.norm == BATCH and batch < LEAST_BATCH:
        raise RequestError(
            f"batch={batch}: block {block.name} normalises over the batch, which says nothing of fewer than "
            f"{LEAST_BATCH} inputs: choose a larger batch"
        )


def check_widths(block: Block, widths: Sequence[int]) -> None:
    """RequestError where it cannot have these widths, input first; block: `at` their depth."""
    if block.number("skip"):
        for number, (below, above) in enumerate(pairwise(widths), 1):
            if below != above:
                raise RequestError(
                    f"widths={checks.shown(list(widths))}: layer {number} goes from {below} to {above} "
                    f"neurons, and block {block.name} adds the one to the other: give equal widths, "
                    f"block.skip=0, or a block without a skip ({', '.join(WITHOUT_SKIP)})"
                )
    if block.norm == LAYER and 1 in widths:
        raise RequestError(
            f"width=1: block {block.name} takes the mean over neurons off, which leaves nothing of one: "
            "choose a larger width"
        )


SIZES = ("skip", "alpha", "w_scale", "v_scale")


def size(name: str, value: object) -> Size:
    """A parameter's value in its canonical type; RequestError where it breaks its rule."""
    if isinstance(value, str):
        if _OF_DEPTH.fullmatch(value.strip()):
            return value.strip()
    elif isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf:
        return float(value) + 0.0  # -0.0 and 0.0 are one value
    raise RequestError(
        f"block.{name}={checks.shown(value)}: {name} must be a number of at least 0, or C*depth**P with "
        "numbers C and P, as in depth**-0.5 or 2*depth**0.25"
    )


def at(value: Size, depth: int) -> float:
    """What a parameter is in a network of so many blocks."""
    if not isinstance(value, str):
        return value
    found = _OF_DEPTH.fullmatch(value)
    assert found, value
    try:
        size: float = float(found[1] or 1) * float(depth) ** float(found[2])
    except OverflowError:
        size = math.inf
    if size == math.inf:
        raise RequestError(f"{value} is beyond all numbers at depth {depth}: choose a smaller power of it")
    return size


def _made(block: Block, **given: Any) -> Block:
    values: dict[str, Any] = {name: size(name, value) for name, value in given.items() if name in SIZES}
    if "expand" in given:
        values["expand"] = expand = checks.whole("block.expand", given["expand"], 1)
        if expand > _MOST_EXPAND:
            raise RequestError(
                f"block.expand={expand}: block.expand, of a width how many neurons act sees, must be at most "
                f"{_MOST_EXPAND:,}"
            )
    return replace(block, takes=tuple(given), **values)


def _normed(block: Block) -> Callable[..., Block]:
    def made(w_scale: Size = 1.0) -> Block:
        return _made(block, w_scale=w_scale)

    return made


def _of_one_matrix(block: Block) -> Callable[..., Block]:
    def made(skip: Size = 1.0, alpha: Size = 1.0, w_scale: Size = 1.0) -> Block:
        return _made(replace(block, skipped=True), skip=skip, alpha=alpha, w_scale=w_scale)

    return made


def _of_two(block: Block) -> Callable[..., Block]:
    def made(
        skip: Size = 1.0, alpha: Size = 1.0, w_scale: Size = 1.0, v_scale: Size = 1.0, expand: int = 1
    ) -> Block:
        sizes = {"skip": skip, "alpha": alpha, "w_scale": w_scale, "v_scale": v_scale, "expand": expand}
        return _made(replace(block, skipped=True, out=True), **sizes)

    return made


PLAIN = Block("plain", "act(h W + b)")
_BRANCH = "s h + a (act({}W + b) V)"
BLOCKS: dict[str, Block | Callable[..., Block]] = {
    "plain": PLAIN,
    "residual": _of_one_matrix(Block("residual", "s h + a act(h W + b)")),
    "preact": _of_one_matrix(Block("preact", "s h + a (act(h) W + b)", act_first=True)),
    "mlp": _of_two(Block("mlp", _BRANCH.format("h "))),
    "pre_ln": _of_two(Block("pre_ln", _BRANCH.format("norm(h) "), norm=LAYER, place=BEFORE)),
    "pre_rms": _of_two(Block("pre_rms", _BRANCH.format("norm(h) "), norm=RMS, place=BEFORE)),
    "post_ln": _of_two(Block("post_ln", f"norm({_BRANCH.format('h ')})", norm=LAYER, place=AFTER)),
    "post_rms": _of_two(Block("post_rms", f"norm({_BRANCH.format('h ')})", norm=RMS, place=AFTER)),
    "ln": _normed(Block("ln", "act(norm(h W + b))", norm=LAYER, place=INSIDE)),
    "rms": _normed(Block("rms", "act(norm(h W + b))", norm=RMS, place=INSIDE)),
    "bn": _normed(Block("bn", "act(norm(h W + b)), norm over the batch", norm=BATCH, place=INSIDE)),
}
WITHOUT_SKIP = ("plain", "ln", "rms", "bn")
REGISTRY: Registry[Block] = Registry("block", "block", Block, BLOCKS, None)


@dataclass(frozen=True)
class Preset:
    """A block that people call by another name, and the parameters that make it that."""

    block: str
    parameters: Mapping[str, Size]


_SMALL = "0.7071067811865476*depth**-0.25"  # (8 N)^(-1/4), depth = 2 N
PRESETS: Mapping[str, Preset] = {
    "gpt2": Preset("pre_ln", {"v_scale": "depth**-0.5"}),  # its 2 L counts branches, as depth does
    "fixup": Preset("mlp", {"w_scale": "depth**-0.5", "v_scale": 0.0}),
    "rezero": Preset("mlp", {"alpha": 0.0}),
    "deepnet": Preset("post_ln", {"skip": "depth**0.25", "w_scale": _SMALL, "v_scale": _SMALL}),
    "stable_resnet": Preset("preact", {"alpha": "depth**-0.5"}),
}


def resolved(block: str | Block, parameters: Mapping[str, Any]) -> Block:
    """The block of a name, or of a preset's with these parameters before its own; a block as it is.

    Raises RequestError for an unknown name, an unknown parameter or a bad value.
    """
    if isinstance(block, Block):
        return block
    if not isinstance(block, str) or (block not in BLOCKS and block not in PRESETS):
        raise unknown("block", block, (*BLOCKS, *PRESETS))
    preset = PRESETS.get(block, Preset(block, {}))
    checks.parameters("block", block, parameters, REGISTRY.parameter_names(preset.block))
    return REGISTRY.made(preset.block, {**preset.parameters, **parameters})
