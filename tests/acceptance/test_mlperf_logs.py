"""MLPerf's options from the command line to the files: logs, ``user.conf`` and modes.

The logs are read here by rules of their own, not by the package's reader.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = """
import numpy as np
import pytest
from pytest_aibench import MultiStream, Offline, Server, SingleStream, Users, at_least, at_most
from tiny import right

SCENARIOS = [
    SingleStream(min_duration="20 ms", min_queries=200),
    MultiStream(min_duration="20 ms", min_queries=700),
    Server(target_qps=2000, latency_bound="1 s", min_duration="20 ms", percentile=0.9),
    Offline(samples=20_000, min_duration="1 ms"),
]

def floats(samples):
    return [np.float32(answer) for answer in right(samples)]

@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.dataset("tiny")
def test_tiny(loadgen, scenario, dataset):
    result = loadgen.run(floats, dataset, scenario)
    result.require(top1=at_least(0.9), p90=at_most("1 s"), throughput=at_least("1 samples/s"))
"""
OTHERS = """
@pytest.mark.dataset("tiny")
def test_twice(loadgen, dataset):
    for count in (1, 2):
        loadgen.run(floats, dataset, SingleStream(min_duration="1 ms")).require(p90=at_most("1 s"))

@pytest.mark.dataset("tiny")
def test_users(loadgen, dataset):
    loadgen.run(floats, dataset, Users(count=2, min_duration="1 ms")).require(p90=at_most("1 s"))
"""
PREFIX = "mlperf_log_"


@pytest.fixture
def benchmarks(project: pytest.Pytester) -> pytest.Pytester:
    """The project, with a benchmark of each scenario."""
    project.makepyfile(test_tiny=BENCHMARKS)
    return project


def folder_of(root: Path, scenario: str) -> Path:
    (folder,) = (path for path in root.iterdir() if f"-{scenario}-" in path.name)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name.removeprefix(PREFIX) for path in folder.iterdir())


def detail(folder: Path) -> dict[str, Any]:
    """The last value of each key of the detail log."""
    text = (folder / f"{PREFIX}detail.txt").read_text()
    lines = [json.loads(line.removeprefix(":::MLLOG ")) for line in text.splitlines()]
    return {line["key"]: line["value"] for line in lines}


def headline(folder: Path, label: str) -> str:
    """What stands behind a label of the summary."""
    text = (folder / f"{PREFIX}summary.txt").read_text()
    (found,) = re.findall(rf"^{re.escape(label)}\s*: (.*)$", text, re.MULTILINE)
    return str(found)


SCENARIOS = {
    "single_stream": (
        "SingleStream",
        "90.0th percentile latency (ns)",
        "early_stopping_latency_ss",
    ),
    "multi_stream": ("MultiStream", "99.0th percentile latency (ns)", "early_stopping_latency_ms"),
    "server-2000qps": (
        "Server",
        "Completed samples per second",
        "result_completed_samples_per_sec",
    ),
    "offline": ("Offline", "Samples per second", "result_samples_per_second"),
}


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "xdist"])
def test_logs_of_every_scenario(benchmarks: pytest.Pytester, workers: list[str]) -> None:
    result = benchmarks.runpytest("--aibench-mlperf-logs=logs", *workers)
    result.assert_outcomes(passed=4)
    logs = benchmarks.path / "logs"
    assert len(list(logs.iterdir())) == 4
    for scenario, (name, label, figure) in SCENARIOS.items():
        folder = folder_of(logs, scenario)
        assert names(folder) == ["accuracy", "performance"]
        run = folder / "performance" / "run_1"
        assert names(run) == ["accuracy.json", "detail.txt", "summary.txt", "trace.json"]
        assert headline(run, "Scenario") == name
        assert headline(run, "Mode") == "PerformanceOnly"
        assert headline(run, "Result is") == "VALID"
        log = detail(run)
        assert log["result_validity"] == "VALID"
        assert log["effective_scenario"] == name
        assert log["sut_name"] == "floats"
        assert log["qsl_name"] == "tiny"
        assert log["num_errors"] == 0
        assert log[figure] > 0
        assert float(headline(run, label)) > 0
        events = json.loads((run / f"{PREFIX}trace.json").read_text())["traceEvents"]
        begun = [event["args"]["sample_idx"] for event in events if event.get("ph") == "b"]
        assert len(begun) == log["generated_query_count"] * log["generated_samples_per_query"]
        assert set(begun) <= set(range(50))


def test_the_accuracy_log_has_every_answer(benchmarks: pytest.Pytester) -> None:
    benchmarks.runpytest("--aibench-mlperf-logs=logs", "-k", "offline").assert_outcomes(passed=1)
    accuracy = folder_of(benchmarks.path / "logs", "offline") / "accuracy"
    assert names(accuracy) == ["accuracy.json", "detail.txt", "summary.txt"]
    assert detail(accuracy)["effective_test_mode"] == "AccuracyOnly"
    answers = json.loads((accuracy / f"{PREFIX}accuracy.json").read_text())
    assert sorted(answer["qsl_idx"] for answer in answers) == list(range(50))
    assert [answer["seq_id"] for answer in answers] == list(range(50))
    floats = {0: "00000000", 1: "0000803F", 2: "00000040", 9: "00001041"}
    assert {n: answer["data"] for answer in answers if (n := answer["qsl_idx"]) in floats} == floats


def test_the_record_names_the_folder(benchmarks: pytest.Pytester) -> None:
    benchmarks.runpytest("--aibench-mlperf-logs=logs", "-k", "offline").assert_outcomes(passed=1)
    settings = settings_of(benchmarks)
    assert settings["mlperf_logs"] == str(folder_of(benchmarks.path / "logs", "offline"))
    assert settings["mode"] == "submission"


def settings_of(project: pytest.Pytester) -> dict[str, Any]:
    """Settings of the only load of the only record."""
    (path,) = (project.path / ".aibench" / "runs").rglob("*.json")
    (entry,) = json.loads(path.read_text())["benchmarks"]
    settings: dict[str, Any] = entry["load"]["settings"]
    return settings


def test_a_further_run_replaces_its_own_logs_alone(benchmarks: pytest.Pytester) -> None:
    options = ("--aibench-mlperf-logs=logs", "-k", "single_stream")
    benchmarks.runpytest(*options).assert_outcomes(passed=1)
    folder = folder_of(benchmarks.path / "logs", "single_stream")
    first = {path: path.stat().st_mtime_ns for path in folder.rglob("*.txt")}
    benchmarks.runpytest(*options, "--aibench-mode=performance").assert_outcomes(passed=1)
    assert [folder] == list((benchmarks.path / "logs").iterdir())
    changed = [path for path, at in first.items() if path.stat().st_mtime_ns != at]
    assert len(first) == 4
    assert {path.parent.name for path in changed} == {"run_1"}


def test_runs_of_one_test_and_scenarios_beyond_mlperf(project: pytest.Pytester) -> None:
    project.makepyfile(test_others=BENCHMARKS.partition("@pytest")[0] + OTHERS)
    result = project.runpytest("--aibench-mlperf-logs=logs")
    result.assert_outcomes(passed=2)
    first, second = sorted((project.path / "logs").iterdir())
    assert second.name == f"{first.name}-2"
    result.stdout.fnmatch_lines(
        ["no MLPerf logs: the scenario users-2 is not MLPerf's (test_users)"]
    )


def test_answers_that_have_no_place_in_the_logs(project: pytest.Pytester) -> None:
    project.makepyfile(test_tiny=BENCHMARKS.replace("[np.float32(", "[dict(a="))
    result = project.runpytest("--aibench-mlperf-logs=logs", "-k", "offline")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_tiny.py:*: sample *: an answer of type dict has no place in MLPerf's accuracy "
            "log: return numbers, an array, text or bytes"
        ]
    )


def test_user_conf(benchmarks: pytest.Pytester) -> None:
    benchmarks.makefile(
        ".conf",
        user="*.SingleStream.target_latency = 3\n*.*.min_query_count = 321\n"
        "*.*.performance_sample_count_override = 16\n",
    )
    arguments = ("--aibench-user-conf=user.conf", "--aibench-mlperf-logs=logs", "-k", "single")
    result = benchmarks.runpytest(*arguments)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["user.conf: target_latency has no effect here (single_stream)"])
    settings = settings_of(benchmarks)
    assert (settings["min_queries"], settings["performance_samples"]) == (321, 16)
    assert settings["notes"] == ["user.conf: target_latency has no effect here"]
    log = detail(folder_of(benchmarks.path / "logs", "single_stream") / "performance" / "run_1")
    assert log["effective_min_query_count"] == 321
    assert log["effective_performance_sample_count"] == 16


@pytest.mark.parametrize("source", ["flag", "ini"])
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "mlperf-logs",
            "file/logs",
            "cannot write MLPerf logs to */file/logs: */file is no folder; choose another with "
            "--aibench-mlperf-logs",
        ),
        (
            "user-conf",
            "file",
            "file, line 2: unknown key 'target_qsp': did you mean 'target_qps'[?]",
        ),
        (
            "user-conf",
            "nowhere.conf",
            "cannot read */nowhere.conf: No such file or directory: name a LoadGen configuration "
            "file",
        ),
        ("mode", "speed", "--aibench-mode=speed: use one of submission, accuracy, performance"),
    ],
)
def test_mistakes(
    benchmarks: pytest.Pytester, option: str, value: str, message: str, source: str
) -> None:
    (benchmarks.path / "file").write_text("# mine\n*.Server.target_qsp = 5\n")
    arguments = [f"--aibench-{option}={value}"]
    if source == "ini":
        arguments = []
        benchmarks.makeini(f"[pytest]\naibench_{option.replace('-', '_')} = {value}")
    result = benchmarks.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert len(result.stderr.str().strip().splitlines()) == 1


def test_accuracy_mode(benchmarks: pytest.Pytester) -> None:
    result = benchmarks.runpytest("--aibench-mode=accuracy", "--aibench-mlperf-logs=logs")
    result.assert_outcomes(passed=4)
    reason = "accuracy mode has no load: use --aibench-mode submission"
    result.stdout.fnmatch_lines([f"p90 not judged: {reason} (*)"])
    folders = list((benchmarks.path / "logs").iterdir())
    assert [names(folder) for folder in folders] == [["accuracy"]] * 4


def test_performance_mode(benchmarks: pytest.Pytester) -> None:
    result = benchmarks.runpytest("--aibench-mode=performance", "--aibench-mlperf-logs=logs")
    result.assert_outcomes(passed=4)
    reason = "performance mode has no accuracy pass: use --aibench-mode submission"
    result.stdout.fnmatch_lines([f"top1 not judged: {reason} (*)"])
    folders = list((benchmarks.path / "logs").iterdir())
    assert [names(folder) for folder in folders] == [["performance"]] * 4


def test_a_benchmark_that_then_judges_nothing_says_so(project: pytest.Pytester) -> None:
    project.makepyfile(test_others=BENCHMARKS.partition("@pytest")[0] + OTHERS)
    result = project.runpytest("--aibench-mode=accuracy", "-k", "users")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*: nothing is judged here (accuracy mode has no load: use --aibench-mode submission)*"]
    )
