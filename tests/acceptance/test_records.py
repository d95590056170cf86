"""What a session leaves behind."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest

from pytest_aibench import cli
from pytest_aibench.results.locations import open_store
from pytest_aibench.results.store import push, read_run, run_files
from tests.records import stored_files

BENCHMARK = """
import os
import time
from pathlib import Path

import pytest
from pytest_aibench import MultiStream, Offline, Server, SingleStream, at_least, at_most
from tiny import right

SCENARIOS = [
    SingleStream(min_duration="10 ms", min_queries=500),
    MultiStream(min_duration="10 ms"),
    Server(target_qps=2000, latency_bound="1 s", min_duration="10 ms"),
    Offline(min_duration="10 ms"),
]

def watched(samples):
    start = time.monotonic_ns()
    answers = right(samples)
    with open(f"calls-{os.getpid()}.txt", "a") as file:
        print(start, time.monotonic_ns(), file=file)
    return answers

@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.dataset("tiny")
def test_tiny(loadgen, scenario, dataset, precision):
    result = loadgen.run(watched, dataset, scenario, provenance={"weights": Path("w.pt")})
    result.require(
        top1=at_least(0.97), p90=at_most("1 s"), throughput=at_least("1 samples/s")
    )

def test_plain():
    pass
"""
# Projects run in this process, and pytester would forget what they stored in its memory.
import_module("fsspec.implementations.memory")

SCENARIOS = ["single_stream", "multi_stream", "server-2000qps", "offline"]


def only_record(store: Path) -> Any:
    """The one record of a store, read as strict JSON."""
    (path,) = stored_files(store)
    return json.loads(path.read_text(), parse_constant=pytest.fail)


@pytest.fixture
def record(project: pytest.Pytester) -> Any:
    """The record of a session of all scenarios."""
    project.makepyfile(BENCHMARK)
    result = project.runpytest("--junit-xml=junit.xml")
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["record: .aibench/runs/*.json"])
    return only_record(project.path / ".aibench")


def test_the_record_fits_the_schema(record: Any, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert cli.main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(record)


def test_the_record_has_the_checks_of_each_scenario(record: Any) -> None:
    entries = {entry["params"]["scenario"]: entry for entry in record["benchmarks"]}
    assert list(entries) == SCENARIOS
    checks = {name: [c["name"] for c in entry["checks"]] for name, entry in entries.items()}
    assert checks == {
        "single_stream": ["top1", "p90", "throughput"],
        "multi_stream": ["top1", "p90", "throughput"],
        "server-2000qps": ["p99", "top1", "p90"],
        "offline": ["top1", "throughput"],
    }
    verdicts = [check["verdict"] for entry in entries.values() for check in entry["checks"]]
    assert set(verdicts) == {"passed"}
    assert [omitted["name"] for omitted in entries["offline"]["not_judged"]] == ["p90"]
    assert_what_ran_where(record)


def assert_what_ran_where(record: Any) -> None:
    entry = record["benchmarks"][0]
    assert entry["id"].endswith("::test_tiny[cpu-fp32-single_stream]")
    where = (entry["kind"], entry["precision"], entry["device"]["id"], entry["dataset"]["name"])
    assert where == ("inference", "fp32", "cpu", "tiny")
    assert entry["load"]["settings"]["effort"] == "quick"
    assert not record["interrupted"]
    environment = record["environment"]
    assert all(environment[group] for group in ("hw", "unit", "sw", "harness", "state"))
    assert environment["harness"]["device"] == "cpu"
    assert environment["state"]["before"]


def test_junit_has_the_figures(record: Any, project: pytest.Pytester) -> None:
    cases = ElementTree.parse(project.path / "junit.xml").iter("testcase")
    found = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in cases
    }
    figures = found["test_tiny[cpu-fp32-single_stream]"]
    assert list(figures) == ["aibench_verdict", "top1", "p90_s", "throughput_samples_per_s"]
    assert (figures["aibench_verdict"], figures["top1"]) == ("passed", "1.0")
    assert 0 < float(figures["p90_s"] or "nan") < 1
    assert found["test_plain"] == {}


def test_no_store(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK)
    before = set(project.path.iterdir())
    result = project.runpytest("--aibench-no-store", "-k", "offline")
    result.stdout.fnmatch_lines(["no record was kept (--aibench-no-store)"])
    made = {path.name for path in set(project.path.iterdir()) - before}
    assert not [name for name in made if not name.startswith(("calls-", "__pycache__"))]


def test_two_workers_share_one_record_and_take_turns(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_DEVICE", "not the one that workers should use")
    project.makepyfile(BENCHMARK)
    result = project.runpytest("-n2", "--junit-xml=junit.xml", "--device=cpu")
    result.assert_outcomes(passed=5)

    record = only_record(project.path / ".aibench")
    assert {entry["params"]["scenario"] for entry in record["benchmarks"]} == set(SCENARIOS)
    assert record["environment"]["state"]["before"]
    assert record["benchmarks"][0]["provenance"] == {"weights": "w.pt"}
    properties = ElementTree.parse(project.path / "junit.xml").iter("property")
    assert [p.get("value") for p in properties if p.get("name") == "aibench_verdict"] == [
        "passed"
    ] * 4
    logs = [log.read_text().split() for log in project.path.glob("calls-*.txt")]
    assert len(logs) == 2, "both workers had benchmarks"
    assert_turns(*[sorted(map(int, log)) for log in logs])


def assert_turns(first: list[int], second: list[int]) -> None:
    """Whenever the two change over, it is between benchmarks: four benchmarks, three times."""
    owners = [owner for _, owner in sorted([(t, 1) for t in first] + [(t, 2) for t in second])]
    changes = sum(one != other for one, other in pairwise(owners))
    assert 1 <= changes <= 3


def test_a_store_that_breaks_during_the_session(project: pytest.Pytester) -> None:
    project.makepyfile(
        test_tiny=BENCHMARK
        + "\ndef test_break():\n    os.rename('.aibench', 'gone'); open('.aibench', 'w').close()\n"
    )
    result = project.runpytest("-k", "offline or break")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "cannot write records to *.aibench: *.aibench is no folder; choose another folder "
            "with --aibench-store or use --aibench-no-store; this record waits in *.json: send it "
            "with `aibench push`"
        ]
    )
    (project.path / ".aibench").unlink()
    sent, _ = push()
    assert len(sent) == 1
    assert len(only_record(project.path / ".aibench")["benchmarks"]) == 1


def test_a_url_as_the_store(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK)
    result = project.runpytest("--aibench-store=memory://bucket/x", "-k", "offline")
    result.stdout.fnmatch_lines(
        [
            "aibench: device cpu, effort quick, records in memory://bucket/x",
            "record: memory://bucket/x/runs/*.json",
        ]
    )
    store = open_store("memory://bucket/x")
    (file,) = run_files(store)
    assert len(read_run(store.fetch(file.name)).benchmarks) == 1
    store.delete(file.name)


def test_a_url_that_nothing_opens(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK)
    result = project.runpytest("--aibench-store=nothing://bucket")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: cannot open nothing://bucket: Protocol not known: nothing"]
    )


@pytest.mark.parametrize(
    ("environment", "option", "group"),
    [
        ({}, [], ""),
        ({"GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2"}, [], "github-7-2"),
        ({"GITHUB_RUN_ID": "7", "AIBENCH_GROUP": "mine"}, [], "mine"),
        ({"AIBENCH_GROUP": "mine"}, ["--aibench-group=other"], "other"),
    ],
)
def test_shards_share_a_group(
    project: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    option: list[str],
    group: str,
) -> None:
    for name in ("GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    project.makepyfile(BENCHMARK)
    project.runpytest("-k", "offline", *option)
    assert only_record(project.path / ".aibench")["group_id"] == group


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_raw_samples_lie_beside_the_record(project: pytest.Pytester, workers: list[str]) -> None:
    project.makepyfile(BENCHMARK)
    project.runpytest("--aibench-raw", "-k", "single", *workers)
    (entry,) = only_record(project.path / ".aibench")["benchmarks"]
    path = project.path / ".aibench" / entry["samples"]["name"]
    assert entry["samples"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    with np.load(path) as arrays:
        assert list(arrays) == ["latency_ns"]
        assert len(arrays["latency_ns"]) == entry["load"]["n_queries"]


KILLED = (
    BENCHMARK
    + """
def test_z_kill():
    import signal
    os.kill(os.getpid(), signal.SIGKILL)
"""
)


@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_what_a_killed_session_measured_is_kept_by_the_next(
    project: pytest.Pytester, workers: list[str]
) -> None:
    kill = KILLED.replace("getpid()", "getppid()") if workers else KILLED
    project.makepyfile(test_killed=kill, test_next=BENCHMARK)
    command = [sys.executable, "-m", "pytest", *workers]
    done = subprocess.run(
        [*command, "test_killed.py"], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == -9
    assert stored_files(project.path / ".aibench") == []

    result = project.runpytest("test_next.py", "-k", "offline")
    line = "recovered benchmarks: 4 of a session that was killed: *.aibench/runs/*.json"
    result.stdout.fnmatch_lines(["record: .aibench/runs/*.json", line])
    killed, whole = map(read_run, stored_files(project.path / ".aibench"))
    assert (killed.interrupted, whole.interrupted) == (True, False)
    assert [entry.verdict for entry in killed.benchmarks] == ["passed"] * 4
    assert killed.environment.harness["effort"] == "quick"
    left = project.path.joinpath(".aibench").rglob("*.jsonl")
    assert list(left) == []


def test_a_benchmark_that_fails_in_a_fixture_is_in_the_record(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def weights():
            raise OSError("no such file")

        def test_tiny(loadgen, weights):
            pass
        """
    )
    project.runpytest().assert_outcomes(errors=1)
    (entry,) = only_record(project.path / ".aibench")["benchmarks"]
    (violation,) = entry["violations"]
    assert violation["rule"] == "no error in the benchmark"
    assert violation["evidence"].endswith(".py:5: OSError: no such file")
    assert entry["verdict"] == "invalid"


def test_a_benchmark_that_is_skipped_is_not(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        def test_tiny(loadgen):
            pytest.skip("not today")
        """
    )
    project.runpytest().assert_outcomes(skipped=1)
    assert not (project.path / ".aibench").exists()


def test_each_run_of_an_item_stands_for_itself(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        import tiny
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for _ in range(2):
                for report in runtestprotocol(item, nextitem=nextitem, log=False):
                    item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    project.makepyfile(BENCHMARK)
    project.runpytest("-k", "offline")
    assert len(only_record(project.path / ".aibench")["benchmarks"]) == 2
