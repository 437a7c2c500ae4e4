import subprocess

import pytest

from sweep.execution.workers import program
from tests.processes import ROOT


@pytest.fixture
def old_layout(tmp_path):
    """A folder that holds this program as it was before there was `sweep.execution`."""
    (tmp_path / "old" / "sweep").mkdir(parents=True)
    (tmp_path / "old" / "sweep" / "__init__.py").touch()
    return tmp_path / "old"


def test_a_script_goes_on_where_python_finds_this_program_and_ends_where_it_finds_another(
    old_layout, monkeypatch
):
    def ending(path):
        command = ["/bin/sh", "-c", f"{program.shell_check()}\nexit 3"]
        there = {"cwd": old_layout.parent, "env": {"PYTHONPATH": str(path)}}
        done = subprocess.run(command, **there, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert ending(ROOT) == (3, "")
    status, said = ending(old_layout)
    assert (status, said.count("\n")) == (program.OTHER, 1)
    assert f"the job was submitted by {program.program()}, which is not what this node has" in said
    monkeypatch.setattr(program, "KERNEL_VERSION", "other")
    assert ending(ROOT)[0] == program.OTHER
