import signal

import pytest

from sweep import interrupts
from sweep.command import guarded


def interrupt_myself(number):
    signal.raise_signal(
        number
    )  # in this thread, at once: os.kill may choose another, that waits for its turn
    for _ in range(1000):  # the handler runs between two bytecodes of the main thread
        pass


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_an_interrupt_is_one_line_and_its_status(capsys, number, status, word):
    before = signal.getsignal(number)
    assert guarded(lambda: interrupt_myself(number) or 0) == status
    assert capsys.readouterr().err == f"sweep: {word}\n"
    assert signal.getsignal(number) == before


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
