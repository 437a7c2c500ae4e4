"""Where the words of a verdict begin; no part of a cell's identity."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sweep.base import checks
from sweep.base.errors import RequestError, unknown


@dataclass(frozen=True)
class Thresholds:
    """Where the words begin; with the reasons for the defaults. Raises RequestError for what cannot be.

    symmetric: neuron_corr at layer 1 this close to 1. Copies agree to rounding, float32's being 1e-7;
        random neurons of any scheme are far from it.
    exploding, vanishing: rms relative to the input's. Textbook failures shrink or grow e-fold per
        layer and pass any bound soon; xavier × tanh, which loses rms like 1/sqrt(depth), stays above 1e-2
        to depth 10,000.
    saturated: how far `flat` is from its share at unit variance, f0, on the way to 1. Half-way, for
        ReLU has f0 = 1/2 by design and tanh 0.008.
    collapsed: sample_cosine above which all inputs look alike: the angle between two is below 2.6°.
    gradient_vanishing, gradient_exploding: delta_std at layer 0, the upstream gradient having 1.
    """

    symmetric: float = 1e-6
    exploding: float = 1e3
    vanishing: float = 1e-2
    saturated: float = 0.5
    collapsed: float = 0.999
    gradient_vanishing: float = 1e-2
    gradient_exploding: float = 1e2

    def __post_init__(self) -> None:
        for name, value in vars(self).copy().items():
            grows = name in ("exploding", "gradient_exploding")
            bounds = {"minimum": 1.0} if grows else {"minimum": 0.0, "below": 1.0}
            number = checks.real(f"verdict.{name}", value, strictly=True, **bounds)
            object.__setattr__(self, name, number)

    @classmethod
    def of(cls, values: "Thresholds | Mapping[str, Any] | None") -> "Thresholds":
        """The thresholds of names and values, defaults where there is none.

        Raises RequestError for an unknown name, and where a value breaks its rule.
        """
        if isinstance(values, Thresholds):
            return values
        if not isinstance(values, Mapping | None):
            raise RequestError(f"verdict={values}: give names and values, as in verdict.vanishing=1e-3")
        names = [field.name for field in fields(cls)]
        for name in values or {}:
            if name not in names:
                raise unknown("verdict threshold", name, names)
        return cls(**(values or {}))

    @property
    def text(self) -> str | None:
        """What differs from the defaults, as canonical JSON; None where nothing does."""
        own = {name: value for name, value in vars(self).items() if value != getattr(DEFAULT, name)}
        return json.dumps(own, sort_keys=True) if own else None


DEFAULT = Thresholds()
THRESHOLDS = tuple(vars(DEFAULT))  # their names
