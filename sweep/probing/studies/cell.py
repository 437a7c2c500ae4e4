"""One cell of a model of one's own: made anew, its weights drawn, a batch pushed through and back."""

import time
from dataclasses import dataclass, replace

import numpy as np

from sweep.base.arrays import Array
from sweep.base.errors import UserCodeError
from sweep.experiment.axes import AS_MADE
from sweep.experiment.cell import Cell
from sweep.experiment.ingredients.models import Model
from sweep.experiment.outcomes.outcome import Failure
from sweep.experiment.outcomes.probed import Layers, Probed
from sweep.kernel.statistics.table import PREDICTED, STATISTICS
from sweep.probing import checked, passing
from sweep.probing.result import Probe
from sweep.probing.studies import making
from sweep.probing.studies.kernels import weights_of
from sweep.probing.studies.making import Maker


@dataclass(frozen=True)
class Prober:
    """Computes the cells of a model, on a device."""

    maker: Maker
    model: Model
    device: str = "cpu"

    def probed(self, cell: Cell) -> Probe:
        """A pass of the cell's network; SweepError where a user's code raises, or refuses these inputs."""
        model = self.maker.made(cell.seed, self.model.dtype, self.device)
        if self.maker.source_of(model) != self.model.source:
            raise UserCodeError(
                f"{self.maker.name} has changed since this cell was planned: its source differs"
            )
        if cell.init != AS_MADE:
            weights_of(model).draw(cell.scheme, cell.seed)
        inputs = making.drawn(self.model.inputs, cell.seed, self.device)
        given = passing.Given(inputs, {}, None, None, 0)
        return Probe.of(passing.passed(checked.module_of(model), given, None, cell.seed))

    def result(self, cell: Cell, depth: int, estimate: float) -> Probed:
        """The same as a result; an error is one too. depth: what a failed cell is taken to have."""
        start = time.perf_counter()
        try:
            found = result_of(cell, self.probed(cell))
        except Exception as error:
            return Probed(cell, depth, None, failure=Failure.of(error), estimate=estimate)
        return replace(found, seconds=time.perf_counter() - start, estimate=estimate)


def result_of(cell: Cell, probe: Probe) -> Probed:
    """What a probe says, as a cell's result."""
    chain = probe.chain
    nothing = np.full(len(chain), np.nan)

    def column(name: str) -> Array:
        return chain[name].to_numpy(float) if name in chain else nothing

    statistics = {name: column(name) for name in STATISTICS}
    theory = {name: column(f"theory_{name}") for name in PREDICTED}
    layers = Layers(statistics, theory, chain["module"].tolist(), chain["kind"].tolist())
    return Probed(
        cell, len(chain) - 1, layers, tuple(probe.verdicts), probe.begins, probe.module, probe.advice
    )
