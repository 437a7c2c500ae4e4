"""`python -m sweep.probe`: a model of one's own under schemes and seeds is a study like any other."""

import importlib.util
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import sweep
from sweep.base.process.command import guarded
from sweep.kernel.statistics.table import BACKWARD, FORWARD
from sweep.report.figures import curves, network
from sweep.report.frames.own import with_stand_ins
from tests.processes import ROOT

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")

from sweep.probing.studies.making import Maker  # noqa: E402
from tests.probing.studies.models import WIDTH  # noqa: E402

MODELS = "tests.probing.studies.models"


@pytest.fixture
def probe(tmp_path, monkeypatch, capsys):
    """The command in this process, in an empty folder: its status, and what it says."""
    monkeypatch.chdir(tmp_path)
    place = ROOT / "sweep" / "probe.py"  # by its place: its import would replace the function
    spec = importlib.util.spec_from_file_location("door_of_probes", place)
    door = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(door)

    def run(model, *arguments):
        status = guarded(lambda: door.main([f"{MODELS}:{model}" if ":" not in model else model, *arguments]))
        return status, "".join(capsys.readouterr())

    return run


def test_a_plain_chain_has_the_rows_of_our_own_networks(probe):
    status, _ = probe(
        "chain", "--input", f"32,{WIDTH}", "--init", "xavier,normal:std=0.3", "--seeds", "2", "--no-report"
    )
    assert status == 0
    layers = sweep.load("outputs/tests.probing.studies.models.chain", "layers")
    for init, parameters in (("xavier", {}), ("normal", {"std": 0.3})):
        for seed in range(2):
            own = layers[(layers["init"] == init) & (layers["seed"] == seed)].sort_values("layer")
            ours = sweep.propagate(
                init=init, init_params=parameters, act="tanh", depth=5, width=WIDTH, batch=32, seed=seed
            )
            for name in (*FORWARD, *BACKWARD):
                if name not in ours or ours[name].isna().all():
                    continue
                size = ours["rms"] if name == "mean" else ours[name].abs()
                size = size * 0 + 1 if name in ("sample_cosine", "neuron_corr") else size  # of cosines
                off = (own[name].to_numpy() - ours[name].to_numpy()) / np.maximum(size.to_numpy(), 1e-6)
                assert np.nanmax(np.abs(off)) < 1e-5, name
                assert own[name].isna().tolist() == ours[name].isna().tolist(), name


def test_a_grid_is_a_study_with_a_report_and_is_resumed(probe, tmp_path):
    grid = ("--input", "8,3,8,8", "--init", "default,zeros,big_normal")
    status, said = probe("conv", *grid, "--study", "mine")
    assert status == 0
    assert "page: outputs/mine/report/index.html" in said
    cells = pd.read_parquet("outputs/mine/cells")  # as any user reads them
    assert cells["model"].tolist() == [f"{MODELS}:conv"] * 3
    assert cells[["act", "act_params", "width", "bias_std", "widths"]].isna().all(axis=None)
    assert set(cells["init"]) == {"default", "zeros", "big_normal"}
    assert (cells["batch"] == 8).all()
    layers = pd.read_parquet("outputs/mine/layers")
    one = layers[layers["cell_id"] == cells["cell_id"][0]].sort_values("layer")
    assert one["module"].tolist() == ["", "0", "2", "3", "6"]
    assert one["kind"].tolist()[1:3] == ["Conv2d + ReLU", "x + Conv2d relu Conv2d"]
    assert (cells["depth"] == 4).all()
    drawn = {path.name for path in (tmp_path / "outputs/mine/report").iterdir()}
    assert {"index.html", "std.png", "verdict.png", "layers.png", "gradients.png"} <= drawn
    page = (tmp_path / "outputs/mine/report/index.html").read_text()
    assert "The answer, by model" in page
    assert "x + Conv2d relu Conv2d" in page
    first = set(cells["cell_id"])
    status, said = probe("conv", *grid, "--study", "mine", "--seeds", "2")
    assert status == 0
    assert "6 cells, 3 stored already, 3 to compute" in said
    again = sweep.load("outputs/mine")
    assert len(again) == 6
    assert first < set(again["cell_id"])
    status, said = probe("conv", *grid, "--study", "mine", "--seeds", "2")
    assert (status, "6 cells, all stored already: nothing to compute" in said) == (0, True)


def test_a_study_of_a_model_is_read_kept_and_plotted_as_others_are(probe):
    from sweep.execution.recompute import verify  # noqa: PLC0415
    from sweep.store.upkeep import compact_study  # noqa: PLC0415

    assert (
        probe("conv", "--input", "8,3,8,8", "--init", "default,zeros", "--seeds", "2", "--no-report")[0] == 0
    )
    path = "outputs/tests.probing.studies.models.conv"
    cells, layers = sweep.load(path), sweep.load(path, "layers")
    assert sweep.load(path, columns=["model.inputs"])["model.inputs"].nunique() == 1
    compact_study(path)
    pd.testing.assert_frame_equal(sweep.load(path), cells)
    assert verify(path, set(), 10, 0)
    with pytest.warns(
        sweep.base.errors.SweepWarning, match="4 cells of models of your own keep the verdicts"
    ):
        kept = sweep.load(path, thresholds={"vanishing": 0.5})
    assert kept["verdict"].tolist() == cells["verdict"].tolist()
    assert sweep.to_xarray(cells).sizes == {"init": 2, "depth": 1, "seed": 2}
    figure = Figure()
    first, second = figure.subplots(2)
    sweep.plot.heatmap(cells, "rms", x="init", y="act", ax=first)
    assert {tick.get_text() for tick in first.get_xticklabels()} == {"default", "zeros"}
    assert len(sweep.plot.curves(layers, "rms", cells=cells, ax=second).get_lines()) >= 2


def test_tokens_and_several_inputs(probe):
    assert probe("text", "--input", "4,7", "--dtype", "int64", "--no-report")[0] == 0
    assert (
        probe(
            "Both",
            "--input",
            "4,7",
            "--input",
            "4,6",
            "--dtype",
            "int64",
            "--dtype",
            "float32",
            "--no-report",
        )[0]
        == 0
    )
    (cell,) = sweep.load("outputs/tests.probing.studies.models.Both").to_dict("records")
    assert cell["model.inputs"] == (
        '[{"below": 30, "dtype": "int64", "shape": [4, 7]}, {"dtype": "float32", "shape": [4, 6]}]'
    )
    (text,) = sweep.load("outputs/tests.probing.studies.models.text").to_dict("records")
    assert (text["dtype"], text["batch"]) == ("float32", 4)


def test_half_precision_is_the_models_too(probe):
    assert probe("chain", "--input", f"8,{WIDTH}", "--dtype", "bfloat16", "--no-report")[0] == 0
    (cell,) = sweep.load("outputs/tests.probing.studies.models.chain").to_dict("records")
    assert cell["dtype"] == "bfloat16"


def test_a_cell_that_fails_is_a_row_and_the_others_are_there(probe):
    status, said = probe(
        "Fussy", "--input", "8,8", "--init", "huge_normal,xavier", "--seeds", "2", "--no-report"
    )
    assert status == 1
    assert "2 failed: RequestError: the model refuses these inputs at its top (Fussy): ValueError" in said
    cells = sweep.load("outputs/tests.probing.studies.models.Fussy")
    by = cells.set_index("init")
    assert set(by.loc["huge_normal", "verdict"]) == {"failed"}
    assert set(by.loc["xavier", "status"]) == {"ok"}
    assert by.loc["huge_normal", "error"].str.contains("the weights are too large").all()


def test_the_page_of_a_study_with_failures_tells_which_model_failed(probe, tmp_path):
    status, said = probe("Fussy", "--input", "8,8", "--init", "huge_normal,xavier", "--study", "mine")
    assert status == 1
    assert "page: outputs/mine/report/index.html" in said
    page = (tmp_path / "outputs/mine/report/index.html").read_text()
    assert "the weights are too large" in page
    assert f"huge_normal, model={MODELS}:Fussy(inputs=8×8), seed 0" in page


def test_another_source_is_another_cell(probe, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = (Path(__file__).parent / "models.py").read_text()
    (tmp_path / "edited_before.py").write_text(text)
    (tmp_path / "edited_after.py").write_text(text.replace("x + self.norm2", "x + 2 * self.norm2"))
    ids = []
    for name in ("edited_before", "edited_after"):
        shutil.rmtree("outputs", ignore_errors=True)
        assert probe(f"{name}:conv", "--input", "4,3,8,8", "--study", "s", "--no-report")[0] == 0
        ids += sweep.load("outputs/s")["model.source"].tolist()
    assert ids[0] != ids[1]  # make() is the same, a class that it uses is not


def test_another_source_of_what_a_class_inherits_from_is_another_source(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "import torch\n\nclass Base(torch.nn.Module):\n    def forward(self, x):\n        return 1 * x\n\n"
        "class Own(Base):\n    pass\n"
    )
    (tmp_path / "base_before.py").write_text(text)
    (tmp_path / "base_after.py").write_text(text.replace("1 * x", "2 * x"))
    makers = [Maker(f"{name}:Own") for name in ("base_before", "base_after")]
    one, other = (maker.source_of(maker.made(0)) for maker in makers)
    assert one != other


def test_a_model_that_hands_on_its_inputs_has_them_as_its_outputs(probe):
    assert probe("unchanged", "--input", "8,6", "--no-report")[0] == 0
    layers = sweep.load("outputs/tests.probing.studies.models.unchanged", "layers")
    assert list(layers["kind"]) == ["input", "Identity"]
    assert layers["rms"].nunique() == layers["delta_rms"].nunique() == 1
    assert layers[["grad_rms", "theory_rms"]].isna().all(axis=None)


def test_what_a_seed_draws_is_the_same_in_every_run(probe):
    for study in ("a", "b"):
        assert (
            probe("conv", "--input", "4,3,8,8", "--study", study, "--init", "default,kaiming", "--no-report")[
                0
            ]
            == 0
        )
    one, other = (sweep.load(f"outputs/{study}").drop(columns=["seconds", "run_id"]) for study in ("a", "b"))
    pd.testing.assert_frame_equal(one, other)


REFUSED = {
    "no such function": (("conf", "--input", "4,3,8,8"), "has no 'conf'; did you mean 'conv'?"),
    "no such module": (("no_such_models:make", "--input", "4"), "cannot import no_such_models"),
    "no function": (("torch", "--input", "4"), "torch is a module, not a function"),
    "no module made": (("no_module", "--input", "4"), "returns int, not a torch.nn.Module"),
    "a call that raises": (("broken", "--input", "4"), "broken raised OSError: no such checkpoint"),
    "a call that leaves": (("leaves", "--input", "4"), "leaves raised SystemExit: 0"),
    "a wrong shape": (("conv", "--input", "4,5,8,8"), r"the model refuses these inputs at 0 (Conv2d)"),
    "no numbers": (("conv", "--input", "4,x"), "--input 4,x: give sizes, the batch first"),
    "a size of 0": (("conv", "--input", "0,3,8,8"), "every size must be at least 1"),
    "a typo": (("conv", "--input", "4,3,8,8", "--init", "kaimin"), "did you mean 'kaiming'?"),
    "a parameter": (("conv", "--input", "4,3,8,8", "--init", "normal:std=-1"), "init.std=-1"),
    "a distribution": (
        ("conv", "--input", "4,3,8,8", "--init", "torch/kaiming_normal:a=1e-3:mode=out"),
        "unknown init.mode 'out': did you mean 'fan_out'?",
    ),
    "of the data": (("conv", "--input", "4,3,8,8", "--init", "lsuv"), "draws without data"),
    "none to draw": (
        ("bare", "--input", "4,3", "--init", "xavier"),
        "has no weights that a scheme could draw",
    ),
    "no vocabulary": (("conv", "--input", "4,3", "--dtype", "int64"), "--vocabulary N"),
    "two precisions": (
        ("conv", "--input", "4", "--input", "4", "--dtype", "float16", "--dtype", "float32"),
        "a model computes in one of them",
    ),
    "a dtype": (("conv", "--input", "4,3,8,8", "--dtype", "float8"), "dtype"),
    "no device": (("conv", "--input", "4,3,8,8", "--device", "gpu"), "--device gpu"),
    "no seeds": (("conv", "--input", "4,3,8,8", "--seeds", "0"), "seeds must be a whole number, at least 1"),
    "a study": (("conv", "--input", "4,3,8,8", "--study", "../x"), "a study is a folder name under root"),
    "no input": (("conv",), "the following arguments are required: --input"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_wrong_request_is_one_line_and_nothing_is_written(what, probe, tmp_path):
    arguments, says = REFUSED[what]
    status, said = probe(*arguments)
    assert status == 2
    assert says in said
    assert len(said.strip().splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_a_dry_run_lists_the_weights_and_writes_nothing(probe, tmp_path):
    status, said = probe("text", "--input", "4,7", "--dtype", "int64", "--init", "xavier", "--dry-run")
    assert status == 0
    assert "1.weight [16, 16]: drawn, fan_in 16, fan_out 16" in said
    assert "0.weight: left, an embedding's table" in said
    assert not any(tmp_path.iterdir())


def test_without_torch_the_extra_is_named(probe, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert probe("conv", "--input", "4,3,8,8") == (
        2, "sweep: sweep.probe needs torch, which is not installed: pip install 'sweep[torch]'\n"
    )  # fmt: skip


def test_several_models_are_one_study(probe):
    assert probe("chain", "--input", f"8,{WIDTH}", "--study", "s", "--no-report")[0] == 0
    assert probe("conv", "--input", "8,3,8,8", "--study", "s")[0] == 0
    cells = sweep.load("outputs/s")
    assert sorted(cells["model"]) == [f"{MODELS}:chain", f"{MODELS}:conv"]
    assert sorted(cells["depth"]) == [4, 5]
    page = Path("outputs/s/report/index.html").read_text()
    assert "1 init × 2 models × 1 seed" in page


def test_beside_our_own_networks(probe):
    """One study may hold both; nothing of either is lost or drawn as the other."""
    sweep.run(init="xavier", act="tanh", depth=[2, 3], width=16, batch=8, seed=0, study="s", quiet=True)
    status, _ = probe("conv", "--input", "8,3,8,8", "--study", "s")
    assert status == 0
    cells = sweep.load("outputs/s")
    assert len(cells) == 3
    assert cells["act"].isna().sum() == 1
    sweep.run(init="xavier", act="tanh", depth=[2, 3, 4], width=16, batch=8, seed=0, study="s", quiet=True)
    assert len(sweep.load("outputs/s")) == 4
    assert sweep.to_xarray(sweep.load("outputs/s")).sizes["act"] == 2


def test_a_caption_of_models_that_share_nothing_has_no_empty_part(probe):
    for batch, dtype in ((8, "float32"), (4, "float64")):
        sizes = ("--input", f"{batch},3,8,8", "--dtype", dtype)
        assert probe("conv", *sizes, "--study", "mine", "--no-report")[0] == 0
    cells, layers = sweep.load("outputs/mine"), sweep.load("outputs/mine", "layers")
    figure = curves.figures(with_stand_ins(cells), layers)["layers"]
    caption = " ".join(figure._supxlabel.get_text().split())
    assert ", ;" not in caption
    assert "depth 4; sweep " in caption


def test_the_figure_of_one_model_is_headed_with_its_name_and_no_width(probe):
    assert probe("text", "--input", "4,7", "--dtype", "int64", "--no-report")[0] == 0
    path = "outputs/tests.probing.studies.models.text"
    cells, layers = with_stand_ins(sweep.load(path)), sweep.load(path, "layers")
    figure = network.picture(cells.iloc[0], layers)
    assert figure._suptitle.get_text() == f"default, model={MODELS}:text(inputs=4×7 int64): depth 2"
