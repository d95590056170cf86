"""Logs in the official format: the same keys, types and values as LoadGen's own."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import oracle
from benchmarks.harness.official_logs import (
    DetailLog,
    parse_accuracy,
    parse_detail,
    parse_trace,
)
from benchmarks.harness.oracle import OfficialResult, OfficialRun, run_official
from pytest_aibench.bounds import Violation
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.journal import NEVER, Load
from pytest_aibench.loadgen.mlperf_logs import (
    check_log_folder,
    log_folders,
    output_bytes,
    write_logs,
)
from pytest_aibench.loadgen.mlperf_run import (
    AccuracyPhase,
    LoggedAnswer,
    LoggedRun,
    PerformancePhase,
)
from pytest_aibench.loadgen.mlperf_settings import RequestedSettings, requested_settings
from pytest_aibench.loadgen.order import OrderSettings, Selection, sample_sets
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream

needs_official = pytest.mark.skipif(
    not oracle.is_installed(), reason="needs the official LoadGen (extra `oracle`)"
)

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)
TOTAL = 10
LOADED = 8

NOT_OURS = {
    "get_sut_name_duration_ns",
    "loadgen_build_date_local",
    "loadgen_build_date_utc",
    "loadgen_file_sha1",
    "loadgen_git_commit_date",
    "loadgen_git_log_message",
    "loadgen_git_status_message",
    "logger_start_reading_entries_retry_count",
    "logger_swap_request_slots_retry_count",
    "logger_swap_request_slots_retry_reencounter_count",
    "logger_swap_request_slots_retry_retry_count",
    "logger_tls_total_log_cas_fail_count",
    "logger_tls_total_swap_buffers_slot_retry_count",
    "requested_server_find_peak_qps_boundary_step_size",
    "requested_server_find_peak_qps_decimals_of_precision",
    "requested_server_num_issue_query_threads",
    "warning_generic_message",
}
"""Keys of the official log about its own build, its logger, and settings that do not exist here."""

OF_ONE_RUN = {
    "generated_query_count",
    "generated_query_duration",
    "generic_message",
    "loadgen_version",
    "power_begin",
    "power_end",
    "qsl_name",
    "sut_name",
    "test_datetime",
}
"""Keys whose values depend on more than settings and stamps; LoadGen generates queries in stock."""

FROM_THE_START = {"result_qps_with_loadgen_overhead"}
"""Counts from a moment before the first query, which is known to six digits of this alone."""

SHORT: dict[str, Any] = {"min_duration": "1 ms"}
FAST: dict[str, Any] = {"target_qps": 20_000, **SHORT}
CASES: dict[str, Scenario] = {
    "single": SingleStream(min_queries=700, **SHORT),
    "single, few queries": SingleStream(min_queries=100, **SHORT),
    "single, too few queries": SingleStream(min_queries=20, **SHORT),
    "single, high percentile": SingleStream(min_queries=700, percentile=0.999, **SHORT),
    "single, equal issue": SingleStream(min_queries=100, selection="equal_issue", **SHORT),
    "multi": MultiStream(min_queries=700, **SHORT),
    "multi, too few queries": MultiStream(min_queries=20, samples_per_query=3, **SHORT),
    "server": Server(min_queries=700, latency_bound="1 s", **FAST),
    "server, few queries": Server(min_queries=2, latency_bound="1 s", **FAST),
    "server, too slow": Server(min_queries=700, latency_bound="10 us", max_async=50_000, **FAST),
    "offline": Offline(samples=500, **SHORT),
    "offline, unique": Offline(samples=LOADED, selection="unique", **SHORT),
    "offline, too short": Offline(samples=50, min_duration="2 s"),
}


def load_of(scenario: Scenario, result: OfficialResult) -> Load:
    """The load that the official trace tells of; offline, every sample is a part of its own."""
    trace = result.samples
    groups = np.arange(len(trace.query)) if scenario.name == "offline" else trace.query
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    due = trace.scheduled_ns[starts] + before_the_first_query_ns(scenario, result)
    issued = due + trace.lateness_ns[starts]
    return Load(
        begin_ns=0,
        due_ns=due,
        issued_ns=issued,
        taken_ns=issued,
        completed_ns=due + np.maximum.reduceat(trace.latency_ns, starts),
        sizes=np.diff(starts, append=len(groups)),
        overdue_ns=np.array([], np.int64),
        stopped="over",
        violations=(),
    )


def before_the_first_query_ns(scenario: Scenario, result: OfficialResult) -> int:
    """From LoadGen's start to the first query, which its trace does not tell."""
    if isinstance(scenario, SingleStream):
        last_ns = int(result.samples.scheduled_ns[-1])
        rate: float = result.log["result_qps_with_loadgen_overhead"]
        return round((len(result.samples.query) - 1) * 1e9 / rate) - last_ns
    # In multi-stream nothing shows it, except that the shortest duration of 1 ms has passed.
    return 1_000_000 if isinstance(scenario, MultiStream) else 0


@dataclass(frozen=True)
class Pair:
    """The same load in the official logs and in ours."""

    official: OfficialResult
    official_summary: str
    ours: DetailLog
    our_summary: str


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    summaries: list[str] = []
    read_result = oracle._read_result

    def read_summary_too(folder: Path, answer: dict[str, Any]) -> OfficialResult:
        summaries.append((folder / "mlperf_log_summary.txt").read_text())
        return read_result(folder, answer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oracle, "_read_result", read_summary_too)
        results = run_official([official_run(scenario) for scenario in CASES.values()])
    made = {}
    for (name, scenario), result, summary in zip(CASES.items(), results, summaries, strict=True):
        folder = tmp_path_factory.mktemp("logs")
        write_logs(folder, run_of(scenario, load_of(scenario, result), result.sets[0]))
        made[name] = Pair(result, summary, read_detail(folder), read_summary(folder))
    return made


def official_run(scenario: Scenario) -> OfficialRun:
    settings: dict[str, Any] = asdict(requested_of(scenario))
    return OfficialRun(
        scenario=settings.pop("scenario"),
        total=TOTAL,
        performance_count=LOADED,
        settings=settings,
        # Slow enough for the fewest queries to last the shortest duration.
        delays_s=TOTAL * [0.001] if scenario == CASES["single, too few queries"] else (),
    )


def requested_of(scenario: Scenario) -> RequestedSettings:
    """The settings, with hints under which LoadGen generates queries enough for a null system."""
    return replace(
        requested_settings(scenario),
        single_stream_expected_latency_ns=1e3,
        multi_stream_expected_latency_ns=1e3,
    )


def run_of(scenario: Scenario, load: Load, loaded: list[int] | None = None) -> LoggedRun:
    return LoggedRun(
        scenario=scenario,
        requested=requested_of(scenario),
        system="PySUT",
        library="PyQSL",
        total=TOTAL,
        performance_count=LOADED,
        performance=PerformancePhase(
            load=load, loaded=np.array(loaded or range(LOADED)), began_at=NOON
        ),
    )


def read_detail(folder: Path) -> DetailLog:
    return parse_detail((folder / "mlperf_log_detail.txt").read_text())


def read_summary(folder: Path) -> str:
    return (folder / "mlperf_log_summary.txt").read_text()


def keys(log: DetailLog) -> set[str]:
    return {entry.key for entry in log.entries}


def kind(value: Any) -> str:
    """The type in JSON, where 1 and 1.0 are both numbers."""
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


@pytest.mark.oracle
@needs_official
@pytest.mark.parametrize("case", CASES)
def test_keys_and_types_are_the_official_ones(pairs: dict[str, Pair], case: str) -> None:
    official, ours = pairs[case].official.log, pairs[case].ours
    assert keys(ours) == keys(official) - NOT_OURS
    assert {key: kind(ours[key]) for key in keys(ours)} == {
        key: kind(official[key]) for key in keys(ours)
    }


@pytest.mark.oracle
@needs_official
@pytest.mark.parametrize("case", CASES)
def test_values_are_the_official_ones(pairs: dict[str, Pair], case: str) -> None:
    official, ours = pairs[case].official.log, pairs[case].ours
    compared = keys(ours) - OF_ONE_RUN - FROM_THE_START
    assert len(compared) > 50
    assert {key: printed(ours[key]) for key in compared} == {
        key: printed(official[key]) for key in compared
    }
    for key in FROM_THE_START & keys(ours):
        assert ours[key] == pytest.approx(official[key], rel=1e-4)


def printed(value: Any) -> Any:
    """A fraction with the six digits that the official log prints."""
    return float(f"{value:.6g}") if kind(value) == "number" and value % 1 else value


@pytest.mark.oracle
@needs_official
@pytest.mark.parametrize("case", CASES)
def test_the_summary_is_the_official_one(pairs: dict[str, Pair], case: str) -> None:
    assert comparable(pairs[case].our_summary) == comparable(pairs[case].official_summary)


def comparable(summary: str) -> list[str]:
    """The lines, without LoadGen's warnings and the rate that counts from another start."""
    text = re.sub(r"WARNING: (.+\n)+", "", summary)
    lines = [line for line in text.splitlines() if "QPS w/ loadgen" not in line]
    return ["warnings" if "warning" in line else line for line in lines]


def quick_load(**changed: Any) -> Load:
    """Four queries of one sample, each due after 1 ms and answered 100 µs later."""
    due = np.arange(4) * 1_000_000
    load = Load(
        begin_ns=0,
        due_ns=due,
        issued_ns=due,
        taken_ns=due,
        completed_ns=due + 100_000,
        sizes=np.ones(4, np.int64),
        overdue_ns=np.array([], np.int64),
        stopped="4 queries were enough",
        violations=(),
    )
    return replace(load, **changed)


SERVER = Server(target_qps=1000, latency_bound="1 ms", min_queries=4, min_duration="3 ms")


def test_times_and_names(tmp_path: Path) -> None:
    write_logs(tmp_path / "new" / "folder", run_of(SERVER, quick_load()))
    log = read_detail(tmp_path / "new" / "folder")
    assert log["loadgen_version"].startswith("pytest-aibench ")
    assert log["test_datetime"] == "2026-03-01T12:00:00Z"
    began, ended = (
        datetime.strptime(log[key], "%m-%d-%Y %H:%M:%S.%f").astimezone(timezone.utc)
        for key in ("power_begin", "power_end")
    )
    assert began == NOON
    assert (ended - began).total_seconds() == 0.003
    assert log["sut_name"] == "PySUT"
    assert log.all("generic_message") == ["Starting performance mode", "4 queries were enough"]
    assert log["result_scheduled_samples_per_sec"] == 1000
    assert log["result_completed_samples_per_sec"] == pytest.approx(3 / 0.0031)


def test_every_line_is_strict_json(tmp_path: Path) -> None:
    single_query = quick_load(
        **{
            name: getattr(quick_load(), name)[:1]
            for name in ("due_ns", "issued_ns", "taken_ns", "completed_ns", "sizes")
        }
    )
    write_logs(tmp_path, run_of(SERVER, single_query))
    for line in (tmp_path / "mlperf_log_detail.txt").read_text().splitlines():
        assert line.startswith(":::MLLOG ")
        entry = json.loads(line.removeprefix(":::MLLOG "), parse_constant=pytest.fail)
        assert entry["namespace"] == "mlperf::logging"
        assert {*entry["metadata"]} == {"is_error", "is_warning", "file", "line_no", "pid", "tid"}
    assert read_detail(tmp_path)["result_scheduled_samples_per_sec"] == 0


def test_errors_make_the_result_invalid(tmp_path: Path) -> None:
    load = quick_load(
        violations=(Violation(rule="lost completion", evidence="query 7"),),
        overdue_ns=np.array([5_000_000]),
        stopped="the budget of 3 ms was spent",
    )
    write_logs(tmp_path, run_of(SERVER, load))
    log = read_detail(tmp_path)
    assert log.errors == [
        "lost completion: query 7",
        "1 queries were due but not issued: the budget of 3 ms was spent",
    ]
    assert log["num_errors"] == 2
    assert log["result_validity"] == "INVALID"
    assert "lost completion: query 7 " in log["result_invalid_reason"]
    assert log["result_overlatency_query_count"] == 1
    summary = read_summary(tmp_path)
    assert " * lost completion: query 7\n" in summary
    assert summary.endswith("\n2 ERRORS encountered. See detailed log.\n")


def test_a_load_without_answers_has_no_results(tmp_path: Path) -> None:
    lost = quick_load(
        completed_ns=np.full(4, NEVER),
        violations=(Violation(rule="lost completion", evidence="all"),),
    )
    write_logs(tmp_path, run_of(SERVER, lost))
    log = read_detail(tmp_path)
    assert not any(key.startswith("result_") for key in keys(log))
    assert log["num_errors"] == 1
    assert read_summary(tmp_path) == (
        "\nNo warnings encountered during test.\n\n1 ERROR encountered. See detailed log.\n"
    )


def test_offline_in_parts_is_one_query(tmp_path: Path) -> None:
    parts = quick_load(
        due_ns=np.zeros(4, np.int64),
        completed_ns=np.array([1, 2, 3, 4]) * 1_000_000,
        sizes=np.array([3, 3, 3, 1]),
    )
    write_logs(tmp_path, run_of(Offline(samples=10, min_duration="4 ms"), parts))
    log = read_detail(tmp_path)
    assert log["generated_query_count"] == log["result_query_count"] == 1
    assert log["generated_samples_per_query"] == log["effective_samples_per_query"] == 10
    assert log["result_samples_per_second"] == 2500
    assert log["result_50.00_percentile_latency_ns"] == 2_000_000
    assert log["result_validity"] == "VALID"


def accuracy_phase() -> AccuracyPhase:
    order = OrderSettings(
        total=TOTAL, performance_count=LOADED, offline=True, selection=Selection.ACCURACY
    )
    outputs = {index: float(index) for index in range(TOTAL)}
    return AccuracyPhase(sets=sample_sets(order), outputs=outputs, began_at=NOON, duration_s=0.5)


def test_accuracy_mode(tmp_path: Path) -> None:
    run = replace(run_of(SERVER, quick_load()), performance=None, accuracy=accuracy_phase())
    write_logs(tmp_path, run)
    log = read_detail(tmp_path)
    assert log["effective_test_mode"] == "AccuracyOnly"
    assert log.all("loaded_qsl_set") == [[1, 5, 7, 6, 0, 8, 3, 2], [9, 4]]
    assert log.all("generated_samples_per_query") == [8, 2]
    assert "result_validity" not in log
    answers = json.loads((tmp_path / "mlperf_log_accuracy.json").read_text())
    assert [answer["qsl_idx"] for answer in answers] == [1, 5, 7, 6, 0, 8, 3, 2, 9, 4]
    assert [answer["seq_id"] for answer in answers] == list(range(TOTAL))
    read = [np.frombuffer(bytes.fromhex(answer["data"]), np.float32) for answer in answers]
    assert [value.tolist() for value in read] == [[answer["qsl_idx"]] for answer in answers]


def test_rules_broken_in_accuracy_mode_are_errors(tmp_path: Path) -> None:
    phase = replace(accuracy_phase(), violations=(Violation(rule="NaN", evidence="sample 3"),))
    run = replace(run_of(SERVER, quick_load()), performance=None, accuracy=phase)
    write_logs(tmp_path, run)
    assert read_detail(tmp_path).errors == ["NaN: sample 3"]
    assert read_summary(tmp_path).endswith("\n1 ERROR encountered. See detailed log.\n")


@pytest.mark.oracle
@needs_official
def test_offline_accuracy_mode_is_the_official_one(tmp_path: Path) -> None:
    scenario = Offline(samples=50, min_duration="1 ms")
    (result,) = run_official([replace(official_run(scenario), mode="AccuracyOnly")])
    run = replace(run_of(scenario, quick_load()), performance=None, accuracy=accuracy_phase())
    write_logs(tmp_path, run)
    ours, official = read_detail(tmp_path), result.log
    assert keys(ours) == keys(official) - NOT_OURS
    for key in ("loaded_qsl_set", "generated_query_count", "generated_samples_per_query"):
        assert ours.all(key) == official.all(key)
    logged = (tmp_path / "mlperf_log_accuracy.json").read_text()
    assert parse_accuracy(logged) == list(range(TOTAL))
    assert [answer["qsl_idx"] for answer in json.loads(logged)] == result.samples.index.tolist()


def test_submission_mode_has_both_phases(tmp_path: Path) -> None:
    run = replace(run_of(SERVER, quick_load()), accuracy=accuracy_phase())
    write_logs(tmp_path, run)
    log = read_detail(tmp_path)
    assert log["requested_test_mode"] == "SubmissionRun"
    assert log.all("generic_message")[:2] == [
        "Starting accuracy mode",
        "Starting performance mode",
    ]
    assert log["result_query_count"] == 4
    logged = (tmp_path / "mlperf_log_accuracy.json").read_text()
    assert parse_accuracy(logged) == list(range(TOTAL))


def test_answers_under_load_and_trace(tmp_path: Path) -> None:
    lost = np.array([False, False, True, False])
    load = quick_load(
        issued_ns=quick_load().due_ns + 7,
        completed_ns=np.where(lost, NEVER, quick_load().completed_ns),
    )
    run = run_of(SERVER, load)
    assert run.performance is not None
    phase = replace(
        run.performance,
        answers=[LoggedAnswer(2, 5, b"\x01\xff")],
        samples=np.array([3, 1, 5, 3]),
    )
    write_logs(tmp_path, replace(run, performance=phase))
    assert (tmp_path / "mlperf_log_accuracy.json").read_text() == (
        '[\n{ "seq_id" : 2, "qsl_idx" : 5, "data" : "01FF" }\n]\n'
    )
    trace = parse_trace(tmp_path / "mlperf_log_trace.json")
    assert trace.index.tolist() == [3, 1, 3]
    assert trace.scheduled_ns.tolist() == [0, 1_000_000, 3_000_000]
    assert trace.lateness_ns.tolist() == [7] * 3
    assert trace.latency_ns.tolist() == [100_000] * 3
    assert json.loads((tmp_path / "mlperf_log_trace.json").read_text())["traceEvents"]


def test_without_answers_or_samples_to_log(tmp_path: Path) -> None:
    write_logs(tmp_path, run_of(SERVER, quick_load()))
    assert json.loads((tmp_path / "mlperf_log_accuracy.json").read_text()) == []
    assert not (tmp_path / "mlperf_log_trace.json").exists()


def test_folders_tell_tests_and_their_runs_apart(tmp_path: Path) -> None:
    long = f"test_x.py::test_it[{'/very' * 99}]"
    names = [
        next(log_folders(tmp_path, test)).name
        for test in ("a/test_x.py::test_it[cpu-50/s]", "b/test_x.py::test_it[cpu-50-s]", long)
    ]
    assert [name.rpartition("-")[0] for name in names[:2]] == ["test_it-cpu-50-s"] * 2
    assert len(set(names)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,110}", name) for name in names)
    folders = list(islice(log_folders(tmp_path, "test_x.py::test_it"), 3))
    first = folders[0].name
    assert [folder.name for folder in folders] == [first, f"{first}-2", f"{first}-3"]


def test_a_place_where_logs_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_log_folder(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UserError) as error:
        check_log_folder(tmp_path / "file" / "logs")
    assert str(error.value) == (
        f"cannot write MLPerf logs to {tmp_path}/file/logs: {tmp_path}/file is no folder; "
        "choose another with --aibench-mlperf-logs"
    )
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"logs: permission denied; choose another"):
        check_log_folder(tmp_path / "logs")


class FakeTensor:
    """What a tensor of torch offers."""

    def detach(self) -> FakeTensor:
        """Itself."""
        return self

    def cpu(self) -> FakeTensor:
        """Itself."""
        return self

    def numpy(self) -> Any:
        """Its values."""
        return np.array([1, 2], np.int32)


@pytest.mark.parametrize(
    ("output", "data"),
    [
        (7, "0700000000000000"),
        (True, "01"),
        (1.0, "0000803f"),
        ([1.0, 2.0], "0000803f00000040"),
        ([[1], [2]], "01000000000000000200000000000000"),
        (np.float32(1.0), "0000803f"),
        (np.array([1.0]), "000000000000f03f"),
        (np.array([1], ">i4"), "01000000"),
        (np.array([[1, 2], [3, 4]], np.uint8).T, "01030204"),
        (FakeTensor(), "0100000002000000"),
        ("é", "c3a9"),
        (b"\x00", "00"),
    ],
)
def test_outputs_as_bytes(output: Any, data: str) -> None:
    assert output_bytes(output).hex() == data


@pytest.mark.parametrize("output", [{"boxes": [1]}, None, [[1], [2, 3]], object()])
def test_outputs_without_bytes_are_named(output: Any, tmp_path: Path) -> None:
    phase = replace(accuracy_phase(), outputs={5: output})
    run = replace(run_of(SERVER, quick_load()), accuracy=phase)
    with pytest.raises(UserError) as error:
        write_logs(tmp_path / "logs", run)
    assert str(error.value) == (
        f"sample 5: an answer of type {type(output).__name__} has no place in MLPerf's accuracy "
        "log: return numbers, an array, text or bytes"
    )
    assert not (tmp_path / "logs").exists()
