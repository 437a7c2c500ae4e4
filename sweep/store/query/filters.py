"""Which rows of a table to keep, as pandas.read_parquet is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sweep.base import checks
from sweep.base.errors import RequestError, unknown

_OPERATORS = ("=", "==", "!=", "<", ">", "<=", ">=", "in", "not in")
_RULE = 'filters are (column, operator, value), as in [("act", "==", "tanh"), ("depth", "in", [5, 10])]'


@dataclass(frozen=True)
class Filter:
    """Conditions on rows: any of several lists of which all must be true."""

    any_of: tuple[tuple[tuple[str, str, Any], ...], ...]

    @classmethod
    def of(cls, filters: Any) -> "Filter":
        """The filter that these lists name; RequestError where they name none."""
        if isinstance(filters, str | bytes | Mapping) or not isinstance(filters, Sequence) or not filters:
            raise RequestError(f"filters={checks.shown(filters)}: {_RULE}")
        lists = [filters] if all(_is_condition(one) for one in filters) else filters
        for conditions in lists:
            if isinstance(conditions, str) or not isinstance(conditions, Sequence) or not conditions:
                raise RequestError(f"filters={checks.shown(filters)}: {_RULE}")
            for one in conditions:
                if not _is_condition(one):
                    raise RequestError(f"filters: {checks.shown(one)}: {_RULE}")
                _check(*one)
        return cls(
            tuple(tuple((name, how, _value(how, value)) for name, how, value in each) for each in lists)
        )

    @property
    def names(self) -> list[str]:
        """The columns that the conditions are on."""
        return [name for conditions in self.any_of for name, _, _ in conditions]

    def rows(self, rows: pa.Table) -> pa.Table:
        """The rows that fit; RequestError where a value cannot be compared with its column's."""
        for name, how, value in (one for conditions in self.any_of for one in conditions):
            try:
                rows.slice(0, 0).filter(pq.filters_to_expression([(name, how, value)]))
            except (pa.ArrowException, TypeError, ValueError) as error:
                kind = rows.schema.field(name).type
                shown = f"({name!r}, {how!r}, {checks.shown(value)})"
                raise RequestError(
                    f"filters: {shown}: {name} is of type {kind}; compare it with a value of that type"
                ) from error
        return rows.filter(pq.filters_to_expression([list(conditions) for conditions in self.any_of]))


def _is_condition(value: Any) -> bool:
    return (
        isinstance(value, Sequence) and len(value) == 3 and all(isinstance(part, str) for part in value[:2])
    ) and not isinstance(value, str)


def _check(name: str, how: str, value: Any) -> None:
    if how not in _OPERATORS:
        raise unknown("operator of filters", how, _OPERATORS)
    if value is None:
        raise RequestError(
            f"filters: ({name!r}, {how!r}, None): a filter cannot keep rows without a value; {_RULE}"
        )
    several = isinstance(value, list | tuple | set | frozenset | range)
    if several != how.endswith("in"):
        wants = "a list" if how.endswith("in") else "one value"
        raise RequestError(
            f"filters: ({name!r}, {how!r}, {checks.shown(value)}): '{how}' takes {wants}; {_RULE}"
        )


def _value(how: str, value: Any) -> Any:
    """The same value, as pyarrow takes it."""
    return list(value) if how.endswith("in") else value
