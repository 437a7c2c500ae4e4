"""Axes as columns that are not stored: the parameters of schemes and acts; of layers those of their cell."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sweep.experiment import axes
from sweep.experiment.ingredients.choices import KEY_OF
from sweep.store.tables import LAYERS

# The columns of parameters, and the key that their names begin with: 'first.init.std'.
KEYS = {f"{column}_params": key for column, key in KEY_OF.items()}
PARAMETERS = tuple(KEYS)
# Of a cell, beside what `layers` holds: no groupby of layers must pool what differs in one of them.
OF_CELLS = (*(axis.name for axis in axes.SETTINGS if axis.name not in LAYERS.names), *axes.BESIDE)
_SOURCE = "source"  # of a user's own function
_DIGEST_BYTES = 4  # of what tells two of its versions apart


def is_parameter(name: str) -> bool:
    """Whether it may be the name of a parameter's column, as in 'init.std' or 'init.kwargs.power'."""
    return bool(axes.parameter_of(name)) or name.startswith(f"{axes.MODEL}.")


def source(name: str) -> str:
    """The stored column that a parameter's is made of."""
    return next(column for column, key in KEYS.items() if key == (axes.choice_of(name) or axes.MODEL))


def with_parameters(rows: pa.Table) -> pa.Table:
    """The rows with a column for each parameter of the schemes and activations among them, null in others'.

    rows: with the columns of PARAMETERS whose parameters are wanted.
    """
    for column in PARAMETERS:
        if column not in rows.column_names:
            continue
        encoded = rows[column]
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        encoded = encoded.unify_dictionaries().combine_chunks()
        each = [parameters(text) for text in encoded.dictionary.to_pylist()]
        for name in sorted({name for values in each for name in values}):
            values = _column([values.get(name) for values in each])
            rows = rows.append_column(f"{KEYS[column]}.{name}", values.take(encoded.indices))
    return rows


def parameters(text: str) -> dict[str, Any]:
    """The parameters in a column's text as the command line names them: 'std', 'kwargs.power'.

    Of the source of a user's own function there is a digest, which tells its versions apart.
    """
    values: dict[str, Any] = json.loads(text)
    if isinstance(source := values.pop(_SOURCE, None), str):
        values[_SOURCE] = hashlib.blake2b(
            source.encode(errors="replace"), digest_size=_DIGEST_BYTES
        ).hexdigest()
    keywords = values.pop("kwargs", {})
    if not isinstance(keywords, dict):
        keywords = {}
    return values | {f"kwargs.{key}": value for key, value in keywords.items()}


def _column(values: Sequence[Any]) -> pa.Array:
    """Values as numbers, flags or texts; what is of several kinds, or no such thing, as JSON."""
    given = [value for value in values if value is not None]
    kinds = {type(value) for value in given}
    if kinds <= {int, float}:
        numbers = [None if value is None else float(value) for value in values]
        if len({*numbers}) == len({json.dumps(value) for value in values}):  # 1 and 1.0 are two networks'
            return pa.array(numbers, pa.float64())
    elif kinds == {bool}:
        return pa.array(values, pa.bool_())
    elif kinds == {str}:
        return pa.array(values, pa.string())
    return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())


def with_axes(layers: pa.Table, cells: pa.Table, names: Iterable[str]) -> pa.Table:
    """The rows of `layers` with these columns of their cells; both with cell_id."""
    ids = layers["cell_id"].combine_chunks()
    # The rows of a cell come one after another: a cell is looked up once for all of them.
    runs = pc.run_end_encode(ids)
    found = pc.index_in(runs.values, value_set=cells["cell_id"].combine_chunks())
    lengths = np.diff(runs.run_ends.to_numpy(), prepend=0)
    rows = pa.array(np.repeat(pc.fill_null(found, -1).to_numpy(), lengths))
    rows = pc.if_else(pc.greater_equal(rows, 0), rows, pa.scalar(None, rows.type))
    for name in names:
        column = cells[name]
        repeated = pa.types.is_dictionary(column.type)
        taken = (column.unify_dictionaries() if repeated else column).combine_chunks().take(rows)
        keep = name in PARAMETERS or not repeated  # parameters are long: each text once
        layers = layers.append_column(name, taken if keep else taken.dictionary_decode())
    return layers
