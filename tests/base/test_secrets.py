"""No line, no log and no record repeats what nobody is to read."""

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import sweep
from sweep.base.errors import RequestError, SweepWarning, UserCodeError
from sweep.base.secrets import hidden
from sweep.experiment.outcomes.outcome import Failure

SECRETS = (
    "s3://K:SECRET@b", "s3:/K:SECRET@b", "s3:///K:SECRET@b", r"s3\://K:SECRET@b", "s3://K:SECRET{q@b",
    's3://K:SECRET"q@b', "s3://K:a SECRET@b", "s3://k:s/SECRET@b/x", "s3://k:123/SECRET@b", "ftp://SECRET@host/p",
    "simplecache::s3://key:se/SECRET@b/x", "s3://K:a@SECRET@b", "s3://K:a?SECRET@b", "S3://K:SECRET@b",
    "file://u:SECRET@h/x", "https://h/x?sig=SECRET", "https://h:80/x?a=1&sig=SECRET", "s3://K:SECRET",
    "tcp://user:SECRET@127.0.0.1:1",
)  # fmt: skip
ADDRESSES = (
    "s3://bucket/a@b", "s3://bucket/a:b@c", "http://host:8080/a", "http://[::1]:8080/a", "file:///a:b/c",
    "file:///tmp/x@y", "s3://${oc.env:BUCKET}/x", "data:1", "tcp://127.0.0.1:8786: nobody answers (a: b)",
    "is it s3://x?", "s3://", "see https://docs.org: it says so", "C:/a@b", "error: /x@y",
)  # fmt: skip


@pytest.mark.parametrize("url", SECRETS)
def test_a_secret_is_hidden_and_the_rest_of_the_line_is_not(url):
    line = f"cannot read 'root={url}' (nothing of it): quote it"
    shown = hidden(line)
    assert "SECRET" not in shown
    assert shown.startswith("cannot read 'root=")
    assert shown.endswith("(nothing of it): quote it")
    assert hidden(shown) == shown
    for error in (RequestError(line), SweepWarning(line), UserCodeError(line)):
        assert str(error) == str(pickle.loads(pickle.dumps(error))) == shown
    assert hidden("s3://K:SECRET@b/x, s3://K:SECRET@c\nand a@d") == "s3://…@b/x, s3://…@c\nand a@d"


@pytest.mark.parametrize("text", ADDRESSES)
def test_signs_of_an_address_are_no_secret(text):
    assert hidden(text) == text


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1))
@example("]?")
@example("a]/b")
def test_whatever_a_password_is_made_of_nothing_of_it_is_shown(password):
    line = f"'s3://key:{password}@bucket/x' is wrong"
    if "::" not in password:
        assert hidden(line) == "'s3://…@bucket/x' is wrong"


DOORS = (
    ("sweep", "-m", "root={0},{0}"), ("sweep", "root=[{0}]"), ("sweep", "+root={0}"), ("sweep", "{0}"),
    ("sweep", "-m", "executor={0}"), ("sweep", "grid={0}"), ("sweep", "max_memory={0}"),
    ("sweep", "shard={0}"),
    ("sweep", "--config-dir", "{0}"), ("sweep", "--config-name", "{0}"), ("sweep", "--nothing", "{0}"),
    ("sweep.status", "outputs/a", "{0}"), ("sweep.report", "outputs/a", "{0}"), ("sweep.report", "{0}"),
    ("sweep.report", "outputs/a", "--only", "{0}"), ("sweep.report", "outputs/a", "--to={0}"),
    ("sweep.verify", "outputs/a", "--cells", "{0}"), ("sweep.compact", "{0}"), ("sweep.recommend", "{0}"),
    ("sweep.recommend", "relu", "--param", "a={0}"), ("sweep.activations", "{0}"),
    ("sweep.initializers", "{0}"),
)  # fmt: skip


@pytest.mark.parametrize("door", DOORS, ids=" ".join)
def test_no_door_takes_a_secret_and_none_repeats_it(sweep_command, tmp_path, door):
    module, *arguments = door
    url = "s3://K:SECRET{q@b" if module == "sweep" else "https://h/x?sig=SECRET"
    done = sweep_command(*(argument.format(url) for argument in arguments), module=module)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, ""), done.stderr
    assert "a URL must not hold a user" in done.stderr
    assert "SECRET" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["shard=${oc.env:URL}"],
        ["executor=${oc.env:URL}"],
        ["root=${oc.env:URL}"],
        ["-m", "dtype=${oc.env:URL},float32"],
        ["-m", "act=custom", "act.function=own.bent", "act.kwargs.beta=${oc.env:URL},2"],
        ["act=custom", "act.function=own.bent", "act.kwargs.beta=[{a: ${oc.env:URL}}]"],
        ["--config-dir=conf", "grid=own", "-m"],
        ["--config-dir=conf", "grid=bad", "-m"],
    ],
    ids=" ".join,
)
def test_a_secret_of_the_environment_or_of_a_file_is_not_written_down(sweep_command, tmp_path, arguments):
    (tmp_path / "own.py").write_text("def bent(z, beta=1.0):\n    return z\n")
    (tmp_path / "conf" / "grid").mkdir(parents=True)
    url = "s3://K:SECRET@b"
    (tmp_path / "conf" / "grid" / "own.yaml").write_text(f"name: own\naxes: {{depth: 2}}\nnote: {url}\n")
    (tmp_path / "conf" / "grid" / "bad.yaml").write_text(f"name: own\naxes: {{depth: [2\nnote: {url}\n")
    done = sweep_command(*arguments, "report=false", URL=url)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "SECRET" not in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_what_a_users_function_says_of_a_secret_is_no_part_of_a_row():
    def load():
        raise ValueError("cannot get https://h/x?sig=SECRET\nnor s3://K:SECRET@b")

    try:
        load()
    except ValueError as error:
        failure = Failure.of(error)
    assert "https://h/x?…" in failure.message
    assert "SECRET" not in failure.message + failure.traceback.replace("raise ValueError(", "#").split("#")[0]


def test_python_is_told_no_secret_either():
    for call in (
        lambda: sweep.load("s3://K:SECRET@b"),
        lambda: sweep.recommend("relu", study="s3://K:SECRET@b"),
        lambda: sweep.propagate(init="s3://K:SECRET@b"),
    ):
        with pytest.raises(RequestError) as error:
            call()
        assert "SECRET" not in str(error.value)
