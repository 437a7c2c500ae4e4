"""What a stored number came from: program, commit and the libraries that matter."""

import contextlib
import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("numpy", "scipy", "joblib", "pyarrow", "hydra-core")


@lru_cache(maxsize=1)
def provenance() -> dict[str, str]:
    """Names and versions; 'commit' only where the program runs from a checkout."""
    facts = {"program": "sweep", "version": _version("sweep"), "python": platform.python_version()}
    facts |= {library: known for library in _LIBRARIES if (known := _version(library))}
    checkout = Path(__file__).parents[2]
    if (checkout / ".git").exists():
        command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
        # Without git, or before the first commit, the versions stand alone.
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            facts["commit"] = subprocess.check_output(
                command, stderr=subprocess.PIPE, text=True, timeout=10
            ).strip()
    return facts


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
