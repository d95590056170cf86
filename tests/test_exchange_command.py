"""``aibench export`` and ``aibench import``: where texts go, what is said, and mistakes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_aibench.cli import main
from pytest_aibench.results.index import Index
from pytest_aibench.results.locations import LocalStore
from tests.records import benchmark, run_of, stored, stored_files
from tests.test_formats import BERT, GOLDEN, RUN, bert

STORE = ["--store", "records"]


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    stored(tmp_path / "records", RUN)
    return LocalStore(tmp_path / "records")


def golden(name: str) -> str:
    return (GOLDEN / name).read_text("utf-8")


def test_one_file_is_printed(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "bencher", *STORE]) == 0
    assert capsys.readouterr() == (golden("bencher/aibench-bmf.json"), "")


def test_what_is_left_out_is_said_on_stderr(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "pytest-benchmark", RUN.run_id, *STORE]) == 0
    shown = capsys.readouterr()
    assert shown.out == golden(f"pytest-benchmark/aibench-{RUN.run_id}.json")
    assert shown.err == "left out: canary: host_loop_ms and 2 more\n"


@pytest.mark.parametrize("output", ["out/bmf.json", "out", "out/"])
def test_one_file_goes_where_the_output_says(
    output: str, store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(output, "aibench-bmf.json") if output.endswith("/") else Path(output)
    assert main(["export", "bencher", "-o", output, *STORE]) == 0
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert path.read_text("utf-8") == golden("bencher/aibench-bmf.json")


def test_a_folder_that_is_there_takes_one_file(store: LocalStore, tmp_path: Path) -> None:
    assert main(["export", "csv", "-o", str(tmp_path), *STORE]) == 0
    assert (tmp_path / "aibench.csv").read_bytes() == golden("csv/aibench.csv").encode()


def test_several_files_go_to_a_folder(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "asv", "-o", "results", *STORE]) == 0
    paths = [line.removeprefix("wrote ") for line in capsys.readouterr().out.splitlines()]
    assert len(paths) == 3
    assert all(Path(path).read_text("utf-8") == golden(f"asv/{path[8:]}") for path in paths)


def test_several_runs(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    later = replace(run_of(bert(p99_ms=1.0)), run_id="01M92JFGBSJS9FQS5Q2FPJNDPK")
    file = stored(store.desk, later)
    assert main(["export", "junit", RUN.run_id, str(file), *STORE]) == 0
    assert capsys.readouterr().out.count("<testsuite ") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["asv"], "asv makes 3 files: name a folder for them with -o"),
        (["csv", "nothing"], "no records in {store} are called 'nothing': give a path"),
        (["csv", "-o", "records/runs/"], ""),
        (["csv", "-o", "file/x.csv"], "cannot write file/x.csv: "),
    ],
)
def test_mistakes_in_an_export(
    arguments: list[str], message: str, store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").touch()
    assert main(["export", *arguments, *STORE]) == (2 if message else 0)
    assert message.format(store=store.location) in capsys.readouterr().err


def test_nothing_for_the_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "records", run_of(benchmark("a.py::test")))
    assert main(["export", "pytest-benchmark", *STORE]) == 2
    assert capsys.readouterr().err == (
        "left out: without a time: a.py::test\n"
        "aibench: the runs hold nothing for pytest-benchmark: name other runs\n"
    )


def test_unknown_formats_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "excel"])
    assert "invalid choice: 'excel'" in capsys.readouterr().err


def test_imported_files_become_a_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = tmp_path / "first.json"
    shutil.copy(GOLDEN / "imported.json", first)
    later = tmp_path / "later.json"
    document = json.loads(first.read_text("utf-8"))
    later.write_text(json.dumps({**document, "datetime": "2026-11-21T08:30:00+00:00"}), "utf-8")
    assert main(["import", str(first), str(later), *STORE]) == 0
    files = stored_files(tmp_path / "records")
    assert capsys.readouterr().out.splitlines() == [
        f"imported {path}: 1 benchmarks, {file}"
        for path, file in zip((first, later), files, strict=True)
    ]
    with Index.opened(LocalStore(tmp_path / "records")) as index:
        assert [len(index.points(key)) for key in index.series()] == [2] * 5
    assert main(["history", "--all", *STORE]) == 0
    shown = capsys.readouterr().out
    assert "tests/test_sort.py::test_sort[10] p50_ms on cpu-AMD-EPYC-2c: 2 runs, now 1.2" in shown


def test_a_file_is_imported_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["import", str(GOLDEN / "imported.json"), *STORE]) == 0
    (file,) = stored_files(tmp_path / "records")
    run_id = file.stem.rpartition("-")[2]
    said = f"imported before: {GOLDEN / 'imported.json'} is run {run_id}"
    assert capsys.readouterr().out.splitlines()[1] == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read x.json: no such file or directory; name another file"),
        ("{", "cannot import x.json (Expecting property name"),
        ("[" * 100_000, "cannot import x.json ("),
        ("{}", "x.json is of no known format: give a file of pytest-benchmark"),
        (
            '{"machine_info": 1, "commit_info": 1, "benchmarks": 1, "datetime": 1}',
            "cannot import x.json (not built as pytest-benchmark does: AttributeError",
        ),
    ],
)
def test_mistakes_in_an_import(
    text: str | None, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if text is not None:
        Path("x.json").write_text(text, "utf-8")
    assert main(["import", "x.json", *STORE]) == 2
    assert message in capsys.readouterr().err


def test_a_record_that_the_store_refuses_waits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "records").touch()
    assert main(["import", str(GOLDEN / "imported.json"), *STORE]) == 0
    shown = capsys.readouterr()
    assert str(tmp_path / "data") in shown.out
    assert "send it with `aibench push`" in shown.err


def test_exported_benchmarks_keep_their_node_ids(capsys: pytest.CaptureFixture[str]) -> None:
    stored(Path("records"), run_of(bert(time_to_quality_s=2.0)))
    assert main(["export", "pytest-benchmark", *STORE]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["benchmarks"]
    assert entry["fullname"] == f"{BERT}[cuda:1-fp16]"
