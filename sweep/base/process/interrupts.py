"""Ctrl-C, SIGTERM and SIGHUP as exceptions that never cut a write in two; a second Ctrl-C ends at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from sweep.base.process import early


class Terminated(BaseException):
    """SIGTERM or SIGHUP, from a scheduler, an administrator, a closed terminal; like Ctrl-C not an error."""


_HANDLERS = (signal.default_int_handler, signal.SIG_DFL, early.end)  # that may be replaced
BROKEN_PIPE = 141  # the exit status of a command whose reader has seen enough, as a shell counts SIGPIPE
_EXCEPTIONS: dict[int, type[BaseException]] = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
if hasattr(signal, "SIGHUP"):  # POSIX
    _EXCEPTIONS[signal.SIGHUP] = Terminated
_held = 0
_begun = True  # False while nothing has begun that must not be cut short
_told = False  # by a first Ctrl-C
_waiting: list[int] = []


@contextmanager
def raised() -> Iterator[None]:
    """While the block runs, SIGINT raises KeyboardInterrupt and the others Terminated, once `held` ends.

    A signal that is ignored, or handled by somebody else, stays so; so does any outside the main thread.
    """
    global _told, _begun  # noqa: PLW0603  signals belong to the process
    before: dict[int, Any] = {}
    for number in _EXCEPTIONS:
        handler = signal.getsignal(number)
        if handler in _HANDLERS:
            try:
                signal.signal(number, _on_signal)
            except ValueError:  # not the main thread
                break
            before[number] = handler
            _begun = _begun and handler is not early.end
    _told = _told and not before
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ending(stopped: BaseException) -> tuple[str, int]:
    """What happened to a command that `stopped` ends, in a word, and its exit status."""
    return ("interrupted", 130) if isinstance(stopped, KeyboardInterrupt) else ("terminated", 143)


@contextmanager
def held() -> Iterator[None]:
    """Make an interrupt wait until the block ends."""
    global _held, _begun  # noqa: PLW0603  signals belong to the process
    _held += 1
    _begun = True
    try:
        yield
    finally:
        _held -= 1
        if not _held and _waiting:
            number = _waiting[-1]
            _waiting.clear()
            raise _EXCEPTIONS[number]


@contextmanager
def unseen_by_children() -> Iterator[None]:
    """Start processes in the block that never see an interrupt; one that comes waits until the block ends.

    The driver stops its workers, for it alone knows what is stored; a worker that the terminal or the
    scheduler interrupts as well dies with a traceback.
    """
    with held():
        if not hasattr(signal, "pthread_sigmask"):  # not POSIX
            yield
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, set(_EXCEPTIONS))
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _told  # noqa: PLW0603
    if number == signal.SIGINT:
        if not _begun:  # an import, or Hydra, that is cut short may raise anything
            early.end(number, frame)
        if _told:  # asked twice: no more waiting; what is half-written counts for nothing
            os.write(2, b"sweep: interrupted twice: ended at once\n")
            os._exit(130)
        _told = True
    if _held:
        _waiting.append(number)
    else:
        raise _EXCEPTIONS[number]


def end_with_parent(parent: int) -> None:
    """End this process, a worker, soon after `parent` has ended, in whatever way."""
    import threading  # noqa: PLC0415
    import time  # noqa: PLC0415

    from sweep.base.process import threads  # noqa: PLC0415

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.3)
            if not threading.main_thread().is_alive() and threads.outlasted():
                os._exit(0)  # its work is done and handed over; whoever waits for it says so
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
