"""Does the signal survive this network before you train it?

    import sweep
    cells = sweep.load("outputs/standard")                    # one row per cell
    layers = sweep.load("outputs/standard", table="layers")   # one row per cell and layer
    sweep.run(init=["xavier", "kaiming"], act="tanh", depth=[5, 10], study="mine")   # a grid
    sweep.propagate(init="xavier", act="tanh", depth=10, width=500, seed=0)
    sweep.recommend("gelu", depth=50, width=512)
    sweep.probe(model, batch)                                 # your own torch module
    sweep.coord_check(make, batch, widths=[64, 128, 256], lr=0.01)   # does lr carry over?
    sweep.theory.gain("gelu")

Everything is imported when it is first asked for, so that `import sweep` costs nothing.
"""

import sys

if sys.argv[:1] == ["-m"] and "sweep" in [word.partition(".")[0] for word in sys.orig_argv]:
    # python -m sweep…: nothing of the program is reached before this.
    from sweep.base.process.early import from_the_start

    from_the_start()

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep import activations, initializers, plot, theory
    from sweep.base.errors import RequestError, StoreError, SweepError, UserCodeError
    from sweep.execution.from_python import run
    from sweep.experiment.interactive import propagate
    from sweep.probing.coordinates.interactive import coord_check
    from sweep.probing.interactive import probe
    from sweep.report.advice.recommendation import recommend
    from sweep.store.query.labelled import to_xarray
    from sweep.store.query.results import load

_HOMES = {
    "coord_check": "sweep.probing.coordinates.interactive",
    "load": "sweep.store.query.results",
    "probe": "sweep.probing.interactive",
    "propagate": "sweep.experiment.interactive",
    "recommend": "sweep.report.advice.recommendation",
    "run": "sweep.execution.from_python",
    "to_xarray": "sweep.store.query.labelled",
    "RequestError": "sweep.base.errors",
    "StoreError": "sweep.base.errors",
    "SweepError": "sweep.base.errors",
    "UserCodeError": "sweep.base.errors",
}
_MODULES = ("activations", "initializers", "plot", "theory")

__all__ = [
    "RequestError",
    "StoreError",
    "SweepError",
    "UserCodeError",
    "activations",
    "coord_check",
    "initializers",
    "load",
    "plot",
    "probe",
    "propagate",
    "recommend",
    "run",
    "theory",
    "to_xarray",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"sweep.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sweep' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
