"""What became of one cell of a model of one's own: its layers and what they say, or why there are none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sweep.base.arrays import Array
from sweep.experiment.cell import Cell, Spec
from sweep.experiment.outcomes.outcome import ActivationFacts, Failure


@dataclass(frozen=True)
class Layers:
    """The layers of its chain, from the input to the outputs.

    statistics, theory: name -> (layers,), NaN where it is not known. modules, kinds: of each layer.
    """

    statistics: Mapping[str, Array]
    theory: Mapping[str, Array]
    modules: Sequence[str]
    kinds: Sequence[str]


@dataclass(frozen=True)
class Probed:
    """One cell. depth: the layers above the input; of a failed cell what such cells have, as far as is known.

    verdicts: all words that hold, the first is the verdict. begins: the layer where that does; None of a
    healthy model. module, advice: as `sweep.probe` has them. seconds: it took. estimate: the planned ones.
    failure: why it failed; None where it did not, and then there are layers.
    """

    cell: Cell
    depth: int
    layers: Layers | None
    verdicts: tuple[str, ...] = ()
    begins: int | None = None
    module: str = ""
    advice: str = ""
    seconds: float = 0.0
    estimate: float = 0.0
    failure: Failure | None = None
    stored: bool = False
    facts: Mapping[Spec, ActivationFacts] = field(default_factory=dict)  # there is no activation of one's own

    def __len__(self) -> int:
        """The number of cells."""
        return 1

    @property
    def errors(self) -> Mapping[int, Failure]:
        """Index of a failed cell -> why."""
        return {} if self.failure is None else {0: self.failure}
