"""Constraints for pip: every plain dependency of pyproject.toml at the lowest version that it allows.

    python .ci/lowest.py > lowest.txt && pip install -c lowest.txt .

A version without a wheel for this Python gives way to the next that has one. What they need in turn, and
the tools that test them, are as in constraints.txt.
"""

import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).parents[1]
PROJECT, CONSTRAINTS = ROOT / "pyproject.toml", ROOT / "constraints.txt"


def lowest(requirement: Requirement) -> str:
    """The lowest released version within the bounds that installs without a compiler."""
    command = [sys.executable, "-m", "pip", "index", "versions", requirement.name]
    wheels = [] if requirement.name == "hydra-core" else ["--only-binary", ":all:"]
    said = subprocess.run([*command, *wheels], capture_output=True, text=True, check=True).stdout
    (listed,) = re.findall(r"^Available versions: (.*)$", said, re.MULTILINE)
    return min(requirement.specifier.filter(filter(_is_version, listed.split(", "))), key=Version)


def _is_version(text: str) -> bool:
    """Whether it is one by today's rules; some of old are none."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def main() -> None:
    """Print them."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    requirements = list(map(Requirement, project["dependencies"]))
    with ThreadPoolExecutor(4) as threads:
        for requirement, version in zip(requirements, threads.map(lowest, requirements), strict=True):
            print(f"{requirement.name}=={version}", flush=True)
    names = {requirement.name for requirement in requirements}
    for line in CONSTRAINTS.read_text(encoding="utf-8").splitlines():
        if canonicalize_name(line.partition("==")[0]) not in names:
            print(line)


if __name__ == "__main__":
    main()
