"""`python -m sweep.probe package.module:make --input 64,3,32,32`: a torch model under schemes and seeds."""

# Nothing imports this module: `sweep.probe` is the function.

import sys
from collections.abc import Sequence

from sweep.base.process.command import Parser, guarded


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, probe, and show the report."""
    parser = Parser(prog="python -m sweep.probe", description=__doc__)
    parser.add_argument("model", help="what makes it, as in my_models:resnet18")
    parser.add_argument(
        "--input", action="append", required=True, metavar="SIZES",
        help="the sizes of an input, the batch first, as in 64,3,32,32; once for each input",
    )  # fmt: skip
    parser.add_argument(
        "--dtype", action="append", default=[], metavar="TYPE",
        help="of the inputs, and of the model: float32, float64, bfloat16, float16; int64: tokens (float32)",
    )  # fmt: skip
    parser.add_argument(
        "--vocabulary",
        type=int,
        metavar="N",
        help="tokens are below N (as many as the first embedding knows)",
    )
    parser.add_argument(
        "--init", default="default", metavar="NAMES",
        help="schemes that draw the weights, and default, which leaves them as they are made: "
        "default,xavier,torch/kaiming_normal, with parameters as in normal:std=0.02 (default)",
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N - 1 (1)")
    parser.add_argument("--device", default="cpu", help="where it is computed, as in cuda (cpu)")
    parser.add_argument("--study", help="a folder name under the root (the model's name)")
    parser.add_argument("--root", default="outputs", help="a folder or a URL (outputs)")
    parser.add_argument("--overwrite", action="store_true", help="compute again what is stored")
    parser.add_argument("--no-report", action="store_true", help="draw nothing")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would run, and which weights are drawn"
    )
    given = parser.parse_args(arguments)

    from sweep.execution.models.request import run_models  # noqa: PLC0415

    typed = sys.argv[1:] if arguments is None else list(arguments)
    return run_models(given, typed)


if __name__ == "__main__":
    sys.exit(guarded(main))
