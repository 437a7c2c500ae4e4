"""`python -m sweep.activations`: every activation, with its moments at unit variance."""

import sys

from sweep import activations
from sweep.base.process.command import Parser, guarded, show
from sweep.theory.gaussian.moments import gaussian


def main() -> int:
    """Parse the command line and show the table."""
    Parser(prog="python -m sweep.activations", description=__doc__).parse_args()

    from rich.table import Table  # noqa: PLC0415

    table = Table()
    table.add_column("act", no_wrap=True)
    table.add_column("parameters", min_width=14)
    table.add_column("f(z)", min_width=20)
    for moment in ("E f", "E f²", "E f'²"):
        table.add_column(moment, justify="right", no_wrap=True)
    table.add_column("kinks", no_wrap=True)
    table.add_column("homogeneous", no_wrap=True)
    for name in activations.ACTIVATIONS:
        act = activations.get(name)
        unit = gaussian(act).at(1.0)
        moments = unit.mean, unit.rms**2, unit.slope_rms**2
        table.add_row(
            name,
            ", ".join(activations.parameter_names(name)),
            act.formula,
            *(f"{round(moment, 6) + 0.0:.6f}" for moment in moments),
            ", ".join(f"{kink:g}" for kink in act.kinks) or "–",
            "yes" if act.homogeneous else "–",
        )
    caption = "kinks: where f is not smooth; homogeneous: f(c z) = c f(z) for every c > 0"
    show(table, "z ~ N(0, 1)", caption, spare=("parameters", "homogeneous", "kinks", "f(z)", "E f", "E f'²"))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
