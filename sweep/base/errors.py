"""The few exceptions a user can meet, each one clear line."""

import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import groupby


class SweepError(Exception):
    """Base of every error this program raises on purpose; the message is one line."""


class RequestError(SweepError, ValueError):
    """The request was wrong: nothing ran and nothing was written (exit status 2)."""


class UserCodeError(SweepError):
    """A user's own function raised, or returned what it must not: its cells fail, no others."""


class StoreError(SweepError):
    """A study cannot be read or written as asked (exit status 2)."""


class ClusterError(SweepError):
    """The machines that compute were lost midway: what is stored is kept (exit status 1)."""


class SweepWarning(UserWarning):
    """Something that a reader of a study should know; the message is one line."""


_TRACEBACK_LINES = 12


@dataclass(frozen=True)
class Failure:
    """Why a cell failed: an error's type and message, and the tail of its traceback."""

    type: str
    message: str
    traceback: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """The failure that `error` stands for."""
        root = error
        while root.__cause__ is not None:  # what a user's own function raised says more than our words for it
            root = root.__cause__
        lines = "".join(traceback.format_exception(root, chain=False)).splitlines()
        return cls(type(error).__name__, str(error), "\n".join(lines[-_TRACEBACK_LINES:]))

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"


class Failures:
    """Failures, counted by cause: an error's type and message, whatever numbers are in it.

    causes: cause -> (how many, one of them, whether their numbers differ).
    """

    def __init__(self) -> None:
        self.causes: dict[str, tuple[int, Failure, bool]] = {}

    def __len__(self) -> int:
        return sum(count for count, _, _ in self.causes.values())

    def add(self, failure: Failure) -> None:
        """Count one more."""
        cause = re.sub(r"\d+", "#", str(failure))
        count, first, differ = self.causes.get(cause, (0, failure, False))
        self.causes[cause] = count + 1, first, differ or str(first) != str(failure)


def suggestion(value: object, options: Iterable[str]) -> str:
    """'did you mean …? ' when one of the options is close to `value`, else ''."""
    close = get_close_matches(str(value), list(options), n=1, cutoff=0.6)
    return f"did you mean '{close[0]}'? " if close else ""


def unknown(kind: str, value: object, options: Iterable[str]) -> RequestError:
    """The error for a name that is not among the options."""
    names = sorted(options)
    listed = ", ".join(_folded(names, str(value).rpartition("/")[0]))
    return RequestError(f"unknown {kind} '{value}': {suggestion(value, names)}options: {listed}")


def _folded(names: list[str], folder: str) -> Iterable[str]:
    """The names, those of every folder but `folder` as one: 'torch/… (15)'."""
    for other, group in groupby(names, key=lambda name: name.rpartition("/")[0]):
        members = list(group)
        yield from members if other in ("", folder) else [f"{other}/… ({len(members)})"]
