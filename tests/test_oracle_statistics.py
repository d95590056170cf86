"""Fed the official latencies, our statistics give the official results, exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.harness import oracle
from benchmarks.harness.oracle import OfficialResult, OfficialRun, run_official
from pytest_aibench.loadgen.early_stopping import min_queries, tail_estimate
from pytest_aibench.loadgen.mlperf_rules import LoadFacts, Ruling, apply_rules
from pytest_aibench.loadgen.percentiles import percentile_index
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(
        not oracle.is_installed(), reason="needs the official LoadGen (extra `oracle`)"
    ),
]

OFFICIAL_NAMES: dict[type, Literal["SingleStream", "MultiStream", "Server", "Offline"]] = {
    SingleStream: "SingleStream",
    MultiStream: "MultiStream",
    Server: "Server",
    Offline: "Offline",
}
PERCENTILES = (0.5, 0.75, 0.8, 0.9, 0.95, 0.97, 0.98, 0.99)
BOUNDS_NS = (20_000, 70_000, 100_000, 300_000, 1_000_000_000)


@dataclass(frozen=True)
class Case:
    """A run in the official words and in ours."""

    official: OfficialRun
    scenario: Scenario

    @property
    def min_duration_ns(self) -> int:
        """Shortest duration that was asked for."""
        return int(self.official.settings["min_duration_ms"]) * 1_000_000

    @property
    def min_queries(self) -> int:
        """Fewest queries that were asked for, samples in the offline scenario."""
        return int(self.official.settings["min_query_count"])


Played = list[tuple[Case, OfficialResult]]


def null_case(scenario: Scenario, delays_s: Sequence[float] = (), **settings: float) -> Case:
    """A run with a system that does nothing but sleep for a time that depends on the sample."""
    defaults = {
        "min_duration_ms": 0,
        "single_stream_expected_latency_ns": 1e6,
        "single_stream_target_latency_percentile": scenario.judged_percentile,
        "multi_stream_expected_latency_ns": 1e6,
        "multi_stream_target_latency_percentile": scenario.judged_percentile,
        "multi_stream_samples_per_query": 3,
        "server_target_qps": 50_000.0,
        "server_target_latency_percentile": scenario.judged_percentile,
        "server_target_latency_ns": round((scenario.latency_bound_s or 0.0) * 1e9),
        "offline_expected_qps": 1.0,
    }
    official = OfficialRun(
        scenario=OFFICIAL_NAMES[type(scenario)],
        total=50,
        performance_count=50,
        settings={**defaults, **settings},
        delays_s=delays_s,
    )
    return Case(official, scenario)


def server(bound_ns: int, percentile: float = 0.99) -> Server:
    return Server(target_qps=50_000, latency_bound=f"{bound_ns} ns", percentile=percentile)


def edges(percentile: float) -> list[int]:
    """Numbers of queries around those at which early stopping changes its mind."""
    needed = [min_queries(over, percentile) for over in (0, 1, 5)]
    return [n for edge in needed for n in (edge - 1, edge)] + [2 * needed[-1] + 3]


def stream_cases() -> list[Case]:
    return [
        null_case(scenario(percentile=percentile), min_query_count=n)
        for scenario in (SingleStream, MultiStream)
        for percentile in PERCENTILES
        for n in edges(percentile)
    ]


def server_cases() -> list[Case]:
    """Some bounds lie where the latencies do, so that some queries are over them."""
    return [
        null_case(server(bound_ns, percentile), min_query_count=n)
        for percentile, bound_ns in product(PERCENTILES, BOUNDS_NS)
        for n in (edges(percentile)[1], edges(percentile)[-1])
    ]


def slow_server_cases() -> list[Case]:
    """A sample in fifty stalls the server, which puts some queries over a bound that holds."""
    stall = (0.003, *(49 * [0.0]))
    return [
        null_case(server(2_000_000, percentile), stall, min_query_count=n, server_target_qps=1000)
        for percentile in (0.5, 0.75)
        for n in (100, 150, 250)
    ]


def offline_cases() -> list[Case]:
    """Loads that last much less than the shortest duration, or sleep beyond it."""
    return [
        null_case(Offline(), delays_s, min_query_count=n, min_duration_ms=5)
        for n, delays_s in product((7, 50, 100), ((), 50 * (0.001,)))
    ]


def cut_cases() -> list[Case]:
    """Loads that are cut off before enough time, queries or both."""
    cuts = (
        {"min_duration_ms": 50, "min_query_count": 10, "max_query_count": 10},
        {"min_duration_ms": 50, "min_query_count": 100, "max_query_count": 80},
        {"min_duration_ms": 0, "min_query_count": 100, "max_query_count": 80},
    )
    scenarios = (SingleStream(), MultiStream(), server(10_000))
    return [null_case(scenario, (), **cut) for scenario, cut in product(scenarios, cuts)]


@pytest.fixture(scope="module")
def played() -> Played:
    cases = [*stream_cases(), *server_cases(), *slow_server_cases(), *offline_cases(), *cut_cases()]
    return list(zip(cases, run_official([case.official for case in cases]), strict=True))


def latencies_ns(case: Case, result: OfficialResult) -> npt.NDArray[np.int64]:
    """Ascending latencies: of samples, in multi-stream of whole queries."""
    samples = result.samples
    if not isinstance(case.scenario, MultiStream):
        return np.sort(samples.latency_ns)
    starts = np.flatnonzero(np.diff(samples.query, prepend=-1))
    return np.sort(np.maximum.reduceat(samples.latency_ns, starts))


def ruling(case: Case, result: OfficialResult) -> Ruling:
    samples, latencies = result.samples, latencies_ns(case, result)
    last_ns = int(samples.scheduled_ns[-1])
    durations = {Server: last_ns, Offline: int(latencies[-1])}
    return apply_rules(
        case.scenario,
        LoadFacts(
            sorted_latencies_ns=latencies,
            duration_ns=durations.get(type(case.scenario), last_ns + int(samples.lateness_ns[-1])),
            min_duration_ns=case.min_duration_ns,
            min_queries=case.min_queries,
        ),
    )


def test_the_settings_are_many_and_reach_every_verdict(played: Played) -> None:
    verdicts = Counter(
        (case.official.scenario, result.log["result_validity"]) for case, result in played
    )
    assert verdicts.total() >= 200
    assert len(verdicts) == 2 * 4
    for flag in ("result_min_duration_met", "result_min_queries_met", "early_stopping_met"):
        assert {result.log[flag] for _, result in played} == {True, False}
    logs = [result.log for case, result in played if isinstance(case.scenario, Server)]
    assert any(log["early_stopping_met"] and log["result_overlatency_query_count"] for log in logs)


def test_percentiles(played: Played) -> None:
    for case, result in played:
        latencies = latencies_ns(case, result)
        kind = "per_query_latency" if isinstance(case.scenario, MultiStream) else "latency"
        for name in oracle.PERCENTILES:
            ours = latencies[percentile_index(len(latencies), float(name) / 100)]
            assert ours == result.log[f"result_{name}_percentile_{kind}_ns"], case


def test_flags(played: Played) -> None:
    for case, result in played:
        ours, log = ruling(case, result), result.log
        assert ours.min_duration_met is log["result_min_duration_met"], case
        assert ours.min_queries_met is log["result_min_queries_met"], case
        assert ours.early_stopping.met is log["early_stopping_met"], case
        assert ours.valid is (log["result_validity"] == "VALID"), case
        if isinstance(case.scenario, Server):
            assert ours.perf_constraints_met is log["result_perf_constraints_met"], case


def test_early_stopping_texts(played: Played) -> None:
    """They hold the number of discarded latencies and of missing queries."""
    for case, result in played:
        ours = ruling(case, result).early_stopping.text.replace("\n", " ")
        assert ours == result.log["early_stopping_result"], case


def test_early_stopping_estimates(played: Played) -> None:
    for case, result in played:
        if isinstance(case.scenario, (SingleStream, MultiStream)):
            single = isinstance(case.scenario, SingleStream)
            key = "early_stopping_latency_ss" if single else "early_stopping_latency_ms"
            assert (ruling(case, result).early_stopping.estimate_ns or 0) == result.log[key], case
        if isinstance(case.scenario, SingleStream) and result.log["early_stopping_met"]:
            inferred = tail_estimate(latencies_ns(case, result), 0.99)
            official = result.log["early_stopping_latency_ms"]
            assert (0 if inferred is None else inferred.latency) == official, case


def test_reasons_why_a_result_is_invalid(played: Played) -> None:
    for case, result in played:
        ours = ruling(case, result)
        if not ours.valid:
            reason = " ".join(text.splitlines()[0] for text in ours.recommendations)
            assert reason == result.log["result_invalid_reason"].rstrip(), case
