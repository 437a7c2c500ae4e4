"""What README.md and docs/ say can be followed: links lead somewhere, commands are understood, code runs."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from sweep.execution.options import Options
from sweep.experiment.cell import Cell
from sweep.experiment.language import configs, grid
from sweep.experiment.language.overrides import checked
from sweep.kernel.statistics.table import STATISTICS
from sweep.store import tables
from tests import make
from tests.documents import PAGES, blocks, commands, reference
from tests.paths import CONF
from tests.processes import ROOT
from tests.studies import stored

LINKS = [
    (page, aim)
    for page, text in PAGES.items()
    for aim in re.findall(
        r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    )
    if "://" not in aim
]
COMMANDS = list(dict.fromkeys(line for page in PAGES for line in commands(page)))
RUNS = [line for line in COMMANDS if line.split()[2] == "sweep"]


def anchors(text):
    """As GitHub and the site make them of headings: lower case, no signs, a hyphen for each blank."""
    heads = [line.lstrip("# ") for line in text.splitlines() if re.match("#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize(("page", "aim"), LINKS)
def test_a_link_leads_somewhere(page, aim):
    path, _, anchor = aim.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    if file == ROOT / "docs" / "reference.md":  # made when the site is
        text = reference().text()
    else:
        assert file.is_file(), aim
        text = file.read_text(encoding="utf-8") if anchor else ""
    assert not anchor or anchor in anchors(text)


def test_every_page_is_in_reach_of_the_readme():
    reached, left = set(), ["README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        aims = [os.path.normpath(f"{os.path.dirname(page)}/{aim.partition('#')[0]}".lstrip("/"))  # noqa: PTH120
                for where, aim in LINKS if where == page]  # fmt: skip
        left += [aim for aim in aims if aim in PAGES and aim not in reached]
    assert set(PAGES) == reached


@pytest.fixture
def my_ideas(tmp_path, monkeypatch):
    """The module of docs/your-own.md, where Python finds it."""
    (module,) = [text for text in blocks("docs/your-own.md", "python") if text.startswith("# my_ideas.py")]
    (tmp_path / "my_ideas.py").write_text(module)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("my_ideas", None)


@pytest.mark.parametrize(
    "line", [line for line in COMMANDS if line.split()[2] == "sweep" and "--" not in line]
)
@pytest.mark.usefixtures("my_ideas")
def test_a_command_is_understood(line):
    """Its cells are found, and the settings of its run are taken; nothing is computed."""
    arguments = shlex.split(line)[3:]
    several = "-m" in arguments
    overrides = checked([argument for argument in arguments if argument != "-m"], multirun=several)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().hydra.config_loader
        mode = RunMode.MULTIRUN if several else RunMode.RUN
        config = loader.load_configuration("config", overrides, mode)
        values = configs.plain(configs.without_hydra(config))
        assert Options.of(values, default_study="single").study
        if several:
            assert len(grid.expand(loader, config, overrides))
        else:
            assert Cell.of(values).id


@pytest.mark.parametrize("line", [line for line in COMMANDS if line not in RUNS])
def test_a_command_has_the_flags_that_it_is_given(line):
    _, _, door, *arguments = shlex.split(line)
    assert door in reference().doors()
    done = subprocess.run(
        [sys.executable, "-m", door, "--help"], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    )
    for flag in (one for one in arguments if one.startswith("--")):
        assert f"{flag} " in done.stdout


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A folder with a small study, standard, of the names that the pages use."""
    folder = tmp_path_factory.mktemp("pages")
    cells = make.grid(("xavier", "kaiming"), depths=(2, 5), widths=(16, 512), batch=64)
    stored(folder / "outputs" / "standard", cells)
    return folder


SMALLER = {
    "depth=50, width=512": "depth=5, width=32",
    "width=500": "width=50",
    "width=128": "width=16",
    '"data": "mixture"': '"data": "mixture", "steps": 20',
    'depth=[5, 10], study="mine"': 'depth=[5, 10], width=32, study="mine"',
}
CODE = [page for page in PAGES if any(not text.startswith(" ") for text in blocks(page, "python"))]
# The models of this one are found by tests/probing/test_recipes.py, which looks at what they print.
CODE.remove("docs/recipes.md")


@pytest.mark.parametrize("page", CODE)
@pytest.mark.usefixtures("my_ideas")
def test_the_python_of_a_page_runs_from_its_first_line_to_its_last(page, study, monkeypatch):
    """With smaller networks where they are large; what is a line of a registry stands alone."""
    monkeypatch.chdir(study)
    names = {"sweep": __import__("sweep")}
    for text in blocks(page, "python"):
        for library in ("duckdb", "polars", "torch"):
            if f"import {library}" in text:
                pytest.importorskip(library)
        if not text.startswith(" "):
            small = text
            for large, little in SMALLER.items():
                small = small.replace(large, little)
            exec(compile(small, page, "exec"), names)


@pytest.mark.parametrize("library", ["duckdb", "polars"])
def test_other_readers_read_the_same_files(library, tmp_path, monkeypatch):
    """As the page says, also below a folder whose name other readers take for a column."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    (block,) = [code for code in blocks("docs/storage.md", "python") if f"import {library}" in code]
    folder = tmp_path / "depth=99"
    folder.mkdir()
    monkeypatch.chdir(folder)
    cells, _ = stored(folder / "outputs" / "standard", make.grid(("xavier", "kaiming"), widths=(16,)))
    block = block.replace("outputs/", f"{folder.as_posix()}/outputs/")
    *lines, last = block.strip().splitlines()
    names: dict = {}
    exec("\n".join(lines), names)
    found = eval(last, names)
    rows = found.fetchall() if library == "duckdb" else found.rows()
    medians = cells.groupby(["init", "act", "depth"])["std"].median()
    assert {tuple(row[:3]): pytest.approx(row[3]) for row in rows} == medians.to_dict()


def test_the_reference_explains_every_key_and_column():
    made = reference()
    explained = {key: said for _, key, _, said in made.settings(CONF / "config.yaml")}
    assert set(tables.axes.ALL) | set(tables.axes.RUN_KEYS) - {"verdict"} <= set(explained)
    assert {key for key, said in explained.items() if not said} == set()
    for file in (CONF / "executor").glob("*.yaml"):
        assert {key for _, key, _, said in made.settings(file) if not said} <= {"name"}, file
    assert [line for line in "\n".join(made.columns()).splitlines() if line.endswith("|  |")] == []


def test_the_reference_holds_all_that_the_program_has():
    text = reference().text()
    for name in (*reference().initializers.SCHEMES, *reference().activations.ACTIVATIONS):
        assert f"={name}`" in text
    for file in (ROOT / "sweep").glob("*.py"):
        if "guarded(main)" in file.read_text(encoding="utf-8"):
            assert f"### python -m sweep.{file.stem}\n" in text
    for name, one in STATISTICS.items():
        assert f"| `{name}` | `double` | {one.meaning} |" in text
    for function in ("load", "propagate", "recommend", "theory.predict", "plot.curves", "initializers.get"):
        assert f"### sweep.{function}\n" in text
    for file in (CONF / "grid").glob("*.yaml"):
        assert f"`grid={file.stem}`" in text


def test_a_key_is_read_with_its_section_default_and_comment(tmp_path):
    (tmp_path / "some.yaml").write_text(
        "# python -m sweep\n# Of the run.\nroot: a#b  # where | when\nlist: [1, 2]\n\n"
        "# Words.\nverdict:\n  low: 1.0e-2 # so\nhydra:\n  run:\n    dir: .\n"
    )
    assert list(reference().settings(tmp_path / "some.yaml")) == [
        ("python -m sweep Of the run.", "root", "a#b", "where | when"),
        ("python -m sweep Of the run.", "list", "[1, 2]", ""),
        ("Words.", "verdict.low", "1.0e-2", "so"),
    ]
    assert reference().table(("a", "b"), [("x", "where | when")]).splitlines()[2] == "| x | where \\| when |"


def built(folder, site):
    """The site of a checkout, as `make docs` builds it: -q would hide from --strict what it is to see."""
    pytest.importorskip("material", reason="mkdocs-material is not installed: pip install -e '.[docs]'")
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(site)],
        cwd=folder,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_site_is_built_without_a_warning_and_its_links_stay_on_it(tmp_path):
    done = built(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    for page in ("index", "reference", "glossary", "benchmarks", "cluster/index"):
        text = (tmp_path / "site" / f"{page}.html").read_text(encoding="utf-8")
        links = re.findall(r'(?:href|src)="?([^"\s>]+)', text)
        assert not [aim for aim in links if re.search(r"\.md(#|$)", aim)]
        for aim in (one.partition("#")[0] for one in links if "://" not in one and not one.startswith("#")):
            assert not aim or (tmp_path / "site" / page).parent.joinpath(aim).exists(), aim


def test_a_broken_link_fails_the_site(tmp_path):
    copied = shutil.ignore_patterns("__pycache__", "build", ".*", "outputs", "tests")
    shutil.copytree(ROOT, tmp_path / "copy", ignore=copied)
    with (tmp_path / "copy" / "docs" / "speed.md").open("a") as page:
        page.write("[one](nowhere.md) [two](#nowhere)\n")
    done = built(tmp_path / "copy", tmp_path / "site")
    assert done.returncode == 1
    assert "'nowhere.md'" in done.stderr
    assert "'#nowhere'" in done.stderr
