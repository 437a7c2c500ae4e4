"""A connection to a Dask cluster, and its workers: every question is answered, or given up.

distributed's own timeouts cover most of it, but not a process that is there and never answers.
"""

import contextlib
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sweep.base.errors import RequestError
from sweep.base.process import interrupts
from sweep.execution.workers.dask.settings import Dask
from sweep.execution.workers.program import program

if TYPE_CHECKING:
    from distributed import Client

_T = TypeVar("_T")

_GRACE_SECONDS = 3.0  # after distributed's own timeouts, for what never answers at all


@dataclass(frozen=True)
class Worker:
    """memory: bytes that it may hold, None where it has no limit."""

    program: str
    threads: int
    memory: int | None


@contextlib.contextmanager
def _unseen_by_children() -> Iterator[None]:
    """Processes started in the block never see Ctrl-C; the command ends them, by other signals."""
    if not hasattr(signal, "pthread_sigmask"):  # not POSIX
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def connect(settings: Dask, workers: int = 0) -> "Iterator[Client]":
    """A connection to the scheduler, or to a cluster of so many workers that this process starts.

    Raises RequestError where none answers.
    """
    from distributed import LocalCluster  # noqa: PLC0415
    from distributed.utils import silence_logging_cmgr  # noqa: PLC0415

    where: Any = settings.address
    with contextlib.ExitStack() as stack:
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))  # we say it, in one line
        if settings.local:
            with interrupts.held(), _unseen_by_children():
                where = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            stack.callback(where.close, timeout=10)
        client_of = partial(
            _client,
            where,
            scheduler_file=settings.scheduler_file,
            timeout=settings.timeout,
            set_as_default=False,
        )
        try:
            client: Client = wait_for(client_of, settings.timeout)
        except Exception as error:
            place = settings.address or settings.scheduler_file or "this machine"
            raise RequestError(
                f"no Dask scheduler answers at {place} ({one_line(error)}): "
                "start one with 'dask scheduler', or drop executor.address to compute here"
            ) from error
        stack.callback(client.close, timeout=5)
        yield client


def _client(where: Any, **how: Any) -> "Client":
    """distributed's client; one that cannot be made ends at once, and says nothing when it is collected."""
    from distributed import Client  # noqa: PLC0415

    class Made(Client):  # type: ignore[misc]
        def __init__(self) -> None:
            try:
                super().__init__(where, **how)
            except BaseException:
                self.status = "closed"
                raise

    return Made()


def check_workers(client: "Client", settings: Dask) -> Mapping[str, Worker]:
    """Every worker by its address; RequestError where there is none, or one runs another program."""
    deadline = time.monotonic() + settings.timeout
    while True:
        found: dict[str, Any] = wait_for(lambda: client.run(_describe, on_error="return"), settings.timeout)
        if found:
            break
        if time.monotonic() > deadline:
            raise RequestError(
                f"the Dask scheduler has no worker (waited {settings.timeout:g} s): "
                f"start some with 'dask worker {client.scheduler.address} --nthreads 1'"
            )
        time.sleep(0.2)
    workers = {}
    for address, answer in found.items():
        if isinstance(answer, BaseException):
            raise RequestError(
                f"the Dask worker {address} has no {program()} ({one_line(answer)}): install it there"
            )
        workers[address] = Worker(*answer)
        if workers[address].program != program():
            raise RequestError(difference(address, workers[address].program, program()))
    return workers


def difference(address: str, theirs: str, ours: str) -> str:
    """What to say of a worker that runs another program than this one."""
    return f"the Dask worker {address} runs {theirs}, this is {ours}: install the same one there"


def _describe(dask_worker: Any) -> tuple[str, int, int | None]:
    return program(), dask_worker.state.nthreads, dask_worker.memory_manager.memory_limit


def wait_for(call: Callable[[], _T], seconds: float) -> _T:
    """What the call returns; TimeoutError where it takes much longer than the timeout it was given.

    distributed's own timeouts end before; this one is for a process that is there and never answers.
    """
    outcome: list[_T] = []
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(seconds + _GRACE_SECONDS)
    if errors:
        raise errors[0]
    if not outcome:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return outcome[0]


def one_line(error: BaseException) -> str:
    """An error's type and words."""
    return " ".join(f"{type(error).__name__}: {error}".split())
