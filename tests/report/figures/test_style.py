"""A report has one look, whatever its user has set up for his own figures."""

import hashlib

import matplotlib as mpl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from matplotlib import pyplot

import sweep
from sweep.report.figures import style
from tests.studies import grid, stored

# The settings that a user may have, each with a value that is not the default.
_OTHER = {
    "text.usetex": True,
    "font.family": ["serif"],
    "axes.formatter.use_locale": True,
    "axes.formatter.use_mathtext": True,
    "axes.prop_cycle": "cycler('color', ['r', 'g'])",
    "image.cmap": "jet",
    "image.origin": "lower",
    "path.sketch": (1, 100, 2),
    "savefig.bbox": "tight",
    "savefig.format": "pdf",
    "savefig.dpi": 30.0,
    "figure.dpi": 40.0,
    "figure.autolayout": True,
    "axes.facecolor": "black",
    "svg.image_inline": False,
    "legend.loc": "center",
    "ytick.direction": "in",
}
_FLIPPED = [name for name, value in mpl.rcParamsDefault.items() if isinstance(value, bool)]
_SCALED = [name for name, value in mpl.rcParamsDefault.items() if isinstance(value, float)]


def _changed(name, factor):
    if name in _OTHER:
        return _OTHER[name]
    default = mpl.rcParamsDefault[name]
    return not default if isinstance(default, bool) else default * factor


_NAMES = sorted({*_OTHER, *_FLIPPED, *_SCALED})
_SETTINGS = st.dictionaries(st.sampled_from(_NAMES), st.floats(0.5, 1.5), max_size=len(_NAMES), min_size=1)
_STYLES = st.sampled_from(["default", *mpl.style.available])
_BACKENDS = st.sampled_from(["agg", "pdf", "svg", "ps", "template"])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("style") / "study"
    stored(folder, grid(("xavier",), acts=("tanh",), depths=(2, 3), widths=(8, 16), seeds=(0, 1)))
    return folder


def _files(study, to):
    drawn = sweep.report.draw(study, only=("heatmap", "theory"), to=to)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in drawn}


@pytest.fixture(scope="module")
def plain(study, tmp_path_factory):
    with mpl.rc_context():
        mpl.rcdefaults()
        return _files(study, tmp_path_factory.mktemp("plain"))


@settings(max_examples=4, phases=[Phase.explicit, Phase.reuse, Phase.generate])  # to shrink one takes minutes
@given(changes=_SETTINGS, name=_STYLES, backend=_BACKENDS)
def test_figures_are_the_same_files_whatever_style_and_backend_are_around(
    plain, study, tmp_path_factory, changes, name, backend
):
    with mpl.rc_context():
        mpl.style.use(name)
        for setting, factor in changes.items():
            try:
                mpl.rcParams[setting] = _changed(setting, factor)
            except ValueError:  # it has a bound
                continue
        mpl.use(backend)
        own, open_before = dict(mpl.rcParams), pyplot.get_fignums()
        assert _files(study, tmp_path_factory.mktemp("own")) == plain
        assert dict(mpl.rcParams) == own
        assert pyplot.get_fignums() == open_before


def test_all_of_the_users_settings_at_once_change_nothing(plain, study, tmp_path):
    with mpl.rc_context():
        for setting in _NAMES:
            try:
                mpl.rcParams[setting] = _changed(setting, 0.7)
            except ValueError:
                continue
        assert _files(study, tmp_path) == plain


def test_the_style_ends_with_its_block():
    with mpl.rc_context({"font.size": 31}):
        with style.applied():
            assert mpl.rcParams["font.size"] == 9
        assert mpl.rcParams["font.size"] == 31


@pytest.mark.parametrize("rc", ["text.usetex: True\nfont.family: serif\n", "backend: nonsense\nno.such: 3\n"])
def test_a_command_draws_and_says_the_same_with_any_rc_file_and_backend(rc, sweep_command, tmp_path):
    (tmp_path / "matplotlibrc").write_text(rc)
    grid = ("-m", "init=xavier,kaiming", "act=tanh", "depth=2", "width=8", "seed=0", "batch=20", "study=s")
    done = sweep_command(*grid, MPLBACKEND="no_such_backend", LC_ALL="tr_TR.UTF-8")
    assert done.returncode == 0, done.stderr
    assert "figures: outputs/s/report/std.png" in done.stderr
    assert not [word for word in ("Traceback", "Warning", "matplotlibrc", "nonsense") if word in done.stderr]


def test_an_exploding_study_is_drawn_without_a_warning(sweep_command):
    grid = ("-m", "init=normal", "init.std=1e30", "act=identity", "depth=20,30", "width=16", "seed=0,1")
    done = sweep_command(*grid, "batch=20", "study=s")
    assert done.returncode == 0, done.stderr
    assert "page: outputs/s/report/index.html" in done.stderr
    assert "Warning" not in done.stderr
