"""What averaging inputs first would lose: measured, theory of every input, theory of the mean input.

    python benchmarks/inputs.py --figure docs/inputs.png

tanh, xavier, depth 10, over the degrees of freedom of Student's t, at two widths; digits' cosines under sin.
It prints the figures that docs/inputs.md quotes.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import sweep
from sweep.experiment.cell import Cell
from sweep.experiment.predictions.prediction import law_of, predicted
from sweep.report.figures import style
from sweep.theory.maps import alike, prediction

SEEDS, BATCH, DEPTH, SIGMA_W = 20, 1000, 10, 1.0
WIDTHS = (64, 500)
DEGREES = (2.1, 2.2, 2.5, 3.0, 4.0, 6.0, 10.0, 30.0)
STATISTICS = {"rms": 1, "delta_rms": 0}  # the layer that is shown
NAMES = {"rms": "rms of h₁", "delta_rms": "rms of dL/dh₀"}


def compared(
    given: dict, act: str, width: int, sigma_w: float = SIGMA_W
) -> dict[str, tuple[np.ndarray, ...]]:
    """By statistic: measured (seeds, layers), theory, theory of the mean input."""
    values = {"init": {"name": "variance_scaling", "scale": sigma_w**2}, "act": {"name": act}, "input": given}
    sizes = {"depth": DEPTH, "width": width, "widths": None, "batch": BATCH, "seed": 0, "dtype": "float32"}
    spec = Cell.of(values | sizes).spec
    q0, c0 = law_of(spec).means
    of_mean = prediction(act, alike(sigma_w, (1,) * (DEPTH + 1)), 0.0, BATCH, q0, c0).statistics
    name, parameters = given["name"], {key: value for key, value in given.items() if key != "name"}
    options = {
        "init_params": {"scale": sigma_w**2},
        "batch": BATCH,
        "input": name,
        "input_params": parameters,
    }
    frames = [
        sweep.propagate("variance_scaling", act, DEPTH, width, seed=seed, **options) for seed in range(SEEDS)
    ]
    of_all = predicted(spec)
    return {
        name: (np.stack([frame[name] for frame in frames]), of_all[name], of_mean[name])
        for name in ("rms", "delta_rms", "sample_cosine")
    }


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    figure = Figure(figsize=(7.2, 3.0), layout="constrained")
    axes = figure.subplots(1, 2)
    for width, colour in zip(WIDTHS, style.LINES, strict=False):
        said = ("theory of every input", "theory of the mean input") if width == WIDTHS[-1] else (None, None)
        rows = [compared({"name": "student", "df": df}, "tanh", width) for df in DEGREES]
        for ax, (name, layer) in zip(axes, STATISTICS.items(), strict=True):
            measured, of_all, of_mean = (
                np.array([row[name][k][..., layer] for row in rows]) for k in range(3)
            )
            print(width, name, "df", DEGREES)
            for what, line in (
                ("measured", measured.mean(axis=1)),
                ("theory", of_all),
                ("of the mean", of_mean),
            ):
                print(f"  {what:12}", np.round(line, 3))
            error = measured.std(axis=1, ddof=1) / SEEDS**0.5
            ax.errorbar(
                DEGREES,
                measured.mean(axis=1),
                2 * error,
                fmt="o",
                ms=4,
                color=colour,
                label=f"measured, width {width}",
            )
            ax.plot(DEGREES, of_all, "-", color=colour, label=said[0])
            ax.plot(DEGREES, of_mean, ":", color=colour, label=said[1])
    for ax, name in zip(axes, STATISTICS, strict=True):
        ax.set(xscale="log", xlabel="degrees of freedom", title=NAMES[name], xticks=(2, 3, 5, 10, 30))
        ax.set_xticklabels(["2", "3", "5", "10", "30"])
        ax.minorticks_off()
    axes[1].legend(fontsize=7, frameon=False)
    digits = compared({"name": "digits"}, "sin", 500, 2.0)["sample_cosine"]
    print("digits, sin, sigma_w 2, sample_cosine of layers 1 to 5:")
    for what, line in (
        ("measured", digits[0].mean(axis=0)),
        ("theory", digits[1]),
        ("of the mean", digits[2]),
    ):
        print(f"  {what:12}", np.round(line[1:6], 3))
    print("  error       ", np.round((digits[0].std(axis=0, ddof=1) / SEEDS**0.5)[1:6], 3))
    if asked.figure:
        figure.savefig(asked.figure, dpi=150)


if __name__ == "__main__":
    main()
