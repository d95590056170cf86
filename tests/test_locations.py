"""Stores in folders and behind URLs: created once, listed by time, and clear about what fails."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pytest_aibench.cache import spool_dir
from pytest_aibench.errors import UserError
from pytest_aibench.results import locations
from pytest_aibench.results.locations import LocalStore, RemoteStore, Store, open_store, pending
from pytest_aibench.results.store import keep_run, push, read_run, run_name, write_run
from tests.records import benchmark, run_of

NAME = "runs/2026/03/01/20260301T233000Z-01JD8ZZZZZZZZZZZZZZZZZZZZZ.json"
URL = "memory://bucket/records"

fsspec = import_module("fsspec")  # it has no types


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Caches, spools and a remote of its own for each test."""
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    remote = fsspec.filesystem("memory")
    yield
    remote.store.clear()
    remote.pseudo_dirs[:] = [""]


@pytest.fixture(params=["folder", "file URL", "memory URL", "other URL"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store of each kind."""
    places = {
        "folder": str(tmp_path / "store"),
        "file URL": (tmp_path / "a store").as_uri(),
        "memory URL": URL,
        "other URL": f"local://{tmp_path}/behind",
    }
    return open_store(places[request.param])


def test_a_file_comes_back_as_it_was_created(store: Store) -> None:
    store.create(NAME, b"one")
    assert store.fetch(NAME).read_bytes() == b"one"
    assert [(file.name, file.size_bytes) for file in store.files()] == [(NAME, 3)]
    assert store.where(NAME).startswith(store.location)


def test_nothing_is_overwritten(store: Store) -> None:
    store.create(NAME, b"one")
    with pytest.raises(FileExistsError):
        store.create(NAME, b"two")
    assert store.fetch(NAME).read_bytes() == b"one"


def test_an_empty_store_has_no_files(store: Store) -> None:
    store.check()
    assert store.files() == []


def test_files_are_listed_by_time_with_what_lies_beside_them(store: Store) -> None:
    names = [
        "runs/2025/12/31/20251231T235959Z-B.json",
        "runs/2026/03/01/20260301T100000Z-A.json",
        "runs/2026/03/01/20260301T100000Z-A.samples.npz",
    ]
    for name in reversed(names):
        store.create(name, b"x")
    store.create("runs/notes.txt", b"mine")
    store.create("elsewhere/2026/03/01/1.json", b"mine")
    assert [file.name for file in store.files()] == names


def test_deleting(store: Store) -> None:
    store.create(NAME, b"one")
    store.delete(NAME)
    store.delete(NAME)
    assert store.files() == []


def test_another_file_has_another_stamp(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create(NAME, b"one")
    (before,) = store.files()
    os.utime(store.fetch(NAME), ns=(1, 1))
    (after,) = store.files()
    assert before.stamp != after.stamp


def test_a_remote_file_is_downloaded_once() -> None:
    store = RemoteStore(URL)
    store.create(NAME, b"one")
    first = store.fetch(NAME)
    store.delete(NAME)
    assert RemoteStore(URL + "/").fetch(NAME) == first
    assert first.read_bytes() == b"one"


def test_names_cannot_leave_the_cache() -> None:
    remote = fsspec.filesystem("memory")
    remote.store["/bucket/records/runs/1/2/../../../../x.json"] = None
    remote.store["/bucket/records/runs/1/2/3/a\\..\\b.json"] = None
    remote.find = lambda *_, **__: {name: {"size": 1} for name in remote.store}
    try:
        assert RemoteStore(URL).files() == []
    finally:
        del remote.find


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RemoteStore(URL)
    store.create(NAME, b"one")
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "blocked"))
    with pytest.raises(UserError, match="name another folder with AIBENCH_CACHE") as caught:
        store.fetch(NAME)
    assert str(caught.value).startswith(f"cannot keep a copy in {tmp_path / 'blocked'}")


def test_a_url_of_no_known_kind() -> None:
    with pytest.raises(UserError, match="cannot open nothing://x: Protocol not known: nothing"):
        open_store("nothing://x")


def test_without_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(UserError) as caught:
        open_store("s3://bucket/x")
    assert str(caught.value) == (
        'a store at s3://bucket/x needs fsspec: pip install "pytest-aibench[remote]"'
    )


def test_local_stores_do_without_fsspec(tmp_path: Path) -> None:
    code = (
        f"import sys; from {locations.__name__} import open_store; store = open_store(sys.argv[1])"
        "; store.create('runs/1/1/1/1.json', b''); print('fsspec' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class Offline:
    """A file system that answers every call with an error of its own."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object, **__: object) -> None:
            raise self._error

        return fail


def offline(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(locations, "_file_system", lambda url: (Offline(error), "/bucket"))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(101, "Network is unreachable"), "network is unreachable"),
        (RuntimeError("Unable to locate credentials\nsecond line"), "Unable to locate credentials"),
        (KeyError(), "KeyError"),
    ],
)
def test_offline(monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str) -> None:
    offline(monkeypatch, error)
    store = open_store("s3://bucket")
    store.check()
    acts = (store.files, lambda: store.create(NAME, b""), lambda: store.fetch(NAME))
    for act in (*acts, lambda: store.delete(NAME)):
        with pytest.raises(UserError) as caught:
            act()
        assert str(caught.value) == f"cannot reach s3://bucket: {reason}"


def test_a_remote_that_reports_existing_files_by_another_error() -> None:
    """S3 answers a failed precondition with an error that is mapped to EINVAL."""
    store = RemoteStore(URL)
    store.create(NAME, b"one")

    class Strict:
        exists = staticmethod(lambda path: True)

        @staticmethod
        def pipe_file(path: str, content: bytes, mode: str) -> None:
            assert mode == "create"
            raise OSError(22, "At least one of the pre-conditions you specified did not hold")

    store._system = Strict
    with pytest.raises(FileExistsError):
        store.create(NAME, b"two")


def test_what_a_remote_does_not_take_waits_and_is_pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(benchmark("a.py::test"))
    with monkeypatch.context() as patch:
        offline(patch, OSError(101, "Network is unreachable"))
        where, problem = keep_run(open_store(URL), run)
        assert push() == ([], [f"cannot reach {URL}: network is unreachable"])
    assert problem == (
        f"cannot reach {URL}: network is unreachable; this record waits in {where}: "
        "send it with `aibench push`"
    )
    assert Path(where).is_relative_to(spool_dir())
    assert list(pending()) == [URL]

    assert push() == ([f"{URL}/{run_name(run)}"], [])
    assert not Path(where).exists()
    assert read_run(open_store(URL).fetch(run_name(run))) == run
    assert push() == ([], [])


def test_what_a_folder_does_not_take_is_pushed_too(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    store = open_store(tmp_path / "store")
    keep_run(store, run_of())
    (tmp_path / "store").unlink()
    assert push() == ([store.where(run_name(run_of()))], [])


def test_a_push_that_was_stopped_goes_on() -> None:
    """The record was sent, but is still in the spool."""
    store = open_store(URL)
    spool = locations.spool_of(store)
    spool.wait_for(store)
    for place in (store, spool):
        write_run(place, run_of())
    assert push() == ([store.where(run_name(run_of()))], [])
    assert spool.files() == []


def test_a_push_overwrites_nothing() -> None:
    store = open_store(URL)
    spool = locations.spool_of(store)
    spool.wait_for(store)
    write_run(store, run_of())
    write_run(spool, run_of(benchmark("a.py::test")))
    name = run_name(run_of())
    there, here = store.where(name), spool.where(name)
    assert push() == (
        [],
        [f"{there} is there already and differs from {here}: delete one of them"],
    )
    assert len(spool.files()) == 1


def test_a_record_is_kept_even_when_the_spool_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "blocked").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "blocked"))
    where, problem = keep_run(open_store(tmp_path / "blocked"), run_of())
    assert problem.endswith(f"; this record is in {where}")
    assert read_run(Path(where)) == run_of()


def test_links_and_odd_names_do_not_stop_a_listing(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.create(NAME, b"one")
    day = store.fetch(NAME).parent
    (day / "1-loop.json").symlink_to(day / "1-loop.json")
    (day.parent / "02").symlink_to(day.parent)
    (day / "2-line\nbreak.json").write_text("x")
    os.close(os.open(os.fsencode(day) + b"/3-\xff.json", os.O_CREAT))
    names = [file.name.rpartition("/")[2] for file in store.files()]
    assert names == ["1-loop.json", "2-line\nbreak.json", NAME.rpartition("/")[2], "3-\udcff.json"]
