"""What is typed becomes the values that plain Python would give, or one plain line."""

import sys
from decimal import Decimal
from unittest import mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sweep.base.errors import RequestError
from sweep.execution.options import Options
from sweep.experiment.language import grammar
from sweep.experiment.language.overrides import checked

# What Hydra and its parser say of a text that they cannot read.
JARGON = (
    "mismatched", "extraneous", "viable", "token", "expecting", "EOF", "QUOTED_VALUE", "BRACKET", "hydra.cc",
    "Error parsing", "while evaluating", "struct", "incompatible", "NoneType", "Exception",
)  # fmt: skip


def read(argument):
    (typed,) = grammar.parse([argument])
    return grammar.values(typed, lambda group: [])


ORDERS = ("", "sort", "reverse", "shuffle", "int", "float", "tag")
whole = st.integers(-50, 50)
decimals = st.decimals(-5, 5, places=2, allow_nan=False).map(str)


@settings(max_examples=60)
@given(
    whole,
    whole,
    whole.filter(bool),
    st.sampled_from(["", "sort", "reverse", "shuffle", "int", "float", "tag"]),
)
def test_every_order_of_a_range_of_whole_numbers_is_python_s(start, stop, step, order):
    written = f"range({start},{stop},{step})"
    expected = list(range(start, stop, step))
    calls = {"": "{}", "reverse": "sort({},reverse=true)", "tag": "tag(one,{})"}
    found = read(f"depth={calls.get(order, order + '({})').format(written)}")
    if order == "shuffle":
        found, expected = sorted(found), sorted(expected)
    if order in ("sort", "reverse"):
        expected = sorted(expected, reverse=order == "reverse")
    assert found == expected
    assert all(type(value) is (float if order == "float" else int) for value in found)


@settings(max_examples=60)
@given(decimals, decimals, decimals, st.booleans(), st.booleans())
def test_a_range_of_decimals_is_as_typed_whatever_its_order(start, stop, step, ordered, reverse):
    assume(Decimal(step))
    assume(any("." in number and Decimal(number) % 1 for number in (start, stop, step)))
    expected, value = [], Decimal(start)
    while (value < Decimal(stop)) if Decimal(step) > 0 else (value > Decimal(stop)):
        expected.append(float(value))
        value += Decimal(step)
    written = f"range({start},{stop},{step})"
    if ordered:
        written, expected = f"sort({written},reverse={reverse})", sorted(expected, reverse=reverse)
    assert read(f"bias_std={written}") == expected


def test_the_range_that_hydra_sorts_wrongly_and_its_kind():
    assert read("width=sort(range(8,15,4),reverse=true)") == [12, 8]
    assert read("width=sort(range(15,8,-4))") == [11, 15]
    assert read("width=sort(shuffle(range(0,9,4)))") == [0, 4, 8]
    assert read("width=range(1,3),range(5,7),9") == [1, 2, 5, 6, 9]
    assert read("depth=int(range(0,2,0.5))") == [0, 0, 1, 1]
    assert (
        sorted(read("depth=shuffle(range(1000))")) == list(range(1000)) != read("depth=shuffle(range(1000))")
    )


def study_of(name, *more):
    """What `study=name` becomes on its way through Hydra's grammar."""
    from hydra.core.override_parser.overrides_parser import OverridesParser  # noqa: PLC0415

    (argument,) = checked([f"study={name}"], multirun=False)
    value = OverridesParser.create().parse_override(argument).value()
    config = {"study": value, "root": "outputs", "n_jobs": 1, "histogram": None, "max_memory": None}
    config |= {"executor": {"name": "local"}, "shard": None, "verdict": {}}
    flags = ("dry_run", "retry_failed", "overwrite", "fail_fast", "report")
    return Options.of(config | dict.fromkeys(flags, False), default_study="default").study


@pytest.mark.parametrize(
    "name",
    [
        "2026_11_25",
        "1e3",
        "007",
        "true",
        "NULL",
        "nan",
        "0x1f",
        "1_000.5",
        "-0"[1:],
        "1:30",
        "on",
        "été",
        "a/b/1_0",
    ],
)
def test_a_study_s_name_is_kept_as_it_is_typed(name):
    assert study_of(name) == name


@given(st.text("0123456789_eE.xnaif", min_size=1, max_size=9))
def test_any_name_of_letters_and_digits_is_kept_as_it_is_typed(name):
    assume(not name.startswith("."))
    assume(name != "null")
    assert study_of(name) == name


def test_a_name_that_readers_take_for_a_column_is_refused():
    for name in ("depth=99", "a/seed=1", "=", "a="):
        with pytest.raises(RequestError, match="for a column of the table"):
            study_of(name)
    assert study_of("null") == "default"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("init =xavier", "a key cannot contain spaces: write init=xavier"),
        ("depth=[1", "'[' is never closed: its ']' is missing"),
        ("depth=1]", "unmatched ']'"),
        ("depth='1", "the quote ' is never closed"),
        ("depth=rang(3)", "unknown function 'rang': did you mean 'range'? functions: range, choice"),
        ("depth=range(a,b)", "depth=range(a,b): not a range: write range(start,stop,step) with numbers"),
        ("depth=range(0,inf)", "not a range"),
        ("depth=range(1,2,3,4)", "write range(start,stop,step) with numbers"),
        ("depth=sort(1,a)", "these values cannot be sorted"),
        ("depth=2,,3", "a value is missing next to a comma"),
        ("depth=choice()", "the choice is empty; give it at least one value"),
        ("depth 3", "write key=value, as in depth=20"),
        ("de!pth=3", "a key is a name"),
        ("act.function=ü", "quote a value that contains more than letters"),
        ("depth=[range(0,3)],3", "are several values; a list cannot hold them"),
        ("depth=" + "9" * 5000, "a value cannot have so many digits"),
    ],
)
def test_what_cannot_be_read_is_said_in_the_words_of_who_typed_it(argument, message):
    with pytest.raises(RequestError) as error:
        read(argument)
    assert message in str(error.value)
    assert not [word for word in JARGON if word in str(error.value)]


keys = st.sampled_from(
    ["depth", "width,batch", "init", "init.std", "study", "widths", "act", "seed", "n_jobs", "x"]
)
overrides = st.one_of(
    st.tuples(keys, st.text("0123,.()[]{}'\"\\ =:$abexnul-+*%éσ\t", max_size=14)).map("=".join),
    st.tuples(
        keys,
        st.sampled_from(["range", "sort", "choice", "glob", "int", "bool", "str", "tag", "shuffle", "foo"]),
        st.text("0123,.()ab= *'", max_size=9),
    ).map(lambda parts: f"{parts[0]}={parts[1]}({parts[2]})"),
    st.text(max_size=12),
)


@settings(max_examples=150)
@given(st.lists(overrides, min_size=1, max_size=2), st.booleans())
def test_any_override_is_taken_or_refused_in_one_plain_line_and_nothing_is_written(
    tmp_path_factory, arguments, multirun
):
    from tests.fuzz import status_of  # noqa: PLC0415

    assume(not any(argument.startswith("-") for argument in arguments))
    root = tmp_path_factory.mktemp("root")
    before = sys.argv[:]
    more = ["grid=smoke", f"root={root}/there", "dry_run=false"]
    try:
        with mock.patch("sweep.execution.pipeline.run", return_value=0):
            status, said = status_of([*(["-m"] if multirun else []), *arguments, *more])
    finally:
        sys.argv[:] = before
    assert status in (0, 2)
    assert list(root.iterdir()) == []
    if status:
        assert len(said.splitlines()) == 1, said
        typed = " ".join(arguments)
        assert not [word for word in JARGON if word in said and word not in typed], said
