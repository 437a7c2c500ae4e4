import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "sweep"
# A module imports only what stands before it.
ORDER = (
    "base", "initializers", "activations", "theory", "kernel", "experiment", "store", "report", "plot",
    "execution", "recommend", "__main__", "status", "compact", "verify",
)  # fmt: skip


def imported(path):
    """The modules of this package that a file imports anywhere but for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    branches = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    for_typing = [branch for branch in branches if "TYPE_CHECKING" in ast.unparse(branch.test)]
    typing_only = [node for branch in for_typing for node in ast.walk(branch)]
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "sweep":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sweep."):
            yield node.module.split(".")[1]


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_imports_go_one_way(path):
    place = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if place == "__init__":
        return
    above = ORDER[: ORDER.index(place) + 1]
    # What can't live in one folder's own order: a sub-package may import its own parts.
    wrong = [name for name in imported(path) if name not in above or (name == place and len(path.parts) == 1)]
    assert wrong == []


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
            "import sweep.experiment.overrides",
            {"numpy", "pandas", "pyarrow", "seaborn", "scipy", "joblib", "rich"},
        ),
        (
            "from sweep.experiment.grid import expand",
            {"pandas", "pyarrow", "seaborn", "scipy", "joblib", "rich"},
        ),
        (
            "import sweep.kernel, sweep.execution.execute",
            {"pandas", "pyarrow", "seaborn", "scipy", "rich", "hydra"},
        ),
        ("import sweep.store.tables", {"pandas", "seaborn", "scipy", "rich", "hydra"}),
        ("import sweep.report.terminal", {"pandas", "pyarrow", "seaborn", "scipy", "hydra"}),
    ],
)
def test_nothing_heavy_is_imported_on_a_path_that_does_not_need_it(code, unwanted):
    assert modules_after(code) & unwanted == set()
