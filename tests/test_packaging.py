import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The wheel, built from this checkout and unpacked as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-q",
        "-w",
        str(folder),
        ".",
    ]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_runs_a_grid_from_any_folder(unpacked, tmp_path):
    """Its own modules, conf and sweeper plugin are used, not the checkout's."""
    done = subprocess.run(
        [sys.executable, "-m", "sweep", "-m", "grid=smoke", "depth=1", "report=false"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    asked = subprocess.run(
        [sys.executable, "-c", "from sweep.experiment.language import conf; print(conf.folder())"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert asked.stdout.strip() == str(unpacked / "sweep" / "conf")


def test_the_wheel_carries_the_pages_parts(unpacked):
    page = unpacked / "sweep" / "report" / "page" / "assets"
    assert {path.suffix for path in page.iterdir()} >= {".html", ".css", ".js"}
