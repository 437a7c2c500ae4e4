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
from sweep.initializers.normal import standard_normal, standard_normals

Weights = NDArray[np.float32]

Rule = Callable[[str, object], Any]  # (name, value) -> the value in its canonical type, or RequestError

# A scheme's parameter: its type and the rule that it keeps.
Real = Annotated[float, checks.real]
Positive = Annotated[float, partial(checks.real, minimum=0.0, strictly=True)]


def one_of(*options: str) -> Rule:
    """The rule of a parameter that is one of `options`."""
    return partial(checks.option, options=options)


@dataclass(frozen=True)
class Distribution:
    """A family of matrices Z of zero mean and unit variance.

    sampler: (rng, fan_in, fan_out, *parameters) -> Z, (fan_in, fan_out) float32.
    parameters: shape parameters; with the name they key the random stream.
    random: False where Z is the same matrix every time; mean and variance then mean nothing.
    mixes: every neuron sees all of the layer below; False where a neuron may see a few or one, or it is not
        known.
    """

    name: str
    sampler: Callable[..., Weights]
    parameters: tuple[float, ...] = ()
    random: bool = True
    mixes: bool = True

    def draw(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        """Z: (fan_in, fan_out) float32."""
        return self.sampler(rng, fan_in, fan_out, *self.parameters)

    def draw_each(self, rngs: Sequence[np.random.Generator], fan_in: int, fan_out: int) -> Weights:
        """One Z for every generator: (rngs, fan_in, fan_out) float32."""
        if self.sampler is standard_normal:
            return standard_normals(rngs, fan_in, fan_out)
        drawn = [self.draw(rng, fan_in, fan_out) for rng in rngs]
        return drawn[0][None] if len(drawn) == 1 else np.stack(drawn)

    @property
    def key(self) -> int:
        """The part of a stream's key that stands for this distribution; the same in every process."""
        return zlib.crc32(repr((self.name, self.parameters)).encode())


class Scheme:
    """How the weights of one layer are drawn: immutable, compared by value.

    A subclass is a frozen dataclass whose fields are the scheme's parameters; a field annotated
    with a rule is checked and made canonical. Raises RequestError where a value breaks its rule.
    revision: raised where its draws are corrected: part of the identity of the cells that have it.
    """

    revision: int = 1

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
        """Whether `weight_std` is sqrt(Var W), known before any data or draw is seen."""
        return self.random

    def weight_mean(self, fan_in: int, fan_out: int) -> float:
        """E[W]."""
        return 0.0

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        """What multiplies Z: sqrt(Var W), where that is known."""
        raise NotImplementedError

    def fit(self, std: float, spread: Callable[[float], float]) -> float:
        """What multiplies Z once the layer's data is known: `std`, unless a scheme looks at them.

        spread: the standard deviation of z over batch and neurons, as a function of what multiplies Z.
        """
        return std

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        """Draw the weights of one layer: (fan_in, fan_out) float32; RequestError where a fan is no number."""
        fan_in, fan_out = drawn_with(rng, fan_in, fan_out)
        mean = np.float32(self.weight_mean(fan_in, fan_out))
        if self.base is None:
            return np.full((fan_in, fan_out), mean)
        return mean + np.float32(self.weight_std(fan_in, fan_out)) * self.base.draw(rng, fan_in, fan_out)


@dataclass(frozen=True)
class Fixed(Scheme):
    """mean + std · Z, whatever the fan; distribution None: W = mean. bounds: what no weight lies beyond."""

    distribution: Distribution | None
    mean: float
    std: float
    text: str
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def base(self) -> Distribution | None:
        return self.distribution

    @property
    def formula(self) -> str:
        return self.text

    def weight_mean(self, fan_in: int, fan_out: int) -> float:
        return self.mean

    def weight_std(self, fan_in: int, fan_out: int) -> float:
        return self.std

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int) -> Weights:
        weights = super().__call__(rng, fan_in, fan_out)
        if self.bounds == (-math.inf, math.inf):
            return weights
        low, high = self.bounds  # of float32's numbers those within
        inner = np.float32(low), np.float32(high)
        least = inner[0] if inner[0] >= low else np.nextafter(inner[0], np.float32(np.inf))
        most = inner[1] if inner[1] <= high else np.nextafter(inner[1], np.float32(-np.inf))
        return np.clip(weights, least, most) if least <= most else weights


@dataclass(frozen=True)
class Derived(Scheme):
    """Another scheme, `core`, said in parameters of its own."""

    core: Scheme
    own: tuple[tuple[str, Any], ...]
    revision: int = 1

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        return self.own

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


class Row:
    """A scheme with parameters, said with another: called with any of them, it makes the scheme.

    text: what it draws, and where. function: the values of all parameters, in order -> the scheme that
    they amount to. parameters: name -> (type and rule, default). revision: as of a scheme. Raises
    RequestError, when called, where a value breaks its rule.
    """

    def __init__(
        self, text: str, function: Callable[..., Scheme], /, revision: int = 1, **parameters: tuple[Any, Any]
    ) -> None:
        self.__doc__ = text
        self.__signature__ = Signature(
            [
                Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
                for name, (kind, default) in parameters.items()
            ]
        )
        self._function, self._revision = function, revision

    def __call__(self, **given: Any) -> Derived:
        """The scheme of these parameters, and of the defaults of the others."""
        bound = self.__signature__.bind(**given)
        bound.apply_defaults()
        own = {}
        for name, value in bound.arguments.items():
            rule: Rule = self.__signature__.parameters[name].annotation.__metadata__[0]
            own[name] = rule(f"init.{name}", value)
        return Derived(self._function(*own.values()), tuple(own.items()), self._revision)


def drawn_with(rng: object, fan_in: object, fan_out: object) -> tuple[int, int]:
    """The fans of weights that are to be drawn; RequestError where they, or the generator, are none."""
    if not isinstance(rng, np.random.Generator):
        raise RequestError(f"rng={rng!r}: rng must be a generator, as numpy.random.default_rng(0) is")
    return checks.whole("fan_in", fan_in, 1), checks.whole("fan_out", fan_out, 1)


Entries = dict[str, Scheme | Callable[..., Scheme]]  # a class or a Row: a scheme with parameters


def _rules(scheme: type[Any]) -> dict[str, Rule]:
    hints = get_type_hints(scheme, include_extras=True)
    own = {f.name: getattr(hints[f.name], "__metadata__", ()) for f in fields(scheme)}
    return {name: metadata[0] for name, metadata in own.items() if metadata}
