"""``--aibench-compare``: a benchmark that got worse than its history fails.

The history is made of one real run, its figures multiplied, so that no clock decides a test.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from pytest_aibench import gatekeeper, session
from pytest_aibench.cli import main
from pytest_aibench.errors import UserError
from pytest_aibench.gatekeeper import Gatekeeper
from pytest_aibench.results.locations import open_store
from pytest_aibench.results.schema import Metric, Run
from pytest_aibench.results.store import new_run_id, read_run, write_run
from tests.records import stored_files

BENCHMARK = """
import pytest
from pytest_aibench import SingleStream, at_least
from tiny import right

calls = []

@pytest.mark.dataset("tiny")
@pytest.mark.parametrize("scenario", [SingleStream(min_duration="10 ms", min_queries=1000)])
def test_tiny(loadgen, scenario, dataset):
    calls.append(1)
    loadgen.run(right, dataset, scenario).require(top1=at_least(0.97))

def test_number_of_runs(record_property):
    record_property("runs", len(calls))
    print("RUNS", len(calls))
"""
FAST, SLOW = 1e-3, 1e3
"""Factors by which the history was faster or slower than any machine that runs this test."""

RUNS = 14


@pytest.fixture
def tiny(project: pytest.Pytester) -> pytest.Pytester:
    project.makepyfile(test_tiny=BENCHMARK)
    return project


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest("-s", *arguments)


def make_history(
    project: pytest.Pytester, factor: float, canary_ms: float | None = None, **sw: str
) -> None:
    """Multiply all timings of a real run, and spread them a little."""
    assert run(project).ret == pytest.ExitCode.OK
    (path,) = stored_files(project.path / ".aibench")
    real = read_run(path)
    path.unlink()
    for number in range(RUNS):
        run_before = earlier(real, number, factor, sw)
        if canary_ms is not None:
            run_before = replace(run_before, canaries=canary(canary_ms))
        write_run(open_store(project.path / ".aibench"), run_before)


def canary(value_ms: float) -> dict[str, Metric]:
    return {"host_loop_ms": Metric(value=value_ms, better="lower", n=9)}


def earlier(real: Run, number: int, factor: float, sw: dict[str, str]) -> Run:
    wobble = factor * (1.02 if number % 2 else 0.98)
    started = datetime.fromisoformat(real.started_at) - timedelta(hours=RUNS - number)
    benchmarks = [
        replace(entry, metrics={n: times(m, n, wobble) for n, m in entry.metrics.items()})
        for entry in real.benchmarks
    ]
    return replace(
        real,
        run_id=new_run_id(),
        started_at=started.isoformat(),
        environment=replace(real.environment, sw={**real.environment.sw, **sw}),
        benchmarks=benchmarks,
        canaries={},
    )


def times(metric: Metric, name: str, factor: float) -> Metric:
    if not name.endswith("_ms") or metric.value is None:
        return metric
    return replace(metric, value=metric.value * factor)


def text(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


def test_a_slower_benchmark_fails_after_a_second_run(tiny: pytest.Pytester) -> None:
    make_history(tiny, FAST)
    result = run(tiny, "--aibench-compare")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "aibench: device cpu, * compared with all earlier runs",
            "*RUNS 2",
            "regressed: p50_ms * [[]*, *], p99_ms *, compared with all earlier runs",
            "benchmark *metric *before *now *change *verdict",
            "test_tiny* *p50_ms * (14 runs) * (2 runs) * regressed",
            "p50_ms: over 2.0 %, p = *, confirmed by a re-run",
            "if this is intended: aibench accept 'test_tiny.py::*' --metric p50_ms --reason '…'",
            "*= comparison =*",
            "2 regressed, 1 not worse; compared with all earlier runs",
        ]
    )


def test_a_machine_that_is_slow_beside_the_second_run_excuses(
    tiny: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(tiny, FAST, canary_ms=4.0)
    measured = [canary(4.0), canary(4.0 / FAST**2)]
    monkeypatch.setattr(session, "measure_canaries", lambda _: measured.pop(0))
    result = run(tiny, "--aibench-compare")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*RUNS 2"])
    assert not measured


def test_a_long_history_is_read_with_a_line_on_the_terminal(
    tiny: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_history(tiny, SLOW)
    result = run(tiny, "--aibench-compare")
    assert "indexing" not in text(result)
    monkeypatch.setattr(gatekeeper, "_MANY", RUNS)
    monkeypatch.setenv("AIBENCH_CACHE", str(tiny.path / "another"))
    result = run(tiny, "--aibench-compare")
    result.stdout.fnmatch_lines([f"aibench: indexing {RUNS + 1} of {RUNS + 1} records of *aibench"])


def test_junit_and_last_failed_see_a_regression(tiny: pytest.Pytester) -> None:
    make_history(tiny, FAST)
    result = run(tiny, "--aibench-compare", "--junitxml=out.xml", "-x")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    junit = (tiny.path / "out.xml").read_text(encoding="utf-8")
    assert '<failure message="regressed: ' in junit
    assert "test_number_of_runs" not in junit


def test_the_record_keeps_both_runs_and_no_verdict_on_the_change(tiny: pytest.Pytester) -> None:
    make_history(tiny, FAST)
    run(tiny, "--aibench-compare")
    record = read_run(stored_files(tiny.path / ".aibench")[-1])
    (entry,) = record.benchmarks
    assert entry.verdict == "passed"
    assert entry.confirmation["p50_ms"].value is not None
    assert entry.confirmation["p50_ms"] != entry.metrics["p50_ms"]


def test_a_faster_benchmark_passes_with_one_run(tiny: pytest.Pytester) -> None:
    make_history(tiny, SLOW)
    result = run(tiny, "--aibench-compare")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*RUNS 1", "2 improved, 1 not worse; compared with *"])


def test_without_the_option_the_history_is_left_alone(tiny: pytest.Pytester) -> None:
    make_history(tiny, FAST)
    result = run(tiny)
    result.assert_outcomes(passed=2)
    assert "compared" not in text(result)


def test_the_ini_file_can_ask_for_it(tiny: pytest.Pytester) -> None:
    make_history(tiny, FAST)
    tiny.makeini("[pytest]\naibench_compare = auto\n")
    run(tiny).assert_outcomes(failed=1, passed=1)


def test_xdist_workers_compare_too(tiny: pytest.Pytester) -> None:
    make_history(tiny, FAST)
    result = tiny.runpytest("-n", "2", "--aibench-compare")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["2 regressed, 1 not worse; compared with all earlier runs"])


def test_without_history_nothing_fails(tiny: pytest.Pytester) -> None:
    result = run(tiny, "--aibench-compare")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["test_tiny* p50_ms, p99_ms, top1: no earlier run to compare", "  with"]
    )


def test_another_driver_confounds_and_does_not_fail(tiny: pytest.Pytester) -> None:
    make_history(tiny, FAST, python="CPython 2.7")
    result = run(tiny, "--aibench-compare")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "3 confounded; compared with all earlier runs",
            "test_tiny* p50_ms, p99_ms, top1: confounded by sw.python:",
            "  CPython 2.7 → *",
            "if the change of sw.python is what you test: --aibench-vary sw.python",
        ]
    )


def test_a_declared_factor_does_not_confound(tiny: pytest.Pytester) -> None:
    make_history(tiny, FAST, python="CPython 2.7")
    result = run(tiny, "--aibench-compare", "--aibench-vary=sw.python")
    result.assert_outcomes(failed=1, passed=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--aibench-compare=main", "--aibench-no-store"],
            "--aibench-compare needs records: leave out --aibench-no-store",
        ),
        (
            ["--aibench-compare=main"],
            "--aibench-compare=main: cannot compare with 'main', since there is no git "
            "repository: leave the ref out",
        ),
        (
            ["--aibench-compare", "test_tiny.py"],
            "--aibench-compare=test_tiny.py: cannot compare with 'test_tiny.py', since there is "
            "no git repository: leave the ref out; a path must stand before --aibench-compare, "
            "or after a '='",
        ),
    ],
)
def test_mistakes_are_named(tiny: pytest.Pytester, arguments: list[str], message: str) -> None:
    result = run(tiny, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {message}" in text(result)


def test_an_accepted_level_is_the_baseline_from_then_on(tiny: pytest.Pytester) -> None:
    make_history(tiny, FAST)
    store = tiny.path / ".aibench"
    real = read_run(stored_files(store)[-1])
    write_run(open_store(store), earlier(real, RUNS, SLOW / FAST, {}))
    assert main(["accept", "*test_tiny*", "--reason", "more", "--store", str(store)]) == 0
    run(tiny, "--aibench-compare").assert_outcomes(passed=2)


def test_everything_slower_at_once_is_told_once(tiny: pytest.Pytester) -> None:
    names = ", ".join(f"'m{number}'" for number in range(12))
    source = BENCHMARK.replace(
        "def test_tiny(loadgen, scenario, dataset):",
        f"@pytest.mark.parametrize('which', [{names}])\n"
        "def test_tiny(loadgen, scenario, dataset, which):",
    )
    tiny.makepyfile(test_tiny=source)
    make_history(tiny, FAST)
    result = run(tiny, "--aibench-compare")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["all timings on cpu-* moved together: x*, slower; *"])


def test_a_comparison_that_cannot_be_made_is_not_green(
    tiny: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise UserError("cannot use the index: rebuild it")

    monkeypatch.setattr(Gatekeeper, "check", lambda *_: None)
    monkeypatch.setattr(Gatekeeper, "report", broken)
    result = run(tiny, "--aibench-compare")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["not compared: cannot use the index: rebuild it"])
    assert "INTERNALERROR" not in text(result)
