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
from sweep.experiment.cell import SPEC
from sweep.experiment.ingredients.choices import REGISTRIES
from sweep.experiment.language.grid import Grid, expand
from sweep.experiment.language.overrides import checked
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
    assert len(compositions) == 2  # kaiming and relu beside the usual options, whatever the cells
    compositions.clear()
    found = cells(
        "init=kaiming,xavier", "act=tanh,relu", "block=pre_ln,bn", "train=sgd", "train.data=mixture"
    )
    assert len(compositions) == 4  # kaiming, relu and both blocks, beside the one training
    assert set(values(found, "train")) == {"sgd"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init=xaver,xavier"], "unknown init 'xaver': did you mean 'xavier'?"),
        (["act=tanh,rely"], "unknown act 'rely': did you mean 'relu'?"),
        (["init=xavier", "init.std=1"], "init 'xavier' has no parameter 'std'"),
        (["seed=1,2,abc"], "seed=abc"),
        (["seed=range(3,3)"], "the axis is empty"),
        (["init=glob(none*)"], "the axis is empty"),
        (["depth=glob(*)"], "glob chooses among named options"),
        (["depth=2,0"], "depth=0"),
        (["init=normal", "init.std=null"], "init.std=null: init.std must be a finite number above 0"),
        (
            ['widths="[8,4]","[8,6,4]"'],
            "widths='[8,4]': quotes make it a string; write it without: widths=[8,4]",
        ),
    ],
)
def test_a_wrong_axis_gets_one_clear_line(cells, arguments, message):
    with pytest.raises(RequestError) as error:
        cells(*arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def of(cells, *keys):
    return {tuple(getattr(one, key) for key in keys) for one in cells}


def test_paired_axes_vary_together(cells):
    found = cells("grid=smoke", "init=xavier", "act=tanh", "depth=2", "seed=0", "width,batch=[8,10],[9,20]")
    assert of(found, "width", "batch") == {(8, 10), (9, 20)}
    assert len(found) == 2
    found = cells("grid=smoke", "init,act=[xavier,tanh],[kaiming,relu]", "depth=2,3", "width=8")
    assert of(found, "init", "act") == {("xavier", "tanh"), ("kaiming", "relu")}
    assert len(found) == 2 * 2 * 2
    found = cells(
        "grid=smoke", "seed,width=[3,8],[4,9]", "depth,batch=[2,10],[3,20]", "init=xavier", "act=tanh"
    )
    assert of(found, "seed", "width", "depth", "batch") == {
        (3, 8, 2, 10), (3, 8, 3, 20), (4, 9, 2, 10), (4, 9, 3, 20)
    }  # fmt: skip


def test_a_parameter_in_a_pair_is_of_the_schemes_that_take_it(cells):
    found = cells(
        "grid=smoke", "init=normal,xavier", "init.std,depth=[0.1,2],[0.2,3]", "act=tanh", "width=8", "seed=0"
    )
    assert of(found, "init", "init_params", "depth") == {
        ("normal", '{"std":0.1}', 2), ("normal", '{"std":0.2}', 3), ("xavier", "{}", 2), ("xavier", "{}", 3)
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["width,batch=[8,10],[9]"],
            "width,batch=[8,10],[9]: [9] does not fit; 2 keys that vary together",
        ),
        (["width,batch=8"], "8 does not fit"),
        (["width,batch=[8,10]", "width=3"], "width is given twice"),
        (["n_jobs,width=[1,8]"], "n_jobs applies to the whole run"),
        (["width,dpeth=[1,8]"], "unknown key 'dpeth': did you mean 'depth'?"),
        (
            ["pair=[[width,batch],[8,10]]"],
            "name the keys that vary together, as in 'width,batch=[64,100],[128,200]'",
        ),
        (["init.name,width=[xavier,8]"], "init is chosen by name"),
    ],
)
def test_a_wrong_pair_gets_one_clear_line(cells, arguments, message):
    with pytest.raises(RequestError) as error:
        cells("grid=smoke", *arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "keys", "expected"),
    [
        (["width=${depth}", "depth=4,8"], ("depth", "width"), {(4, 4), (8, 8)}),
        (["depth=${seed}", "seed=1,2", "width=8"], ("depth", "seed"), {(1, 1), (2, 2)}),
        (["seed=${depth}", "depth=4,8", "width=8"], ("depth", "seed"), {(4, 4), (8, 8)}),
        (["seed=0,${depth}", "depth=4,8", "width=8"], ("depth", "seed"), {(4, 0), (4, 4), (8, 0), (8, 8)}),
        (["init=normal", "init.std=${bias_std}", "bias_std=0.1,0.2", "width=8", "depth=2", "seed=0"],
         ("bias_std", "init_params"), {(0.1, '{"std":0.1}'), (0.2, '{"std":0.2}')}),
        (["width,batch=[8,${depth}0],[9,20]", "depth=2,3", "batch=null"][:2], ("depth", "width"), None),
    ],
)  # fmt: skip
def test_an_axis_may_refer_to_another(cells, arguments, keys, expected):
    if expected is None:
        with pytest.raises(RequestError, match="batch='20'"):  # a text, as it is without -m
            cells("grid=smoke", *arguments)
        return
    init = [] if "init=normal" in arguments else ["init=xavier"]
    assert of(cells("grid=smoke", *init, "act=tanh", *arguments), *keys) == expected


def test_an_axis_may_come_from_the_environment(cells, monkeypatch):
    monkeypatch.setenv("STD", "0.25")
    found = cells("grid=smoke", "init=normal", 'init.std="${oc.decode:${oc.env:STD}}"')
    assert values(found, "init_params") == ['{"std":0.25}']
    with pytest.raises(RequestError, match=r"init.std='0.25' \(a string"):  # as without -m
        cells("grid=smoke", "init=normal", "init.std=${oc.env:STD}")


@pytest.fixture
def settings_of():
    """The values of the whole run that a command line with -m asks for."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().hydra.config_loader

        def read(*arguments):
            overrides = checked(arguments, multirun=True)
            config = loader.load_configuration("config", overrides, RunMode.MULTIRUN)
            return Grid.read(loader, config, overrides).settings()

        yield read


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (
            ["study=${init.name}", "init=kaiming,lecun_normal"],
            "study=${init.name}: study applies to the whole run",
        ),
        (["study=d${depth}"], "study=d${depth}: study"),  # the preset's axis
        (["study=${init.std}", "init=normal", "init.std=0.1,0.2"], "study=${init.std}: study"),
        (["n_jobs=${depth}", "depth=4,8"], "n_jobs=${depth}: n_jobs"),
        (["root=out/${width}", "width,batch=[8,9],[10,11]"], "root=out/${width}: root"),
        (
            ["verdict.vanishing=${bias_std}", "bias_std=0.1,0.2"],
            "verdict.vanishing=${bias_std}: verdict.vanishing",
        ),
    ],
)
def test_a_key_of_the_whole_run_that_refers_to_an_axis_is_refused(settings_of, arguments, name):
    with pytest.raises(RequestError) as error:
        settings_of(*arguments)
    assert str(error.value).startswith(name)
    assert "give" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_of_the_whole_run_may_refer_to_what_is_one_for_all_cells(settings_of, monkeypatch):
    monkeypatch.setenv("DAY", "2026_11_25")
    assert settings_of("study=${grid.name}-x")["study"] == "standard-x"
    assert settings_of("study=${oc.env:DAY}")["study"] == "2026_11_25"
    assert settings_of("study=${init.name}-${depth}", "init=kaiming", "depth=4")["study"] == "kaiming-4"
    assert settings_of("study=d${depth}", "grid=phase")["study"] == "d100"


def test_a_preset_s_lists_are_values_as_they_are(tmp_path):
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid" / "mine.yaml").write_text(
        "name: mine\naxes:\n  init: custom\n  init.function: tests.users.deadly\n"
        "  init.kwargs: [{culprit: -2}]\n"
        '  widths: [null, [8, 4]]\n  act: [tanh, relu]\n  "seed,batch": [[0, 10], [1, 20]]\n'
    )
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().hydra.config_loader
        overrides = checked([f"hydra.searchpath=[file://{tmp_path}]", "grid=mine", "seed=5,6"], multirun=True)
        found = expand(loader, loader.load_configuration("config", overrides, RunMode.MULTIRUN), overrides)
    assert of(found, "widths", "act", "seed", "batch") == {
        (widths, act, seed, batch)
        for widths in (None, (8, 4)) for act in ("tanh", "relu") for seed in (5, 6) for batch in (10, 20)
    }  # fmt: skip
    assert all('"kwargs":{"culprit":-2}' in one.init_params for one in found)


def test_every_key_of_the_config_is_known_and_the_reverse():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = GlobalHydra.instance().hydra.config_loader.load_configuration("config", [], RunMode.RUN)
    tops = {"first": config["first"], "last": config["last"]}
    known = {str(key) for key in config} - {*tops, "hydra"}
    assert known | {f"{top}.{key}" for top, own in tops.items() for key in own} == {*KEYS}
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
    assert files == {*REGISTRIES[group].known(), "custom"}


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
