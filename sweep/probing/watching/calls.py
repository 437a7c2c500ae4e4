"""A module while it is being called."""

from dataclasses import dataclass, field
from typing import Any

from sweep.probing.watching.rows import Row


@dataclass
class Call:
    """A module being called.

    opaque: whether the functions that it calls are part of it. unknown: whether it may act entry by entry, as
    its output will say. since: the first node made in it. inner: the rows of functions that it called.
    """

    module: Any
    name: str
    leaf: bool
    shown: bool
    opaque: bool
    row: Row | None = None
    unknown: bool = False
    since: int = 0
    inner: list[Row] = field(default_factory=list)
