"""`python -m sweep.initializers`: every init scheme, with what it draws and how large."""

import math
import sys
from itertools import groupby

from sweep import initializers
from sweep.base import checks
from sweep.base.process.command import Parser, guarded, show


def main() -> int:
    """Parse the command line and show the table."""
    parser = Parser(prog="python -m sweep.initializers", description=__doc__)
    parser.add_argument("--fan-in", type=int, default=512, help="inputs of the layer (default: 512)")
    parser.add_argument("--fan-out", type=int, default=512, help="outputs of the layer (default: 512)")
    arguments = parser.parse_args()
    fan_in = checks.whole("--fan-in", arguments.fan_in, 1)
    fan_out = checks.whole("--fan-out", arguments.fan_out, 1)

    from rich.table import Table  # noqa: PLC0415

    table = Table()
    table.add_column("init", no_wrap=True)
    table.add_column("parameters", min_width=12)
    table.add_column("W", min_width=12)
    table.add_column("b", no_wrap=True)
    table.add_column("Var W", justify="right", no_wrap=True)
    table.add_column("σ_w", justify="right", no_wrap=True)
    for _, names in groupby(initializers.SCHEMES, key=lambda name: name.rpartition("/")[0]):
        for name in names:
            scheme = initializers.get(name)
            std = scheme.weight_std(fan_in, fan_out)
            size = (f"{std * std:.4g}", f"{math.sqrt(fan_in) * std:.4g}") if scheme.known_std else ("–", "–")
            words = ", ".join(initializers.parameter_names(name)), scheme.formula, scheme.bias_formula or "–"
            table.add_row(name, *words, *size)
        table.add_section()
    caption = (
        "fan_avg = (fan_in + fan_out)/2; σ_w = √(fan_in Var W), –: Var W is 0 or depends on the data\n"
        "b: the biases of a scheme that stands for a framework's layer; –: bias_std sets them"
    )
    show(table, f"W: ({fan_in}, {fan_out})", caption, spare=("parameters", "b", "W", "Var W"))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
