"""What all commands share: one line for a wrong request, an exit status, a table on the terminal."""

import argparse
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn
from unicodedata import category

from sweep.base import checks
from sweep.base.errors import RequestError, SweepError, SweepWarning
from sweep.base.process import interrupts
from sweep.base.secrets import hidden

if TYPE_CHECKING:
    from rich.table import Table

_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # controls, formats, surrogates, private use, line ends
_PIPED_WIDTH = 120  # a file or a pipe has no width of its own


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, and which refuses a secret."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        given = without_secrets(sys.argv[1:] if args is None else args)
        return super().parse_known_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        raise RequestError(f"{message}; see {self.prog} --help")


def without_secrets(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments unchanged; RequestError where one holds a URL's secret, which a message might repeat."""
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
    """Print a table between a title and a caption; no number is ever cut.

    narrower: tables and titles to show instead on a narrow terminal: the first that fits. spare: columns
    that a narrow terminal goes without, in this order; a line says which. Names fold if it is still too wide.
    """
    if is_quiet():
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class _Console(Console):
        def render_str(self, text: str, **how: Any) -> Text:
            return super().render_str(visible(text), **how)

        def on_broken_pipe(self) -> None:  # the reader has seen enough; the command goes on
            self.quiet = True
            _silence_stdout()

    console = _Console()
    whole = not console.is_terminal and "COLUMNS" not in os.environ  # no screen: no line is broken
    if whole:
        console.width = _PIPED_WIDTH
    unlimited = console.options.update_width(10 * _PIPED_WIDTH)

    def fits() -> bool:
        for column in table.columns:
            if column.no_wrap:  # else rich measures its longest word
                texts = (column.header, *column.cells)
                column.min_width = max(Text.from_markup(str(text)).cell_len for text in texts)
        return console.measure(table, options=unlimited).minimum <= console.width

    others = iter(narrower)  # a table is made only when it is needed
    while not fits() and (other := next(others, None)):
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
    notes = caption.splitlines()
    if left_out:
        notes.insert(0, f"columns left out for lack of room: {', '.join(dict.fromkeys(left_out))}")
    console.print(title, style="bold", highlight=False, markup=False, soft_wrap=whole)
    console.print(table)
    for line in notes:
        console.print(line, style="dim", highlight=False, markup=False, soft_wrap=whole)


_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """Say nothing in the block: no line, no table, no bar."""
    before = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(before)


def is_quiet() -> bool:
    """Whether nothing is to be said."""
    return _quiet.get()


def visible(text: str) -> str:
    """A text with its control characters escaped and its secrets hidden, since a study may hold either."""
    return "".join(repr(sign)[1:-1] if category(sign) in _UNSEEN else sign for sign in hidden(text))


def _silence_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def guarded(command: Callable[[], int]) -> int:
    """The command's exit status; a wrong request ends in one line and status 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a character that an encoding lacks is no reason to fail
    # Arrow's own allocator keeps what a large table took; the system's returns it, and is as quick here.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    os.environ.pop("MPLBACKEND", None)  # a command draws into files; an unknown one stops matplotlib
    try:
        with interrupts.raised(), warnings.catch_warnings():
            warnings.showwarning = _warned
            warnings.simplefilter("always", SweepWarning)
            return command()
    except BrokenPipeError:  # the reader has seen enough
        _silence_stdout()
        return interrupts.BROKEN_PIPE
    except (SweepError, MemoryError, OSError) as error:
        print(f"sweep: {visible(_line(error))}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, interrupts.Terminated) as stopped:
        word, status = interrupts.ending(stopped)
        print(f"sweep: {word}", file=sys.stderr)
        return status


def _warned(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """Print a SweepWarning as one line, any other warning as Python does."""
    if issubclass(category, SweepWarning):
        print(f"sweep: {visible(str(message))}", file=sys.stderr)
    else:
        print(hidden(warnings.formatwarning(message, category, *where[:2])), end="", file=sys.stderr)


def _line(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return (
            f"this does not fit into the machine's memory{f' ({error})' if str(error) else ''}; ask for less"
        )
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    return str(error)
