import inspect

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

import sweep
from sweep import activations
from sweep.base.errors import RequestError
from sweep.experiment import axes
from sweep.experiment.axes import CELL_KEYS, KEYS
from sweep.experiment.cell import REGISTRIES, SPEC
from sweep.experiment.grid import expand
from sweep.experiment.overrides import checked
from sweep.store import tables
from tests.paths import CONF


@pytest.fixture
def cells():
    """Expand a command line to cells as `-m` does, without running anything."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().hydra.config_loader

        def expanded(*arguments):
            overrides = checked(arguments, multirun=True)
            return expand(loader, loader.load_configuration("config", overrides, RunMode.MULTIRUN), overrides)

        yield expanded


def values(cells, key):
    return list(dict.fromkeys(getattr(one, key) for one in cells))


def test_the_standard_grid_has_640_cells(cells):
    found = cells()
    assert len(found) == len({one.id for one in found}) == 640
    assert values(found, "init") == ["xavier", "kaiming", "small_normal", "big_normal"]
    assert values(found, "depth") == [5, 10, 20, 50]


def test_an_axis_on_the_command_line_replaces_the_presets(cells):
    found = cells("init=xavier,kaiming", "depth=3", "seed=range(0,2)")
    assert values(found, "init") == ["xavier", "kaiming"]
    assert values(found, "depth") == [3]
    assert values(found, "seed") == [0, 1]
    assert values(found, "width") == [64, 128, 256, 512]
    assert len(found) == 2 * 2 * 1 * 4 * 2


@pytest.mark.parametrize(
    ("argument", "key", "expected"),
    [
        ("depth=range(2,8,3)", "depth", [2, 5]),
        ("width=choice(8,16)", "width", [8, 16]),
        ("bias_std=range(0,0.3,0.1)", "bias_std", [0.0, 0.1, 0.2]),
        ("bias_std=range(0.3,0.4,0.05)", "bias_std", [0.3, 0.35]),  # as typed, the end left out
        ("seed=range(5,1,-2)", "seed", [5, 3]),
        ("init=glob(torch/k*)", "init", ["torch/kaiming_normal", "torch/kaiming_uniform"]),
        ("act=glob(*,exclude=relu)", "act", [a for a in sorted(activations.ACTIVATIONS) if a != "relu"]),
        ("dtype=float32,float64", "dtype", ["float32", "float64"]),
        ("backward=true,false", "backward", [True, False]),
        ("batch=10,20", "batch", [10, 20]),
    ],
)
def test_any_key_can_be_an_axis(cells, argument, key, expected):
    found = cells("grid=smoke", argument)
    assert values(found, key) == expected


def test_a_schemes_parameter_can_be_an_axis_of_its_scheme(cells):
    found = cells(
        "grid=smoke", "init=normal", "init.std=0.01,0.1,1", "act=tanh", "depth=10", "width=50", "seed=0"
    )
    assert values(found, "init_params") == ['{"std":0.01}', '{"std":0.1}', '{"std":1.0}']
    single = cells("grid=smoke", "init=variance_scaling", "init.scale=range(0.5,3,0.1)", "init.mode=fan_avg")
    assert len(values(single, "init_params")) == 25


def test_tapered_widths_are_an_axis_and_replace_depth_and_width(cells):
    found = cells("grid=smoke", "widths=[20,10,5],[8,8]", "seed=0")
    assert values(found, "widths") == [(20, 10, 5), None]
    assert values(found, "depth") == [2, 1]
    assert len(found) == 2 * 4


def test_duplicates_are_one_cell(cells):
    found = cells("grid=smoke", "depth=3,3", "seed=0,0,1", "width=4")
    assert len(found) == len({one.id for one in found}) == 4 * 2


def test_hydra_composes_per_option_and_never_per_cell(cells, monkeypatch):
    compositions = []
    load = ConfigLoaderImpl.load_sweep_config
    monkeypatch.setattr(
        ConfigLoaderImpl, "load_sweep_config", lambda *given: compositions.append(given) or load(*given)
    )
    found = cells("seed=range(0,1250)", "init=xavier,kaiming", "depth=5,10", "width=8", "act=tanh,relu")
    assert len(found) == 10_000
    assert len(compositions) == 4  # two options each of init and of act, whatever the cells


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init=xaver,xavier"], "unknown init 'xaver': did you mean 'xavier'?"),
        (["act=tanh,rely"], "unknown act 'rely': did you mean 'relu'?"),
        (["init=xavier", "init.std=1"], "init 'xavier' has no parameter 'std'"),
        (["seed=1,2,abc"], "seed=abc"),
        (["seed=range(3,3)"], "the axis is empty"),
        (["init=glob(none*)"], "the axis is empty"),
        (["depth=glob(*)"], "glob chooses among options"),
        (["depth=2,0"], "depth=0"),
    ],
)
def test_a_wrong_axis_gets_one_clear_line(cells, arguments, message):
    with pytest.raises(RequestError) as error:
        cells(*arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_every_key_of_the_config_is_known_and_the_reverse():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = GlobalHydra.instance().hydra.config_loader.load_configuration("config", [], RunMode.RUN)
    assert {str(key) for key in config} == {*KEYS, "hydra"}
    assert set(CELL_KEYS) <= set(KEYS)
    signature = inspect.signature(sweep.propagate).parameters
    for axis in axes.ALL.values():
        assert axis.rule(config[axis.name]) == axis.default, f"{axis.name} in conf/config.yaml"
        assert signature[axis.name].default == axis.default, f"{axis.name} of sweep.propagate"
        assert axis.name in tables.CELLS.names
        assert axis.name in (*SPEC, "seed")


@pytest.mark.parametrize("group", ["init", "act"])
def test_every_scheme_and_activation_has_its_conf_file(group):
    files = {str(path.relative_to(CONF / group).with_suffix("")) for path in (CONF / group).rglob("*.yaml")}
    assert files == {*REGISTRIES[group].names(), "custom"}


def test_every_conf_file_begins_with_the_command_that_uses_it():
    for path in CONF.rglob("*.yaml"):
        assert path.read_text(encoding="utf-8").startswith("# python -m sweep "), path


def test_an_option_that_changes_more_than_itself_is_composed_per_combination(tmp_path):
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "deep.yaml").write_text(
        "# @package _global_\ninit: {name: kaiming}\nbias_std: 0.5\n"
    )
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().hydra.config_loader
        search = f"hydra.searchpath=[file://{tmp_path}]"
        overrides = checked([search, "grid=textbook", "init=deep,xavier", "seed=0"], multirun=True)
        config = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
        found = expand(loader, config, overrides)
    assert {(one.init, one.bias_std) for one in found} == {("kaiming", 0.5), ("xavier", 0.0)}
