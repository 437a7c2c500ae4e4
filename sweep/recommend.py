"""`python -m sweep.recommend ACT`: ranked initialisations, the gain derived, and lines to paste."""

# Nothing imports this module: `sweep.recommend` is the function.

import sys
from collections.abc import Callable, Sequence

from sweep.base.process.command import Parser, guarded
from sweep.base.process.threads import leave


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, and show the ranking."""
    parser = Parser(prog="python -m sweep.recommend", description=__doc__)
    parser.add_argument("act", help="an activation, or a function of your own as in my_module.my_function")
    parser.add_argument("--depth", type=int, default=50, help="layers (50)")
    parser.add_argument("--width", type=int, default=512, help="neurons in each (512)")
    parser.add_argument("--study", help="take the measurements of this study, not of a small trial")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the activation"
    )
    parser.add_argument("--block", default="plain", help="what a layer is, as in pre_ln or gpt2 (plain)")
    parser.add_argument(
        "--block-param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the block"
    )
    parser.add_argument(
        "--transform", metavar="METHOD", help="dks or tat: the activation changed so that plain layers train"
    )
    parser.add_argument("--target", type=float, help="of the transform, as sweep.theory.transform takes it")
    given = parser.parse_args(arguments)

    from sweep.report.advice.recommendation import recommend  # noqa: PLC0415
    from sweep.report.advice.table import Recommendation, print_ranking  # noqa: PLC0415

    name, parameters = _activation(given.act, given.param)
    advice = recommend(
        name,
        given.depth,
        given.width,
        given.study,
        act_params=parameters,
        block=given.block,
        block_params=_of_block(given.block_param),
        transform=given.transform,
        target=given.target,
        progress=_progress,
    )
    if isinstance(advice, Recommendation):
        print_ranking(advice)
    else:
        from sweep.report.advice.branches.table import print_advice  # noqa: PLC0415

        print_advice(advice)
    if given.study and advice.best:
        from sweep.base.blocks import PLAIN  # noqa: PLC0415
        from sweep.report.frames.fared import fared  # noqa: PLC0415

        if isinstance(advice, Recommendation):
            weights, block = advice.best.schemes[0], PLAIN
        else:
            weights, block = advice.best.init, advice.best.block
        its = advice.activation, given.depth, given.width, weights, advice.best.sigma_w, block
        for line in fared(given.study, *its):
            print(line)
    return 0


def _of_block(texts: Sequence[str]) -> dict[str, object]:
    """Sizes as numbers, or as texts of the depth; expand as a whole number."""
    parameters: dict[str, object] = {}
    for text in texts:
        key, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            parameters[key] = value
        else:
            parameters[key] = int(number) if key == "expand" and number == int(number) else number
    return parameters


def _activation(act: str, texts: Sequence[str]) -> tuple[str, dict[str, object]]:
    from sweep import activations  # noqa: PLC0415
    from sweep.base.errors import RequestError  # noqa: PLC0415

    parameters: dict[str, object] = {}
    for text in texts:
        key, _, value = text.partition("=")
        try:
            parameters[key] = float(value)
        except ValueError:
            raise RequestError(f"--param {text}: give a name and a number, as in --param alpha=2") from None
    if act not in activations.ACTIVATIONS and "." in act:
        return activations.CUSTOM, {"function": act, "kwargs": parameters}
    return act, parameters


def _progress(networks: int) -> Callable[[int], None]:
    """Says on stderr what is being done; a bar where there is a terminal, gone when it is full."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    says = f"ranked by theory; measuring the networks that decide: {networks}"
    console = Console(stderr=True)
    if not console.is_terminal:
        print(says, file=sys.stderr, flush=True)
        return lambda count: None
    bar = Progress(console=console, transient=True)
    task = bar.add_task(says, total=networks)
    bar.start()

    def advance(count: int) -> None:
        bar.update(task, advance=count)
        if bar.finished:
            bar.stop()

    return advance


if __name__ == "__main__":
    leave(guarded(main))
