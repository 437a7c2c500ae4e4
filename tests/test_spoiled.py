import pytest

from tests.spoiled import torture


@pytest.mark.slow
def test_whatever_file_of_a_study_is_spoiled_nothing_is_read_wrong_and_nothing_of_others_moves():
    """`make torture` tries three hundred."""
    assert sum(torture(rounds=12, seed=2).values()) == 12
