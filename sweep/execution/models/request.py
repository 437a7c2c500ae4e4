"""`python -m sweep.probe`: its arguments to a run."""

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sweep.base import checks
from sweep.base.errors import RequestError, unknown
from sweep.base.registry import CUSTOM
from sweep.execution import screen
from sweep.execution.options import Options
from sweep.experiment.axes import AS_MADE
from sweep.experiment.ingredients.choices import REGISTRIES
from sweep.experiment.ingredients.models import DTYPES, TOKENS, Given, Model
from sweep.store.records import files

_MOST_SEEDS = 10_000
_NAMED = 4  # weights that are told by name


def run_models(given: Any, typed: Sequence[str]) -> int:
    """Run what is asked; the exit status. given: the arguments, parsed. typed: as they were."""
    seeds = range(checks.whole("seeds", given.seeds, 1))
    if len(seeds) > _MOST_SEEDS:
        raise RequestError(f"seeds={given.seeds}: at most {_MOST_SEEDS:,}")
    inits = [_init(text) for text in given.init.split(",")]
    shapes = [_shape(text) for text in given.input]
    dtypes = _dtypes(given.dtype, len(shapes))
    options = _options(given)
    checks.torch("sweep.probe")
    from sweep.execution.models import run as study  # noqa: PLC0415  torch: not for a wrong request
    from sweep.probing.studies import kernels, making  # noqa: PLC0415
    from sweep.probing.studies.cell import Prober  # noqa: PLC0415

    making.check_device(given.device)
    maker = making.Maker(given.model)
    floating = next((dtype for dtype in dtypes if dtype != TOKENS), "float32")
    made = maker.made(seeds[0], floating, given.device)
    below = _vocabulary(given.vocabulary, dtypes, making.vocabulary(made))
    inputs = tuple(
        Given(shape, dtype, below if dtype == TOKENS else None)
        for shape, dtype in zip(shapes, dtypes, strict=True)
    )
    model = Model(maker.name, inputs, maker.source_of(made))
    weights = kernels.weights_of(made)
    del made
    draws = any(init is not None for init in inits)
    if draws and not weights.kernels:
        raise RequestError(f"--init {given.init}: {maker.name} has no weights that a scheme could draw")
    asked = study.Asked.of(Prober(maker, model, given.device), inits, seeds)
    if draws:
        screen.say(weights.told(_NAMED))
    if given.dry_run:
        print(weights.listed(), end="")
    command = shlex.join(["python", "-m", "sweep.probe", *typed])
    return study.run(asked, options, {files.COMMAND: command + "\n", files.WEIGHTS: weights.listed()})


def _init(text: str) -> Mapping[str, Any] | None:
    """'normal:std=0.02' as {name, parameters …}; None of 'default'."""
    name, *parameters = text.strip().split(":")
    known = [AS_MADE, *REGISTRIES["init"].names(), CUSTOM]
    if name not in known:
        raise unknown("init", name, known)
    values: dict[str, Any] = {}
    for one in parameters:
        key, equals, value = one.partition("=")
        if not equals:
            raise RequestError(f"--init {text}: give parameters as names and values, as in normal:std=0.02")
        values[key] = _value(value)
    if name == AS_MADE:
        if values:
            raise RequestError(
                f"--init {text}: default leaves the weights as they are made, and has no parameters"
            )
        return None
    return {"name": name} | values


def _value(text: str) -> Any:
    """A number, which YAML takes for a text where it is 1e-3; or what YAML takes it for."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return yaml.safe_load(text)


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\s*\d{1,12}(\s*,\s*\d{1,12})*\s*", text):
        raise RequestError(
            f"--input {checks.shown(text)}: give sizes, the batch first, as in --input 64,3,32,32"
        )
    shape = tuple(int(size) for size in text.split(","))
    if 0 in shape:
        raise RequestError(f"--input {text}: every size must be at least 1")
    return shape


def _dtypes(named: Sequence[str], count: int) -> list[str]:
    for dtype in named:
        checks.option("dtype", dtype, DTYPES)
    if len(named) not in (0, 1, count):
        raise RequestError(f"--dtype: {len(named)} for {count} inputs: give one for all, or one for each")
    dtypes = list(named) or ["float32"]
    dtypes = dtypes * count if len(dtypes) == 1 else dtypes
    floating = {dtype for dtype in dtypes if dtype != TOKENS}
    if len(floating) > 1:
        raise RequestError(f"--dtype: {' and '.join(sorted(floating))}: a model computes in one of them")
    return dtypes


def _vocabulary(asked: int | None, dtypes: Sequence[str], known: int | None) -> int | None:
    if TOKENS not in dtypes:
        if asked is not None:
            raise RequestError(f"--vocabulary {asked}: it is of tokens: give --dtype {TOKENS} too")
        return None
    if asked is None and known is None:
        raise RequestError(
            "--dtype int64: the model has no embedding: say below what tokens are, --vocabulary N"
        )
    return checks.whole("vocabulary", known if asked is None else asked, 1)


def _options(given: Any) -> Options:
    values: dict[str, Any] = {
        "study": given.study, "root": given.root, "executor": {"name": "local"}, "n_jobs": 1,
        "max_memory": None, "shard": None, "dry_run": given.dry_run, "retry_failed": True,
        "overwrite": given.overwrite, "fail_fast": False, "report": not given.no_report, "histogram": False,
        "compiled": None, "verdict": {},
    }  # fmt: skip
    name = ".".join(re.findall(r"\w+", given.model)) or "model"
    return Options.of(values, default_study=name)
