"""The table holds what was measured; words and advice say what it tells and what not."""

import re

import matplotlib as mpl
import pytest

import sweep

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[peers]'")
from matplotlib.figure import Figure  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from sweep.kernel.draws import streams  # noqa: E402
from tests.documents import blocks  # noqa: E402
from tests.probing.coordinates.networks import inputs, plain  # noqa: E402

WIDTHS = (16, 32, 64)


def check(make=plain, given=None, **options):
    settings = {"widths": WIDTHS, "lr": 1e-3, "seeds": 2} | options
    return sweep.coord_check(make, inputs(4) if given is None else given, **settings)


def rms(tensor):
    return float(tensor.double().square().mean().sqrt())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_change_is_the_rms_of_what_training_adds_to_an_output(optimizer):
    """To 1e-4: a change of 1e-3 of outputs in float32."""
    x, (width, seed) = inputs(4), (32, 1)
    torch.manual_seed(seed)
    model = plain(width)
    outputs = []
    for module in model:
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, __, out: outputs[-1].append(out.detach().clone()))
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](model.parameters(), lr=1e-3)
    g = torch.from_numpy(streams.upstream_gradient([0], 16, 10)[0])
    for _ in range(4):
        outputs.append([])
        loss = (g * model(x)).sum() / 16
        kind.zero_grad()
        loss.backward()
        kind.step()
    table = check(optimizer=optimizer).table
    own = table[(table["width"] == width) & (table["seed"] == seed)]
    for step in (1, 3):
        changes = [rms(b.double() - a.double()) for a, b in zip(outputs[0], outputs[step], strict=True)]
        found = own[own["step"] == step]
        assert found["change"].tolist() == pytest.approx(changes, rel=1e-4)
        assert found["size"].tolist() == pytest.approx([rms(one) for one in outputs[0]], rel=1e-6)


def test_dropout_drops_the_same_before_and_after():
    """Else changes would be of order 1 however small lr is."""

    def make(width):
        return nn.Sequential(nn.Linear(4, width), nn.Dropout(0.5), nn.Linear(width, 3))

    table = check(make).table
    assert (table["change"] / table["size"]).max() < 0.05


def test_a_module_that_is_called_several_times_has_one_row_of_all_its_calls():
    class Again(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.fc, self.again, self.head = nn.Linear(4, width), nn.Linear(width, width), nn.Linear(width, 3)

        def forward(self, x):
            h = self.fc(x)
            for _ in range(3):
                h = torch.relu(self.again(h))
            return (7, {"here": self.head(h)})

    checked = check(Again)
    assert checked.slopes["module"].tolist()[::2] == ["fc", "again", "head"]
    assert len(checked.table) == 3 * 2 * 2 * len(WIDTHS)


def test_norms_and_biases_have_no_rows_and_relus_may_work_in_place():
    def make(width, inplace=True):
        return nn.Sequential(
            nn.Linear(4, width), nn.LayerNorm(width), nn.ReLU(inplace), nn.Linear(width, 3, bias=False)
        )

    checked = check(make)
    assert checked.slopes["module"].tolist() == ["0", "0", "3", "3"]
    assert checked.table.equals(check(lambda width: make(width, inplace=False)).table)


def test_a_checkpoint_that_calls_modules_again_on_the_way_back_changes_nothing():
    class Checkpointed(nn.Module):
        def __init__(self, width):
            super().__init__()
            self.body = plain(width)

        def forward(self, x):
            return checkpoint(self.body, x, use_reentrant=False)

    found, plainly = check(Checkpointed).table, check().table
    assert found["change"].tolist() == pytest.approx(plainly["change"].tolist())


def test_a_layer_that_does_not_change_is_said():
    def make(width):
        model = plain(width)
        model[0].requires_grad_(False)
        return model

    checked = check(make)
    assert checked.slopes["word"].tolist()[:2] == ["unchanged"] * 2
    assert checked.slopes["slope"].isna().tolist()[:2] == [True] * 2
    assert "0: no change at all: frozen" in checked.advice


def test_a_readout_of_zeros_passes_nothing_back_at_first():
    def make(width):
        model = plain(width)
        nn.init.zeros_(model[-1].weight)
        return model

    checked = check(make, lr=0.1)
    first = checked.slopes[checked.slopes["step"] == 1]
    assert first["word"].tolist()[:3] == ["unchanged"] * 3
    assert (checked.table[checked.table["step"] == 3]["change"] > 0).all()


def test_changes_that_are_not_finite_are_marked():
    checked = check(lr=1e30)
    assert "not finite" in checked.slopes["word"].tolist()
    assert checked.table["change"].max() == float("inf")
    assert not checked.table["change"].isna().any()
    assert checked.verdict == "unknown"
    assert "not finite" in checked.advice
    assert "not finite" in repr(checked)


def test_changes_that_are_rounding_are_marked_and_float64_tells_them():
    checked = check(lr=1e-8)
    assert set(checked.slopes["word"]) == {"rounded"}
    assert checked.verdict == "unknown"
    assert "float64 in make and inputs" in checked.advice
    wide = check(lambda width: plain(width).double(), inputs(4).double(), lr=1e-8)
    assert "rounded" not in set(wide.slopes["word"])


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_lr_that_is_too_large_is_said_and_the_one_that_is_named_is_not(optimizer):
    checked = check(optimizer=optimizer, lr=0.02)
    (line,) = [one for one in checked.advice.splitlines() if one.startswith("lr=0.02 is too large")]
    lr = float(line.rpartition("lr=")[2])
    assert 0 < lr < 0.02
    assert "too large" not in check(optimizer=optimizer, lr=lr).advice
    assert "too large" in check(optimizer=optimizer, lr=4 * lr).advice


def test_an_optimizer_of_which_nothing_is_known_has_no_expected_slopes():
    checked = check(optimizer=torch.optim.RAdam)
    assert checked.slopes[["expected", "limit"]].isna().all(axis=None)
    assert checked.verdict == "unknown"


def test_any_loss_may_be_used():
    """Here one whose gradient at the outputs is of order 1 / samples, as that of ours is."""
    target = torch.arange(16) % 10
    checked = check(
        loss=lambda out: nn.functional.cross_entropy(out, target),
        lr=0.01,
        widths=(64, 128, 256, 512),
        seeds=3,
    )
    assert checked.slopes["limit"].tolist()[::2] == [-0.5, 0.5, 0.5, 1]
    assert checked.verdict == "standard"


def test_it_is_read_as_a_table_with_a_line_of_what_it_means():
    checked = check(seeds=3)
    lines = repr(checked).splitlines()
    assert lines[0].split() == [
        "module",
        "kind",
        "role",
        "slope",
        "1",
        "slope",
        "3",
        "±",
        "expected",
        "limit",
    ]
    assert [line.split()[:3] for line in lines[1:5]] == [
        ["0", "Linear", "input"],
        ["2", "Linear", "hidden"],
        ["4", "Linear", "hidden"],
        ["6", "Linear", "output"],
    ]
    assert lines[5].startswith(f"{checked.verdict}: ")


def test_the_page_prints_what_comes_out(monkeypatch):
    """Its words and, to 0.05 for other machines' sums, its numbers."""
    results = []

    def kept(*args, **kwargs):
        results.append(sweep_check(*args, **kwargs))
        return results[-1]

    sweep_check = sweep.coord_check
    monkeypatch.setattr(sweep, "coord_check", kept, raising=False)
    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    names = {}
    for code in blocks("docs/coordinates.md", "python"):
        exec(compile(code, "docs/coordinates.md", "exec"), names)
    pyplot.close("all")
    printed = blocks("docs/coordinates.md", "text")
    assert len(results) == len(printed) == 2
    for result, text in zip(results, printed, strict=True):
        for mine, theirs in zip(repr(result).split(), text.split(), strict=True):
            if re.fullmatch(r"-?\d+\.\d+", theirs):
                assert float(mine) == pytest.approx(float(theirs), abs=0.05)
            else:
                assert re.sub(r"[\d.]+$", "", mine) == re.sub(r"[\d.]+$", "", theirs)


def test_the_figure_has_a_line_a_layer_and_both_axes_are_logarithmic():
    checked = check(seeds=3)
    ax = checked.plot(Figure().subplots())
    assert [one.get_label() for one in ax.get_lines()] == [
        "0 (input)",
        "2 (hidden)",
        "4 (hidden)",
        "6 (output)",
    ]
    last = checked.table[(checked.table["step"] == 3) & (checked.table["module"] == "2")]
    means = last.groupby("width")["change"].agg(lambda values: values.prod() ** (1 / len(values)))
    assert ax.get_lines()[1].get_ydata() == pytest.approx(means.to_numpy())
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    low, high = ax.get_ylim()
    assert high >= 99.9 * low
    assert checked.verdict in ax.get_title()


def test_the_figure_of_many_layers_has_a_look_a_role_and_goes_onto_current_axes():
    mpl.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415

    ax = check(lambda width: plain(width, depth=9), steps=(1,)).plot()
    assert ax is pyplot.gca()
    assert len(ax.get_lines()) == 11
    assert [one.get_text() for one in ax.get_legend().get_texts()] == ["input", "hidden", "output"]
    pyplot.close("all")
    assert check(lr=1e30).plot(Figure().subplots()).get_lines()
