"""Names for what a study's cells differ in: short, and telling any two of them apart.

A *panel* is one init, act and setting, where the setting names whatever else varies in the
frame: bias_std, batch, dtype, tapered widths.
"""

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweep.experiment import axes
from sweep.experiment.ingredients.choices import KEY_OF, OPTIONS, REGISTRIES
from sweep.report.frames.parameters import NONE, OWN, defaults, filled_of, flat_of, title_of, values_of
from sweep.report.frames.text import short

if TYPE_CHECKING:
    import pandas as pd

PANEL = ("init_label", "act_label", "setting")
_BESIDE = tuple(name for name in axes.BESIDE if name != axes.MODEL)  # a model stands for an act: see `own`
SETTINGS = (*(axis.name for axis in axes.SETTINGS), *_BESIDE, "kernel_version")
NAMED_BY = tuple(name for column in (*OPTIONS, axes.MODEL) for name in (column, f"{column}_params"))


def add_labels(cells: "pd.DataFrame", apart: Collection[str] = ()) -> "pd.DataFrame":
    """`cells` with the columns of PANEL added, in the registries' order of schemes and acts, and of settings.

    apart: what is an axis of its own, 'batch' or 'init.std', hence no part of a label; a
    parameter's column is added, None where a scheme has no such parameter. Schemes of first and last layers
    become labels, which have their parameters.
    """
    cells = _readable(cells)
    kind, kinds = _kinds(cells)
    added = _labels(kinds, apart)
    order = np.argsort(_ranks(kinds)[kind], kind="stable")
    kind = kind[order]
    frame = cells if (np.diff(order) == 1).all() else cells.iloc[order]
    return frame.assign(**{name: np.asarray(values, object)[kind] for name, values in added.items()})


def whole(cells: "pd.DataFrame") -> "pd.DataFrame":
    """With the columns of first and last layers and of later axes, which a frame of an older part lacks."""
    usual = {axis.name: axis.default for axis in axes.LATER} | axes.BESIDE_COLUMNS
    return cells.assign(**{name: value for name, value in usual.items() if name not in cells})


def _readable(cells: "pd.DataFrame") -> "pd.DataFrame":
    return whole(cells).assign(widths=_texts(cells["widths"]))


def filled(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """An axis's values as objects, NONE where a cell has none."""
    import pandas as pd  # noqa: PLC0415

    objects = values.to_numpy(object, copy=True)  # fillna may turn them into numbers, by its version
    objects[values.isna().to_numpy()] = NONE
    return pd.Series(objects, values.index, object, values.name)


def _kinds(cells: "pd.DataFrame") -> tuple[NDArray[Any], "pd.DataFrame"]:
    """Which kind each cell is of, and a cell of each: the seeds have in common what labels are made of."""
    kind = group_index(cells, (*NAMED_BY, *SETTINGS))
    return kind, cells.iloc[np.unique(kind, return_index=True)[1]]


def group_index(frame: "pd.DataFrame", keys: Sequence[str]) -> NDArray[Any]:
    """Which distinct combination of these columns every row has, numbered as they appear.

    A column at a time, and null is a value: what grouping by all of them takes several times the memory for.
    """
    import pandas as pd  # noqa: PLC0415

    number = np.zeros(len(frame), np.int64)
    for key in keys:
        codes, values = pd.factorize(frame[key], use_na_sentinel=False)
        if len(values) > 1:
            number, _ = pd.factorize(number * len(values) + codes)
    return number


def _texts(widths: "pd.Series[Any]") -> NDArray[Any]:
    if widths.isna().all():
        return widths.to_numpy(object)
    return np.array(
        [_listed(w) if isinstance(w, Iterable) and not isinstance(w, str) else w for w in widths], object
    )


def _labels(kinds: "pd.DataFrame", apart: Collection[str]) -> dict[str, Sequence[Any]]:
    added: dict[str, Sequence[Any]] = {f"{group}_label": _named(kinds, group, apart) for group in REGISTRIES}
    for name in apart:
        if parameter := axes.parameter_of(name):
            column = axes.ENDS.get(axes.choice_of(name), axes.choice_of(name))
            pairs = zip(kinds[column], kinds[f"{column}_params"], strict=True)
            added[name] = values_of([filled_of(column, *pair) for pair in pairs], parameter)
    ends = _ends(kinds, apart)
    kinds, added = kinds.assign(**ends), added | ends
    varying = [name for name in settings_that_vary(kinds) if name not in apart]
    added["setting"] = [
        " ".join(filter(None, map(setting_text, varying, row)))
        for row in zip(*(kinds[name] for name in varying), strict=True)
    ] or [""] * len(kinds)
    return added


def _ends(kinds: "pd.DataFrame", apart: Collection[str] = ()) -> dict[str, Any]:
    """What schemes of first and last layers are called, with their parameters, which then are told: None."""
    named: dict[str, Any] = {}
    for column in _BESIDE:
        parameters = f"{column}_params"
        own = (kinds[column].notna() & kinds[parameters].notna()).to_numpy()
        told = np.array([None if is_null(value) else value for value in kinds[column]], object)
        told[own] = [_called(label) for label in _named(kinds[own], column, apart)]
        named |= {column: told, parameters: [None] * len(kinds)}
    return named


def _called(label: str) -> str:
    """'uniform(low=-0.1)' of 'uniform low=-0.1': a label within a label."""
    name, _, told = label.partition(" ")
    return f"{name}({told})" if told else name


def settings_that_vary(cells: "pd.DataFrame") -> list[str]:
    """The settings in which these cells differ; not what a scheme sets itself, which its name tells."""
    return [name for name in SETTINGS if _vary(cells["init"], cells[name])]


def _vary(init: "pd.Series[Any]", values: "pd.Series[Any]") -> bool:
    if values.name != "bias_std" or not values.isna().any():
        return values.nunique(dropna=False) > 1
    return values.nunique() > 1 or bool(init[values.isna()].isin(init[values.notna()]).any())


def setting_text(axis: str, value: Any) -> str:
    """'bias_std=0.1'; '' where there is no value: a network that is not tapered has no `widths`."""
    return "" if is_null(value) else f"{KEY_OF.get(axis, axis)}={short(value)}"


def is_null(value: Any) -> bool:
    """None, or what pandas makes of it in a column of texts."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _ranks(kinds: "pd.DataFrame") -> NDArray[Any]:
    """Where each kind comes in the order of schemes, acts and settings."""
    keys = [list(map(_rank_in(group), kinds[group])) for group in REGISTRIES]
    keys += [_order(map(_parameters_key, kinds[f"{group}_params"])) for group in REGISTRIES]
    kinds = kinds.assign(**_ends(kinds))
    keys += [_order(map(_key_of(name), kinds[name])) for name in SETTINGS]
    _, ranks = np.unique(np.array(keys, np.int64), axis=1, return_inverse=True)
    return ranks.reshape(-1)


def _listed(widths: Iterable[int]) -> str:
    return f"[{','.join(map(str, widths))}]"


def _order(keys: Iterable[Any]) -> list[int]:
    """The rank of each among the distinct keys."""
    keys = list(keys)
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return [ranks[key] for key in keys]


def _key_of(name: str) -> Callable[[Any], tuple[int, Any]]:
    """What orders the values of a setting: blocks as they are listed, others as `_setting_key` has them."""
    if name != "block":
        return _setting_key
    known = {block: rank for rank, block in enumerate(OPTIONS[name].names())}
    return lambda label: (known.get(str(label).partition("(")[0], len(known)), _setting_key(label))


def _setting_key(value: Any) -> tuple[int, Any]:
    """Numbers by size, texts by length and letters, nothing first."""
    if is_null(value):
        return 0, 0
    return (2, (len(value), value)) if isinstance(value, str) else (1, value)


def _parameters_key(text: str) -> tuple[tuple[bool, Any], ...]:
    """std=0.01 before std=0.1 before std=10, whatever their texts."""
    values = json.loads(text).values()
    return tuple((False, v) if isinstance(v, (int, float)) else (True, json.dumps(v)) for v in values)


def _rank_in(group: str) -> Callable[[str], int]:
    """Of a scheme's or an act's name its rank in the registry; what is not listed comes last."""
    known = {name: rank for rank, name in enumerate(REGISTRIES[group].names())}
    return lambda name: known.get(name, len(known))


def acts(act_labels: Iterable[str]) -> list[str]:
    """The distinct labels of activations, in the registry's order; identity, a mere baseline, last."""
    rank = _rank_in("act")

    def place(label: str) -> tuple[bool, int]:
        name = label.split(maxsplit=1)[0]
        return name == "identity", rank(name)

    return sorted(dict.fromkeys(act_labels), key=place)


def by_interest(rows: "pd.DataFrame") -> "pd.DataFrame":
    """The rows with the schemes first whose networks most often stay healthy, all else in its order.

    The labels of one scheme, 'normal std=0.1' and 'normal std=1', stay together. rows: labelled; where they
    are of a frame of networks, each of their cells counts.
    """
    scheme = rows["init_label"].map(lambda label: label.split(maxsplit=1)[0])
    if "unhealthy" in rows:
        of_scheme = rows[["unhealthy", "computed"]].groupby(scheme, sort=False).sum()
        dead = of_scheme["unhealthy"] / of_scheme["computed"]
    else:
        dead = (rows["verdict"] != "healthy").groupby(scheme, sort=False).mean()
    rank = {name: place for place, name in enumerate(dead.sort_values(kind="stable").index)}
    return rows.iloc[np.argsort(scheme.map(rank).to_numpy(int), kind="stable")]


def _named(frame: "pd.DataFrame", group: str, apart: Collection[str]) -> list[str]:
    """'normal std=0.1': the name, and those parameters that vary in the frame or are not the default.

    A user's own goes by its function's name, and by its source where that was edited; a transformed act is
    'gelu, tat'. What would read the same is written as JSON: x=1 and x="1".
    """
    pairs = list(zip(frame[group], frame[f"{group}_params"], strict=True))
    named: dict[str, list[tuple[str, str]]] = {}
    flat = {pair: filled_of(group, *pair) for pair in dict.fromkeys(pairs)}
    for pair, values in flat.items():
        title, flat[pair] = title_of(pair[0], values)
        named.setdefault(title, []).append(pair)
    labels: dict[tuple[str, str], str] = {}
    for title, alike in named.items():
        others = [flat[pair] for pair in alike]
        shown = [_telling(group, pair, flat[pair], others) for pair in alike]
        shown = [{k: v for k, v in told.items() if f"{KEY_OF[group]}.{k}" not in apart} for told in shown]
        labels |= zip(alike, (f"{title} {told}".strip() for told in _told(shown)), strict=True)
    return [labels[pair] for pair in pairs]


def _telling(
    group: str, pair: tuple[str, str], values: Mapping[str, Any], others: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Those of the parameters that vary among all of its name, or are not the default."""
    usual = defaults(group, *pair) | {"source": values.get("source")}

    def varies(key: str) -> bool:
        return len({json.dumps(other[key]) if key in other else None for other in others}) > 1

    return {key: value for key, value in values.items() if usual.get(key) != value or varies(key)}


def _told(shown: Sequence[Mapping[str, Any]]) -> list[str]:
    """'std=0.1 low=0' of each, in no way alike unless they are the same."""
    texts = [json.dumps(values) for values in shown]
    for write in (short, json.dumps):
        told = [" ".join(f"{key}={write(value)}" for key, value in values.items()) for values in shown]
        if len(set(told)) == len(set(texts)):
            return told
    return texts


def description(name: str, parameters: str) -> str:
    """An init or act with all of its parameters: 'normal std=0.1'; a user's own by its function's name."""
    values = flat_of(parameters)
    shown = {key: value for key, value in values.items() if key not in OWN or value is not None}
    shown.pop("source", None)
    title, told = title_of(name, shown)
    return " ".join([title, *(f"{key}={short(value)}" for key, value in told.items())])


def with_ends(cell: "Mapping[str, Any] | pd.Series[Any]") -> str:
    """A cell's init with all of its parameters, its block, and first and last layers of their own."""
    told = [description(cell["init"], cell["init_params"])]
    for column in axes.BESIDE:
        value = cell.get(column)
        if isinstance(value, str) and value != axes.BESIDE_COLUMNS[column]:
            told.append(f"{KEY_OF[column]}={_called(description(value, cell[f'{column}_params']))}")
    return ", ".join(told)


def greatest(curves: "pd.DataFrame") -> str:
    """The sizes of these curves' networks, for a caption: 'depth 8, each at its greatest width, 16 to 64'."""
    names = ("depth", "width") if curves["width"].max() else ("depth",)  # models of one's own have none
    ends = [(name, curves[name].min(), curves[name].max()) for name in names]
    return ", ".join(
        f"{name} {most}" if least == most else f"each at its greatest {name}, {least} to {most}"
        for name, least, most in ends
    )


def listed(*parts: str) -> str:
    """Parts of a caption as one, with commas; empty ones left out, as of cells that share nothing."""
    return ", ".join(part for part in parts if part)


def common(cells: "pd.DataFrame") -> str:
    """What all cells share, for a caption: 'batch 1000, dtype float32, bias_std 0'."""
    _, frame = _kinds(_readable(cells))
    frame = frame.assign(**_ends(frame))
    told = [*(axis.name for axis in axes.SETTINGS if axis.caption), *_BESIDE]
    shared = [name for name in told if frame[name].nunique(dropna=False) == 1]
    values = {name: frame[name].iloc[0] for name in shared}
    values = {name: value for name, value in values.items() if value != axes.BESIDE_COLUMNS.get(name)}
    known = {KEY_OF.get(name, name): value for name, value in values.items() if not is_null(value)}
    return ", ".join(f"{name} {short(value)}" for name, value in known.items())
