"""Compiled loops on the machines of a Dask cluster: asked for, and compiled there, before the first task."""

import socket
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from sweep.execution.plan.compilers import Here
from sweep.execution.workers.dask import connection
from sweep.execution.workers.dask.settings import Dask

_COMPILE_SECONDS = 120.0  # for all loops of one machine, at most


class Cluster:
    """The machines of the workers that are there; one that joins later compiles for itself what it lacks."""

    beside = False

    def __init__(self, settings: Dask) -> None:
        self._settings = settings

    def why_not(self) -> str:
        for address, (_, reason) in self._ask(_why_not).items():
            if reason:
                return f"on the Dask worker {address} {reason}"
        return ""

    def missing(self, loops: Collection[str]) -> frozenset[str]:
        answers = self._ask(partial(_missing, frozenset(loops))).values()
        return frozenset().union(*(lacking for _, lacking in answers))

    def build(self, loops: Collection[str]) -> str:
        with connection.connect(self._settings) as client:
            hosts = {host: address for address, (host, _) in self._run(client, _why_not).items()}
            built = [  # as tasks: a worker that compiles in its event loop would be taken for dead
                client.submit(_build, frozenset(loops), workers=[address], pure=False)
                for address in hosts.values()
            ]
            for address, future in zip(hosts.values(), built, strict=True):
                if reason := connection.wait_for(future.result, _COMPILE_SECONDS):
                    return f"on the Dask worker {address} {reason}"
        return ""

    def _ask(self, question: Callable[[], Any]) -> dict[str, tuple[str, Any]]:
        with connection.connect(self._settings) as client:
            return self._run(client, question)

    def _run(self, client: Any, question: Callable[[], Any]) -> dict[str, tuple[str, Any]]:
        """Every worker's host and answer, by its address."""
        return connection.wait_for(partial(client.run, partial(_with_host, question)), self._settings.timeout)


def _with_host(question: Callable[[], Any]) -> tuple[str, Any]:
    return socket.gethostname(), question()


def _why_not() -> str:
    return Here().why_not()


def _missing(loops: frozenset[str]) -> frozenset[str]:
    return Here().missing(loops)


def _build(loops: frozenset[str]) -> str:
    return Here().build(loops)
