"""A composed config to a run: the one place where the command line's two modes meet."""

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from sweep.base import checks
from sweep.execution.options import Options
from sweep.experiment import cell, grid
from sweep.experiment.axes import GROUPS, RUN_GROUPS
from sweep.experiment.batches import Cells
from sweep.experiment.cell import Cell
from sweep.store.records import files


def run_one(config: DictConfig) -> int:
    """Run the single cell that `config` describes; returns the exit status."""
    values = cell.plain(config)
    _check_groups(values)
    cells = Cells.of([Cell.of(values)])
    options = Options.of(values, default_study="single")
    _refuse_secrets(values)
    from sweep.execution.pipeline import run  # noqa: PLC0415  rich, pyarrow: not for a wrong request

    return run(cells, options, _record(config, []), single=True)


def run_grid(loader: ConfigLoader, config: DictConfig, arguments: Sequence[str]) -> int:
    """Run the grid that `arguments` and the preset span; returns the exit status."""
    own = grid.without_hydra(config)
    _check_groups(cell.plain(own))
    options = Options.of(cell.plain(own), default_study=config.grid.name)
    _refuse_secrets(cell.plain(own))
    named: list[int] = []
    cells = grid.expand(loader, config, arguments, named.append)
    _refuse_secrets({spec.init_params + spec.act_params for block in cells.blocks for spec in block.specs})
    from sweep.execution.pipeline import run  # noqa: PLC0415  rich, pyarrow: not for a wrong request

    return run(cells, options, _record(own, arguments), duplicates=sum(named) - len(cells))


def _check_groups(values: Mapping[str, Any]) -> None:
    for group in (*GROUPS, *RUN_GROUPS):
        checks.named(group, values[group])


def _refuse_secrets(values: Any) -> None:
    """That no value, typed, from a file or from the environment, is a secret: all are written down."""
    if isinstance(values, Mapping):
        values = [*values, *values.values()]
    if isinstance(values, str):
        checks.no_secret(values)
    elif isinstance(values, Iterable):
        for value in values:
            _refuse_secrets(value)


def _command() -> str:
    """The command as it was typed: what Hydra was handed spells some of it differently."""
    count = len(sys.argv) - 1
    before, typed = sys.orig_argv[: -count or None], sys.orig_argv[len(sys.orig_argv) - count :]
    known = len(before) > 1 and before[-1].endswith("sweep")  # else somebody else's process
    return shlex.join(["python", "-m", "sweep", *(typed if known else sys.argv[1:])])


def _record(config: DictConfig, arguments: Sequence[str]) -> dict[str, str]:
    return {
        files.COMMAND: _command() + "\n",
        files.OVERRIDES: OmegaConf.to_yaml(OmegaConf.create(list(arguments))),
        files.CONFIG: OmegaConf.to_yaml(config),  # as typed: what ${oc.env:…} stands for may be a secret
    }
