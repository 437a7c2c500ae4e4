"""What every command of this program does alike: one line for a wrong request, and an exit status."""

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from unicodedata import category

from sweep.base import checks, interrupts
from sweep.base.errors import RequestError, SweepError, SweepWarning
from sweep.base.secrets import hidden

if TYPE_CHECKING:
    from rich.table import Table

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # control, format, and what ends a line
_PIPED_WIDTH = 120  # a file or a pipe has no width of its own


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command's flags, and takes no secret."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        given = without_secrets(sys.argv[1:] if args is None else args)
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see {self.prog} --help")


def without_secrets(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments as they are; RequestError where one holds a URL's secret, which a line might repeat."""
    for argument in arguments:
        checks.no_secret(argument)
    return arguments


def show(
    table: "Table",
    title: str,
    caption: str,
    spare: Sequence[str] = (),
    narrower: Iterable[tuple["Table", str]] = (),
) -> None:
    """A table on stdout, between a title and a caption of whole lines; a number is never cut.

    narrower: tables and their titles to show instead where the terminal is too narrow, the first that
    fits. spare: the columns that a narrow terminal goes without, the first of them first; a line says
    which. What is still too wide folds its names.
    """
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class _Console(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(visible(text), **how)

        def on_broken_pipe(
            self,
        ) -> None:  # whoever read the output has seen enough; what else is to do goes on
            self.quiet = True
            _unheard()

    console = _Console()
    whole = not console.is_terminal and "COLUMNS" not in os.environ  # nobody's screen: no line is broken
    if whole:
        console.width = _PIPED_WIDTH
    unlimited = console.options.update_width(10 * _PIPED_WIDTH)

    def fits() -> bool:
        for column in table.columns:
            if column.no_wrap:  # else rich measures its longest word
                texts = (column.header, *column.cells)
                column.min_width = max(Text.from_markup(str(text)).cell_len for text in texts)
        return console.measure(table, options=unlimited).minimum <= console.width

    others = iter(narrower)  # made one by one, where they are needed
    while not fits():
        other = next(others, None)
        if other is None:
            break
        table, title = other
    left_out = []
    for header in spare:
        if not fits():
            table.columns = [column for column in table.columns if column.header != header]
            left_out.append(header.strip())
    if not fits():
        for column in table.columns:
            if column.justify != "right":
                column.no_wrap, column.min_width, column.overflow = False, None, "fold"
    console.print(title, style="bold", highlight=False, markup=False, soft_wrap=whole)
    console.print(table)
    if left_out:
        said = f"left out, for this terminal is narrow: {', '.join(dict.fromkeys(left_out))}"
        console.print(said, style="dim", highlight=False, markup=False, soft_wrap=whole)
    for line in caption.splitlines():
        console.print(line, style="dim", highlight=False, markup=False, soft_wrap=whole)


def visible(text: str) -> str:
    """A text with its control characters shown as such, and no secret: a study may hold escape sequences."""
    return "".join(repr(sign)[1:-1] if category(sign) in _UNSEEN else sign for sign in hidden(text))


def _unheard() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def guarded(command: Callable[[], int]) -> int:
    """The command's exit status; a wrong request ends in one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a mark that an encoding lacks is no reason to fail
    # Arrow's own allocator keeps what a large table took; the system's gives it back, and is as quick here.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        with interrupts.raised(), warnings.catch_warnings():
            warnings.showwarning = _warned
            warnings.simplefilter("always", SweepWarning)
            return command()
    except BrokenPipeError:  # whoever read the output has seen enough
        _unheard()
        return 141
    except (SweepError, MemoryError, OSError) as error:
        print(f"sweep: {visible(_line(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("sweep: interrupted", file=sys.stderr)
        return 130
    except interrupts.Terminated:
        print("sweep: terminated", file=sys.stderr)
        return 143


def _warned(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """What a reader of a study should know, as a line; other warnings as Python shows them."""
    if issubclass(category, SweepWarning):
        print(f"sweep: {visible(str(message))}", file=sys.stderr)
    else:
        print(hidden(warnings.formatwarning(message, category, *where[:2])), end="", file=sys.stderr)


def _line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"this does not fit the machine's memory{f' ({error})' if str(error) else ''}; ask for less"
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return str(error)
