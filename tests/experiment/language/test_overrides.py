import pytest

from sweep.base.errors import RequestError
from sweep.experiment.language.overrides import checked


def test_a_schemes_parameter_waits_for_its_scheme():
    arguments = ["init=normal,xavier", "init.std=0.1", "depth=3"]
    assert checked(arguments, multirun=True) == ["init=normal,xavier", "init.std=choice(0.1)", "depth=3"]
    assert checked(["init.std=0.1"], multirun=False) == ["++init.std=0.1"]


def test_hydras_own_overrides_are_left_to_hydra():
    arguments = ["hydra.verbose=true", "hydra/job_logging=default"]
    assert checked(arguments, multirun=False) == arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dpeth=3"], "unknown key 'dpeth': did you mean 'depth'?"),
        (["+extra=3"], "unknown key 'extra'"),
        (["+depth=3"], "+depth=3: depth is a key already: give it without the +"),
        (["init/torch=kaiming_normal"], "init/torch=kaiming_normal: choose it as init=torch/kaiming_normal"),
        (["~depth"], "keys cannot be removed"),
        (["depth.x=3"], "'depth' has no sub-keys"),
        (["depth="], "depth= is empty"),
        (["init="], "init= is empty"),
        (["depth=choice()"], "the choice is empty"),
        (["depth"], "write key=value"),
        (["depth=[1"], "cannot read 'depth=[1'"),
        (["init.function=schön"], "quote a value"),
        (["depth=3", "depth=4"], "depth is given twice"),
        (["depth=interval(1,3)"], "an interval has infinitely many values"),
        (["n_jobs=1,2"], "n_jobs applies to the whole run"),
        (["grid=smoke,standard"], "grid applies to the whole run"),
        (["widths=[3,4]", "depth=3"], "widths replaces depth and width"),
        (["init=null"], "init is chosen by name"),
        (["init.name=xavier"], "init is chosen by name"),
        (["grid.axes.depth=3"], "'grid' has no sub-keys"),
        (['+hydra.sweeper.params.depth="1,2"'], "as in -m depth=1,2, or in a line under 'axes:' of a preset"),
        (["+experiment=e1"], "an experiment is a preset here: grid/NAME.yaml"),
    ],
)
def test_a_wrong_command_line_gets_one_clear_line(arguments, message):
    with pytest.raises(RequestError) as error:
        checked(arguments, multirun=True)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "argument", ["depth=5,10", "init=xavier,kaiming", "seed=range(0,3)", "init=glob(*)", "width,batch=[1,2]"]
)
def test_several_values_need_a_multirun(argument):
    with pytest.raises(RequestError, match="add -m"):
        checked([argument], multirun=False)
