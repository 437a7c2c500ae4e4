"""What a stored number came from: program, commit and the libraries that matter."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("numpy", "scipy", "joblib", "pyarrow", "hydra-core")


@lru_cache(maxsize=1)
def provenance() -> dict[str, str]:
    """Names and versions; 'commit' only where the program runs from a checkout."""
    found = {"program": "sweep", "version": _version("sweep"), "python": platform.python_version()}
    found |= {library: _version(library) for library in _LIBRARIES if _version(library)}
    checkout = Path(__file__).parents[2]
    if (checkout / ".git").exists():
        try:
            asked = subprocess.run(
                ["git", "rev-parse", "HEAD"],
                cwd=checkout,
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            )
            found["commit"] = asked.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass  # no git here, or no commit yet: the versions stand alone
    return found


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
