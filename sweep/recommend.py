"""`python -m sweep.recommend ACT`: ranked initialisations, the gain and its derivation, a line to paste."""

# Nothing imports this module: `sweep.recommend` is the function.

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sweep.base.command import Parser, guarded, show

if TYPE_CHECKING:
    from sweep.report.advice.candidates import Candidate
    from sweep.report.advice.trial import Recommendation


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, and show the ranking."""
    parser = Parser(prog="python -m sweep.recommend", description=__doc__)
    parser.add_argument("act", help="an activation, or a function of your own as in my_module.my_function")
    parser.add_argument("--depth", type=int, default=50, help="layers (50)")
    parser.add_argument("--width", type=int, default=512, help="neurons in each (512)")
    parser.add_argument("--study", help="measured there, instead of by a quick sweep")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the activation"
    )
    given = parser.parse_args(arguments)

    from sweep.report.advice.trial import recommend  # noqa: PLC0415

    name, parameters = _activation(given.act, given.param)
    found = recommend(name, given.depth, given.width, given.study, act_params=parameters, progress=_progress)
    _show(found)
    return 0


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
    """A bar where there is a terminal; nothing is left of it."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda count: None
    bar = Progress(console=console, transient=True)
    task = bar.add_task("measuring", total=networks)
    bar.start()

    def advance(count: int) -> None:
        bar.update(task, advance=count)
        if bar.finished:
            bar.stop()

    return advance


def _show(found: "Recommendation") -> None:
    from rich.table import Table  # noqa: PLC0415

    from sweep.report.frames.text import number  # noqa: PLC0415

    for line in found.derivation:
        print(line)
    print()
    table = Table(box=None, padding=(0, 1, 0, 0))
    for name in ("rank", "init"):
        table.add_column(name, no_wrap=True)
    for name in ("sigma_w", "chi1", "v", "settles", "good to", "rms", "theory", "delta", "theory "):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    equals = []
    for rank, one in found.ranking:
        names = [name for name in one.schemes if name in one.measured] or list(one.schemes[:1])
        others = [name for name in one.schemes if name not in names]
        equals += [f"{' = '.join((names[0], *others))}"] if others else []
        for place, name in enumerate(names):
            measured, predicted = one.measured.get(name), one.predicted_of(name)
            table.add_row(
                "" if place else str(rank),
                name.partition(" gain=")[0],  # sigma_w says it
                *([""] * 5 if place else _theory(one)),
                number(measured.forward, 3) if measured else "",
                number(predicted.forward, 3),
                number(measured.backward, 3) if measured else "",
                number(predicted.backward, 3),
                measured.verdict if measured else "",
            )
    caption = (
        "rank: by abs(log chi1) where v settles, then by what survives. forward: rms of the last layer;\n"
        "backward: delta, the std of dL/dh at the input; each beside theory. good to: the depth to which\n"
        f"theory, with the spread of this width as far as it is predicted, finds it healthy. {found.source}"
        + (f"\nthe same sigma_w: {'; '.join(equals)}" if equals else "")
    )
    spare = ("v", "good to", "theory", "theory ", "chi1", "settles", "delta", "rms")
    show(table, f"{found.act}, depth {found.depth}, width {found.width}", caption, spare)
    print()
    for framework, line in found.paste.items():
        print(f"{framework:6} {line}")


def _theory(one: "Candidate") -> list[str]:
    from sweep.report.advice.candidates import DEEPEST  # noqa: PLC0415

    depth = "·" if one.depth is None else f"≥ {one.depth}" if one.depth >= DEEPEST else str(one.depth)
    return [f"{one.sigma_w:.4f}", f"{one.chi1:.4f}", f"{one.v:.3g}", one.fate, depth]


if __name__ == "__main__":
    sys.exit(guarded(main))
