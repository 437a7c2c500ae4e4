"""Theory of blocks beside measurements: every block × activation × init × depth × width, 20 seeds.

    python benchmarks/blocks.py [outputs/validation]    half an hour on two cores; goes on where it stopped

Of each kind of network the mean over seeds of rms² at the last layer, of the square of dL/dh at the input
and of dL/dW at the first layer, over what theory predicts of it. `blocks.json` holds, for every block, the
share of networks with depth / width of at most 1/20 that lie within TOLERANCE, the farthest of them, and the
share of all cells whose rms lies within twice the predicted spread over seeds; docs/theory.md quotes it.
"""

import json
import sys
from pathlib import Path

import pandas as pd

import sweep
from sweep.base.blocks import BLOCKS
from sweep.report.frames.agreement import SPREADS, deviations

AXES = {
    "block": [name for name in BLOCKS if name != "plain"],
    "act": ["tanh", "relu", "gelu", "silu"],
    "init": ["xavier", "kaiming"],
    "depth": [4, 12, 24],
    "width": [128, 512],
    "seed": range(20),
    "batch": 128,
}
NETWORK = ["block", "act", "init", "depth", "width"]
TOLERANCE = {"rms": 0.2, "delta": 0.4, "grad": 0.4}
MOST = 1 / 20  # of depth / width


def measured(study: Path) -> pd.DataFrame:
    """A row for each network: the mean over seeds of each of TOLERANCE, the share within the spread."""
    cells = sweep.run(**AXES, study=study.name, root=str(study.parent), report=False)
    distance = deviations(cells).abs()
    cells = cells.assign(
        rms=(cells["rms"] / cells["theory_rms"]) ** 2,
        delta=(cells["delta_std_first"] / cells["theory_delta_std_first"]) ** 2,
        grad=(cells["grad_std_first"] / cells["theory_grad_std_first"]) ** 2,
        spread=(distance <= SPREADS).where(distance.notna()).astype(float),
    )
    return cells.groupby(NETWORK, sort=False)[[*TOLERANCE, "spread"]].mean().reset_index()


def table(networks: pd.DataFrame) -> dict[str, dict[str, object]]:
    """By block and figure: networks in reach, the share within TOLERANCE, and the farthest."""
    near = networks[networks["depth"] / networks["width"] <= MOST]
    found: dict[str, dict[str, object]] = {}
    for block, rows in near.groupby("block", sort=False):
        spread = networks.loc[networks["block"] == block, "spread"].mean()
        found[str(block)] = {"networks": len(rows), "within_spread": round(spread, 3) if spread > 0 else None}
        for name, tolerance in TOLERANCE.items():
            known = rows[rows[name].notna()]
            if known.empty:
                continue
            farthest = known.loc[(known[name].clip(1e-300) - 1).abs().idxmax()]
            found[str(block)][name] = {
                "predicted": len(known),
                "within": round(float(((known[name] - 1).abs() <= tolerance).mean()), 3),
                "farthest": round(float(farthest[name]), 3),
                "of": " ".join(str(farthest[key]) for key in NETWORK[1:]),
            }
    return found


def main() -> None:
    """Measure what is not stored yet, and write the table."""
    study = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/validation")
    found = table(measured(study))
    text = json.dumps(found, indent=1)
    Path(__file__).with_name("blocks.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
