"""The few exceptions a user can meet, each one clear line."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from sweep.base.meant import suggestion
from sweep.base.secrets import hidden


class SweepError(Exception):
    """Base of every error raised on purpose; the message is one line without secrets."""

    def __str__(self) -> str:
        return hidden(super().__str__()).replace("\r", "\\r").replace("\n", "\\n")


class RequestError(SweepError, ValueError):
    """The request was wrong: nothing ran and nothing was written (exit status 2)."""


class UserCodeError(SweepError):
    """A user's own function raised, or returned what it must not: only its cells fail."""


class InputError(SweepError):
    """A file of inputs is gone, or is another one than was asked for: only its cells fail."""


class PrecisionError(SweepError):
    """A number that no precision here can tell from rounding: only its cell fails."""


class StoreError(SweepError):
    """A study cannot be read or written as asked (exit status 2)."""


class ReportError(SweepError):
    """Some of a report could not be drawn, and all else was (exit status 1 of `sweep.report` alone).

    files: what was drawn, by path or URL.
    """

    def __init__(self, message: str, files: Iterable[Any] = ()) -> None:
        super().__init__(message)
        self.files = list(files)


class ClusterError(SweepError):
    """The machines that compute were lost midway: what is stored stays (exit status 1)."""


class SweepWarning(UserWarning):
    """Something that a reader of a study should know; the message is one line."""

    def __str__(self) -> str:
        return hidden(super().__str__())


def unknown(kind: str, value: object, options: Iterable[str]) -> RequestError:
    """The error for a name that is not among the options."""
    names = sorted(options)
    listed = ", ".join(_folded(names, str(value).rpartition("/")[0]))
    return RequestError(f"unknown {kind} '{value}': {suggestion(value, names, kind)}options: {listed}")


def _folded(names: list[str], folder: str) -> Iterable[str]:
    """The sorted names, with those of every folder but `folder` folded into one: 'torch/… (15)'."""
    for other, group in groupby(names, key=lambda name: name.rpartition("/")[0]):
        members = list(group)
        yield from members if other in ("", folder) else [f"{other}/… ({len(members)})"]
