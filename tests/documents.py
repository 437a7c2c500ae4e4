"""README.md and the pages of docs/, as tests look at them."""

import importlib.util
import re
import sys

from tests.processes import ROOT

PAGES = {
    file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}
README = PAGES["README.md"]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(page, language=""):
    """The fenced blocks of a page in a language; those of commands have none."""
    return [text for said, text in _FENCE.findall(PAGES[page]) if said == language]


def commands(page):
    """The commands of a page's blocks, each a line without its comment."""
    lines = [line for text in blocks(page) for line in text.splitlines()]
    return [re.sub(r" +# .*", "", line) for line in lines if line.startswith("python -m sweep")]


def table(page, first):
    """The squares of the table whose first head is `first`, a list for each row."""
    lines = PAGES[page].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([square.strip() for square in line.strip("|").split("|")])
    return rows


def reference():
    """docs/reference.py, which is no module of any package."""
    if "reference" not in sys.modules:
        spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
        sys.modules["reference"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["reference"]
