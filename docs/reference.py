"""The reference page, made from the code: keys, options, commands, columns, verdicts, functions."""

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import yaml

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # this checkout's own code, whatever is installed

import sweep  # noqa: E402
from sweep import activations, initializers  # noqa: E402
from sweep.experiment import axes  # noqa: E402
from sweep.experiment.outcomes import verdict  # noqa: E402
from sweep.store import meanings, tables  # noqa: E402

CONF = ROOT / "conf"
# Of the packages that the program itself uses too, what a Python user calls.
_CALLED = {"activations": ("get", "slope_unknown"), "initializers": ("get",)}
_LINE = re.compile(r"^(?P<indent> *)(?P<key>[\w.]+):(?: +(?P<value>[^\s#].*?))?(?: +# *(?P<comment>.*))?$")


def text() -> str:
    """The whole page, in Markdown."""
    parts = [
        "# Reference",
        "Made from the program's own code whenever this site is built: the settings and their comments, what "
        "the commands say with `--help`, the tables' columns, the verdicts' rules.",
        "## Keys of `python -m sweep`",
        "Set one with `key=value`. With `-m` any of the experiment's keys takes several values, as in "
        "`depth=5,10,20` or `'seed=range(0,20)'`.",
        *keys(),
        "## Options: init, act, block, train, grid, executor",
        *options(),
        "## Commands",
        *commands(),
        "## Columns",
        *columns(),
        "## Verdicts",
        "The first that fits, in this order; `verdict.NAME=…` moves a threshold.",
        table(
            ("verdict", "when"), [(f"`{w}`", rule) for w, rule in verdict.meanings(verdict.DEFAULT).items()]
        ),
        "## In Python",
        *functions(),
    ]
    return "\n\n".join(parts) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar in a text does not end its square."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |" for line in lines)


def settings(file: Path) -> Iterator[tuple[str, str, str, str]]:
    """(section, key, default, comment) of each key that a config file sets, as written there.

    A comment that fills lines of its own is the section of the keys below it. Hydra's own keys are left out.
    """
    section, above = "", ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            section = f"{section} {line.strip('# ')}".strip() if above.startswith("#") else line.strip("# ")
        elif found := _LINE.match(line):
            key = found["key"]
            if not found["indent"]:
                parent = key
            if parent not in ("hydra", "defaults"):
                full = f"{parent}.{key}" if found["indent"] else key
                if found["value"]:
                    yield section, full, found["value"], found["comment"] or ""
        above = line


def keys() -> Iterator[str]:
    """A table for each section of conf/config.yaml."""
    sections: dict[str, list[tuple[str, str, str]]] = {}
    for section, key, default, comment in settings(CONF / "config.yaml"):
        sections.setdefault(section, []).append((f"`{key}`", f"`{default}`", comment))
    for section, rows in sections.items():
        yield f"**{section}**" if section else ""
        yield table(("key", "default", "meaning"), rows)


def axis_meanings() -> dict[str, str]:
    """What conf/config.yaml says of each axis."""
    said = {key: comment for _, key, _, comment in settings(CONF / "config.yaml")}
    return {name: said.get(name) or name for name in axes.ALL}


def options() -> Iterator[str]:
    """A table for each config group."""
    for group, registry, module, more, own in (
        ("init", initializers.SCHEMES, initializers, "the variance of W", ("function", "kwargs.…")),
        ("act", activations.ACTIVATIONS, activations, "moments", ("function", "derivative", "kwargs.…")),
    ):
        yield f"### {group}"
        yield f"`python -m {module.__name__}` lists them too, with {more}."
        rows = []
        for name in registry:
            parameters = ", ".join(f"`{group}.{one}`" for one in module.parameter_names(name))
            rows.append((f"`{group}={name}`", parameters, f"`{module.get(name).formula}`"))
        for name in module.REGISTRY.unnamed:
            parameters = ", ".join(f"`{group}.{one}`" for one in module.parameter_names(name))
            rows.append((f"`{group}={name}`", parameters, " ".join(_said(group, name))))
        parameters = ", ".join(f"`{group}.{one}`" for one in own)
        rows.append((f"`{group}=custom`", parameters, "a function of your own"))
        yield table(("option", "parameters", "W" if group == "init" else "f(z)"), rows)
    for group in (*axes.LATER_GROUPS, *axes.RUN_GROUPS):
        yield f"### {group}"
        for file in sorted((CONF / group).glob("*.yaml")):
            yield f"**`{group}={file.stem}`** {' '.join(_said(group, file.stem))}"
            if group == "grid":
                preset = yaml.safe_load(file.read_text(encoding="utf-8"))["axes"]
                yield table(("axis", "values"), [(f"`{key}`", f"`{value}`") for key, value in preset.items()])
            else:
                rows = [
                    (f"`{group}.{key}`", f"`{default}`", comment)
                    for _, key, default, comment in settings(file)
                    if key != "name"
                ]
                if rows:
                    yield table(("key", "default", "meaning"), rows)


def _said(group: str, option: str) -> list[str]:
    """What an option's file begins with, below the command that uses it."""
    return [line.lstrip("# ") for line in _head(CONF / group / f"{option}.yaml")[1:]]


def _head(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]


def doors() -> list[str]:
    """The modules that `python -m` takes: those of `sweep/` that are run, and packages with a __main__."""
    folder = ROOT / "sweep"
    files = [file for file in folder.glob("*.py") if "__main__" in file.read_text(encoding="utf-8")]
    packages = [file.parent for file in folder.rglob("__main__.py") if file.parent != folder]
    names = [path.relative_to(ROOT).with_suffix("") for path in (*files, *packages)]
    return sorted(".".join(name.parts) for name in names if name.name not in ("__init__", "__main__"))


def commands() -> Iterator[str]:
    """What each command but `python -m sweep` says with --help."""
    for door in doors():
        done = subprocess.run(
            [sys.executable, "-m", door, "--help"],
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "100", "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
        yield f"### python -m {door}"
        yield f"```text\n{done.stdout.strip()}\n```"


def columns() -> Iterator[str]:
    """A table for each of the stored tables."""
    said = axis_meanings()
    seen: set[str] = set()
    for name, schema in tables.SCHEMAS.items():
        yield f"### {name}"
        if seen:
            yield "The columns of `cells` that say which cell it is, and every statistic, here of each layer."
        rows = [
            (f"`{field.name}`", f"`{field.type}`", meanings.meaning(field.name) or said.get(field.name, ""))
            for field in schema
            if field.name not in seen
        ]
        yield table(("column", "type", "meaning"), rows)
        seen |= set(schema.names)


def functions() -> Iterator[str]:
    """The public functions, as they are called, and what they say of themselves."""
    for name in sorted(sweep.__all__):
        thing = getattr(sweep, name)
        if isinstance(thing, ModuleType):
            for one in _CALLED.get(name) or _public(thing):
                yield from _described(f"sweep.{name}.{one}", getattr(thing, one))
        elif inspect.isfunction(thing):
            yield from _described(f"sweep.{name}", thing)


def _public(module: ModuleType) -> list[str]:
    """A module's functions: those it names, or those it defines."""
    named = getattr(module, "__all__", None)
    return [
        name
        for name, thing in vars(module).items()
        if inspect.isfunction(thing)
        and (name in named if named else thing.__module__ == module.__name__ and name[0] != "_")
    ]


def _described(name: str, function: Callable[..., object]) -> Iterator[str]:
    parameters = [
        one.replace(annotation=inspect.Parameter.empty)
        for one in inspect.signature(function).parameters.values()
    ]
    call = str(inspect.Signature(parameters))
    yield f"### {name}"
    yield f"```text\n{name}{call}\n\n{inspect.getdoc(function) or ''}\n```"
