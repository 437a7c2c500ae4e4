from hypothesis import example, given
from hypothesis import strategies as st

from sweep.report.frames.shortening import shortened

WORDS = st.lists(st.text("ab=.1_", min_size=1, max_size=12), min_size=1, max_size=6).map(" ".join)


@given(st.lists(st.one_of(WORDS, st.text(max_size=60)), max_size=8), st.integers(4, 40))
@example(["normal std=0.01 × tanh", "normal std=0.1 × tanh"], 16)
@example(["ab", "a…b", "axxxxxb"], 4)
def test_no_two_names_read_the_same(names, most):
    short = shortened(names, most)
    assert list(short) == list(dict.fromkeys(names))
    assert len(set(short.values())) == len(short)
    assert all(short[name] == name for name in names if len(name) <= most)


def test_what_all_have_in_common_is_left_out_and_what_tells_them_apart_stays():
    names = [
        f"variance_scaling scale={scale} distribution=truncated_normal mode=fan_avg" for scale in (1, 25)
    ]
    assert list(shortened(names, 44).values()) == [
        "variance_scaling scale=1 … mode=fan_avg",
        "variance_scaling scale=25 … mode=fan_avg",
    ]
    alike = [f"{'x' * 40}{letter}{'y' * 40}" for letter in "pq"]
    assert list(shortened(alike, 12).values()) == ["xxxx…p…yyyy", "xxxx…q…yyyy"]
