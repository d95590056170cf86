"""The official LoadGen agrees with us on sets, order, schedule and accuracy log, exactly."""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.harness import oracle
from benchmarks.harness.official_logs import parse_accuracy, parse_detail, parse_trace
from benchmarks.harness.oracle import (
    OfficialResult,
    OfficialRun,
    OracleError,
    measure_speed,
    run_official,
)
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.arrivals import Poisson
from pytest_aibench.loadgen.order import (
    OrderSettings,
    Selection,
    accuracy_log_chunks,
    equal_issue_min_queries,
    query_chunks,
    sample_sets,
)
from pytest_aibench.scenarios import Seeds

needs_official = pytest.mark.skipif(
    not oracle.is_installed(), reason="needs the official LoadGen (extra `oracle`)"
)

FLAGS = {
    Selection.UNIQUE: "performance_issue_unique",
    Selection.SAME: "performance_issue_same",
    Selection.EQUAL_ISSUE: "sample_concatenate_permutation",
}


@dataclass(frozen=True)
class Case:
    """The same run in the official words and in ours."""

    official: OfficialRun
    order: OrderSettings


@st.composite
def cases(draw: st.DrawFn) -> Case:
    scenario: Literal["SingleStream", "MultiStream", "Server", "Offline"] = draw(
        st.sampled_from(["SingleStream", "MultiStream", "Server", "Offline"])
    )
    selections = list(Selection)
    if scenario == "MultiStream":
        selections.remove(Selection.EQUAL_ISSUE)
    selection = draw(st.sampled_from(selections))
    seed = st.integers(0, 2**64 - 1)
    total = draw(st.integers(1, 120))
    # More than there are crashes the official one, offline with unique samples.
    performance_count = draw(st.integers(1, total))
    order = OrderSettings(
        total=total,
        performance_count=performance_count,
        accuracy_count=draw(st.none() | st.integers(1, 130)),
        samples_per_query=draw(st.integers(1, 9)) if scenario == "MultiStream" else 1,
        offline=scenario == "Offline",
        selection=selection,
        same_index=draw(st.integers(0, performance_count - 1)),
        min_queries=draw(st.integers(1, 200)),
        seeds=Seeds(draw(seed), draw(seed), draw(seed)),
    )
    rate = draw(st.floats(2_000, 200_000))
    official = OfficialRun(
        scenario=scenario,
        mode="AccuracyOnly" if selection is Selection.ACCURACY else "PerformanceOnly",
        total=total,
        performance_count=performance_count,
        settings={
            **({FLAGS[selection]: True} if selection in FLAGS else {}),
            "qsl_rng_seed": order.seeds.qsl,
            "sample_index_rng_seed": order.seeds.sample_index,
            "schedule_rng_seed": order.seeds.schedule,
            "accuracy_log_rng_seed": draw(seed),
            "accuracy_log_probability": draw(st.sampled_from([0.0, 0.1, 0.7])),
            "accuracy_sample_count_override": order.accuracy_count or 0,
            "performance_issue_same_index": order.same_index,
            "multi_stream_samples_per_query": order.samples_per_query,
            "min_query_count": order.min_queries,
            "min_duration_ms": draw(st.integers(0, 3)),
            "server_target_qps": rate,
            "single_stream_expected_latency_ns": 1e9 / rate,
            "multi_stream_expected_latency_ns": 1e9 / rate,
            "offline_expected_qps": rate,
        },
    )
    return Case(official, order)


@pytest.mark.oracle
@needs_official
@settings(
    max_examples=10,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(cases(), min_size=25, max_size=25))
def test_every_random_choice_is_the_official_one(drawn: list[Case]) -> None:
    results = run_official([case.official for case in drawn])
    for case, result in zip(drawn, results, strict=True):
        order = with_effective_counts(case, result)
        assert result.sets == [loaded.tolist() for loaded in sample_sets(order)], case
        check_queries(case, order, result)
        if case.official.scenario == "Server":
            check_schedule(case, order, result)
        if case.official.mode == "PerformanceOnly":
            check_accuracy_log(case, result)


def with_effective_counts(case: Case, result: OfficialResult) -> OrderSettings:
    """Our settings with the counts that follow from the duration."""
    order, asked = case.order, case.official.settings
    if order.offline:
        return replace(order, samples_per_query=result.log["effective_min_sample_count"])
    if case.official.scenario == "SingleStream" and order.selection is Selection.EQUAL_ISSUE:
        qps = 1e9 / asked["single_stream_expected_latency_ns"]
        wanted = max(order.min_queries, int(2 * asked["min_duration_ms"] / 1e3 * qps))
        set_size = case.official.performance_count
        order = replace(order, min_queries=equal_issue_min_queries(wanted, set_size))
    assert result.log["effective_min_query_count"] == order.min_queries, case
    return order


def check_queries(case: Case, order: OrderSettings, result: OfficialResult) -> None:
    samples = result.samples
    ours = [query for queries in queries_by_set(order, result) for query in queries]
    numbers = [number for number, query in enumerate(ours) for _ in query]
    assert samples.index.tolist() == [index for query in ours for index in query], case
    assert samples.query.tolist() == numbers, case


def check_schedule(case: Case, order: OrderSettings, result: OfficialResult) -> None:
    """Each set has the same schedule, counted from its own start."""
    theirs = result.samples.scheduled_ns
    poisson = Poisson(case.official.settings["server_target_qps"])
    for queries in queries_by_set(order, result):
        ours = next(poisson.chunks(order.seeds.schedule, len(queries)))
        assert (theirs[: len(queries)] - theirs[0]).tolist() == ours.tolist(), case
        theirs = theirs[len(queries) :]


def check_accuracy_log(case: Case, result: OfficialResult) -> None:
    asked = case.official.settings
    probability, seed = asked["accuracy_log_probability"], asked["accuracy_log_rng_seed"]
    logged = next(accuracy_log_chunks(probability, int(seed), len(result.samples.index)))
    assert result.accuracy_log == logged.nonzero()[0].tolist(), case


def queries_by_set(order: OrderSettings, result: OfficialResult) -> list[list[list[int]]]:
    """Our queries, as many as were issued; an accuracy run ends by itself."""
    accuracy = order.selection is Selection.ACCURACY
    limit = None if accuracy else int(result.samples.query[-1]) + 1
    return [
        list(islice(chain.from_iterable(c.tolist() for c in chunks), limit))
        for chunks in (query_chunks(order, loaded, 64) for loaded in sample_sets(order))
    ]


@pytest.mark.oracle
@needs_official
def test_sets_too_large_for_the_pairwise_shuffle() -> None:
    total = 65_536
    run = OfficialRun(
        scenario="SingleStream",
        total=total,
        performance_count=total,
        settings={"min_query_count": 100, "min_duration_ms": 0, "qsl_rng_seed": 3},
    )
    order = OrderSettings(total=total, min_queries=100, seeds=Seeds(3, 0, 0))
    (result,) = run_official([run])
    assert result.sets == [loaded.tolist() for loaded in sample_sets(order)]
    check_queries(Case(run, order), order, result)


@pytest.mark.oracle
@needs_official
def test_delays_a_worker_and_results() -> None:
    (result,) = run_official(
        [
            OfficialRun(
                scenario="SingleStream",
                total=4,
                performance_count=4,
                settings={"min_query_count": 70, "min_duration_ms": 1},
                delays_s=[0.0, 0.0, 0.0, 0.002],
                completion="worker",
            )
        ]
    )
    samples, log = result.samples, result.log
    assert all(samples.latency_ns[samples.index == 3] >= 2_000_000)
    assert samples.lateness_ns.tolist() == [0] * len(samples.index)
    assert log["result_validity"] == "VALID"
    assert log["result_query_count"] == len(samples.index) == 70
    assert log["result_max_latency_ns"] == samples.latency_ns.max()
    assert log["early_stopping_latency_ss"] > 0
    assert log.errors == []
    assert "Starting performance mode" in log.all("generic_message")


@pytest.mark.oracle
@needs_official
@pytest.mark.parametrize("trace", [False, True])
@pytest.mark.parametrize("scenario", ["SingleStream", "MultiStream", "Server", "Offline"])
def test_speed(scenario: Any, trace: bool) -> None:
    speed = measure_speed(
        OfficialRun(
            scenario=scenario,
            total=10,
            performance_count=10,
            settings={
                "min_query_count": 100,
                "min_duration_ms": 10,
                "server_target_qps": 5000.0,
                "single_stream_expected_latency_ns": 1000.0,
                "multi_stream_expected_latency_ns": 1000.0,
            },
            trace=trace,
        )
    )
    assert speed.samples_per_s > 1000
    assert speed.latency_ns["50.00"] <= speed.latency_ns["99.90"]
    assert (speed.lateness_ns is not None) is trace
    assert 0 < speed.post_run_s < 30
    assert 0 < speed.rss_before_bytes <= speed.rss_after_bytes <= speed.peak_rss_bytes


@pytest.mark.oracle
@needs_official
def test_speed_as_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {
        "scenario": "Offline",
        "total": 10,
        "performance_count": 10,
        "settings": {"offline_expected_qps": 1000.0, "min_duration_ms": 1},
    }
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps([run, run])))
    oracle.main()
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["samples_per_s"] > 0 for line in lines] == [True, True]


GOOD = OfficialRun(
    scenario="Offline", total=1, performance_count=1, settings={"min_duration_ms": 0}
)


@pytest.mark.oracle
@needs_official
def test_a_refused_setting_is_reported() -> None:
    typo = replace(GOOD, settings={"min_durations_ms": 1})
    with pytest.raises(OracleError) as error:
        run_official([GOOD, typo])
    assert str(error.value) == (
        "the official LoadGen ended in run 2 of 2 (Offline) with status 1: AttributeError: "
        "'mlperf_loadgen.TestSettings' object has no attribute 'min_durations_ms'"
    )


@pytest.mark.oracle
@needs_official
def test_a_crash_is_reported() -> None:
    raising = replace(GOOD, delays_s=[-1.0])
    with pytest.raises(OracleError) as error:
        run_official([GOOD, raising])
    # It dies of SIGSEGV, or of SIGABRT when two of its threads fail at once.
    ended = r"the official LoadGen ended in run 2 of 2 \(Offline\) with status -(11|6): "
    assert re.match(ended, str(error.value))


@pytest.mark.oracle
@needs_official
def test_a_hang_is_ended_by_the_watchdog() -> None:
    stuck = replace(GOOD, scenario="Server", settings={"server_num_issue_query_threads": 1})
    with pytest.raises(OracleError) as error:
        run_official([GOOD, stuck], timeout_s=1.5)
    assert str(error.value) == (
        "the official LoadGen hung twice in run 2 of 2 (Server): killed after 1.5 s"
    )


HANGS_ONCE = """
import sys, time
from pathlib import Path
from benchmarks.harness import _official_runner as runner

def stumble(run, once=runner._run):
    if run["scenario"] == "MultiStream" and not Path("hung").exists():
        Path("hung").touch()
        time.sleep(60)
    return once(run)

runner._run = stumble
runner.main()
"""


@pytest.mark.oracle
@needs_official
def test_a_run_that_hangs_by_chance_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hangs_once.py").write_text(HANGS_ONCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(oracle, "_RUNNER", "hangs_once")
    runs = [GOOD, replace(GOOD, scenario="MultiStream"), GOOD]
    scenarios = [result.log["effective_scenario"] for result in run_official(runs, timeout_s=2.0)]
    assert scenarios == ["Offline", "MultiStream", "Offline"]


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oracle, "is_installed", lambda: False)
    with pytest.raises(UserError) as error:
        run_official([GOOD])
    assert str(error.value) == (
        "the official LoadGen is not installed: pip install 'pytest-aibench[oracle]'"
    )


def test_delays_must_cover_the_samples() -> None:
    with pytest.raises(UserError) as error:
        replace(GOOD, delays_s=[0.1, 0.2])
    assert str(error.value) == "delays_s has 2 entries: give one for each of the 1 samples"


def detail_line(key: str, value: object, is_error: bool = False) -> str:
    metadata = {"is_error": is_error, "is_warning": False}
    return ":::MLLOG " + json.dumps({"key": key, "value": value, "metadata": metadata})


def test_parse_detail_keeps_repeated_keys_and_errors() -> None:
    lines = [
        detail_line("generated_query_count", 4),
        "noise",
        detail_line("generated_query_count", 2),
        detail_line("error_runtime", "ran out", is_error=True),
    ]
    log = parse_detail("\n".join(lines))
    assert log["generated_query_count"] == 2
    assert log.all("generated_query_count") == [4, 2]
    assert log.errors == ["ran out"]
    assert "error_runtime" in log
    assert "result_validity" not in log
    with pytest.raises(KeyError, match="result_validity"):
        log["result_validity"]


def test_parse_detail_reads_numbers_that_are_none() -> None:
    line = detail_line("result_scheduled_samples_per_sec", 0).replace(": 0,", ": -nan,")
    assert math.isnan(parse_detail(line)["result_scheduled_samples_per_sec"])


def trace_line(number: int, us: str, index: int, lateness_ns: int, latency_ns: int) -> str:
    return (
        f'{{"name":"Sample","cat":"default","ph":"b","pid":1,"id":{number},"ts":{us},"args":'
        f'{{"sample_seq":{number},"query_seq":{number // 2},"sample_idx":{index},'
        f'"issue_start_ns":{lateness_ns},"complete_ns":{latency_ns}}}}},\n'
    )


def test_parse_trace_sorts_samples_and_counts_from_the_first(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    end = '{"name":"Sample","cat":"default","ph":"e", "pid":1,"id":0,"ts":117.193},\n'
    path.write_text(trace_line(1, "80.005", 9, 70, 900) + end + trace_line(0, "76.844", 3, 0, 800))
    samples = parse_trace(path)
    assert samples.query.tolist() == [0, 0]
    assert samples.index.tolist() == [3, 9]
    assert samples.scheduled_ns.tolist() == [0, 3161]
    assert samples.lateness_ns.tolist() == [0, 70]
    assert samples.latency_ns.tolist() == [800, 900]


def test_parse_accuracy_gives_sample_numbers_in_order() -> None:
    assert parse_accuracy('[{"seq_id":4,"qsl_idx":1},{"seq_id":2,"qsl_idx":7}]') == [2, 4]
    assert parse_accuracy("[\n\n]") == []
