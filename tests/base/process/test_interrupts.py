import signal
import subprocess
import sys

import pytest

from sweep.base.process import interrupts
from sweep.base.process.command import guarded
from tests.processes import ROOT, start


def interrupt_myself(number):
    signal.raise_signal(
        number
    )  # in this thread, at once: os.kill may choose another, that waits for its turn
    for _ in range(1000):  # the handler runs between two bytecodes of the main thread
        pass


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 143, "terminated"),
    ],
)
def test_an_interrupt_is_one_line_and_its_status(capsys, number, status, word):
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)  # who started the tests may have had it ignored, as nohup does
    try:
        assert guarded(lambda: interrupt_myself(number) or 0) == status
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, before)
    assert capsys.readouterr().err == f"sweep: {word}\n"


@pytest.mark.parametrize(
    ("module", "imported"), [("sweep", "argparse"), ("sweep.status", "argparse"), ("sweep", "yaml")]
)
def test_ctrl_c_while_python_imports_is_one_line_and_its_status(tmp_path, module, imported):
    (tmp_path / f"{imported}.py").write_text("open('importing', 'w').close()\nimport time\ntime.sleep(600)\n")
    process = start(
        [sys.executable, "-m", module], tmp_path, environment={"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    )
    process.until((tmp_path / "importing").exists, "the import")
    process.signal(signal.SIGINT)
    done = process.ended()
    assert (done.returncode, done.stderr) == (130, "sweep: interrupted\n")


def test_what_must_not_be_cut_in_two_is_not():
    done = []

    def command():
        with interrupts.held():
            with interrupts.held():
                interrupt_myself(signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("never")
        return 0

    assert guarded(command) == 143
    assert done == ["inner", "outer"]


def test_who_handles_a_signal_already_keeps_it():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        assert guarded(lambda: interrupt_myself(signal.SIGTERM) or 0) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


TWICE = """
import signal
from sweep.base.process import interrupts
from sweep.base.process.command import guarded

def command():
    with interrupts.held():
        signal.raise_signal(signal.SIGINT)
        print("first", flush=True)
        signal.raise_signal(signal.SIGINT)
        print("second", flush=True)

guarded(command)
"""


def test_a_second_ctrl_c_ends_at_once():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "first\n")
    assert done.stderr == "sweep: interrupted twice: ended at once\n"


def test_one_ctrl_c_after_another_command_is_the_first(capsys):
    for _ in range(2):
        assert guarded(lambda: interrupt_myself(signal.SIGINT) or 0) == 130
    assert capsys.readouterr().err == "sweep: interrupted\n" * 2
