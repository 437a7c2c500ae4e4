"""Is a verdict worth anything? Small networks of every scheme, act, block and depth: judged, then trained.

python benchmarks/verdicts.py [--to docs/verdict-quality.md] [--root build/verdicts]

The study grows in the root, and is gone on with where it was. The page has the confusion table of *healthy*
against `learned`, precision and recall, and how well each statistic alone would have told the two apart.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import sweep
from sweep import initializers
from sweep.base.blocks import BLOCKS
from sweep.base.registry import CUSTOM

ACTS = ("tanh", "relu", "gelu", "selu", "silu", "sigmoid")
DEPTHS, WIDTH = (4, 20), 64
OF_FRAMEWORKS = "/"  # in the names of schemes of torch, Keras and JAX, whose laws the others have too
STATISTICS: dict[str, Callable[[pd.DataFrame], "pd.Series[float]"]] = {  # of each, the less the better
    "abs(log10(rms)) of the last layer": lambda cells: _log10(cells["rms"]).abs(),
    "abs(log10(delta_std)) at layer 0": lambda cells: _log10(cells["delta_std_first"]).abs(),
    "abs(log10(grad_std)) at layer 1": lambda cells: _log10(cells["grad_std_first"]).abs(),
    "sample_cosine": lambda cells: cells["sample_cosine"].fillna(1.0),
    "neuron_corr": lambda cells: cells["neuron_corr"].fillna(1.0),
    "flat": lambda cells: cells["flat"].fillna(1.0),
}


def study(root: Path) -> pd.DataFrame:
    """The cells: every scheme in plain networks, and every one but the frameworks' in all other blocks."""
    names = initializers.REGISTRY.names()
    own = [name for name in names if OF_FRAMEWORKS not in name and name != CUSTOM]
    blocks = [name for name in BLOCKS if name != "plain"]
    parts = [
        sweep.run(
            init=list(inits), act=list(ACTS), depth=list(DEPTHS), width=WIDTH, seed=0, batch=256,
            block=list(of), train="sgd", train_params={"lr": "auto", "batch": 64}, study=name, root=str(root),
            report=False,
        )
        for name, inits, of in (("plain", names, ["plain"]), ("blocks", own, blocks))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def page(cells: pd.DataFrame) -> Iterator[str]:
    """The page's lines."""
    failed, cells = cells[cells["status"] != "ok"], cells[cells["status"] == "ok"]
    yield "# Is a verdict worth anything?"
    yield ""
    yield (
        f"Made by `make verdicts`: {len(cells):,} networks of width {WIDTH}, of every scheme × "
        f"{', '.join(ACTS)} × depth {', '.join(map(str, DEPTHS))} × block (schemes of torch, Keras and JAX "
        "in plain networks alone), judged as they were drawn, then trained on scikit-learn's digits: 300 "
        "steps of 64, `train.lr=auto`" + (f"; {len(failed)} could not be computed." if len(failed) else ".")
    )
    yield ""
    yield (
        "*Learned*: at least half of the held-out inputs right, of ten classes. *By its readout alone*: the "
        "same where nothing but the readout was trained: the network had only to leave the inputs apart. "
        "`auto` is half the largest stable step that theory knows, and 0.01 where it knows none: in blocks "
        "other than plain, and for weights without a variance of their own."
    )
    healthy, learned = cells["verdict"] == "healthy", cells["learned"].astype(bool)
    known, alone = cells["train_lr"] != 0.01, cells["readout_accuracy"] >= 0.5
    yield from _section("Healthy against learned")
    yield from _table(
        ["", "learned", "of these by the readout alone too", "not learned"],
        [
            [
                name,
                f"{(one & learned).sum():,}",
                f"{(one & learned & alone).sum():,}",
                f"{(one & ~learned).sum():,}",
            ]
            for name, one in (("healthy", healthy), ("another verdict", ~healthy))
        ],
    )
    yield ""
    groups = {
        "all": known | ~known,
        "step from theory": known,
        "step 0.01": ~known,
        "plain": cells["block"] == "plain",
        "other blocks": cells["block"] != "plain",
        **{f"depth {depth}": cells["depth"] == depth for depth in DEPTHS},
        "the readout alone does not learn": ~alone,
        "the training did not diverge": cells["diverged_at"].isna(),
    }
    yield from _table(
        ["networks", "how many", "learned", "precision of healthy", "recall of healthy"],
        [
            [
                name, f"{some.sum():,}", f"{learned[some].mean():.0%}", *_quality(cells[some]),
            ]
            for name, some in groups.items()
        ],
    )  # fmt: skip
    yield from _section("By verdict")
    yield from _table(
        ["verdict", "networks", "learned", "readout alone", "diverged", "median held-out accuracy"],
        [
            [
                f"`{word}`", f"{len(some):,}", f"{some['learned'].astype(bool).mean():.0%}",
                f"{(some['readout_accuracy'] >= 0.5).mean():.0%}",
                f"{some['diverged_at'].notna().mean():.0%}", f"{some['test_accuracy'].median():.2f}",
            ]
            for word, some in sorted(cells.groupby("verdict"), key=lambda pair: -len(pair[1]))
        ],
    )  # fmt: skip
    yield from _section("By block")
    yield from _table(
        ["block", "networks", "learned", "precision", "recall"],
        [
            [
                f"`{block}`", f"{len(some):,}", f"{some['learned'].astype(bool).mean():.0%}", *_quality(some),
            ]
            for block, some in cells.groupby("block", sort=False)
        ],
    )  # fmt: skip
    yield from _section("One statistic alone")
    yield (
        "The area under the curve of true against false positives: the share of pairs of a network that "
        "learned and one that did not in which the statistic is on the right side; 0.5 is chance. Threshold: "
        "the one of the largest difference of the two rates, and precision and recall there."
    )
    yield ""
    for name, some in (("all", known | ~known), ("plain", groups["plain"])):
        rows = [_of_statistic(label, made(cells[some]), learned[some]) for label, made in STATISTICS.items()]
        rows.sort(key=lambda row: -float(row[1]))
        yield from _table([f"statistic ({name})", "AUC", "learns where", "precision", "recall"], rows)
        yield ""
    yield from _section("A narrower rule for the gradient")
    yield (
        "Healthy, and `delta_std` at layer 0 between 1 / k and k. The rule of the verdicts has k = 100; "
        "these are told, not taken: at k = 10 kaiming × tanh and xavier × tanh at depth 50, which the "
        "textbooks call good, are so near the edge (8.2 and 0.12) that some seeds would lose their word."
    )
    yield ""
    size = _log10(cells["delta_std_first"]).abs()
    yield from _table(
        ["k", "called healthy", "precision", "recall", "precision in plain", "recall in plain"],
        [
            [
                f"{k}", f"{(healthy & (size <= math.log10(k))).sum():,}",
                *_quality(cells, healthy & (size <= math.log10(k))),
                *_quality(cells[groups["plain"]], healthy[groups["plain"]] & (size <= math.log10(k))),
            ]
            for k in (2, 3, 5, 8, 10, 20, 50, 100)
        ],
    )  # fmt: skip
    yield from _section("Where the verdict is wrong")
    for title, some in (
        ("healthy, and did not learn", healthy & ~learned),
        ("learned, and is not healthy", ~healthy & learned),
    ):
        yield f"{title}: {some.sum():,} networks, most of them of"
        yield ""
        counted = (
            cells[some].groupby(["verdict", "block", "act", "depth"]).size().sort_values(ascending=False)
        )
        yield from _table(
            ["verdict", "block", "act", "depth", "networks"],
            [[*(f"{part}" for part in key), f"{count}"] for key, count in counted.head(12).items()],
        )
        yield ""


def auc(values: "pd.Series[float]", learned: "pd.Series[bool]") -> float:
    """The share of pairs in which the one that learned has the larger value; ties count half."""
    ranks = values.rank()
    positives, negatives = int(learned.sum()), int((~learned).sum())
    if not positives or not negatives:
        return math.nan
    return float((ranks[learned].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _of_statistic(name: str, values: "pd.Series[float]", learned: "pd.Series[bool]") -> list[str]:
    """Its row: AUC, the best threshold, and precision and recall there."""
    values = values.clip(upper=1e9)  # what is not finite comes last
    order = np.argsort(values.to_numpy(), kind="stable")
    right = learned.to_numpy()[order]
    true, false = np.cumsum(right), np.cumsum(~right)
    rates = true / max(true[-1], 1) - false / max(false[-1], 1)
    ends = np.append(np.diff(values.to_numpy()[order]) != 0, True)  # ties are taken together
    best = int(np.argmax(np.where(ends, rates, -np.inf)))
    at = values.to_numpy()[order][best]
    return [
        name, f"{auc(-values, learned):.3f}", f"≤ {at:.3g}",
        _share(true[best], true[best] + false[best]), _share(true[best], true[-1]),
    ]  # fmt: skip


def _quality(cells: pd.DataFrame, called: "pd.Series[bool] | None" = None) -> list[str]:
    """Precision and recall of what is called healthy, by its verdict where nothing else is said."""
    healthy, learned = cells["verdict"] == "healthy", cells["learned"].astype(bool)
    healthy = healthy if called is None else called
    both = (healthy & learned).sum()
    return [_share(both, healthy.sum()), _share(both, learned.sum())]


def _log10(values: "pd.Series[float]") -> "pd.Series[float]":
    with np.errstate(all="ignore"):
        return pd.Series(np.log10(values.to_numpy(float)), values.index).fillna(np.inf)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "–"


def _section(title: str) -> Iterator[str]:
    yield from ("", f"## {title}", "")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for line in (heads, ["---"] * len(heads), *rows):
        yield f"| {' | '.join(line)} |"


def main() -> None:
    """Compute what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", default="docs/verdict-quality.md")
    parser.add_argument("--root", default="build/verdicts")
    given = parser.parse_args()
    text = "\n".join(page(study(Path(given.root)))).rstrip() + "\n"
    Path(given.to).write_text(text.replace("\n\n\n", "\n\n"), encoding="utf-8")
    print(f"written: {given.to}")


if __name__ == "__main__":
    main()
