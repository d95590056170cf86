"""A device that was too hot makes a benchmark invalid; canaries tell of the machine itself."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pytest_aibench.results.identity import invalid_reason, series_keys
from pytest_aibench.results.schema import Run, from_json
from pytest_aibench.telemetry import machine
from pytest_aibench.telemetry.reading import Reading
from tests.acceptance.test_records import only_record

BENCHMARK = """
from pytest_aibench import SingleStream, at_least
import pytest, tiny

@pytest.mark.dataset("tiny")
def test_tiny(loadgen, dataset):
    loadgen.run(tiny.right, dataset, SingleStream()).require(top1=at_least(0.9))
"""


def test_a_throttled_processor_is_named(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hot_half_of_the_time() -> Reading:
        return Reading(throttled_s=time.perf_counter() / 2)

    monkeypatch.setattr(machine, "read_host", hot_half_of_the_time)
    project.makepyfile(BENCHMARK)
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    reason = (
        "the device is not throttled: cpu_thermal_slowdown for 50% of the time under load, "
        "allowed 5%; cool the device, or lower its power limit"
    )
    result.stdout.fnmatch_lines([f"invalid: {reason}"])
    run = from_json(Run, only_record(project.path / ".aibench"))
    (entry,) = run.benchmarks
    assert entry.verdict == "invalid"
    assert entry.telemetry["conditions"]["cpu_thermal_slowdown"] == pytest.approx(0.5, abs=0.01)
    assert [check.verdict for check in entry.checks] == ["passed"]
    assert invalid_reason(run, entry) == reason


def test_canaries_are_taken_once_by_whoever_runs_the_benchmarks(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK)
    project.runpytest("-n1").assert_outcomes(passed=1)
    run = from_json(Run, only_record(project.path / ".aibench"))
    canaries: dict[str, Any] = {
        key.metric: metric.value
        for key, (_, metric) in series_keys(run).items()
        if key.benchmark == "canary"
    }
    assert list(canaries) == ["host_loop_ms", "memcpy_gib_per_s", "gemm_gflop_per_s"]
    assert all(value > 0 for value in canaries.values())
