"""A study in an object store: moto's server, which speaks S3 over loopback."""

import http.client
import http.server
import re
import sys
import threading
import time

import pandas as pd
import pytest

import sweep
from sweep.base.errors import StoreError
from sweep.store import upkeep
from sweep.store.records import runs
from sweep.store.study import Study
from tests.processes import Process, start
from tests.studies import CELLS, fail, part, write

pytest.importorskip("s3fs", reason="the extra s3 is not installed")
boto3 = pytest.importorskip("boto3", reason="moto's server is not installed")
pytest.importorskip("moto.server", reason="moto's server is not installed")

ERRORS = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}
GRID = ("-m", "grid=smoke", "init=xavier,kaiming", "act=tanh", "depth=2", "seed=0", "batch=20")
SECRET = "not-to-be-written-down"


@pytest.fixture(scope="module")
def endpoint():
    """The address of an S3 server of our own."""
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with Process(command) as server:
        url = r"Running on (http://127\.0\.0\.1:\d+)"
        yield server.until(lambda: re.search(url, server.err + server.out), "the address of moto's server")[1]


@pytest.fixture
def bucket(endpoint, monkeypatch, request):
    """The URL of an empty bucket; credentials by the environment, as AWS's own tools take them."""
    for key, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",  # of botocore's own, which pauses longer and longer
    }.items():
        monkeypatch.setenv(key, value)
    name = f"bucket-{abs(hash(request.node.name))}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
    return f"s3://{name}"


def objects(bucket, endpoint):
    client = boto3.client("s3", endpoint_url=endpoint)
    listed = client.list_objects_v2(Bucket=bucket.removeprefix("s3://")).get("Contents", [])
    return {
        one["Key"]: client.get_object(Bucket=bucket.removeprefix("s3://"), Key=one["Key"])["Body"].read()
        for one in listed
    }


def test_a_grid_in_a_bucket_is_stored_resumed_reported_and_read_like_any_other(
    sweep_command, bucket, endpoint, tmp_path
):
    first = sweep_command(*GRID, f"root={bucket}/deep")
    assert first.returncode == 0, first.stderr
    assert f"table: {bucket}/deep/smoke/cells" in first.stderr
    again = sweep_command(*GRID, f"root={bucket}/deep")
    assert "all stored already: nothing to compute" in again.stderr, again.stderr
    cells = sweep.load(f"{bucket}/deep/smoke")
    assert len(cells) == len(pd.read_parquet(f"{bucket}/deep/smoke/cells")) == 4
    assert len(sweep.load(f"{bucket}/deep/smoke", "layers")) == 4 * 3
    kept = objects(bucket, endpoint)
    assert "deep/smoke/report/std.png" in kept
    assert any(key.endswith("log.txt") and b"4 of 4 cells stored" in kept[key] for key in kept)
    assert not any(SECRET.encode() in content for content in kept.values())
    assert list(tmp_path.iterdir()) == []
    for module, says in (
        ("sweep.status", "4"),
        ("sweep.compact", "now"),
        ("sweep.verify", "4 of 4 recomputed cells"),
    ):
        done = sweep_command(f"{bucket}/deep/smoke", module=module)
        assert (done.returncode, done.stderr) == (0, "")
        assert says in done.stdout
    asked = ("--only", "heatmap", "--value", "rms")
    drawn = sweep_command(f"{bucket}/deep/smoke", *asked, module="sweep.report")
    assert (drawn.returncode, drawn.stdout.split()[0]) == (0, f"{bucket}/deep/smoke/report/rms.png")
    assert "deep/smoke/report/rms.png" in objects(bucket, endpoint)


def test_parts_in_a_bucket_keep_every_promise_of_the_store(bucket):
    study = Study(f"{bucket}/grid")
    study.check()
    with pytest.raises(StoreError, match="is not a study"):
        sweep.load(study.path)
    study.create()
    fail(study, "a-0", CELLS[0], "MemoryError: no room")
    write(study, "b-0", CELLS[:3])
    write(study, "c-0", CELLS[2:5])
    assert len(sweep.load(study.path)) == 5
    upkeep.tidy(study, runs.has_ended(study))
    upkeep.compact(study, 10**6)
    assert sorted(pd.read_parquet(f"{study.path}/cells")["cell_id"]) == sorted(one.id for one in CELLS[:5])
    write(study, "d-0", CELLS[5:6])
    study.place.remove(f"cells/{part('d-0')}")  # as if killed between the two PUTs
    assert len(sweep.load(study.path, "layers")["cell_id"].unique()) == 5
    (name,) = study.place.files("cells")
    study.place.write(f"cells/{name}", study.place.read(f"cells/{name}")[:-20])
    with pytest.raises(StoreError, match=name):
        sweep.load(study.path)


class Between(http.server.BaseHTTPRequestHandler):
    """Hands every request on to the server, but for what `server.trouble(method, path)` names."""

    protocol_version = "HTTP/1.1"  # which knows what to answer to Expect: 100-continue

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        trouble = self.server.trouble(self.command, self.path)
        if trouble in ERRORS:
            self.answer(trouble, {}, f"<Error><Code>{ERRORS[trouble]}</Code></Error>".encode())
            return
        there = http.client.HTTPConnection(self.server.behind)
        there.request(self.command, self.path, body, dict(self.headers))
        found = there.getresponse()
        kept = {k: v for k, v in found.getheaders() if k.lower() not in ("transfer-encoding", "connection")}
        content = found.read()
        there.close()
        if trouble == "cut short":
            kept["Content-Length"] = str(len(content))
            self.close_connection = True
            content = content[: len(content) // 2]
        if trouble in ("shorter", "flipped"):
            kept = {k: v for k, v in kept.items() if "checksum" not in k.lower()}  # which the store may lack
        if trouble == "late":  # as if the last object were not listed yet
            head, listed, tail = content.rpartition(b"<Contents>")
            content = head + tail.partition(b"</Contents>")[2] if listed else content
            kept["Content-Length"] = str(len(content))
        if trouble == "stalls":
            time.sleep(2)
        if trouble == "shorter":
            content = content[: len(content) // 2]
            kept["Content-Length"] = str(len(content))
        elif trouble == "flipped" and content:
            place = min(40, len(content) - 1)  # among what every reader reads
            content = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        self.answer(found.status, kept, content)

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET

    def answer(self, status, headers, body):
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def between(endpoint):
    """The address of a server before the other one; called with what is to go wrong there."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Between) as proxy:
        proxy.behind = endpoint.removeprefix("http://")
        serving = threading.Thread(target=proxy.serve_forever, daemon=True)
        serving.start()

        def address(trouble):
            proxy.trouble = trouble
            return f"http://127.0.0.1:{proxy.server_port}"

        yield address
        proxy.shutdown()
        serving.join()


def test_a_put_that_is_refused_is_one_line_and_loses_nothing(sweep_command, bucket, between):
    refusing = between(lambda method, path: 403 if method == "PUT" and "/cells/" in path else None)
    assert sweep_command(*GRID, f"root={bucket}", "report=false").returncode == 0
    done = sweep_command(*GRID[:-2], "seed=0,1", "batch=20", f"root={bucket}", AWS_ENDPOINT_URL=refusing)
    assert done.returncode == 2, done.stderr
    summary, error = done.stderr.splitlines()
    assert "8 cells, 4 stored already, 4 to compute" in summary
    assert f"cannot write to {bucket}/smoke" in error
    assert "what is stored is safe" in error
    assert len(sweep.load(f"{bucket}/smoke")) == 4
    assert len(sweep.load(f"{bucket}/smoke", "layers")["cell_id"].unique()) == 4
    again = sweep_command(*GRID[:-2], "seed=0,1", "batch=20", f"root={bucket}", "report=false")
    assert again.returncode == 0, again.stderr
    assert len(sweep.load(f"{bucket}/smoke")) == 8


@pytest.mark.parametrize(
    ("trouble", "always"), [(403, True), (403, False), (500, True), (503, False), ("cut short", True)]
)
def test_a_store_that_fails_is_named_and_no_healthy_part_is_touched(
    sweep_command, bucket, endpoint, between, trouble, always
):
    study = Study(f"{bucket}/grid")
    study.create()
    for name in "abcd":
        write(study, name, CELLS["abcd".index(name) :][:1])
    before = sweep.load(study.path)
    kept = {key: value for key, value in objects(bucket, endpoint).items() if "/runs/" not in key}
    asked = []

    def fails(method, path):
        if method != "GET" or "/cells/" not in path or ".parquet" not in path:
            return None
        asked.append(path)
        return trouble if always or len(asked) % 5 == 1 else None

    failing = between(fails)
    for module in ("sweep.status", "sweep.verify", "sweep.compact"):
        done = sweep_command(f"{bucket}/grid", module=module, AWS_ENDPOINT_URL=failing)
        assert "Traceback" not in done.stderr, done.stderr
        if always or trouble == 403:  # which is an answer; the others may pass, and are asked again
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), (module, done.stderr)
            assert re.search(r"cannot read s3://\S+/cells/\S+: .*; nothing was moved", done.stderr)
        else:
            assert done.returncode == 0, (module, done.stderr)
    assert asked
    there = {key: value for key, value in objects(bucket, endpoint).items() if "/runs/" not in key}
    assert not [key for key in there if "quarantine" in key]
    if always:
        assert there == kept
    pd.testing.assert_frame_equal(
        *(t.sort_values("cell_id", ignore_index=True) for t in (sweep.load(study.path), before))
    )


@pytest.mark.parametrize("trouble", ["late", pytest.param("stalls", marks=pytest.mark.slow)])
def test_a_store_that_lists_late_or_stalls_loses_nothing_and_counts_nothing_twice(
    sweep_command, bucket, endpoint, between, trouble
):
    asked = []

    def troubled(method, path):
        wanted = "list-type" in path if trouble == "late" else "/cells/" in path
        if method == "GET" and wanted:
            asked.append(path)
        return trouble if asked and asked[-1] == path and len(asked) % 3 == 1 else None

    slow = between(troubled)
    for seeds in ("0", "0,1", "0,1"):
        done = sweep_command(
            *GRID[:-2], f"seed={seeds}", "batch=20", f"root={bucket}", "report=false", AWS_ENDPOINT_URL=slow
        )
        assert done.returncode == 0, done.stderr
    again = sweep_command(*GRID[:-2], "seed=0,1", "batch=20", f"root={bucket}", "report=false")
    assert "8 cells, all stored already" in again.stderr, again.stderr
    cells, layers = sweep.load(f"{bucket}/smoke"), sweep.load(f"{bucket}/smoke", "layers")
    assert len(cells) == cells["cell_id"].nunique() == 8
    assert len(layers) == 8 * 3
    assert len(pd.read_parquet(f"{bucket}/smoke/cells")) == 8, "tidied, once the list is whole"
    assert not [key for key in objects(bucket, endpoint) if "quarantine" in key]


@pytest.mark.parametrize("trouble", ["shorter", "flipped"])
def test_a_damaged_body_is_a_damaged_part_in_a_line(sweep_command, bucket, between, trouble):
    study = Study(f"{bucket}/grid")
    study.create()
    for name in "abc":
        write(study, name, CELLS["abc".index(name) :][:1])
    spoiling = between(
        lambda method, path: trouble if method == "GET" and f"cells/{part('b')}" in path else None
    )
    for _ in range(3):  # it was right, once, before the process died
        done = sweep_command(f"{bucket}/grid", module="sweep.status", AWS_ENDPOINT_URL=spoiling)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert f"has a part that cannot be read: {part('b')}" in done.stderr


def test_a_bucket_that_is_not_there_is_one_line(sweep_command, bucket):
    done = sweep_command("depth=1", "width=4", "batch=5", f"root={bucket}-nowhere")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) <= 2, done.stderr  # the summary, and what is wrong
    assert "cannot write to" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_driver_killed_while_it_stores_is_resumed(bucket, tmp_path):
    command = [sys.executable, "-m", "sweep", "-m", "report=false", f"root={bucket}", "study=big"]
    started = [*command, "depth=5,10"]
    driver = start(started, tmp_path)
    study = Study(f"{bucket}/big")
    driver.until(lambda: study.place.files("cells"), "a stored part")
    driver.kill()
    stored = sweep.load(study.path)
    assert len(stored) > 0
    rest = [*command, "depth=5", "width=64", "seed=0"]
    done = start(rest, tmp_path).ended()
    assert done.returncode == 0, done.stderr
    assert set(stored["cell_id"]) <= set(sweep.load(study.path)["cell_id"])
