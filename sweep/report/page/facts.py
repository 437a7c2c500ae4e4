"""What a reader must know to trust the page: the rules of the verdicts, and where the numbers come from."""

import platform
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from sweep.base.provenance import provenance
from sweep.experiment.axes import MODEL
from sweep.experiment.outcomes.verdict import WORDS, Thresholds, meanings
from sweep.kernel.statistics.table import STATISTICS
from sweep.report.frames import text
from sweep.report.frames.labels import description, with_ends
from sweep.report.frames.measures import MEASURES, WORD
from sweep.report.frames.own import are_models
from sweep.report.frames.stored import Totals
from sweep.report.frames.trained import rules as rules_of_training
from sweep.store.records import runs
from sweep.store.study import Study

_PROGRAM = ("program", "version", "commit")  # of the provenance; the rest are libraries
_MOST_COMMANDS = 6
_MOST_FAILURES = 20


def rules(thresholds: Thresholds) -> list[dict[str, str]]:
    """The rule of every verdict, with the thresholds in force, in the order in which they are tried."""
    return [
        {"letter": WORDS[word].letter, "word": word, "rule": rule}
        for word, rule in meanings(thresholds).items()
    ]


def columns(rows: pd.DataFrame) -> list[tuple[str, str]]:
    """Every statistic of the page's networks, and what it is. rows: of `data.networks`."""
    return [
        (measure.name, STATISTICS[measure.name].meaning if measure.name in STATISTICS else measure.title)
        for measure in MEASURES.values()
        if measure.scale != WORD and rows[f"value:{measure.name}"].notna().any()
    ]


def failures(totals: Totals) -> list[dict[str, str]]:
    """The errors of the failed cells, the most frequent first, each with a cell that met it."""
    rows = []
    counts = Counter({error: count for error, (count, _) in totals.failures.items()})
    for error, count in counts.most_common(_MOST_FAILURES):
        _, cell = totals.failures[error]
        example = f"{with_ends(cell)}{_sizes(cell)}, seed {cell['seed']}"
        rows.append({"count": f"{count:,}", "error": error, "example": example})
    return rows


def _sizes(cell: Mapping[Any, Any]) -> str:
    """' × tanh, depth 5, width 64' of a cell; nothing of a model of one's own, told with its init."""
    if isinstance(cell.get(MODEL), str):
        return ""
    width = f", width {cell['width']}" if cell["width"] else ""
    return f" × {description(cell['act'], cell['act_params'])}, depth {cell['depth']}{width}"


def provenance_of(study: Study, cells: pd.DataFrame, totals: Totals) -> list[tuple[str, str]]:
    """Command, program, commit, libraries, machine and time, as far as the study's runs tell."""
    versions = provenance()
    commit = f", commit {versions['commit']}" if "commit" in versions else ""
    libraries = [f"{name} {versions[name]}" for name in versions if name not in _PROGRAM]
    runs_of_cells = sorted(run for run in totals.runs if len(run) >= 15)
    times = list(dict.fromkeys(map(_time, runs_of_cells[:1] + runs_of_cells[-1:])))
    return [
        *(("command", command) for command in _commands(study)),
        ("program", f"sweep {versions['version']}{commit}"),
        ("libraries", ", ".join(libraries)),
        ("kernel version", ", ".join(sorted(map(str, cells["kernel_version"].unique())))),
        ("machine", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"),
        *([("computed", " to ".join(times))] if times else []),
        ("computing time", f"{totals.seconds:,.1f} s on one core for {text.cells(totals.cells)}"),
    ]


def _commands(study: Study) -> list[str]:
    """The commands that made the study, each once, the last of them where there are many."""
    commands = dict.fromkeys(runs.command(study, name) for name in runs.names(study))
    return [command for command in commands if command][-_MOST_COMMANDS:]


def _time(run: str) -> str:
    """'20260131T235959-…' as people read it."""
    return f"{run[:4]}-{run[4:6]}-{run[6:8]} {run[9:11]}:{run[11:13]} UTC"


def scope(cells: pd.DataFrame, totals: Totals) -> str:
    """How large the study is: '640 cells: 4 inits × 2 acts × 4 depths × 4 widths × 5 seeds'."""
    own = are_models(cells)
    counts = {
        "init": cells.groupby(["init", "init_params"]).ngroups,
        "model" if own else "act": cells.groupby(["act", "act_params"]).ngroups,
    }
    counts |= {} if own else {name: cells[name].nunique() for name in ("depth", "width")}
    counts |= {"seed": totals.seeds}
    sizes = [f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items()]
    batches = ", ".join(str(batch) for batch in sorted(cells["batch"].unique()))
    averaged = "Every network is averaged over its seeds, and over nothing else."
    trained = f" Trained: {'; '.join(found)}." if (found := rules_of_training(cells)) else ""
    return f"{text.cells(totals.cells)}: {' × '.join(sizes)}; batch {batches}. {averaged}{trained}"
