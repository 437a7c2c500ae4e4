"""What a scheme is: W = mean + std · Z, with Z from a distribution of zero mean and unit variance."""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from inspect import Parameter, Signature
from typing import Annotated, Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from sweep.base import checks
from sweep.base.errors import RequestError
from sweep.initializers.normal import Write, standard_normal, standard_normals

Weights = NDArray[np.float32]

Rule = Callable[[str, object], Any]  # (name, value) -> the value in its canonical type, or RequestError

# A scheme's parameter: its type and the rule that it keeps.
Real = Annotated[float, checks.real]
Positive = Annotated[float, partial(checks.real, minimum=0.0, strictly=True)]
Flag = Annotated[bool, checks.flag]


def one_of(*options: str) -> Rule:
    """The rule of a parameter that is one of `options`."""
    return partial(checks.option, options=options)


@dataclass(frozen=True)
class Distribution:
    """A family of matrices Z of zero mean and unit variance.

    sampler: (rng, fan_in, fan_out, *parameters) -> Z, (fan_in, fan_out) float32.
    parameters: shape parameters; with the name they key the random stream.
    random: False where Z is always the same matrix; its mean and variance then mean nothing.
    mixes: whether every neuron is known to see all of the layer below.
    """

    name: str
    sampler: Callable[..., Weights]
    parameters: tuple[float, ...] = ()
    random: bool = True
    mixes: bool = True

    def draw(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        """Z: (fan_in, fan_out) float32."""
        return self.sampler(rng, fan_in, fan_out, *self.parameters)

    def draw_each(
        self, rngs: Sequence[np.random.Generator], fan_in: int, fan_out: int, write: Write | None = None
    ) -> Weights:
        """One Z for every generator: (rngs, fan_in, fan_out) float32; write: as `standard_normals` has it."""
        if self.sampler is standard_normal:
            return standard_normals(rngs, fan_in, fan_out, write=write)
        drawn = [self.draw(rng, fan_in, fan_out) for rng in rngs]
        return drawn[0][None] if len(drawn) == 1 else np.stack(drawn)

    @property
    def key(self) -> int:
        """This distribution's part of a stream's key; the same in every process."""
        return zlib.crc32(repr((self.name, self.parameters)).encode())


class Scheme:
    """How the weights of one layer are drawn: immutable, compared by value.

    A subclass is a frozen dataclass whose fields are the scheme's parameters; a field annotated with a rule
    is checked and made canonical. Raises RequestError where a value breaks its rule.
    revision: raised with every correction of its draws; part of the identity of its cells.
    bias: where biases come from, if it stands for a framework's layer that draws them; else None.
    bias_formula: those in one line. centres: whether the biases take off the mean over the batch, neuron by
    neuron, of a layer that it is `fit` to.
    """

    revision: int = 1
    bias: Distribution | None = None
    bias_formula: str = ""
    centres: bool = False

    def __post_init__(self) -> None:
        for name, rule in _rules(type(self)).items():
            object.__setattr__(self, name, rule(f"init.{name}", getattr(self, name)))

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        """(name, value) of each, defaults included."""
        return tuple((f.name, getattr(self, f.name)) for f in fields(self))  # type: ignore[arg-type]

    @property
    def base(self) -> Distribution | None:
        """Where Z comes from; None where all entries of W are equal."""
        raise NotImplementedError

    @property
    def formula(self) -> str:
        """W in one line, with the values of the parameters."""
        raise NotImplementedError

    @property
    def random(self) -> bool:
        """Whether W differs from seed to seed."""
        return self.base is not None and self.base.random

    @property
    def known_std(self) -> bool:
        """Whether `weight_std` is sqrt(Var W), known before any draw and any data."""
        return self.random

    def weight_mean(self, fan_in: int, fan_out: int) -> float:
        """E[W]."""
        return 0.0

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        """What multiplies Z: sqrt(Var W), where that is known."""
        raise NotImplementedError

    def bias_std(self, fan_in: int, fan_out: int) -> float:
        """sqrt(Var b) of its own biases."""
        return 0.0

    def fit(self, std: float, spread: Callable[[float], float]) -> float:
        """What multiplies Z once the layer's data are known: `std`, unless the scheme depends on them.

        spread: what multiplies Z -> the standard deviation of z over batch and neurons.
        """
        return std

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        """Draw the weights of one layer: (fan_in, fan_out) float32; RequestError for a bad rng or fan."""
        if not isinstance(rng, np.random.Generator):
            raise RequestError(f"rng={rng!r}: rng must be a generator, such as numpy.random.default_rng(0)")
        fan_in, fan_out = checks.whole("fan_in", fan_in, 1), checks.whole("fan_out", fan_out, 1)
        mean = np.float32(self.weight_mean(fan_in, fan_out))
        if self.base is None:
            return np.full((fan_in, fan_out), mean)
        return mean + np.float32(self.weight_std(fan_in, fan_out)) * self.base.draw(rng, fan_in, fan_out)


@dataclass(frozen=True)
class Fixed(Scheme):
    """mean + std · Z, whatever the fans; base None: W = mean. bounds: no weight lies beyond them."""

    base: Distribution | None = None
    mean: float = 0.0
    std: float = 0.0
    formula: str = ""
    bounds: tuple[float, float] = (-math.inf, math.inf)

    def weight_mean(self, fan_in: int, fan_out: int) -> float:
        return self.mean

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        return self.std

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        weights = super().__call__(rng, fan_in, fan_out)
        if self.bounds == (-math.inf, math.inf):
            return weights
        low, high = self.bounds
        least, most = np.float32(low), np.float32(high)  # moved inward where float32 rounds outward
        least = least if least >= low else np.nextafter(least, np.float32(np.inf))
        most = most if most <= high else np.nextafter(most, np.float32(-np.inf))
        return np.clip(weights, least, most) if least <= most else weights


@dataclass(frozen=True)
class Derived(Scheme):
    """Another scheme, `core`, under parameters of its own."""

    core: Scheme
    parameters: tuple[tuple[str, Any], ...] = ()
    revision: int = 1

    @property
    def base(self) -> Distribution | None:
        return self.core.base

    @property
    def formula(self) -> str:
        return self.core.formula

    def weight_mean(self, fan_in: int, fan_out: int) -> float:
        return self.core.weight_mean(fan_in, fan_out)

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        return self.core.weight_std(fan_in, fan_out)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        return self.core(rng, fan_in, fan_out)


@dataclass(frozen=True, kw_only=True)
class LayerDefault(Derived):
    """What a framework's layer starts with: W as `core` draws it, and biases of its own.

    A call draws W alone. bias_scale: Var b = bias_scale / fan_in.
    """

    bias: Distribution | None = None
    bias_formula: str = ""
    bias_scale: float

    def bias_std(self, fan_in: int, fan_out: int) -> float:
        return math.sqrt(self.bias_scale / fan_in)


class Row:
    """A scheme with parameters, expressed by another: called with any of them, it makes the scheme.

    text: what it draws, and which function of which framework that is. function: the values of all
    parameters, in order -> the scheme that they amount to. parameters: name -> (type and rule, default).
    revision: that of the scheme. A call raises RequestError where a value breaks its rule.
    """

    def __init__(
        self, text: str, function: Callable[..., Scheme], /, revision: int = 1, **parameters: tuple[Any, Any]
    ) -> None:
        self.__doc__ = text
        described = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (kind, default) in parameters.items()
        ]
        self.__signature__ = Signature(described)
        self._function, self._revision = function, revision

    def __call__(self, **given: Any) -> Derived:
        """The scheme of these parameters and the defaults of all others."""
        bound = self.__signature__.bind(**given)
        bound.apply_defaults()
        values = {}
        for name, value in bound.arguments.items():
            rule: Rule = self.__signature__.parameters[name].annotation.__metadata__[0]
            values[name] = rule(f"init.{name}", value)
        return Derived(self._function(*values.values()), tuple(values.items()), self._revision)


Entries = dict[str, Scheme | Callable[..., Scheme]]  # a class or a Row: a scheme with parameters


def _rules(scheme: type[Any]) -> dict[str, Rule]:
    hints = get_type_hints(scheme, include_extras=True)
    return {f.name: rules[0] for f in fields(scheme) if (rules := getattr(hints[f.name], "__metadata__", ()))}
