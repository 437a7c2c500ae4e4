"""A cell: one fully specified experiment, a frozen value with a content-addressed identity; and its spec."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any

from sweep import initializers
from sweep.activations import Activation
from sweep.base import blocks, checks, inputs, training
from sweep.base.blocks import PLAIN, Block, check_batch, check_widths
from sweep.base.errors import RequestError
from sweep.base.inputs import Inputs
from sweep.base.jacobians import check_jacobian
from sweep.base.registry import CUSTOM, TRANSFORMED
from sweep.base.training import Training, check_input, check_library
from sweep.experiment import revisions
from sweep.experiment.axes import (
    ALL,
    BESIDE_COLUMNS,
    END_COLUMNS,
    ENDS,
    LATER,
    LATER_GROUPS,
    MODEL,
    SETTINGS,
    UNTRAINED,
)
from sweep.experiment.ingredients import families, given, models
from sweep.experiment.ingredients.choices import OPTIONS, bias_std_of, canonical, check_choice, ends
from sweep.experiment.revisions import Revisions
from sweep.initializers import Scheme
from sweep.kernel import KERNEL_VERSION, Chain

ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Spec:
    """A cell without its seed: what is asked of every seed alike.

    init_params, act_params, block_params, train_params, input_params, model_params: canonical JSON. widths:
    (w_0 .. w_L) of a tapered network, whose depth and (last) width it then determines; None where all layers
    are `width` wide. bias_std: None where the scheme draws its layer's biases itself. format: that of the
    rounded copy beside it; None where there is none. first_init, last_init: the schemes of these layers
    alone, with their parameters; None where they have that of all layers. The one layer of depth 1 is the
    last. model: what makes a model of one's own, which then is what is asked; None of all other networks.
    """

    init: str
    init_params: str
    act: str
    act_params: str
    depth: int
    width: int
    widths: tuple[int, ...] | None
    bias_std: float | None
    batch: int
    dtype: str
    backward: bool
    jacobian: bool
    format: str | None
    first_init: str | None
    first_init_params: str | None
    last_init: str | None
    last_init_params: str | None
    block: str
    block_params: str
    train: str
    train_params: str
    input: str
    input_params: str
    model: str | None
    model_params: str | None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Spec":
        """The spec of plain values: `init` and `act` as {name, parameters …}, the rest by `CELL_KEYS`.

        `block`, `train` and `input`, where they are given, are such options too, and `first.init` and
        `last.init` schemes. A file of inputs is read, once. An lr of 'auto' is the usual one where theory
        knows of no largest step. `widths`, where it is not None, replaces depth and width.
        Raises RequestError where a value breaks its rule.
        """
        init, init_params = canonical("init", json.dumps(values["init"]))
        act, act_params = canonical("act", json.dumps(values["act"]))
        widths = checks.widths(values["widths"])
        if widths is None:
            depth, width = ALL["depth"].rule(values["depth"]), ALL["width"].rule(values["width"])
        else:
            depth, width = len(widths) - 1, widths[-1]
            widths = None if set(widths) == {width} else widths  # not tapered: the same cell
        checked = {
            axis.name: axis.rule(values.get(axis.name, axis.default))
            for axis in SETTINGS
            if axis.name != "bias_std"
        }
        bias_std = bias_std_of(init, init_params, values.get("bias_std", ALL["bias_std"].default))
        settings = checked | {"widths": widths, "bias_std": bias_std} | ends(values, depth)
        settings |= {MODEL: None, f"{MODEL}_params": None}
        for group, usual in _USUAL_OPTIONS.items():
            choice = values.get(group, usual)
            if choice == usual:  # what most have, told in no time
                settings[group], settings[f"{group}_params"] = usual["name"], "{}"
            else:
                settings[group], settings[f"{group}_params"] = canonical(group, json.dumps(choice))
        spec = cls(init, init_params, act, act_params, depth, width, **settings)
        spec.check_block()
        return given.with_content(spec)._as_trained()

    @classmethod
    def stored(cls, row: Mapping[str, Any]) -> "Spec":
        """The spec of a study's row; RequestError where no command line could have asked for it.

        Imports and calls nothing that the row names.
        """
        known = _USUAL | dict(row)  # a plan of an older program lacks what came later
        values = {name: known[name] for name in SPEC}
        own = ("init", "act") if values[MODEL] is not None else ()  # looked at with the model
        for column in (column for column in OPTIONS if column not in own):
            name, parameters = values[column], values[f"{column}_params"]
            if column not in ENDS.values() or name is not None or parameters is not None:
                check_choice(column, OPTIONS[column], name, parameters)
        if values["depth"] == 1 and values["first_init"] is not None and values["last_init"] is not None:
            raise RequestError("first_init and last_init: a network of one layer has one scheme")
        if values[MODEL] is not None:
            odd = [name for name in _USUAL if name not in _OF_MODEL and values[name] != _USUAL[name]]
            if odd or values["bias_std"] is not None or values["backward"] is not True:
                raise RequestError(f"{(odd or ['bias_std'])[0]}: a model of your own has none")
            return cls(**_USUAL | _OF_ALL_MODELS | models.stored_values(values))
        values["bias_std"] = bias_std_of(
            values["init"], values["init_params"], values["bias_std"], stored=True
        )
        checked = {
            axis.name: axis.rule(values[axis.name])
            for axis in ALL.values()
            if axis.name in values and axis.name != "bias_std"
        }
        depth, width, widths = (checked[name] for name in ("depth", "width", "widths"))
        if widths and (depth, width) != (len(widths) - 1, widths[-1]):
            raise RequestError(f"depth={depth}, width={width}: they contradict widths, which gives both")
        spec = cls(**values | checked)
        if spec.block in blocks.REGISTRY.names():
            spec.check_block()
        if spec.train in training.REGISTRY.names():
            check_input(spec.training, spec.profile)
        if spec.input in inputs.REGISTRY.names():
            inputs.check_fit(spec.inputs, spec.profile[0], spec.batch)
        return spec

    @classmethod
    def of_model(cls, init: Mapping[str, Any] | None, model: models.Model) -> "Spec":
        """The spec of a model of one's own; init: a scheme for its weights, None: as it is made."""
        return cls(**_USUAL | _OF_ALL_MODELS | models.spec_values(init, model))

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Spec":
        """The spec of a study's row as it is."""
        values = models.as_spec({name: row[name] for name in SPEC})
        values["widths"] = None if values["widths"] is None else tuple(values["widths"])
        return cls(**values)

    @property
    def row(self) -> dict[str, Any]:
        """Its values as a table has them; of a model of one's own no depth, which is found out."""
        return models.as_row({name: getattr(self, name) for name in SPEC})

    @property
    def profile(self) -> tuple[int, ...]:
        """(w_0 .. w_L): the width of every layer."""
        return self.widths or (self.width,) * (self.depth + 1)

    @property
    def scheme(self) -> Scheme:
        """The init, ready to draw."""
        return initializers.REGISTRY.from_json(self.init, self.init_params)

    @property
    def first_scheme(self) -> Scheme | None:
        """That of the first layer, ready to draw; None where it is the init."""
        return families.end(self.first_init, self.first_init_params)

    @property
    def last_scheme(self) -> Scheme | None:
        """That of the last layer, ready to draw; None where it is the init, or `first_init`'s at depth 1."""
        return families.end(self.last_init, self.last_init_params)

    @property
    def has_own(self) -> bool:
        """Whether a user's own function is in it."""
        return self.model is not None or CUSTOM in (self.init, self.act, self.first_init, self.last_init)

    @property
    def block_at_depth(self) -> Block:
        """What each of its layers is, with numbers for its parameters."""
        return families.block(self.block, self.block_params, self.depth)

    def check_block(self) -> None:
        """RequestError where the block cannot have these widths or this batch, or no measured Jacobian."""
        if self.block != PLAIN.name:
            check_widths(self.block_at_depth, self.profile)
            check_batch(self.block_at_depth, self.batch)
        if self.jacobian:
            check_jacobian(self.block_at_depth, self.profile)

    @property
    def inputs(self) -> Inputs:
        """What is pushed through it."""
        return inputs.REGISTRY.from_json(self.input, self.input_params)

    @property
    def training(self) -> Training:
        """How it is trained once it is measured."""
        return training.REGISTRY.from_json(self.train, self.train_params)

    def _as_trained(self) -> "Spec":
        """The same with a training that is possible; RequestError where there is none."""
        if self.train == UNTRAINED:
            return self
        check_input(self.training, self.profile)
        check_library(self.training)
        from sweep.experiment.predictions.steps import with_known_step  # noqa: PLC0415  theory: only for what is trained

        return with_known_step(self)

    @property
    def activation(self) -> Activation:
        """The act, ready to apply."""
        return families.activation(self.act, self.act_params, self.depth)

    @property
    def family(self) -> Chain:
        """What cells of all depths, seeds and sizes have in common: its chain at depth 0.

        With a last layer of its own it has its depth, for it is no prefix of a deeper one. A block or an act
        that depends on the depth is another one at each.
        """
        family = families.plain(
            self.init, self.init_params, self.act, self.act_params, self.bias_std or 0.0,
            self.depth if self.act == TRANSFORMED else None,
        )  # fmt: skip
        if self.block != PLAIN.name:
            family = families.with_block(family, self.block_at_depth)
        if self.format is not None:
            family = families.with_format(family, self.format)
        if self.first_init is None and self.last_init is None:
            return family
        depth = 0 if self.last_init is None else self.depth
        return families.with_ends(family, depth, *(getattr(self, name) for name in END_COLUMNS))

    def cell(self, seed: int) -> "Cell":
        """The cell of one seed."""
        return Cell(**{name: getattr(self, name) for name in SPEC}, seed=seed)

    @property
    def revisions(self) -> Revisions:
        """The present revisions of everything that makes its numbers."""
        return _revisions(*_values(self))

    def digests(
        self, seeds: Iterable[int], of: Revisions | None = None, kernel_version: str | None = None
    ) -> bytes:
        """The ids of the cells of these seeds, ID_BYTES each, one after another.

        of, kernel_version: the revisions and the kernel of the ids; by default the present ones.
        """
        before = (
            f"{self.init}\0{self.init_params}\0{self.act}\0{self.act_params}\0"
            f"{self.widths or (self.depth, self.width)}\0"
        ).encode()
        after = (
            f"\0{self.bias_std or 0.0!r}\0{self.batch}\0{self.dtype}\0{self.backward}"
            f"\0{kernel_version or KERNEL_VERSION}{revisions.text(of or self.revisions)}{self._later()}"
        ).encode()
        blake2b = hashlib.blake2b
        return b"".join(
            [blake2b(b"%b%d%b" % (before, seed, after), digest_size=ID_BYTES).digest() for seed in seeds]
        )

    def _later(self) -> str:
        """The part of its identity that later axes make up: '' where all are at their defaults."""
        values = ((name, inputs.identified(name, getattr(self, name))) for name in _USUAL)
        return "".join(f"\0{name}={value!r}" for name, value in values if value != _USUAL[name])


@dataclass(frozen=True, slots=True)
class Cell(Spec):
    """One network, its inputs and what is measured of it.

    id: a hash of everything that changes the cell's numbers; equal cells are one cell.
    """

    seed: int
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.digests([self.seed]).hex())

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Cell":
        """The cell of plain values: those of `Spec.of`, and `seed`."""
        return Spec.of(values).cell(ALL["seed"].rule(values["seed"]))

    @property
    def spec(self) -> Spec:
        """All but the seed."""
        return Spec(*_values(self))


_AS_OPTIONS = (*LATER_GROUPS, MODEL)
_USUAL = {axis.name: axis.default for axis in LATER} | {
    name: BESIDE_COLUMNS[name]
    for name in (*END_COLUMNS, *(column for group in _AS_OPTIONS for column in (group, f"{group}_params")))
}
_OF_MODEL = (MODEL, f"{MODEL}_params")
_OF_ALL_MODELS: dict[str, Any] = {"widths": None, "bias_std": None, "backward": True}
_USUAL_OPTIONS = {group: {"name": BESIDE_COLUMNS[group]} for group in LATER_GROUPS}
SPEC = tuple(field.name for field in fields(Spec))
_values = attrgetter(*SPEC)


@lru_cache(maxsize=1 << 17)
def _revisions(*values: Any) -> Revisions:
    return revisions.of(Spec(*values))
