"""What MkDocs asks while it builds the site: the pages that lie outside docs/, and the reference."""

import posixpath
import re
from pathlib import Path
from typing import Any

import reference
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
# Files of the site that lie elsewhere in the repository.
BESIDE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "benchmarks.md": "benchmarks/NOTES.md",
    "tour.ipynb": "notebooks/tour.ipynb",
}
_HOMES = {source: page for page, source in BESIDE.items()}
_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are not in docs/."""
    for page, source in BESIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "reference.md", content=reference.text()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The links as they are in the repository, turned to where the site has the same files."""
    here = page.file.src_uri
    home = BESIDE.get(here, f"docs/{here}")
    return _LINK.sub(lambda found: f"]({_on_site(found[1], home, here)}", markdown)


def _on_site(link: str, home: str, here: str) -> str:
    aim = posixpath.normpath(posixpath.join(posixpath.dirname(home), link))
    page = _HOMES.get(aim) or (aim.removeprefix("docs/") if aim.startswith("docs/") else None)
    return link if page is None else posixpath.relpath(page, posixpath.dirname(here) or ".")
