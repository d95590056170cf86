"""Bounds files: what they say, how they are written, and how limits are learnt."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pytest_aibench.bounds import Bound, Estimate, Verdict, at_least, at_most, from_bounds, judge
from pytest_aibench.bounds_file import (
    ALPHA,
    SCHEMA,
    BenchmarkBounds,
    BoundsFile,
    CalibratedBound,
    Learnt,
    learn_figures,
    limits,
    read_bounds,
    write_bounds,
    write_learnt,
)
from pytest_aibench.datasets import Dataset, base
from pytest_aibench.errors import UserError
from pytest_aibench.inference.runner import LoadGenerator
from pytest_aibench.loadgen.effort import EFFORTS
from pytest_aibench.outcome import CALIBRATING, Outcome
from pytest_aibench.scenarios import MultiStream
from pytest_aibench.training.result import Epoch, TrainingResult, Trainings
from pytest_aibench.training.runner import TrainingRun
from tests.clouds import TASK, register_clouds
from tests.fakes import FakeClock

HARDWARE = "cpu-A-processor-4c-16GiB"
BENCHMARK = "test_a.py::test_b[cpu]"
LINE = CalibratedBound(
    limit="≤ 12.3 ms",
    runs=5,
    spread=0.01,
    date="2026-03-01",
    effort="standard",
    scale="embedded",
    versions={"torch": "2.9.0", "driver": "570.1"},
)
FILE = BoundsFile(schema=SCHEMA, hardware=HARDWARE, bounds={BENCHMARK: {"p99": LINE}})


def where(root: Path, *, calibrating: bool = False) -> BenchmarkBounds:
    return BenchmarkBounds(
        root=root,
        folder=root / "bounds",
        hardware=HARDWARE,
        benchmark=BENCHMARK,
        effort="standard",
        scale="embedded",
        calibrating=calibrating,
    )


def learnt(root: Path, *values: float, figure: str = "p99", unit: str = "s") -> Learnt:
    return Learnt(
        path=str(where(root).path),
        hardware=HARDWARE,
        benchmark=BENCHMARK,
        figure=figure,
        unit=unit,
        better="lower" if unit == "s" else "higher",
        n=1000,
        values=list(values),
        problem="",
    )


def write(learnt: list[Learnt], root: Path) -> list[str]:
    return write_learnt(
        learnt, root=root, effort="standard", scale="embedded", date="2026-04-01", versions={}
    )


def outcome(verdict: Verdict = Verdict.PASSED, **figures: Estimate) -> Outcome:
    return Outcome(checks=(), not_judged=(), violations=(), verdict=verdict, uncalibrated=figures)


def latency(high: float | None, n: int = 1000) -> Estimate:
    return Estimate(value=0.010, low=0.009, high=high, unit="s", n=n, why_open="too few")


def limit_of(bound: CalibratedBound) -> float:
    sense, _, text = bound.limit.partition(" ")
    return {"≤": at_most, "≥": at_least}[sense](text).limit.value


def test_a_file_has_one_sorted_line_for_each_bound(tmp_path: Path) -> None:
    file = replace(FILE, bounds={"z": {"p99": LINE, "mean": LINE}, **FILE.bounds})
    path = where(tmp_path).path
    write_bounds(path, file)
    line = (
        '{"date": "2026-03-01", "effort": "standard", "limit": "≤ 12.3 ms", "runs": 5, '
        '"scale": "embedded", "spread": 0.01, "versions": {"driver": "570.1", "torch": "2.9.0"}}'
    )
    assert path.read_text(encoding="utf-8").splitlines() == [
        "{",
        '  "schema": "aibench.bounds/1",',
        f'  "hardware": "{HARDWARE}",',
        '  "bounds": {',
        f'    "{BENCHMARK}": {{',
        f'      "p99": {line}',
        "    },",
        '    "z": {',
        f'      "mean": {line},',
        f'      "p99": {line}',
        "    }",
        "  }",
        "}",
    ]
    assert read_bounds(path, HARDWARE) == file
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_no_file_holds_no_bounds(tmp_path: Path) -> None:
    assert read_bounds(tmp_path / "x.json", HARDWARE).bounds == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "{",
            "is not strict JSON (Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1)): delete it and run with --aibench-calibrate",
        ),
        (
            '{"schema": NaN}',
            "is not strict JSON (it holds NaN): delete it and run with --aibench-calibrate",
        ),
        (
            "[]",
            "has the schema None, and this version reads 'aibench.bounds/1': "
            "delete it and run with --aibench-calibrate",
        ),
        (
            '{"schema": "aibench.bounds/2"}',
            "has the schema 'aibench.bounds/2', and this version reads 'aibench.bounds/1': "
            "delete it and run with --aibench-calibrate",
        ),
        (
            '{"schema": "aibench.bounds/1", "hardware": "x", "bounds": {"a": {"p99": 1}}}',
            "is damaged (it.bounds.a.p99 should be of type dict, not int): "
            "delete it and run with --aibench-calibrate",
        ),
        (
            '{"schema": "aibench.bounds/1", "hardware": "x", "bounds": {}}',
            f"is for x: name it after that, or write {HARDWARE} into it if its bounds hold there "
            "too",
        ),
    ],
)
def test_bad_files(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_bounds(path, HARDWARE)
    assert str(caught.value) == f"{path} {problem}"


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_bounds(tmp_path, HARDWARE)
    assert str(caught.value) == (
        f"cannot read {tmp_path}: is a directory: make it readable, or delete it"
    )


def test_only_bounds_from_the_file_are_looked_up(tmp_path: Path) -> None:
    write_bounds(where(tmp_path).path, FILE)
    required = where(tmp_path).look_up({"top1": at_least(0.9), "p99": from_bounds()})
    assert required.uncalibrated == {}
    assert required.bounds["top1"] == at_least(0.9)
    found = required.bounds["p99"]
    assert str(found) == "≤ 12.3 ms (calibrated)"
    assert (found.at_least, found.limit.unit) == (False, "s")
    assert found.limit.value == pytest.approx(0.0123)
    assert found.origin == f"from bounds/{HARDWARE}.json (5 runs, 2026-03-01)"


def test_a_check_names_where_its_bound_is_from(tmp_path: Path) -> None:
    write_bounds(where(tmp_path).path, FILE)
    bound = where(tmp_path).look_up({"p99": from_bounds()}).bounds["p99"]
    check = judge("p99", Estimate(value=0.01, low=0.009, high=0.02, unit="s"), bound)
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.reason == f"the interval straddles the bound; {bound.origin}"


@pytest.mark.parametrize(
    ("line", "calibrating", "reason"),
    [
        (None, False, f"no calibrated bound for {HARDWARE}: run with --aibench-calibrate"),
        (None, True, CALIBRATING),
        (LINE, True, CALIBRATING),
        (
            replace(LINE, effort="quick"),
            False,
            "its bound is for effort quick at scale embedded, this is standard at embedded: "
            "run with --aibench-calibrate",
        ),
        (
            replace(LINE, scale="full"),
            False,
            "its bound is for effort standard at scale full, this is standard at embedded: "
            "run with --aibench-calibrate",
        ),
    ],
)
def test_why_there_is_no_bound(
    tmp_path: Path, line: CalibratedBound | None, calibrating: bool, reason: str
) -> None:
    bounds = {} if line is None else {BENCHMARK: {"p99": line}}
    write_bounds(where(tmp_path).path, replace(FILE, bounds=bounds))
    required = where(tmp_path, calibrating=calibrating).look_up({"p99": from_bounds()})
    assert required.bounds == {}
    assert required.uncalibrated == {"p99": reason}


@pytest.mark.parametrize("limit", ["12 ms", "≤ 12 parsecs", "≤ fast", ""])
def test_unreadable_limits(tmp_path: Path, limit: str) -> None:
    path = where(tmp_path).path
    write_bounds(path, replace(FILE, bounds={BENCHMARK: {"p99": replace(LINE, limit=limit)}}))
    with pytest.raises(UserError) as caught:
        where(tmp_path).look_up({"p99": from_bounds()})
    assert str(caught.value) == (
        f"{path}: p99 of {BENCHMARK} has the limit {limit!r}: "
        "write it like '≤ 15 ms' or '≥ 50 samples/s'"
    )


def test_a_wrong_unit_names_the_file(tmp_path: Path) -> None:
    write_bounds(where(tmp_path).path, FILE)
    bound = where(tmp_path).look_up({"throughput": at_least(1), "p99": from_bounds()}).bounds["p99"]
    with pytest.raises(UserError) as caught:
        judge("throughput", Estimate(value=50, unit="samples/s"), bound)
    assert str(caught.value) == (
        f"throughput: the bound '12.3 ms', from bounds/{HARDWARE}.json (5 runs, 2026-03-01), has "
        "the wrong unit: write it like '50 samples/s' or run with --aibench-calibrate"
    )


def test_latencies_are_learnt_from_the_end_that_is_judged(tmp_path: Path) -> None:
    runs = [outcome(p99=latency(high)) for high in (0.011, 0.012, 0.013)]
    (one,) = learn_figures(where(tmp_path), 3, runs)
    assert (one.figure, one.unit, one.better, one.n) == ("p99", "s", "lower", 1000)
    assert one.values == [0.011, 0.012, 0.013]
    assert one.problem == ""


@pytest.mark.parametrize(
    ("name", "estimate", "better", "value"),
    [
        ("throughput", Estimate(value=5, low=4, high=6, unit="samples/s"), "higher", 4),
        ("top1", Estimate(value=0.9, low=0.8, high=1.0, by_value=True), "higher", 0.9),
        ("epochs_to_quality", Estimate(value=7, by_value=True), "lower", 7),
        ("time_to_quality", Estimate(value=7, unit="s", by_value=True), "lower", 7),
        ("variation", Estimate(value=0.2, low=0.1, high=None, by_value=True), "lower", 0.2),
        ("variation_population", Estimate(value=0.2, by_value=True), "lower", 0.2),
        ("peak_qps", Estimate(value=7, low=6, high=8, unit="queries/s"), "higher", 6),
    ],
)
def test_what_is_judged_of_a_figure(
    tmp_path: Path, name: str, estimate: Estimate, better: str, value: float
) -> None:
    (one,) = learn_figures(
        where(tmp_path), 3, [replace(outcome(), uncalibrated={name: estimate})] * 3
    )
    assert (one.better, one.values) == (better, [value] * 3)


@pytest.mark.parametrize(
    ("outcomes", "problem"),
    [
        ([outcome(p99=latency(1.0))] * 2, "3 runs measured it 2 times, not once each"),
        ([outcome(p99=latency(1.0))] * 4, "3 runs measured it 4 times, not once each"),
        ([outcome(Verdict.FAILED, p99=latency(1.0))], "one of its runs was failed"),
        (
            [*[outcome(p99=latency(1.0))] * 2, outcome(Verdict.INVALID, p99=latency(1.0))],
            "one of its runs was invalid",
        ),
        ([outcome(p99=latency(None))] * 3, "not measured: too few"),
        ([outcome(p99=latency(0.0))] * 3, "one of its runs gave 0"),
    ],
)
def test_what_teaches_no_bound(tmp_path: Path, outcomes: list[Outcome], problem: str) -> None:
    (one,) = learn_figures(where(tmp_path), 3, outcomes)
    assert one.problem == problem


@pytest.mark.parametrize(
    ("figure", "unit", "value", "limit"),
    [
        ("p99", "s", 0.010, "≤ 10.5 ms"),
        ("p50", "s", 0.010, "≤ 10.2 ms"),
        ("throughput", "samples/s", 102.0, "≥ 100 samples/s"),
        ("top1", "", 0.9, "≥ 0.898"),
    ],
)
def test_equal_runs_leave_the_practical_floor(
    tmp_path: Path, figure: str, unit: str, value: float, limit: str
) -> None:
    one = learnt(tmp_path, *[value] * 5, figure=figure, unit=unit)
    (bound,) = limits([one], LINE).values()
    assert (bound.limit, bound.runs, bound.spread) == (limit, 5, 0.0)


def test_the_margin_is_a_prediction_bound_and_the_floor(tmp_path: Path) -> None:
    values = [0.0100, 0.0104, 0.0098, 0.0101, 0.0099]
    (bound,) = limits([learnt(tmp_path, *values)], LINE).values()
    logs = np.log(values)
    reach = stats.t.ppf(1 - ALPHA, 4) * logs.std(ddof=1) * math.sqrt(1 + 1 / 5)
    expected = math.exp(logs.mean() + reach) * 1.05
    assert limit_of(bound) == pytest.approx(expected, rel=1e-3)
    assert bound.spread == pytest.approx(math.expm1(logs.std(ddof=1)), rel=1e-2)


@pytest.mark.parametrize("alike", [1, 50])
def test_unchanged_runs_rarely_miss(tmp_path: Path, alike: int) -> None:
    """The floor set aside, a bound is missed as often as its confidence says, or less."""
    random = np.random.default_rng(7)
    trials, missed = 1000, 0
    for _ in range(trials // alike):
        runs = np.exp(random.normal(math.log(0.01), 0.03, (alike, 6)))
        figures = [
            replace(learnt(tmp_path, *row[:5]), benchmark=str(number))
            for number, row in enumerate(runs)
        ]
        found = [limit_of(bound) / 1.05 for bound in limits(figures, LINE).values()]
        missed += int((runs[:, 5] > found).sum())
    assert missed <= stats.binom.ppf(0.999, trials, ALPHA)


def test_only_benchmarks_that_ran_are_replaced(tmp_path: Path) -> None:
    old = {"p99": LINE, "p50": LINE, "mean": LINE}
    path = where(tmp_path).path
    write_bounds(path, replace(FILE, bounds={BENCHMARK: old, "another": {"p99": LINE}}))
    broken = replace(learnt(tmp_path, 0.01, figure="p50"), problem="one of its runs was failed")
    lines = write([learnt(tmp_path, 0.02, 0.02, 0.02), broken], tmp_path)
    assert lines == [
        f"bounds written: bounds/{HARDWARE}.json",
        f"  {BENCHMARK} p50: no bound learnt: one of its runs was failed; before ≤ 12.3 ms",
        f"  {BENCHMARK} p99 ≤ 21 ms, before ≤ 12.3 ms; 3 runs, spread 0",
    ]
    new = read_bounds(path, HARDWARE).bounds
    assert new["another"] == {"p99": LINE}
    assert new[BENCHMARK]["p50"] == LINE
    assert new[BENCHMARK]["p99"].limit == "≤ 21 ms"
    assert new[BENCHMARK]["p99"].date == "2026-04-01"
    assert "mean" not in new[BENCHMARK]


def test_nothing_learnt_writes_nothing(tmp_path: Path) -> None:
    broken = replace(learnt(tmp_path, 0.01), problem="one of its runs was failed")
    assert write([broken], tmp_path) == [
        f"  {BENCHMARK} p99: no bound learnt: one of its runs was failed; no bound before"
    ]
    assert not where(tmp_path).path.exists()


def test_a_file_that_cannot_be_written_costs_a_line(tmp_path: Path) -> None:
    where(tmp_path).path.mkdir(parents=True)
    (line,) = write([learnt(tmp_path, 0.02, 0.02, 0.02)], tmp_path)
    assert line.startswith(f"cannot read {where(tmp_path).path}: is a directory")
    path = tmp_path / "gone" / "bounds" / "x.json"
    elsewhere = replace(learnt(tmp_path, 0.02, 0.02, 0.02), path=str(path))
    assert write([elsewhere], tmp_path) == [
        f"cannot write {path}: no such file or directory: make its folder writable"
    ]


def test_the_file_is_strict_json(tmp_path: Path) -> None:
    write_bounds(where(tmp_path).path, FILE)
    document = json.loads(where(tmp_path).path.read_bytes())
    assert document["bounds"][BENCHMARK]["p99"]["limit"] == "≤ 12.3 ms"


def test_from_bounds_is_a_bound_without_a_limit() -> None:
    bound = from_bounds()
    assert isinstance(bound, Bound)
    assert bound.calibrated
    assert math.isnan(bound.limit.value)


def test_a_training_looks_up_its_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_LOADERS", dict(base._LOADERS))
    register_clouds()
    write_bounds(where(tmp_path).path, replace(FILE, bounds={BENCHMARK: {"time_to_quality": LINE}}))
    epoch = Epoch(loss=0.1, quality=Estimate(value=0.9, n=5), train_s=3.0, end_s=4.0)
    result = TrainingResult(
        metric="top1",
        target=0.5,
        seed=0,
        n_samples=10,
        batch_size=4,
        windows=((46.0, 50.0),),
        epochs=(epoch,),
        state_dict={},
    )
    settled: list[Outcome] = []
    run = TrainingRun(
        task=TASK,
        result=Trainings(by_seed=(result,)),
        baseline=Estimate(value=0.1, n=5),
        look_up=where(tmp_path).look_up,
        settle=lambda run, outcome: settled.append(outcome),
    )
    run.require(time_to_quality=from_bounds(), throughput=from_bounds())
    assert [str(check.bound) for check in settled[0].checks] == ["≤ 12.3 ms (calibrated)"]
    assert settled[0].verdict is Verdict.FAILED
    assert settled[0].uncalibrated == {"throughput": run.result.estimate("throughput")}


def test_a_search_for_a_peak_looks_up_its_bounds(tmp_path: Path) -> None:
    settled: list[Outcome] = []
    clock = FakeClock()

    def answer(samples: Sequence[Any]) -> list[int]:
        clock.advance(len(samples) * 1e-3)
        return [int(sample) for sample in samples]

    numbers = np.arange(50)
    run = LoadGenerator(
        effort=EFFORTS["quick"],
        settle=lambda run, outcome: settled.append(outcome),
        memory={},
        clock=clock,
        look_up=where(tmp_path, calibrating=True).look_up,
    ).find_peak(
        answer,
        Dataset("numbers", "test", numbers, numbers, licence="", source=""),
        MultiStream(latency_bound="3.5 ms", percentile=0.9),
    )
    run.require(peak_streams=from_bounds())
    assert settled[0].uncalibrated == {"peak_streams": run.found.peak}
    assert settled[0].not_judged == (("peak_streams", CALIBRATING),)
    assert settled[0].verdict is Verdict.PASSED
