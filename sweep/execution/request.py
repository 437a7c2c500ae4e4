"""An OmegaConf config, as Hydra composed it, to a run: where the command line's two modes meet."""

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader

from sweep.base import checks
from sweep.execution.options import Options
from sweep.experiment.axes import GROUPS, LATER_GROUPS, RUN_GROUPS
from sweep.experiment.batches import Cells
from sweep.experiment.cell import Cell
from sweep.experiment.ingredients.choices import OPTIONS
from sweep.experiment.ingredients.families import check_transforms
from sweep.experiment.language import configs, grammar, grid
from sweep.store.records import files


def run_one(config: Any) -> int:
    """Run the single cell that `config` describes; returns the exit status."""
    values = configs.plain(config)
    _check_groups(values)
    cells = Cells.of([Cell.of(values)])
    options = Options.of(values, default_study="single")
    _refuse_secrets(values)
    check_transforms(block.specs[0] for block in cells.blocks)
    from sweep.execution.pipeline import run  # noqa: PLC0415  rich, pyarrow: not for a wrong request

    return run(cells, options, _record(config, [], _command()), single=True)


@dataclass(frozen=True)
class Asked:
    """A grid that is well asked for. duplicates: how many cells its axes name once more."""

    cells: Cells
    options: Options
    duplicates: int
    config: Any
    overrides: list[str]

    def record(self, command: str) -> dict[str, str]:
        """What is written down about its run."""
        return _record(self.config, self.overrides, command)


def grid_of(loader: ConfigLoader, composed: Any, arguments: Sequence[str]) -> Asked:
    """The grid that `arguments` and the preset span; RequestError where the request is wrong."""
    config = configs.without_hydra(composed)
    values = configs.plain(config, resolve=False)
    _check_groups(values)
    _refuse_secrets(values)
    asked = grid.Grid.read(loader, composed, arguments)
    settings = asked.settings()
    _refuse_secrets(settings)
    if settings["histogram"] is None:  # a preset that is for looking at keeps them, however many cells it has
        settings["histogram"] = config.grid.get("histogram")
    options = Options.of(settings, default_study=config.grid.name)
    named: list[int] = []
    cells = asked.cells(named.append)
    specs = [spec for block in cells.blocks for spec in block.specs]
    _refuse_secrets({getattr(spec, f"{column}_params") or "" for spec in specs for column in OPTIONS})
    check_transforms(specs)
    return Asked(cells, options, sum(named) - len(cells), config, grammar.typed_again(arguments))


def run_grid(loader: ConfigLoader, composed: Any, arguments: Sequence[str]) -> int:
    """Run the grid that `arguments` and the preset span; returns the exit status."""
    asked = grid_of(loader, composed, arguments)
    from sweep.execution.pipeline import run  # noqa: PLC0415  rich, pyarrow: not for a wrong request

    return run(asked.cells, asked.options, asked.record(_command()), duplicates=asked.duplicates)


def _check_groups(values: Mapping[str, Any]) -> None:
    for group in (*GROUPS, *LATER_GROUPS, *RUN_GROUPS):
        checks.named(group, values[group])


def _refuse_secrets(values: Any) -> None:
    """Raise RequestError where a value is a secret, wherever it came from: all are written down."""
    if isinstance(values, Mapping):
        values = [*values, *values.values()]
    if isinstance(values, str):
        checks.no_secret(values)
    elif isinstance(values, Iterable):
        for value in values:
            _refuse_secrets(value)


def _command() -> str:
    """The command as it was typed: Hydra was handed some of it in another spelling."""
    count = len(sys.argv) - 1
    before, typed = sys.orig_argv[: -count or None], sys.orig_argv[len(sys.orig_argv) - count :]
    known = len(before) > 1 and before[-1].endswith("sweep")  # else another program's process
    return shlex.join(["python", "-m", "sweep", *(typed if known else sys.argv[1:])])


def _record(config: Any, arguments: Sequence[str], command: str) -> dict[str, str]:
    return {
        files.COMMAND: command + "\n",
        files.OVERRIDES: configs.as_typed(list(arguments)),
        files.CONFIG: configs.as_typed(config),
    }
