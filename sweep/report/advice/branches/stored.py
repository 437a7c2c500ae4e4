"""What a stored study has measured of a block, in place of a trial."""

import json
from pathlib import Path

from sweep import initializers
from sweep.activations import Activation
from sweep.base import blocks
from sweep.base.blocks import Block
from sweep.base.errors import RequestError
from sweep.report.advice.branches.candidates import Branch, predicted
from sweep.report.advice.stored import networks_of
from sweep.report.advice.trial import Seed, summary


def stored(
    path: str | Path, act: Activation, block: Block, depth: int, width: int
) -> tuple[list[Branch], str]:
    """Every scheme and size of this block's parameters that a study holds, with what became of it.

    And of which setting. Raises RequestError where there is nothing.
    """
    from sweep.report.frames.labels import description  # noqa: PLC0415

    networks, setting, thresholds = networks_of(path, act, depth, width, block.name)
    if not networks["delta_std_first"].notna().any():
        raise RequestError(f"{path} holds {block.name} without gradients: advice on a block needs them")
    found = []
    for (init, params, block_params), rows in networks.groupby(
        ["init", "init_params", "block_params"], sort=False
    ):
        made = blocks.REGISTRY.made(block.name, json.loads(str(block_params)))
        told = " ".join(f"{name}={value}" for name, value in made.parameters if value != 1)
        scheme = initializers.stored(str(init), str(params))
        sigma_w = float(rows["sigma_w"].iloc[0])
        measured = zip(
            rows["rms"] / rows["rms_of_input"],
            rows["delta_std_first"],
            rows["verdict"],
            rows["sample_cosine"],
            strict=True,
        )
        seeds = [Seed(float(rms), float(delta), str(word), float(c)) for rms, delta, word, c in measured]
        name = description(str(init), str(params))
        one = predicted(act, name, sigma_w, made, told, "stored", depth, known=scheme.known_std)
        found.append(one.with_measured(summary(seeds, thresholds)))
    return found, f"measured: median over the seeds of {path}, {setting}"
