"""A figure or a page that cannot be drawn takes nothing else with it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sweep.base.errors import SweepError


@contextmanager
def attempt(what: str, failed: dict[str, str]) -> Iterator[None]:
    """What goes wrong in the block is noted in `failed`, under the name of what it draws; this program's own
    errors are raised, as are interrupts.
    """
    try:
        yield
    except SweepError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # of native code
            raise
        failed[what] = in_a_line(error)


def in_a_line(error: BaseException) -> str:
    """An error as its name and the first line of what it says."""
    first = next(iter(str(error).split("\n")), "").strip()
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
