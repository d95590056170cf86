"""What a benchmark leaves behind as MLPerf's logs."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import oracle
from benchmarks.harness.official_logs import DetailLog, parse_detail, parse_trace
from benchmarks.harness.oracle import OfficialRun, run_official
from pytest_aibench.inference.job import Mode
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.loadgen.mlperf_settings import requested_settings
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream, Users
from tests.fakes import FakeClock
from tests.loads import FIXED, Bench, Taking, numbers

TOTAL, LOADED = 40, 8
SHORT: dict[str, Any] = {"min_duration": "20 ms"}
SCENARIOS: tuple[Scenario, ...] = (
    SingleStream(min_queries=70, **SHORT),
    SingleStream(min_queries=70, selection="equal_issue", **SHORT),
    MultiStream(min_queries=700, samples_per_query=3, **SHORT),
    Server(target_qps=500, latency_bound="1 s", min_queries=500, **SHORT),
    Server(target_qps=900, latency_bound="1 s", min_queries=480, selection="equal_issue", **SHORT),
    Offline(samples=100, **SHORT),
    Offline(samples=100, selection="equal_issue", **SHORT),
    Offline(selection="unique", min_duration="1 ms"),
)

each_scenario = pytest.mark.parametrize(
    "scenario", SCENARIOS, ids=lambda scenario: f"{scenario.id}-{scenario.selection}"
)


def logged(
    folder: Path, scenario: Scenario, mode: Mode = Mode.SUBMISSION, **model: Any
) -> tuple[Taking, LoadResult]:
    """Run a benchmark of a model that takes a ms per sample; its logs are in the folder."""
    clock = FakeClock()
    system = Taking(clock, **model)
    effort = replace(FIXED, budget_s=30.0)
    generator = replace(Bench(clock, effort).generator, log_folders=repeat(folder), mode=mode)
    result = generator.run(
        system, numbers(TOTAL), scenario, performance_samples=LOADED, max_batch=4
    )
    return system, result


def performance(folder: Path) -> Path:
    return folder / "performance" / "run_1"


def read(folder: Path) -> DetailLog:
    return parse_detail((folder / "mlperf_log_detail.txt").read_text())


@each_scenario
def test_a_load_that_keeps_the_rules_is_valid(tmp_path: Path, scenario: Scenario) -> None:
    _, result = logged(tmp_path, scenario)
    log = read(performance(tmp_path))
    assert log["result_validity"] == "VALID"
    assert log["effective_test_mode"] == "PerformanceOnly"
    assert log["qsl_reported_total_count"] == TOTAL
    assert log["effective_performance_sample_count"] == LOADED
    assert log["effective_max_duration_ms"] == 30_000
    offline = isinstance(scenario, Offline)
    assert log["result_query_count"] == (1 if offline else len(result.load.sizes))
    issued = int(result.load.sizes.sum())
    assert log["effective_min_query_count"] == (1 if offline else result.settings["min_queries"])
    assert log["effective_samples_per_query"] == (
        issued if offline else result.settings["samples_per_query"]
    )


@each_scenario
def test_the_trace_tells_which_samples_were_asked_for(tmp_path: Path, scenario: Scenario) -> None:
    model, result = logged(tmp_path, scenario)
    asked = [sample for call in model.calls[-len(result.load.sizes) :] for sample in call]
    trace = parse_trace(performance(tmp_path) / "mlperf_log_trace.json")
    assert trace.index.tolist() == asked
    assert set(asked) <= set(read(performance(tmp_path))["loaded_qsl_set"])


def official_run(scenario: Scenario) -> OfficialRun:
    """The same, under hints at which LoadGen makes enough queries but not too many."""
    slow = scenario.selection == "equal_issue"
    requested = replace(
        requested_settings(scenario),
        single_stream_expected_latency_ns=1e9 if slow else 1e6,
        multi_stream_expected_latency_ns=1e5,
    )
    if scenario.selection == "unique":
        requested = replace(requested, min_query_count=LOADED)
    settings: dict[str, Any] = asdict(requested)
    name = settings.pop("scenario")
    return OfficialRun(scenario=name, total=TOTAL, performance_count=LOADED, settings=settings)


@pytest.mark.oracle
@pytest.mark.skipif(not oracle.is_installed(), reason="needs the official LoadGen (extra `oracle`)")
def test_sets_and_order_are_those_of_the_official_loadgen(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(len(SCENARIOS))]
    for folder, scenario in zip(folders, SCENARIOS, strict=True):
        logged(folder, scenario)
    runs = [official_run(scenario) for scenario in SCENARIOS]
    for folder, official in zip(folders, run_official(runs), strict=True):
        log = read(performance(folder))
        ours = parse_trace(performance(folder) / "mlperf_log_trace.json").index
        theirs = official.samples.index
        n = min(len(ours), len(theirs))
        assert n >= LOADED
        assert log["loaded_qsl_set"] == official.sets[0]
        assert ours[:n].tolist() == theirs[:n].tolist()


def test_the_accuracy_log_holds_every_answer_set_by_set(tmp_path: Path) -> None:
    model, _ = logged(tmp_path, SCENARIOS[0], Mode.ACCURACY)
    log = read(tmp_path / "accuracy")
    sets = log.all("loaded_qsl_set")
    assert [len(loaded) for loaded in sets] == [LOADED] * 5
    asked = [sample for call in model.calls for sample in call]
    assert asked == [index for loaded in sets for index in loaded]
    answers = json.loads((tmp_path / "accuracy" / "mlperf_log_accuracy.json").read_text())
    assert [answer["qsl_idx"] for answer in answers] == asked
    data = bytes.fromhex("".join(answer["data"] for answer in answers))
    assert np.frombuffer(data, np.int64).tolist() == [index % 10 for index in asked]
    assert not (tmp_path / "performance").exists()


def test_performance_mode_leaves_no_accuracy_log(tmp_path: Path) -> None:
    logged(tmp_path, SCENARIOS[0], Mode.PERFORMANCE)
    assert read(performance(tmp_path))["result_validity"] == "VALID"
    assert not (tmp_path / "accuracy").exists()


def test_rules_broken_under_load_make_the_log_invalid(tmp_path: Path) -> None:
    seen: list[int] = []

    def other_answers_later(samples: Any) -> list[int]:
        seen.extend(map(int, samples))
        return [int(sample) % (10 if len(seen) <= TOTAL else 3) for sample in samples]

    logged(tmp_path, SCENARIOS[0], answer=other_answers_later)
    log = read(performance(tmp_path))
    assert log["result_validity"] == "INVALID"
    (error,) = log.errors
    assert error.startswith("answers under load are those of the accuracy pass: ")
    assert read(tmp_path / "accuracy").errors == []


def test_rules_broken_in_the_accuracy_pass_leave_no_performance_log(tmp_path: Path) -> None:
    logged(tmp_path, SCENARIOS[0], answer=lambda samples: [float("nan")] * len(samples))
    (error,) = read(tmp_path / "accuracy").errors
    assert error == "outputs are numbers: 40 of 40 outputs hold a NaN; the first is sample 1"
    assert not (tmp_path / "performance").exists()


def test_rules_broken_in_the_warm_up_are_in_the_performance_log(tmp_path: Path) -> None:
    calls: list[Any] = []

    def too_few_later(samples: Any) -> list[int]:
        calls.append(samples)
        answers = [int(sample) % 10 for sample in samples]
        return answers if len(calls) <= TOTAL // 4 else answers[1:]

    for scenario in SCENARIOS[0], SCENARIOS[5]:
        calls.clear()
        logged(tmp_path, scenario, answer=too_few_later)
        log = read(performance(tmp_path))
        assert [error.partition(":")[0] for error in log.errors] == ["one output per sample"]
        summary = (performance(tmp_path) / "mlperf_log_summary.txt").read_text()
        assert summary.endswith("1 ERROR encountered. See detailed log.\n")


def test_a_load_cut_short_is_not_valid(tmp_path: Path) -> None:
    scenario = Server(target_qps=2000, latency_bound="1 s", min_queries=500, max_duration="100 ms")
    logged(tmp_path, scenario)
    log = read(performance(tmp_path))
    assert log["result_validity"] == "INVALID"
    (error,) = log.errors
    assert error.endswith(" queries were due but not issued: the budget of 100 ms was spent")
    assert log["effective_max_duration_ms"] == 100


def test_scenarios_beyond_mlperf_have_no_logs(tmp_path: Path) -> None:
    _, result = logged(tmp_path / "none", Users(count=2, min_queries=9))
    assert result.settings["notes"] == ["no MLPerf logs: the scenario users-2 is not MLPerf's"]
    assert not (tmp_path / "none").exists()
