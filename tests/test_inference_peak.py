"""The search for a peak with the real engine: models of known capacity on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest

from pytest_aibench import BatchingServer, MultiStream, Offline, Server, at_least
from pytest_aibench.bounds import Verdict
from pytest_aibench.datasets.base import Dataset
from pytest_aibench.entries import inference_fields
from pytest_aibench.errors import UserError
from pytest_aibench.inference.peak import PEAK_EFFORTS
from pytest_aibench.inference.peak_result import PeakRun
from pytest_aibench.inference.runner import LoadGenerator
from pytest_aibench.loadgen.arrivals import Constant, Gamma, Ramp
from pytest_aibench.loadgen.effort import EFFORTS
from pytest_aibench.loadgen.engine import MOST_AT_ONCE
from pytest_aibench.outcome import Outcome
from pytest_aibench.results.schema import BenchmarkEntry, from_json, to_json
from tests.fakes import FakeClock
from tests.simulated_servers import (
    SERVICE_S,
    Service,
    deterministic_capacity,
    exponential_capacity,
)
from tests.simulated_servers import Server as SimulatedServer

CLASSES = 50
NUMBERS = np.arange(CLASSES)
DATASET = Dataset("numbers", "test", NUMBERS, NUMBERS, licence="", source="")
BOUND_S = 20 * SERVICE_S


@dataclass(slots=True)
class Outcomes:
    """Keeps what is settled."""

    results: list[Any] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def settle(self, result: Any, outcome: Outcome) -> None:
        """Take an outcome."""
        self.results.append(result)
        self.outcomes.append(outcome)

    @property
    def last(self) -> Outcome:
        """The latest."""
        return self.outcomes[-1]


@dataclass(slots=True)
class Answering:
    """Answers every sample with itself, and takes as long as it is told to."""

    clock: FakeClock
    seconds: Callable[[int], float]

    def __call__(self, samples: Sequence[Any]) -> list[int]:
        """Answer."""
        self.clock.advance(self.seconds(len(samples)))
        return [int(sample) for sample in samples]


def generator(clock: FakeClock, outcomes: Outcomes) -> LoadGenerator:
    return LoadGenerator(effort=EFFORTS["quick"], settle=outcomes.settle, memory={}, clock=clock)


def search(
    seconds: Callable[[int], float], scenario: Server | MultiStream, **options: Any
) -> tuple[PeakRun, Outcomes]:
    clock, outcomes = FakeClock(), Outcomes()
    model = Answering(clock, seconds)
    return generator(clock, outcomes).find_peak(model, DATASET, scenario, **options), outcomes


@cache
def searched(kind: Service) -> tuple[PeakRun, Outcomes]:
    """A whole search; several tests look at the same one."""
    return search(service(kind), server())


def server(qps: float = 500, **settings: Any) -> Server:
    return Server(target_qps=qps, latency_bound="5 ms", **settings)


def service(kind: Service, trial: int = 0) -> Callable[[int], float]:
    rng = np.random.default_rng(trial)
    return lambda n: float(kind.times_s(rng, n).sum())


@pytest.mark.parametrize(
    ("kind", "capacity"),
    [
        (Service.DETERMINISTIC, deterministic_capacity),
        (Service.EXPONENTIAL, exponential_capacity),
    ],
)
def test_the_peak_of_a_queue_is_within_the_tolerance(
    kind: Service, capacity: Callable[[SimulatedServer], float]
) -> None:
    true = capacity(SimulatedServer(kind, 1, BOUND_S))
    run, _ = searched(kind)
    peak = run.estimate("peak_qps")
    assert peak.value == pytest.approx(true, rel=PEAK_EFFORTS["quick"].tolerance)
    assert peak.low is not None
    assert peak.high is not None
    assert peak.low <= true <= peak.high
    assert peak.high - peak.low <= 0.2 * true * 1.1
    assert (peak.unit, run.violations) == ("queries/s", ())
    assert run.found.stopped == "the interval reaches at most 10 % to each side"


def test_probes_at_the_boundary_are_full_and_others_end_early() -> None:
    run, _ = searched(Service.EXPONENTIAL)
    full = [point.result.n for point in run.found.curve if point.replication]
    others = [point.result.n for point in run.found.curve if not point.replication]
    assert len(full) >= 16
    assert min(full) >= 2000
    assert max(full) <= 2000 + MOST_AT_ONCE
    assert min(others) < 1100
    assert [point.result.rate for point in run.found.curve[:2]] == [500, 1000]


@pytest.mark.parametrize("streams", [1, 12, 40])
def test_the_highest_number_of_streams_is_found(streams: int) -> None:
    scenario = MultiStream(latency_bound=f"{streams} ms", percentile=0.9)
    run, _ = search(lambda n: n * 1e-3 - 1e-6, scenario, max_duration="10 min")
    peak = run.estimate("peak_streams")
    assert (peak.value, peak.unit) == (streams, "streams")
    assert peak.low is not None
    assert peak.high is not None
    assert streams - 1 <= peak.low <= streams <= peak.high <= streams + 1


def test_the_peak_is_judged_along_with_quality() -> None:
    run, outcomes = searched(Service.EXPONENTIAL)
    run.require(peak_qps=at_least("2500 queries/s"), top1=at_least(0.99))
    assert [(check.name, check.verdict) for check in outcomes.last.checks] == [
        ("peak_qps", Verdict.PASSED),
        ("top1", Verdict.PASSED),
    ]
    run.require(peak_qps=at_least("4100 queries/s"))
    assert outcomes.last.verdict is Verdict.FAILED


def test_quality_can_be_required_relative_to_a_reference() -> None:
    run, outcomes = search(
        service(Service.DETERMINISTIC), server(), references={"paper": 0.9}, highest=500
    )
    run.require(top1=at_least("99% of paper"))
    assert outcomes.last.verdict is Verdict.PASSED
    with pytest.raises(UserError, match="unknown reference 'fp32' \\(known: paper\\)"):
        run.require(top1=at_least("99% of fp32"))


def test_the_record_holds_the_whole_curve() -> None:
    run, outcomes = searched(Service.EXPONENTIAL)
    run.require(peak_qps=at_least("100 queries/s"), top1=at_least(0.99))
    fields = inference_fields(run, outcomes.last)
    entry = BenchmarkEntry(id="test_x", params={}, verdict="passed", **fields)
    assert from_json(BenchmarkEntry, to_json(entry)) == from_json(
        BenchmarkEntry, to_json(from_json(BenchmarkEntry, to_json(entry)))
    )
    assert entry.peak is not None
    assert len(entry.peak.curve) == len(run.found.curve)
    first = entry.peak.curve[0]
    assert (first.load, first.verdict, first.replication) == (500, "passed", False)
    assert (entry.peak.bound_ms, entry.peak.percentile, entry.peak.unit) == (5, 0.99, "queries/s")
    figure = entry.metrics["peak_qps"]
    assert (figure.value, figure.better, figure.confidence) == (
        run.estimate("peak_qps").value,
        "higher",
        0.99,
    )
    assert set(entry.metrics) == {"peak_qps", "top1"}


def test_a_bound_missed_at_every_rate_fails_and_names_the_fix() -> None:
    run, outcomes = search(lambda n: 6e-3, server())
    run.require(peak_qps=at_least("100 queries/s"))
    (check,) = outcomes.last.checks
    assert check.verdict is Verdict.FAILED
    assert check.reason.startswith(
        "not measured: even 2 queries/s, the lowest load tried, misses the bound: p99 "
    )
    assert check.reason.endswith("; raise the bound or use a faster model")
    rates = [point.result.rate for point in run.found.curve]
    assert rates == pytest.approx([500 / 2**k for k in range(8)] + [2])
    assert sum(point.result.duration_s for point in run.found.curve) < 30


def test_a_rate_far_too_high_is_no_bad_start() -> None:
    run, _ = search(service(Service.DETERMINISTIC), server(64_000), max_duration="10 s")
    true = deterministic_capacity(SimulatedServer(Service.DETERMINISTIC, 1, BOUND_S))
    assert run.estimate("peak_qps").value == pytest.approx(true, rel=0.1)


def test_a_budget_spent_before_any_rate_met_the_bound_says_so() -> None:
    run, outcomes = search(lambda n: 6e-3, server(), max_duration="6 s")
    run.require(peak_qps=at_least("100 queries/s"))
    (check,) = outcomes.last.checks
    lowest = run.found.curve[-1].result.rate
    assert check.reason.startswith(
        f"not measured: {lowest:.4g} queries/s still misses the bound, and the budget of 6 s was "
        "spent: start nearer to the peak"
    )


@pytest.mark.parametrize("arrivals", [Constant(500), Gamma(500, 2.0)])
def test_other_arrivals_of_one_rate_are_searched(arrivals: Constant | Gamma) -> None:
    scenario = Server(arrivals=arrivals, latency_bound="5 ms")
    run, _ = search(service(Service.DETERMINISTIC), scenario, max_duration="16 s")
    poisson = deterministic_capacity(SimulatedServer(Service.DETERMINISTIC, 1, BOUND_S))
    peak = run.estimate("peak_qps")
    assert peak.value is not None
    assert 1.02 * poisson < peak.value < 1.05 / SERVICE_S
    assert [point.result.rate for point in run.found.curve[:2]] == [500, 1000]


def test_each_probe_is_told() -> None:
    told: list[str] = []
    clock = FakeClock()
    loads = LoadGenerator(
        effort=EFFORTS["quick"], settle=Outcomes().settle, memory={}, clock=clock, say=told.append
    )
    model = Answering(clock, lambda n: n * 1e-3)
    run = loads.find_peak(model, DATASET, MultiStream(latency_bound="3.5 ms", percentile=0.9))
    assert told[:3] == [
        "probe at 1 streams: p90 1 ms, met the bound",
        "probe at 2 streams: p90 2 ms, met the bound",
        "probe at 4 streams: p90 4 ms, missed the bound",
    ]
    assert len(told) == len(run.found.curve)


def test_a_bound_met_at_the_highest_load_satisfies_what_is_required_below() -> None:
    run, outcomes = search(service(Service.DETERMINISTIC), server(), highest=2000)
    run.require(peak_qps=at_least("2000 queries/s"))
    assert outcomes.last.verdict is Verdict.PASSED
    run.require(peak_qps=at_least("2500 queries/s"))
    (check,) = outcomes.last.checks
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.reason.startswith("the bound is met at the highest load tried, 2000 queries/s")


@pytest.mark.parametrize("seconds", [0.2, 3])
def test_the_budget_of_time_bounds_the_search(seconds: float) -> None:
    clock, outcomes = FakeClock(), Outcomes()
    model = Answering(clock, service(Service.DETERMINISTIC))
    run = generator(clock, outcomes).find_peak(
        model, DATASET, server(), max_duration=f"{seconds} s"
    )
    assert clock.seconds() < 1.2 * seconds + 1
    assert [point.verdict for point in run.found.curve[:1]] == [Verdict.PASSED] * (seconds == 3)
    run.require(peak_qps=at_least("3800 queries/s"))
    (check,) = outcomes.last.checks
    nothing_known = seconds == 0.2
    assert check.verdict is (Verdict.FAILED if nothing_known else Verdict.INCONCLUSIVE)
    budget = "not measured: the budget of 200 ms" if nothing_known else "the budget of 3 s"
    assert check.reason == (
        f"{budget} was spent: start nearer to the peak, judge a lower percentile, "
        "or raise max_duration"
    )


def test_a_search_cut_short_at_the_boundary_has_a_wider_interval() -> None:
    run, _ = search(service(Service.EXPONENTIAL), server(), max_duration="9 s")
    replications = [point for point in run.found.curve if point.replication]
    assert 4 <= len(replications) < 16
    peak = run.estimate("peak_qps")
    true = exponential_capacity(SimulatedServer(Service.EXPONENTIAL, 1, BOUND_S))
    assert peak.low is not None
    assert peak.high is not None
    assert peak.low <= true <= peak.high
    assert run.found.stopped.startswith("the budget of 9 s was spent")


def test_a_system_that_cannot_keep_up_ends_its_probe_early() -> None:
    run, _ = search(lambda n: 4e-3, server(qps=100_000))
    point = run.found.curve[0]
    assert point.verdict is Verdict.FAILED
    assert point.result.over >= 200
    assert point.result.n < 500
    assert point.result.duration_s < 2


def test_a_probe_starts_from_an_idle_system() -> None:
    run, _ = searched(Service.DETERMINISTIC)
    after_a_miss = [
        now.result
        for before, now in zip(run.found.curve, run.found.curve[1:], strict=False)
        if before.verdict is Verdict.FAILED and now.result.rate < 3000
    ]
    assert after_a_miss
    assert all(result.over == 0 for result in after_a_miss)


def test_a_probe_is_long_enough_to_show_a_queue() -> None:
    """Any burst of a full probe's 200 queries would be answered within the bound."""
    scenario = Server(target_qps=500, latency_bound="100 ms", percentile=0.9)
    model = service(Service.DETERMINISTIC)
    run, _ = search(model, scenario, highest=64_000, max_duration="35 s")
    peak = run.estimate("peak_qps")
    assert peak.value == pytest.approx(1 / SERVICE_S, rel=0.1)
    assert peak.value is not None
    assert peak.value <= 1.06 / SERVICE_S
    for point in run.found.curve:
        if point.verdict is Verdict.PASSED:
            assert point.result.duration_s >= 2.0


def test_every_probe_has_seeds_of_its_own() -> None:
    seen: list[tuple[int, ...]] = []
    clock = FakeClock()

    def model(samples: Sequence[Any]) -> list[int]:
        clock.advance(SERVICE_S)
        asked.append(int(samples[0]))
        return [int(sample) for sample in samples]

    asked: list[int] = []
    outcomes = Outcomes()
    run = generator(clock, outcomes).find_peak(model, DATASET, server(), max_batch=1, highest=2000)
    position = CLASSES
    for point in run.found.curve[:3]:
        position += 10
        seen.append(tuple(asked[position : position + 20]))
        position += point.result.n
    assert len(set(seen)) == 3


def test_answers_that_change_under_load_make_the_search_invalid() -> None:
    clock, outcomes = FakeClock(), Outcomes()

    def model(samples: Sequence[Any]) -> list[int]:
        clock.advance(1e-4)
        return [int(sample) if len(samples) > 1 else 7 for sample in samples]

    run = generator(clock, outcomes).find_peak(model, DATASET, server())
    run.require(peak_qps=at_least("100 queries/s"), top1=at_least(0.99))
    assert outcomes.last.verdict is Verdict.INVALID
    assert run.found.stopped == (
        "a rule was broken: answers under load are those of the accuracy pass"
    )


def test_wrong_numbers_of_answers_make_the_search_invalid() -> None:
    clock, outcomes = FakeClock(), Outcomes()
    run = generator(clock, outcomes).find_peak(lambda samples: [], DATASET, server())
    run.require(peak_qps=at_least("100 queries/s"))
    assert outcomes.last.verdict is Verdict.INVALID
    assert [violation.rule for violation in run.violations] == ["one output per sample"]


def test_an_interruption_is_passed_on() -> None:
    clock = FakeClock()
    calls = iter(range(1000))

    def model(samples: Sequence[Any]) -> list[int]:
        if next(calls) == 500:
            raise KeyboardInterrupt
        clock.advance(1e-4)
        return [int(sample) for sample in samples]

    with pytest.raises(KeyboardInterrupt):
        generator(clock, Outcomes()).find_peak(model, DATASET, server())


def test_progress_is_shown_during_the_search() -> None:
    shown: list[int] = []
    clock = FakeClock()
    loads = LoadGenerator(
        effort=EFFORTS["quick"],
        settle=Outcomes().settle,
        memory={},
        clock=clock,
        progress=lambda n, elapsed_s: shown.append(n),
    )
    model = Answering(clock, service(Service.DETERMINISTIC))
    loads.find_peak(model, DATASET, server(), highest=1000)
    assert len(shown) > 20


def test_a_batching_server_is_searched_on_the_real_clock() -> None:
    outcomes = Outcomes()
    loads = LoadGenerator(effort=EFFORTS["quick"], settle=outcomes.settle, memory={})
    model = BatchingServer(lambda samples: [int(sample) for sample in samples])
    run = loads.find_peak(
        model,
        DATASET,
        Server(target_qps=400, latency_bound="50 ms", percentile=0.5),
        highest=400,
    )
    assert run.estimate("peak_qps").low == 400


@pytest.mark.parametrize(
    ("scenario", "options", "message"),
    [
        (
            Offline(),
            {},
            "find_peak cannot search offline: give Server(target_qps=…, latency_bound=…) "
            "or MultiStream(latency_bound=…)",
        ),
        (
            MultiStream(),
            {},
            "find_peak cannot search multi_stream: give Server(target_qps=…, latency_bound=…) "
            "or MultiStream(latency_bound=…)",
        ),
        (
            Server(arrivals=Ramp(10, 20, "1 s"), latency_bound="5 ms"),
            {},
            "find_peak cannot search server-ramp-10-20qps-1s: its arrivals have no one rate; "
            "give target_qps, Constant or Gamma",
        ),
        (server(), {"highest": 100}, "highest=100 must be at least the start of 500"),
        (
            server(),
            {"tolerance": "3 ms"},
            "tolerance='3 ms' must be a share from '1 %' to '50 %', like '3 %'",
        ),
        (
            server(),
            {"tolerance": "0.1 %"},
            "tolerance='0.1 %' must be a share from '1 %' to '50 %', like '3 %'",
        ),
    ],
)
def test_what_cannot_be_searched_is_a_user_error(
    scenario: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as error:
        search(lambda n: 1e-3, scenario, **options)
    assert str(error.value) == message


def test_an_unknown_figure_is_a_user_error() -> None:
    run, _ = search(service(Service.DETERMINISTIC), server(), highest=1000)
    with pytest.raises(UserError, match="this benchmark has no figure 'p99': use one of peak_qps,"):
        run.require(p99=at_least("1 ms"))
