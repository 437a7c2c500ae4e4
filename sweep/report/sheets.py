"""Sheets of figures to files: one after another, or side by side in processes where there is much to draw.

A process takes about a second to start and to import what draws, and a sheet half a second; of thousands of
networks it takes several.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from sweep.base.process import interrupts, machine
from sweep.report.attempts import attempt
from sweep.report.figures import style

MANY = 2000  # networks: of so many, sheets are drawn side by side


@dataclass(frozen=True)
class Sheet:
    """What is drawn together. name: of what failed. draw: (arguments) -> its figures by name."""

    name: str
    draw: Callable[..., dict[str, Figure]]
    arguments: tuple[Any, ...]


@dataclass(frozen=True)
class Drawn:
    """The files of a sheet by name; what could not be drawn, and why."""

    contents: dict[str, bytes]
    failed: dict[str, str]


def drawn(sheets: Sequence[Sheet], networks: int) -> Iterator[Drawn]:
    """Every sheet as files, in their order. networks: how many there are to draw."""
    processes = min(machine.cores(), len(sheets))
    if networks < MANY or processes < 2 or not machine.may_start_processes():
        yield from map(_drawn, sheets)
        return
    with _pool(processes) as pool:
        with interrupts.unseen_by_children():
            waiting = [pool.submit(_drawn, sheet) for sheet in sheets]
        yield from (each.result() for each in waiting)


@contextmanager
def _pool(processes: int) -> Iterator[Any]:
    from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415  a short report needs none

    pool = ProcessPoolExecutor(processes, initializer=interrupts.end_with_parent, initargs=(os.getpid(),))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise
    pool.shutdown(wait=True)


def _drawn(sheet: Sheet) -> Drawn:
    failed: dict[str, str] = {}
    contents: dict[str, bytes] = {}
    with style.applied():
        figures: dict[str, Figure] = {}
        with attempt(sheet.name, failed):
            figures = sheet.draw(*sheet.arguments)
        for name, figure in figures.items():
            with attempt(name, failed):
                contents |= style.rendered(name, figure)
    return Drawn(contents, failed)
