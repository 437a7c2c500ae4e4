import ast
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.store.records import files

PACKAGE = Path(__file__).parents[1] / "sweep"
# A package imports only those before it; doors, which are all that lies directly in sweep/, any.
ORDER = (
    "base", "initializers", "activations", "theory", "kernel", "experiment", "store", "report", "probing",
    "execution",
)  # fmt: skip
FILES = sorted(PACKAGE.rglob("*.py"))

# Where alone a library is imported, even for type checkers.
HOMES = {
    "pyarrow": ["store"],
    "omegaconf": ["experiment", "__main__"],
    "joblib": ["execution/workers", "report/sheets"],
    "loky": ["execution/workers"],
    "distributed": ["execution/workers/dask"],
    "dask": ["execution/workers/dask"],
    "submitit": ["execution/workers/slurm"],
    "matplotlib": ["report", "plot"],
    "seaborn": ["report"],
    "numba": ["kernel/passes"],
    "llvmlite": ["kernel/passes"],
    "torch": ["probing"],
}


def imported(path, typing=True):
    """What a file imports, as ("sweep", "base", "errors"); typing: also what type checkers alone see."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    branches = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    for_typing = [branch for branch in branches if "TYPE_CHECKING" in ast.unparse(branch.test)]
    left_out = [] if typing else [node for branch in for_typing for node in ast.walk(branch)]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in left_out:
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield from ((*(node.module or "").split("."), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import) and node not in left_out:
            yield from (tuple(alias.name.split(".")) for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    place = path.relative_to(PACKAGE).with_suffix("").parts
    names = {module[1] for module in imported(path, typing=False) if module[0] == "sweep"}
    if len(place) > 1 and place[-1] != "__main__":
        assert names <= {*ORDER[: ORDER.index(place[0]) + 1]}
    elif place != ("__init__",):
        assert names <= {*ORDER}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_is_imported_in_its_own_stage_alone(path):
    place = path.relative_to(PACKAGE).with_suffix("")
    for library in HOMES.keys() & {module[0] for module in imported(path)}:
        assert any(place.is_relative_to(home) for home in HOMES[library]), library


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_records_know_the_names_of_their_files(path):
    text = path.read_text(encoding="utf-8")
    if path.parent.name != "records":
        strings = {node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)}
        names = {files.COMMAND, files.OVERRIDES, files.THRESHOLDS, files.PLAN, files.SUMMARY, files.LOG}
        names |= {files.EARLIER_PLAN} | (
            {files.CONFIG} if path.parent.name != "language" else set()
        )  # conf's
        assert strings.isdisjoint(names)


def test_what_lies_in_the_package_is_a_stage_or_a_door():
    there = {
        path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert there - {*ORDER} == {
        "__init__", "__main__", "compact", "plot", "probe", "recommend", "status", "verify",
    }  # fmt: skip


def modules_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import sweep", {"numpy", "pandas", "hydra", "pyarrow", "seaborn", "scipy", "joblib", "rich"}),
        (
            "import sweep.experiment.language.overrides",
            {"numpy", "pandas", "pyarrow", "seaborn", "scipy", "joblib", "rich"},
        ),
        (
            "from sweep.experiment.language.grid import expand",
            {"pandas", "pyarrow", "seaborn", "scipy", "joblib", "rich"},
        ),
        (
            "import sweep.kernel, sweep.execution.workers.local",
            {"pandas", "pyarrow", "seaborn", "scipy", "rich", "hydra"},
        ),
        ("import sweep.store.tables", {"pandas", "seaborn", "scipy", "rich", "hydra"}),
        ("import sweep.report.terminal", {"pandas", "pyarrow", "seaborn", "scipy", "hydra"}),
    ],
)
def test_nothing_heavy_is_imported_on_a_path_that_does_not_need_it(code, unwanted):
    assert modules_after(code) & unwanted == set()


def test_the_first_picture_needs_neither_seaborn_nor_what_the_page_is_made_with(tmp_path):
    asked = ["sweep", "depth=2", "width=8", "batch=9", f"root={tmp_path}"]
    after = modules_after(f"sys.argv = {asked}; from sweep.__main__ import _main; _main(sys.argv[1:])")
    assert "matplotlib" in after
    assert [*tmp_path.glob("single/report/cell-*.png")]
    assert (
        after & {"seaborn", "scipy", "jinja2", "vl_convert", "joblib.externals.loky.process_executor"}
        == set()
    )
