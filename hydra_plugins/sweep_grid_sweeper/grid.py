"""The Hydra sweeper that expands a grid into cells and hands them over as one run."""

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Runs all cells of a grid together instead of one job per combination."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.loader = hydra_context.config_loader
        self.config: DictConfig = config

    def sweep(self, arguments: list[str]) -> Any:
        """Expand the grid that `arguments` span, run it and leave with the run's exit status."""
        # Hydra imports every plugin at every start: nothing of ours before it is needed.
        from sweep.base.process.command import guarded  # noqa: PLC0415
        from sweep.execution.request import run_grid  # noqa: PLC0415

        raise SystemExit(guarded(lambda: run_grid(self.loader, self.config, arguments)))


ConfigStore.instance().store(
    group="hydra/sweeper",
    name="grid",
    node={"_target_": f"{GridSweeper.__module__}.{GridSweeper.__qualname__}"},
    provider="sweep",
)
