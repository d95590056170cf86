"""The command ``aibench``: what it prints, its exit status, and no traceback for mistakes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from pytest_aibench.bounds import Estimate, Violation, at_least, judge
from pytest_aibench.cli import COMMANDS, main
from pytest_aibench.results.schema import json_schema, to_json
from tests.records import benchmark, run_of, stored

TOP1 = judge("top1", Estimate(value=0.98, by_value=True), at_least(0.97))


@pytest.fixture(autouse=True)
def _columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.metadata, "version", {"pytest-aibench": "1.2.3"}.__getitem__)
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == "aibench 1.2.3\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown and command.help in shown for name, command in COMMANDS.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "aibench: error: the following arguments are required: COMMAND"),
        (["sho"], "invalid choice: 'sho'"),
        (["show", "--stor3"], "unrecognized arguments: --stor3"),
    ],
)
def test_usage_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json_schema()
    jsonschema.Draft202012Validator(printed).validate(to_json(run_of(benchmark("a.py::test"))))


def test_show_latest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = Violation(rule="lost completion", evidence="query 7")
    broken = benchmark("a.py::test_it[digits-offline]", "invalid", TOP1)
    broken.violations.append(lost)
    passed = benchmark("a.py::test_it[digits-server-50qps]", "passed", TOP1)
    stored(tmp_path, run_of(passed, broken))
    assert main(["show", "--store", str(tmp_path)]) == 0
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        "run 01JD8ZZZZZZZZZZZZZZZZZZZZZ, started 2026-03-01T23:30:00+00:00",
        "benchmark            device    precision    quality           speed    verdict",
        "-------------------  --------  -----------  ----------------  -------  ---------",
        "digits-server-50qps  cpu       fp32         top1 0.98 ≥ 0.97  -        passed",
        "digits-offline       cpu       fp32         top1 0.98 ≥ 0.97  -        invalid",
        "digits-offline invalid: lost completion: query 7",
    ]


def test_show_a_run_by_id_and_by_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(benchmark("a.py::test_it"))
    path = stored(tmp_path, run)
    for name in (run.run_id, str(path)):
        assert main(["show", name, "--store", str(tmp_path)]) == 0
        assert capsys.readouterr().out.startswith(f"run {run.run_id}, ")


def test_mistakes_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--store", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"aibench: no records in {tmp_path}: run benchmarks first or name the store with --store\n"
    )


def aibench(*arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "pytest_aibench.cli", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


def test_a_terminal_that_knows_only_ascii(tmp_path: Path) -> None:
    stored(tmp_path, run_of(benchmark("a.py::test_it", "passed", TOP1)))
    command = aibench("show", "--store", str(tmp_path), PYTHONIOENCODING="ascii")
    out, err = command.communicate()
    assert (command.returncode, err) == (0, b"")
    assert b"top1 0.98 \\u2265 0.97" in out


def test_a_reader_that_leaves_early() -> None:
    command = aibench("schema")
    assert command.stdout is not None
    command.stdout.close()
    _, err = command.communicate()
    assert (command.returncode, err) == (1, b"")


def test_help_is_quick() -> None:
    heavy = "{'importlib.metadata', 'json', 'numpy', 'pytest', 'tabulate', 'torch'}"
    code = (
        "import sys, pytest_aibench.cli as cli\n"
        "try: cli.main(['--help'])\n"
        f"except SystemExit: print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
