"""``--aibench-calibrate`` and ``from_bounds()``: bounds learnt on this hardware.

Limits in the file are replaced by ones that no machine misses or meets, so that no clock decides a
test.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_aibench.results.schema import BenchmarkEntry
from pytest_aibench.results.store import read_run
from tests.records import stored_files

BENCHMARK = """
import pytest
from pytest_aibench import SingleStream, at_least, at_most, from_bounds
from tiny import right

calls = []

@pytest.mark.dataset("tiny")
@pytest.mark.parametrize("scenario", [SingleStream(min_duration="10 ms", min_queries=1000)])
def test_tiny(loadgen, scenario, dataset):
    calls.append(1)
    result = loadgen.run(right, dataset, scenario, bounds={})
    result.require(top1=at_least(0.97), p99=from_bounds())

def test_number_of_runs():
    print("RUNS", len(calls))
"""
EASY, HARD = "≤ 1000 s", "≤ 1 ns"


@pytest.fixture
def tiny(project: pytest.Pytester) -> pytest.Pytester:
    project.makepyfile(test_tiny=BENCHMARK)
    return project


def changed(project: pytest.Pytester, old: str, new: str) -> None:
    assert old in BENCHMARK
    project.makepyfile(test_tiny=BENCHMARK.replace(old, new))


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest("-s", *arguments)


def calibrate(project: pytest.Pytester) -> None:
    run(project, "--aibench-calibrate=3").assert_outcomes(passed=2)


def bounds_file(project: pytest.Pytester) -> Path:
    (path,) = (project.path / "bounds").iterdir()
    return path


def set_all(project: pytest.Pytester, field: str, value: str) -> None:
    """Replace a text in every line of the bounds file."""
    path = bounds_file(project)
    text = path.read_text(encoding="utf-8")
    replaced = re.sub(rf'"{field}": "[^"]*"', f'"{field}": "{value}"', text)
    path.write_text(replaced, encoding="utf-8")


def last_entry(project: pytest.Pytester) -> BenchmarkEntry:
    (entry,) = read_run(stored_files(project.path / ".aibench")[-1]).benchmarks
    return entry


def text(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


def test_calibrating_writes_a_bound_and_says_so(tiny: pytest.Pytester) -> None:
    result = run(tiny, "--aibench-calibrate=3")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "aibench: device cpu, effort quick, records in .aibench, bounds from 3 runs",
            "*RUNS 3",
            "p99 not judged: its bound is being calibrated (*",
            "*= calibration =*",
            "bounds written: bounds/cpu-*.json",
            "  test_tiny.py::test_tiny[[]cpu-*] p99 ≤ *s, no bound before; 3 runs, spread *",
        ]
    )
    document = json.loads(bounds_file(tiny).read_text(encoding="utf-8"))
    assert document["schema"] == "aibench.bounds/1"
    assert document["hardware"] == bounds_file(tiny).name.removesuffix(".json")
    ((benchmark, bounds),) = document["bounds"].items()
    assert benchmark.startswith("test_tiny.py::test_tiny[cpu-")
    assert list(bounds) == ["p99"]
    assert bounds["p99"]["runs"] == 3
    assert (bounds["p99"]["effort"], bounds["p99"]["scale"]) == ("quick", "embedded")


def test_the_first_run_is_the_record(tiny: pytest.Pytester) -> None:
    wrong_later = "lambda samples: [s % 10 if s or len(calls) == 1 else 9 for s in samples]"
    changed(tiny, "loadgen.run(right,", f"loadgen.run({wrong_later},")
    calibrate(tiny)
    entry = last_entry(tiny)
    assert entry.verdict == "passed"
    assert entry.metrics["top1"].value == 1
    assert [check.name for check in entry.checks] == ["top1"]
    assert entry.confirmation == {}


def test_without_a_file_the_bounds_in_the_code_apply(tiny: pytest.Pytester) -> None:
    result = run(tiny)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*RUNS 1",
            "p99 not judged: no calibrated bound for cpu-*: run with --aibench-calibrate (*",
        ]
    )
    assert "calibration" not in text(result)
    assert not (tiny.path / "bounds").exists()


def test_a_calibrated_bound_is_met(tiny: pytest.Pytester) -> None:
    calibrate(tiny)
    set_all(tiny, "limit", EASY)
    run(tiny).assert_outcomes(passed=2)
    check = next(check for check in last_entry(tiny).checks if check.name == "p99")
    assert check.bound == "≤ 1000 s (calibrated)"
    assert check.limit == 1000
    where = f"from bounds/{bounds_file(tiny).name} (3 runs, "
    assert check.reason.startswith(where)


def test_a_calibrated_bound_is_missed(tiny: pytest.Pytester) -> None:
    calibrate(tiny)
    set_all(tiny, "limit", HARD)
    result = run(tiny)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "failed: p99 *, required ≤ 1 ns (calibrated)",
            "p99 * ≤ 1 ns (calibrated) * failed",
            "p99: from bounds/cpu-*.json (3 runs, *)",
        ]
    )


def test_a_calibrated_bound_steers_the_load(tiny: pytest.Pytester) -> None:
    changed(tiny, "bounds={}", 'bounds={"p99": from_bounds()}')
    calibrate(tiny)
    set_all(tiny, "limit", HARD)
    run(tiny).assert_outcomes(failed=1, passed=1)
    load = last_entry(tiny).load
    assert load is not None
    assert load.stopped.startswith("p99 ≤ 1 ns (calibrated)")


def test_the_scenarios_own_bound_stays_until_there_is_a_calibrated_one(
    tiny: pytest.Pytester,
) -> None:
    changed(tiny, "SingleStream(", 'SingleStream(percentile=0.99, latency_bound="900 s", ')
    calibrate(tiny)
    assert [check.bound for check in last_entry(tiny).checks] == ["≤ 900 s", "≥ 0.97"]
    set_all(tiny, "limit", EASY)
    run(tiny).assert_outcomes(passed=2)
    bounds = [check.bound for check in last_entry(tiny).checks]
    assert bounds == ["≤ 1000 s (calibrated)", "≥ 0.97"]


def test_the_old_bound_stands_beside_the_new_one(tiny: pytest.Pytester) -> None:
    calibrate(tiny)
    set_all(tiny, "limit", EASY)
    result = run(tiny, "--aibench-calibrate=3")
    result.stdout.fnmatch_lines(["  test_tiny* p99 ≤ *s, before ≤ 1000 s; 3 runs, spread *"])
    assert EASY not in bounds_file(tiny).read_text(encoding="utf-8")


@pytest.mark.parametrize(("field", "value"), [("effort", "official"), ("scale", "full")])
def test_bounds_of_another_setting_do_not_apply(
    tiny: pytest.Pytester, field: str, value: str
) -> None:
    calibrate(tiny)
    set_all(tiny, "limit", HARD)
    set_all(tiny, field, value)
    result = run(tiny)
    result.assert_outcomes(passed=2)
    settings = {"effort": "quick", "scale": "embedded", field: value}
    result.stdout.fnmatch_lines(
        [
            f"p99 not judged: its bound is for effort {settings['effort']} at scale "
            f"{settings['scale']}, this is quick at embedded: run with --aibench-calibrate (*"
        ]
    )


def test_nothing_but_calibrated_bounds(tiny: pytest.Pytester) -> None:
    changed(tiny, "top1=at_least(0.97), ", "")
    result = run(tiny)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "test_tiny.py:12: nothing is judged here (no calibrated bound for cpu-*: run with "
            "--aibench-calibrate): require a figure that this benchmark measures"
        ]
    )
    calibrate(tiny)
    set_all(tiny, "limit", EASY)
    run(tiny).assert_outcomes(passed=2)


def test_a_benchmark_that_fails_gets_no_bound(tiny: pytest.Pytester) -> None:
    changed(tiny, "at_least(0.97)", "at_least(1.01)")
    result = run(tiny, "--aibench-calibrate=3")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*RUNS 1",
            "  test_tiny* p99: no bound learnt: one of its runs was failed; no bound before",
        ]
    )
    assert not (tiny.path / "bounds").exists()


def test_a_benchmark_that_fails_later_gets_no_bound(tiny: pytest.Pytester) -> None:
    changed(tiny, "at_least(0.97)", "at_least(0.97 if len(calls) < 3 else 1.01)")
    result = run(tiny, "--aibench-calibrate=3")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["  test_tiny* p99: no bound learnt: one of its runs was failed*"])


def test_too_few_queries_for_a_bound(tiny: pytest.Pytester) -> None:
    changed(tiny, 'min_duration="10 ms", min_queries=1000', 'max_duration="1 ms", min_queries=10')
    changed_source = (tiny.path / "test_tiny.py").read_text(encoding="utf-8")
    tiny.makepyfile(test_tiny=changed_source.replace("p99=", "p999999="))
    result = run(tiny, "--aibench-calibrate=3")
    result.stdout.fnmatch_lines(["  test_tiny* no bound learnt: not measured: p999999 needs *"])


def test_xdist_workers_calibrate_too(tiny: pytest.Pytester) -> None:
    result = tiny.runpytest("-n", "2", "--aibench-calibrate=3")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["bounds written: bounds/cpu-*.json", "  test_tiny* p99 ≤ *"])
    set_all(tiny, "limit", HARD)
    tiny.runpytest("-n", "1").assert_outcomes(failed=1, passed=1)


def test_a_calibrating_session_compares_with_nothing(tiny: pytest.Pytester) -> None:
    result = run(tiny, "--aibench-calibrate=3", "--aibench-compare")
    result.assert_outcomes(passed=2)
    assert "compared" not in text(result)


def test_nothing_to_calibrate(tiny: pytest.Pytester) -> None:
    changed(tiny, ", p99=from_bounds()", "")
    result = run(tiny, "--aibench-calibrate")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*RUNS 1",
            "no bound to calibrate: no benchmark that ran requires a figure=from_bounds()",
        ]
    )


def test_a_damaged_file_is_named_in_one_line(tiny: pytest.Pytester) -> None:
    calibrate(tiny)
    bounds_file(tiny).write_text("{", encoding="utf-8")
    result = run(tiny)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            f"test_tiny.py:12: {bounds_file(tiny)} is not strict JSON (*): "
            "delete it and run with --aibench-calibrate"
        ]
    )


def test_a_wrong_unit_is_named_with_its_file(tiny: pytest.Pytester) -> None:
    calibrate(tiny)
    set_all(tiny, "limit", "≤ 50 samples/s")
    result = run(tiny)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "test_tiny.py:12: p99: the bound '50 samples/s', from bounds/cpu-*.json (3 runs, *), "
            "has the wrong unit: write it like '15 ms' or run with --aibench-calibrate"
        ]
    )


@pytest.mark.parametrize("value", ["2", "test_tiny.py"])
def test_a_wrong_number_of_runs(tiny: pytest.Pytester, value: str) -> None:
    result = run(tiny, "--aibench-calibrate", value)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert (
        f"ERROR: --aibench-calibrate={value}: give a number of runs, 3 or more; "
        "a path must stand before --aibench-calibrate, or after a '='"
    ) in text(result)
