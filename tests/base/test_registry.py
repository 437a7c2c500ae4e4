import inspect
from dataclasses import replace

import numpy as np
import pytest
from omegaconf import OmegaConf

from sweep.activations import Activation
from sweep.base.errors import RequestError
from sweep.base.registry import CUSTOM
from sweep.experiment.axes import GROUPS
from sweep.experiment.ingredients.choices import REGISTRIES
from sweep.initializers import SCHEMES
from sweep.initializers.scheme import Fixed, Real, Row
from sweep.initializers.schemes import constant
from tests.paths import CONF

SOURCES = {"torch": "torch.nn.", "keras": "keras.initializers.", "jax": "jax.nn.initializers."}
LISTED = [(group, name) for group, registry in REGISTRIES.items() for name in registry.names()]


def lacking(registry, name):
    """What an entry lacks, of all that command line, listing and report take from it."""
    return [f"{name}: {lack}" for lack in of_its_entry(registry, name) or of_its_option(registry, name)]


def of_its_entry(registry, name):
    """What no option could be made without."""
    entry = registry.entries[name]
    if isinstance(entry, registry.kind):
        return []
    text = vars(entry).get("__doc__", entry.__doc__) or ""
    source = SOURCES.get(name.partition("/")[0], "") if isinstance(entry, Row) else ""
    known = inspect.signature(entry).parameters
    lacks = [] if text and source in text else ["no text of what it is, and where"]
    lacks += [f"no default for {key}" for key, one in known.items() if one.default is one.empty]
    return lacks or [f"no rule for {key}" for key in known if not refuses(registry, name, key)]


def refuses(registry, name, parameter):
    try:
        registry.made(name, {parameter: object()})
    except RequestError as error:
        return f"{registry.group}.{parameter}" in str(error)
    except AttributeError:  # an annotation that is a type alone
        return False
    return False


def of_its_option(registry, name):
    option, path = registry.get(name), CONF / registry.group / f"{name}.yaml"
    lacks = [] if option.formula else ["no formula"]
    if not path.is_file():
        return [*lacks, "no conf file"]
    first, second, *_ = path.read_text(encoding="utf-8").splitlines()
    if not first.startswith(f"# python -m sweep {registry.group}={name}"):
        lacks.append("no command in its conf file")
    source = SOURCES.get(name.partition("/")[0])
    if source and not (second.startswith("# ") and source in second):
        lacks.append("no source in its conf file")
    if dict(OmegaConf.load(path)) != {"name": name} | registry.parameters_of(name, option):
        lacks.append("not its own defaults in its conf file")
    return lacks


@pytest.mark.parametrize(("group", "name"), LISTED)
def test_an_entry_is_complete(group, name):
    assert lacking(REGISTRIES[group], name) == []


@pytest.mark.parametrize("group", REGISTRIES)
def test_every_conf_file_is_of_an_option(group):
    folder = CONF / group
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")}
    assert files == {*REGISTRIES[group].known(), CUSTOM}


def slope(z, h):
    return 1 - h * h


@pytest.mark.parametrize(
    ("group", "name", "entry", "lack"),
    [
        ("init", "zeros", Fixed(None, 0.0, 0.0, ""), "no formula"),
        ("act", "tanh", Activation("tanh", np.tanh, slope), "no formula"),
        (
            "init",
            "constant",
            Row("", constant, value=(Real, 0.01)),
            "no text of what it is, and where",
        ),
        ("init", "jax/constant", SCHEMES["constant"], "no text of what it is, and where"),
        ("init", "constant", Row("W", constant, value=(float, 0.01)), "no rule for value"),
        ("init", "constant", Row("W", constant, value=(Real, 7.0)), "not its own defaults in its conf file"),
        ("act", "tanh", lambda beta: None, "no text of what it is, and where"),
        ("act", "nobody", Activation("nobody", np.tanh, slope, formula="tanh(z)"), "no conf file"),
        ("init", "jax/nobody", constant(0.0), "no conf file"),
    ],
)
def test_an_incomplete_entry_is_known_by_its_name(group, name, entry, lack):
    assert f"{name}: {lack}" in lacking(replace(REGISTRIES[group], entries={name: entry}), name)


def test_every_group_of_a_cell_has_its_registry():
    assert list(REGISTRIES) == [*GROUPS]


@pytest.mark.parametrize(("group", "name"), [("init", "normal"), ("act", "elu")])
def test_a_parameter_may_have_any_name_in_a_row_and_is_refused_by_name(group, name):
    for odd in ("name", "self", "parameters"):
        with pytest.raises(RequestError, match=f"{group} '{name}' has no parameter '{odd}'"):
            REGISTRIES[group].stored(name, f'{{"{odd}": 1}}')
        with pytest.raises(RequestError, match=f"{group} '{name}' has no parameter '{odd}'"):
            REGISTRIES[group].resolved(name, {odd: 1})


@pytest.mark.parametrize("group", GROUPS)
def test_a_study_names_no_function_to_run(group):
    with pytest.raises(RequestError, match=r".* of a user's own: only a command or a call can name it"):
        REGISTRIES[group].stored(CUSTOM, '{"function": "os.getcwd"}')
    with pytest.raises(RequestError, match=f"{group}.function=null: name a function with its module"):
        REGISTRIES[group].get(CUSTOM)
