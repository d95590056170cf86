"""The audit: cheats that it must catch, an honest model that it must pass, and noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

from pytest_aibench import MultiStream, Offline, Scenario, Server, SingleStream, at_least
from pytest_aibench.bounds import Estimate, Verdict
from pytest_aibench.datasets.base import Dataset
from pytest_aibench.entries import judged_fields
from pytest_aibench.inference.audit import (
    OTHER_SEEDS,
    QUERIES_FACTOR,
    caching_check,
    judged_figure,
    seeds_check,
)
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.inference.runner import LoadGenerator
from pytest_aibench.loadgen.effort import EFFORTS
from pytest_aibench.loadgen.order import OrderSettings, query_chunks, sample_sets
from pytest_aibench.outcome import Outcome
from pytest_aibench.scenarios import Seeds
from tests.fakes import FakeClock

NUMBERS = np.arange(200)
DATASET = Dataset("numbers", "test", NUMBERS, NUMBERS, licence="", source="")
SLOW_S = 1e-3
FAST_S = 0.3e-3

SERVER = Server(target_qps=5, latency_bound="15 ms", percentile=0.9, max_duration="60 s")
"""So idle that fewer than a tenth of the queries wait."""
SCENARIOS: list[Scenario] = [SingleStream(), MultiStream(samples_per_query=2), SERVER, Offline()]

scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@dataclass(slots=True)
class Model:
    """Answers every sample with itself; a rule says how long each takes."""

    clock: FakeClock
    seconds: Callable[[int], float]

    def __call__(self, samples: Sequence[Any]) -> list[int]:
        """Answer."""
        answers = [int(sample) for sample in samples]
        self.clock.advance(sum(map(self.seconds, answers)))
        return answers


@dataclass(slots=True)
class Caching:
    """Is fast on the samples it was asked for last."""

    recent: list[int] = field(default_factory=list)

    def __call__(self, sample: int) -> float:
        """Seconds for a sample."""
        hit = sample in self.recent
        self.recent = [*self.recent[-2:], sample]
        return FAST_S if hit else SLOW_S


class TunedToTheSeeds:
    """Is fast on a sample that follows the one before in the usual order."""

    def __init__(self, min_queries: int) -> None:
        order = OrderSettings(total=len(NUMBERS), min_queries=min_queries)
        (samples,) = sample_sets(order)
        (indices,) = islice(query_chunks(order, samples, 2000), 1)
        sequence = indices.ravel().tolist()
        self.known = set(pairwise(sequence))
        self.before = -1

    def __call__(self, sample: int) -> float:
        """Seconds for a sample."""
        follows = (self.before, sample) in self.known
        self.before = sample
        return FAST_S if follows else SLOW_S


def audited(
    scenario: Scenario, seconds: Callable[[int], float], *, audit: bool = True, **options: Any
) -> tuple[LoadResult, Outcome]:
    clock = FakeClock()
    outcomes: list[Outcome] = []
    loads = LoadGenerator(
        effort=EFFORTS["quick"],
        settle=lambda result, outcome: outcomes.append(outcome),
        memory={},
        clock=clock,
        audit=audit,
    )
    result = loads.run(Model(clock, seconds), DATASET, scenario, **options)
    result.require(top1=at_least(0.99))
    return result, outcomes[-1]


def verdicts(outcome: Outcome) -> dict[str, Verdict]:
    return {check.name: check.verdict for check in outcome.checks}


@scenarios
def test_an_honest_model_passes(scenario: Scenario) -> None:
    _, outcome = audited(scenario, lambda sample: SLOW_S)
    assert outcome.verdict is Verdict.PASSED
    assert (
        verdicts(outcome).items()
        >= {
            "top1": Verdict.PASSED,
            "audit_caching": Verdict.PASSED,
            "audit_seeds": Verdict.PASSED,
        }.items()
    )


@scenarios
def test_a_cache_of_recent_samples_is_caught(scenario: Scenario) -> None:
    _, outcome = audited(scenario, Caching())
    assert outcome.verdict is Verdict.FAILED
    assert verdicts(outcome)["audit_caching"] is Verdict.FAILED
    assert verdicts(outcome)["audit_seeds"] is Verdict.PASSED


def test_the_speed_up_of_a_cache_is_the_figure() -> None:
    _, outcome = audited(SingleStream(), Caching())
    (check,) = (check for check in outcome.checks if check.name == "audit_caching")
    assert check.estimate.value == pytest.approx(SLOW_S / FAST_S)
    assert str(check.bound) == "≤ 1.10 x"
    (entry,) = (
        entry for entry in judged_fields(outcome)["checks"] if entry.name == "audit_caching"
    )
    assert (entry.unit, entry.limit, entry.verdict) == ("x", 1.1, "failed")


def test_a_model_tuned_to_the_usual_seeds_is_caught() -> None:
    scenario = SingleStream(min_queries=1000, min_duration="1 ms")
    _, outcome = audited(scenario, TunedToTheSeeds(1000))
    assert verdicts(outcome)["audit_seeds"] is Verdict.FAILED
    (check,) = (check for check in outcome.checks if check.name == "audit_seeds")
    assert check.estimate.value == pytest.approx(SLOW_S / FAST_S)


@pytest.mark.parametrize("first_load_s", [0.3e-3, 3e-3])
def test_a_machine_that_changes_its_speed_is_not_blamed_on_the_model(first_load_s: float) -> None:
    """The benchmark's own load is at another speed than all that follow."""
    queries = 10 + QUERIES_FACTOR * 44
    asked = iter(range(100_000))

    def seconds(sample: int) -> float:
        return first_load_s if next(asked) < len(NUMBERS) + queries else SLOW_S

    _, outcome = audited(SingleStream(min_duration="1 ms"), seconds)
    assert verdicts(outcome)["audit_caching"] is not Verdict.FAILED
    assert verdicts(outcome)["audit_seeds"] is not Verdict.FAILED
    assert Verdict.INCONCLUSIVE in verdicts(outcome).values()


def test_without_the_option_nothing_is_audited() -> None:
    _, outcome = audited(SingleStream(), Caching(), audit=False)
    assert set(verdicts(outcome)) == {"top1"}


def test_an_audited_load_is_not_ended_early() -> None:
    scenario = SingleStream(latency_bound="100 ms", min_duration="1 ms")
    needed = 44
    result, _ = audited(scenario, lambda sample: SLOW_S)
    assert len(result.load.sizes) == QUERIES_FACTOR * needed
    result, _ = audited(scenario, lambda sample: SLOW_S, audit=False)
    assert "certain" in result.load.stopped


def test_all_loads_are_compared_with_the_accuracy_pass() -> None:
    clock = FakeClock()
    outcomes: list[Outcome] = []
    asked: list[int] = []

    def model(samples: Sequence[Any]) -> list[int]:
        clock.advance(SLOW_S)
        asked.extend(map(int, samples))
        repeated = len(asked) > 20 and set(asked[-20:]) == {asked[-1]}
        return [7777 if repeated else int(sample) for sample in samples]

    loads = LoadGenerator(
        effort=EFFORTS["quick"],
        settle=lambda result, outcome: outcomes.append(outcome),
        memory={},
        clock=clock,
        audit=True,
    )
    loads.run(model, DATASET, SingleStream()).require(top1=at_least(0.99))
    assert outcomes[-1].verdict is Verdict.INVALID
    (violation,) = outcomes[-1].violations
    assert violation.rule == "answers under load are those of the accuracy pass"
    assert "7777 under load" in violation.evidence


def test_a_broken_load_is_not_audited() -> None:
    loads = LoadGenerator(
        effort=EFFORTS["quick"],
        settle=lambda result, outcome: None,
        memory={},
        clock=FakeClock(),
        audit=True,
    )
    result = loads.run(lambda samples: [], DATASET, SingleStream())
    assert result.audit == ()
    assert [violation.rule for violation in result.violations] == ["one output per sample"]


def latency(value: float, low: float | None = None, high: float | None = None) -> Estimate:
    return Estimate(value=value, low=low or value, high=high or value, unit="s", n=400)


@pytest.mark.parametrize(
    ("normal_ms", "repeated_ms", "verdict"),
    [
        (10, 9.2, Verdict.PASSED),
        (10, 9.0, Verdict.FAILED),
        (10, 20, Verdict.PASSED),
        (0.2, 0.18, Verdict.PASSED),
        (0.2, 0.16, Verdict.FAILED),
        (0.21, 0.18, Verdict.FAILED),
    ],
)
def test_a_repeated_sample_may_be_a_tenth_faster_or_a_fifth_when_short(
    normal_ms: float, repeated_ms: float, verdict: Verdict
) -> None:
    check = caching_check(SingleStream(), latency(normal_ms / 1e3), latency(repeated_ms / 1e3))
    assert check.verdict is verdict


@pytest.mark.parametrize(
    ("scenario", "normal_ms", "reseeded_ms", "verdict"),
    [
        (SingleStream(), 10, 10.4, Verdict.PASSED),
        (SingleStream(), 10, 10.6, Verdict.FAILED),
        (SingleStream(), 10, 5, Verdict.PASSED),
        (SingleStream(), 0.2, 0.22, Verdict.PASSED),
        (MultiStream(), 1.6, 1.8, Verdict.PASSED),
        (MultiStream(), 1.7, 1.9, Verdict.FAILED),
        (SERVER, 0.1, 0.11, Verdict.FAILED),
    ],
)
def test_other_seeds_may_be_a_twentieth_slower_or_a_fifth_when_short(
    scenario: Scenario, normal_ms: float, reseeded_ms: float, verdict: Verdict
) -> None:
    check = seeds_check(scenario, latency(normal_ms / 1e3), latency(reseeded_ms / 1e3))
    assert check.verdict is verdict


def test_offline_is_compared_by_throughput() -> None:
    slow, fast = (Estimate(value=v, low=v, high=v, unit="samples/s", n=100) for v in (100, 120))
    assert caching_check(Offline(), slow, fast).verdict is Verdict.FAILED
    assert caching_check(Offline(), fast, slow).verdict is Verdict.PASSED
    assert seeds_check(Offline(), fast, slow).verdict is Verdict.FAILED
    assert seeds_check(Offline(), slow, fast).verdict is Verdict.PASSED


def test_a_gain_within_the_noise_is_inconclusive_and_says_what_would_decide() -> None:
    normal, repeated = latency(10e-3, 9e-3, 11e-3), latency(9e-3, 8e-3, 10e-3)
    check = caching_check(SingleStream(), normal, repeated)
    assert check.verdict is Verdict.INCONCLUSIVE
    times = math.ceil((math.log((11 / 8) / (9 / 10)) / 2 / math.log(1.1)) ** 2)
    assert times == 5
    assert check.reason == (
        "the two loads are too noisy to tell: on a quieter machine, or with about 5 times as many "
        "queries (min_queries), it would be certain"
    )


def test_a_noisy_gain_beyond_the_limit_fails() -> None:
    check = caching_check(SingleStream(), latency(10e-3, 9e-3, 11e-3), latency(5e-3, 4e-3, 6e-3))
    assert check.verdict is Verdict.FAILED
    assert check.estimate.low == pytest.approx(9 / 6)
    assert check.estimate.high == pytest.approx(11 / 4)


def test_too_few_queries_are_inconclusive() -> None:
    few = Estimate(value=1e-2, unit="s", n=10, why_open="p90 needs 44 queries, 34 more")
    check = caching_check(SingleStream(), few, latency(1e-2))
    assert check.verdict is Verdict.INCONCLUSIVE
    assert check.reason == "p90 needs 44 queries, 34 more"


def test_latencies_of_zero_cannot_be_compared() -> None:
    check = caching_check(SingleStream(), latency(1e-2), Estimate(value=0.0, unit="s", n=100))
    assert check.verdict is Verdict.FAILED
    assert check.reason == "not measured: a latency of zero cannot be compared"


def test_the_error_rates_hold_with_skewed_latencies() -> None:
    """A true gain of exactly a tenth is passed, and no gain is failed, in at most 1 of 100."""
    rng = np.random.default_rng(0)
    n, passed, failed = 2000, 0, 0
    for _ in range(300):
        normal, same = (_exponential_p90(rng, n, 1.0) for _ in range(2))
        passed += caching_check(SERVER, normal, _exponential_p90(rng, n, 1 / 1.1)).verdict is (
            Verdict.PASSED
        )
        failed += caching_check(SERVER, normal, same).verdict is Verdict.FAILED
    assert passed <= 3
    assert failed == 0


def _exponential_p90(rng: np.random.Generator, n: int, mean_s: float) -> Estimate:
    from pytest_aibench.loadgen.percentiles import percentile_estimate

    return percentile_estimate(np.sort(rng.exponential(mean_s, n)), 0.9)


def test_the_judged_figure_is_that_of_the_scenario() -> None:
    result, _ = audited(SingleStream(), lambda sample: SLOW_S)
    assert judged_figure(SingleStream(), result.load).unit == "s"
    assert judged_figure(Offline(), result.load).unit == "samples/s"


def test_the_other_seeds_are_those_of_mlperf() -> None:
    expected = Seeds(7975553102935885558, 11403566307062068064, 15816800565822761601)
    assert expected == OTHER_SEEDS
    assert Seeds() != OTHER_SEEDS
