"""The index: what the records say, however they come and go, and whatever lies among them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.results import index as index_module
from pytest_aibench.results.identity import SeriesKey, factors, series_keys
from pytest_aibench.results.index import Index, Point
from pytest_aibench.results.locations import LocalStore, RemoteStore, Store
from pytest_aibench.results.schema import Environment, Metric, Run, to_json
from pytest_aibench.results.store import new_run_id, read_run, write_run
from tests.records import benchmark, run_of, stored

OUT = "move it out of the store"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def run_with(value: float, day: int = 1, *, test: str = "test", **changes: Any) -> Run:
    """A run of one benchmark with one figure."""
    figure = Metric(value=value, low=value - 1, high=value + 1, n=100, better="lower")
    entry = replace(benchmark(f"a.py::{test}"), metrics={"p99_ms": figure})
    started_at = f"2026-03-{day:02}T10:00:00+00:00"
    run = run_of(entry, run_id=new_run_id())
    return replace(run, **{"started_at": started_at, **changes})


def key_of(run: Run) -> SeriesKey:
    (key,) = series_keys(run)
    return key


def values(store: Store, key: SeriesKey, last: int | None = None) -> list[float]:
    with Index.opened(store) as index:
        return [point.value for point in index.points(key, last)]


def skipped(store: Store) -> dict[str, str]:
    with Index.opened(store) as index:
        return index.skipped()


def environment(commit: str, **sw: str) -> Environment:
    subject = {"commit": commit, "branch": "main", "dirty": True}
    return Environment(
        hw={"cpu_model": "x"}, unit={"hostname": "h"}, sw=sw, subject=subject, harness={}, state={}
    )


def test_a_point_says_all_about_a_run(store: LocalStore) -> None:
    run = run_with(5.0, environment=environment("c0ffee", torch="2.9"), group_id="shards")
    write_run(store, run)
    with Index.opened(store) as index:
        assert index.series() == [key_of(run)]
        (point,) = index.points(key_of(run))
    assert point == Point(
        run_id=run.run_id,
        group_id="shards",
        started_at=run.started_at,
        commit="c0ffee",
        branch="main",
        dirty=True,
        value=5.0,
        low=4.0,
        high=6.0,
        n=100,
        better="lower",
        invalid="",
        factors=factors(run),
    )
    assert point.session == "shards"
    assert point._replace(group_id="").session == run.run_id


def test_points_are_in_the_order_of_their_start(store: LocalStore) -> None:
    for value, day in ((3.0, 3), (1.0, 1), (2.0, 2)):
        write_run(store, run_with(value, day))
    key = key_of(run_with(0.0))
    assert values(store, key) == [1.0, 2.0, 3.0]
    assert values(store, key, last=2) == [2.0, 3.0]
    write_run(store, run_with(1.5, started_at="2026-03-01T23:30:00-01:00"))
    assert values(store, key) == [1.0, 1.5, 2.0, 3.0]


def test_runs_that_started_together_are_all_there(store: LocalStore) -> None:
    for value in range(5):
        write_run(store, run_with(float(value)))
    assert sorted(values(store, key_of(run_with(0.0)))) == [0, 1, 2, 3, 4]


def test_latest_of_several_series(store: LocalStore) -> None:
    keys = [key_of(run_with(0.0, test=test)) for test in "ab"]
    for day in (1, 2, 3):
        for test in "ab":
            write_run(store, run_with(float(day), day, test=test))
    missing = replace(keys[0], metric="p50_ms")
    with Index.opened(store) as index:
        found = index.latest([*keys, missing], last=2)
        assert {key: [p.value for p in points] for key, points in found.items()} == {
            keys[0]: [2.0, 3.0],
            keys[1]: [2.0, 3.0],
            missing: [],
        }
        assert len(index.points(keys[0])) == 3, "older runs are loaded when they are asked for"


def test_invalid_points_say_why(store: LocalStore) -> None:
    run = run_with(1.0)
    (entry,) = run.benchmarks
    write_run(store, replace(run, benchmarks=[replace(entry, verdict="invalid")]))
    with Index.opened(store) as index:
        (point,) = index.points(key_of(run))
    assert point.invalid == "the benchmark was invalid"


def test_factors_of_each_run(store: LocalStore) -> None:
    runs = [
        run_with(1.0, day, environment=environment(f"c{day}", torch=torch))
        for day, torch in ((1, "2.8"), (2, "2.8"), (3, "2.9"))
    ]
    for run in runs:
        write_run(store, run)
    with Index.opened(store) as index:
        points = index.points(key_of(runs[0]))
    assert [dict(point.factors) for point in points] == [factors(run) for run in runs]
    assert len(points[0].factors) == len(factors(runs[0]))


def test_figures_that_were_not_measured_are_no_points(store: LocalStore) -> None:
    run = run_with(1.0)
    (entry,) = run.benchmarks
    nothing = Metric(value=None, n=0, better="lower", why_open="too few queries")
    write_run(store, replace(run, benchmarks=[replace(entry, metrics={"p99_ms": nothing})]))
    with Index.opened(store) as index:
        assert index.series() == []
        assert index.skipped() == {}


def test_only_new_files_are_read(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def watched(path: Path) -> Run:
        seen.append(path.name)
        return read_run(path)

    monkeypatch.setattr(index_module, "read_run", watched)
    progress: list[tuple[int, int]] = []
    for day in (1, 2):
        write_run(store, run_with(1.0, day))
    with Index.opened(store, lambda *done: progress.append(done)):
        assert len(seen) == 2
    write_run(store, run_with(1.0, 3))
    with Index.opened(store, lambda *done: progress.append(done)):
        assert len(seen) == 3
    with Index.opened(store, lambda *done: progress.append(done)):
        assert len(seen) == 3
    assert progress == [(2, 2), (1, 1)]
    with Index.opened(store, rebuild=True):
        assert len(seen) == 6


def test_files_that_are_gone_or_changed(store: LocalStore) -> None:
    key = key_of(run_with(0.0))
    names = [write_run(store, run_with(float(day), day)) for day in (1, 2, 3)]
    assert values(store, key) == [1.0, 2.0, 3.0]
    store.delete(names[0])
    path = store.fetch(names[1])
    path.write_text(path.read_text().replace('"value":2.0', '"value":2.5'))
    os.utime(path, ns=(1, 1))
    assert values(store, key) == [2.5, 3.0]


def test_a_series_without_points_is_none(store: LocalStore) -> None:
    name = write_run(store, run_with(1.0, test="gone"))
    write_run(store, run_with(1.0))
    with Index.opened(store) as index:
        assert len(index.series()) == 2
    store.delete(name)
    with Index.opened(store) as index:
        assert index.series() == [key_of(run_with(0.0))]


def test_errors_of_others_pass_through(store: LocalStore) -> None:
    with pytest.raises(OSError, match="disk full"), Index.opened(store):
        raise OSError("disk full")


def test_a_copy_of_a_record_counts_once(store: LocalStore) -> None:
    name = write_run(store, run_with(1.0))
    copy = name.replace(".json", " (copy).json")
    store.create(copy, store.fetch(name).read_bytes())
    assert values(store, key_of(run_with(0.0))) == [1.0]
    assert skipped(store) == {
        max(name, copy): f"{max(name, copy)} has the run id of {min(name, copy)}: "
        "move one of them away"
    }


def damaged(change: Callable[[Any], None]) -> bytes:
    document = to_json(run_with(1.0))
    change(document)
    return json.dumps(document).encode()


def figure(document: Any) -> Any:
    return document["benchmarks"][0]["metrics"]["p99_ms"]


HOSTILE = {
    "truncated": (b'{"schema": "aibench.run/2", "run_id"', "truncated or not strict JSON"),
    "empty": (b"", "truncated or not strict JSON"),
    "binary": (b"\x80\x81" * 1000, "truncated or not strict JSON"),
    "deep": (b'{"a":' * 100_000, "truncated or not strict JSON"),
    "many digits": (b'{"a": ' + b"9" * 5000 + b"}", "truncated or not strict JSON"),
    "foreign": (b'{"machine_info": {}, "benchmarks": []}', "no pytest-aibench record"),
    "newer": (b'{"schema": "aibench.run/99"}', "newer schema aibench.run/99"),
    "a list": (damaged(lambda run: run.update(benchmarks={})), "is damaged"),
    "a big n": (damaged(lambda run: figure(run).update(n=10**30)), "is damaged"),
    "a big value": (damaged(lambda run: figure(run).update(value=10**400)), "is damaged"),
    "no date": (damaged(lambda run: run.update(started_at="yesterday")), "is damaged"),
    "no offset": (damaged(lambda run: run.update(started_at="2026-03-01T10:00:00")), "is damaged"),
    "half a letter": (damaged(lambda run: run.update(run_id="\ud800")), "is damaged"),
    "endless memory": (
        damaged(lambda run: run["environment"]["hw"].update(memory_gib=7.0)).replace(
            b"7.0", b"1e999"
        ),
        "is damaged",
    ),
    "odd hardware": (
        damaged(lambda run: run["environment"]["hw"].update(cpu_model=[[1]])),
        "is damaged",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_left_out_and_named(store: LocalStore, kind: str) -> None:
    content, reason = HOSTILE[kind]
    bad = "runs/2026/03/02/20260302T000000Z-BAD.json"
    store.create(bad, content)
    for day in (1, 3):
        write_run(store, run_with(float(day), day))
    assert values(store, key_of(run_with(0.0))) == [1.0, 3.0]
    for _ in range(2):
        ((name, why),) = skipped(store).items()
        assert name == bad
        assert reason in why
        assert "\n" not in why


def test_a_damaged_file_takes_no_series_with_it(store: LocalStore) -> None:
    """Its series is entered before its figure turns out to be damaged."""
    store.create("runs/2026/01/01/20260101T000000Z-BAD.json", HOSTILE["a big n"][0])
    write_run(store, run_with(1.0))
    for _ in range(2):
        assert values(store, key_of(run_with(0.0))) == [1.0]


def test_what_is_no_file_is_left_out_and_named(store: LocalStore) -> None:
    day = store.fetch(write_run(store, run_with(1.0))).parent
    (day / "1-loop.json").symlink_to(day / "1-loop.json")
    (day / "2-folder.json").mkdir()
    (day / "4-line\nbreak.json").write_text("{}")
    os.close(os.open(os.fsencode(day) + b"/5-\xff.json", os.O_CREAT))
    os.mkfifo(day / "3-pipe.json")
    found = {name.rpartition("/")[2]: why for name, why in skipped(store).items()}
    assert found == {
        "1-loop.json": f"cannot read {day}/1-loop.json: too many levels of symbolic links",
        "2-folder.json": f"cannot read {day}/2-folder.json: is a directory",
        "3-pipe.json": f"{day}/3-pipe.json is no regular file: {OUT}",
        "4-line\nbreak.json": f"{day}/4-line\nbreak.json is no pytest-aibench record: {OUT}",
        "5-\\udcff.json": "its name is no text: rename it",
    }
    assert values(store, key_of(run_with(0.0))) == [1.0]


@settings(max_examples=20)
@given(content=st.binary(max_size=40), cut=st.integers(0, 2000))
def test_no_content_stops_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cut: int
) -> None:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    whole = stored(Path(store.location), run_with(1.0, 2)).read_bytes()
    store.create("runs/2026/03/05/1.json", whole[:cut] + content + whole[cut:])
    assert 1.0 in values(store, key_of(run_with(0.0)))


def index_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache" / "index").glob("*.sqlite")
    return path


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\x00" * 99])
def test_an_index_that_is_damaged_is_built_anew(
    store: LocalStore, tmp_path: Path, content: bytes
) -> None:
    write_run(store, run_with(1.0))
    key = key_of(run_with(0.0))
    values(store, key)
    index_file(tmp_path).write_bytes(content)
    assert values(store, key) == [1.0]


def test_an_index_that_breaks_while_it_is_read(store: LocalStore, tmp_path: Path) -> None:
    write_run(store, run_with(1.0))
    with pytest.raises(UserError) as caught, Index.opened(store) as index:
        index._database.execute("SELECT absent")
    assert str(caught.value) == (
        f"cannot use the index {index_file(tmp_path)} (no such column: absent): rebuild it with "
        "`aibench index --rebuild`, or name another folder with AIBENCH_CACHE"
    )


def test_a_cache_that_cannot_be_written(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with (
        pytest.raises(UserError, match="or name another folder with AIBENCH_CACHE"),
        Index.opened(store),
    ):
        pass


def test_versions_have_their_own_indexes(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(store, run_with(1.0))
    for version in ("1", "2", "1"):
        monkeypatch.setattr(index_module, "_VERSION", version)
        assert values(store, key_of(run_with(0.0))) == [1.0]
    assert len(list((tmp_path / "cache" / "index").glob("*.sqlite"))) == 2


def test_an_open_index_does_not_change(store: LocalStore) -> None:
    key = key_of(run_with(0.0))
    write_run(store, run_with(1.0))
    with Index.opened(store) as index:
        write_run(store, run_with(2.0, 2))
        assert values(store, key) == [1.0, 2.0]
        assert [point.value for point in index.points(key)] == [1.0]


@pytest.fixture
def remote() -> Iterator[RemoteStore]:
    yield RemoteStore("memory://bucket/x")
    import_module("fsspec").filesystem("memory").store.clear()


def test_a_remote_store(remote: RemoteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(1, 6):
        write_run(remote, run_with(float(day), day))
    key = key_of(run_with(0.0))
    assert values(remote, key) == [1.0, 2.0, 3.0, 4.0, 5.0]
    # A rebuild downloads nothing again.
    monkeypatch.setattr(remote._system, "cat_file", None)
    with Index.opened(remote, rebuild=True) as index:
        assert len(index.points(key)) == 5


def test_a_remote_that_goes_away_leaves_no_file_out_for_good(
    remote: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(remote, run_with(1.0))

    def fail(path: str) -> bytes:
        raise OSError(101, "Network is unreachable")

    with monkeypatch.context() as patch:
        patch.setattr(remote._system, "cat_file", fail)
        with pytest.raises(UserError, match="cannot reach"), Index.opened(remote):
            pass
    assert values(remote, key_of(run_with(0.0))) == [1.0]


WRITER = """
import os, sys
from pathlib import Path
from pytest_aibench.results.locations import LocalStore
from pytest_aibench.results.partial import Partial, recover
from pytest_aibench.results.index import Index
from pytest_aibench.results.schema import to_json
from pytest_aibench.results.store import keep_run
from tests.test_index import run_with
store = LocalStore(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    run = run_with(1.0)
    partial = Partial(store, run)
    partial.add(to_json([]))
    where, problem = keep_run(store, run)
    assert not problem, problem
    partial.remove()
    assert recover(store) == []
with Index.opened(store) as index:
    assert not index.skipped(), index.skipped()
"""


def test_eight_writers_lose_nothing(store: LocalStore, tmp_path: Path) -> None:
    """Two machines on one store are to it what these processes are."""
    command = [sys.executable, "-c", WRITER, store.location, "100"]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(8)]
    assert [(w.communicate()[1], w.returncode) for w in writers] == [("", 0)] * 8
    with Index.opened(store) as index:
        points = index.points(key_of(run_with(0.0)))
        assert index.skipped() == {}
    assert len({point.run_id for point in points}) == 800
    left = [path.name for path in Path(store.location).rglob("*") if path.is_file()]
    assert sorted(left) == sorted([".gitignore", *(file.name[16:] for file in store.files())])
    with sqlite3.connect(index_file(tmp_path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
