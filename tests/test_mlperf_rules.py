"""LoadGen's rules: flags and texts, word for word as LoadGen 6.0.17 wrote them."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_aibench.loadgen.mlperf_rules import EarlyStopping, LoadFacts, Ruling, apply_rules
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream

SERVER = Server(target_qps=10_000, latency_bound="100 us")
EXITED_EARLY = (
    "The test exited early, before enough queries were issued.\n"
    "   See the detailed log for why this may have occurred."
)


def rule(
    scenario: Scenario,
    queries: int,
    *,
    over: int = 0,
    duration_ns: int = 20_000_000,
    min_queries: int = 1,
) -> Ruling:
    """The ruling on latencies of 1 ns, 2 ns, … of which the last ones are over 100 µs."""
    latencies = np.arange(1, queries + 1)
    latencies[queries - over :] += 100_000
    facts = LoadFacts(
        sorted_latencies_ns=latencies,
        duration_ns=duration_ns,
        min_duration_ns=20_000_000,
        min_queries=min_queries,
    )
    return apply_rules(scenario, facts)


def test_a_valid_single_stream() -> None:
    ruling = rule(SingleStream(), 137)
    assert ruling == Ruling(
        min_duration_met=True,
        min_queries_met=True,
        perf_constraints_met=True,
        early_stopping=EarlyStopping(
            met=True,
            text=" * Processed at least 64 queries (137).\n"
            " * Would discard 4 highest latency queries.\n"
            " * Early stopping 90.0th percentile estimate: 133\n"
            " * Not enough queries processed for 99.0th percentile\n"
            " early stopping estimate (would need to process at\n"
            " least 662 total queries).",
            estimate_ns=133,
            discarded=4,
        ),
        recommendations=(),
    )
    assert ruling.valid


def test_single_stream_also_infers_multi_stream() -> None:
    early = rule(SingleStream(), 700).early_stopping
    assert early.text.endswith("\n * Early stopping 99.0th percentile estimate: 700")
    assert early.text.startswith(" * Processed at least 64 queries (700).\n * Would discard ")
    assert early.estimate_ns == 700 - (early.discarded or 0)


@pytest.mark.parametrize(
    ("scenario", "queries", "needed"), [(SingleStream(), 41, 64), (MultiStream(), 137, 662)]
)
def test_too_few_queries_for_an_estimate(scenario: Scenario, queries: int, needed: int) -> None:
    ruling = rule(scenario, queries)
    assert ruling.early_stopping == EarlyStopping(
        met=False,
        text=f" * Only processed {queries} queries.\n"
        f" * Need to process at least {needed} queries for early stopping.",
    )
    assert not ruling.valid
    assert ruling.recommendations == ()


def test_multi_stream_estimate() -> None:
    assert rule(MultiStream(), 700).early_stopping == EarlyStopping(
        met=True,
        text=" * Processed at least 662 queries (700).\n"
        " * Would discard 0 highest latency queries.\n"
        " * Early stopping 99.0th percentile estimate: 700",
        estimate_ns=700,
        discarded=0,
    )


def test_server_with_enough_queries_under_the_bound() -> None:
    ruling = rule(SERVER, 500)
    assert ruling.early_stopping == EarlyStopping(True, " * Run successful.")
    assert ruling.valid


def test_server_over_the_bound() -> None:
    ruling = rule(SERVER, 190, over=61)
    assert not ruling.perf_constraints_met
    assert ruling.early_stopping.text == (
        " * Run unsuccessful.\n"
        " * Processed 190 queries.\n"
        " * Would need to run at least 7977 more queries,\n"
        " with the run being successful if every additional\n"
        " query were under latency."
    )
    assert ruling.recommendations == ("Reduce target QPS to improve latency.",)


def test_server_percentile_within_the_bound_but_not_certain() -> None:
    ruling = rule(SERVER, 1000, over=5)
    assert ruling.perf_constraints_met
    assert not ruling.early_stopping.met
    assert not ruling.valid


def test_a_latency_at_the_bound_is_not_over() -> None:
    def ruling(latency_ns: int) -> Ruling:
        facts = LoadFacts(
            sorted_latencies_ns=np.full(459, latency_ns),
            duration_ns=1,
            min_duration_ns=1,
            min_queries=459,
        )
        return apply_rules(SERVER, facts)

    assert ruling(100_000).valid
    assert not ruling(100_001).perf_constraints_met
    assert not ruling(100_001).early_stopping.met


@pytest.mark.parametrize(
    ("scenario", "advice"),
    [
        (
            SingleStream(),
            "Decrease the expected latency so the loadgen pre-generates more queries.",
        ),
        (
            MultiStream(),
            "Decrease the expected latency so the loadgen pre-generates more queries.",
        ),
        (SERVER, "Increase the target QPS so the loadgen pre-generates more queries."),
        (
            Offline(),
            "Increase expected QPS so the loadgen pre-generates a larger (coalesced) query.",
        ),
    ],
)
def test_a_load_that_was_too_short(scenario: Scenario, advice: str) -> None:
    ruling = rule(scenario, 1000, duration_ns=19_999_999)
    assert not ruling.min_duration_met
    assert not ruling.valid
    assert ruling.recommendations == (advice,)
    assert rule(scenario, 1000).min_duration_met


def test_all_advice_in_the_official_order() -> None:
    ruling = rule(SERVER, 60, over=60, duration_ns=0, min_queries=100)
    assert ruling.recommendations == (
        "Reduce target QPS to improve latency.",
        "Increase the target QPS so the loadgen pre-generates more queries.",
        EXITED_EARLY,
    )


@pytest.mark.parametrize("scenario", [SingleStream(), MultiStream(), SERVER, Offline()])
def test_too_few_queries(scenario: Scenario) -> None:
    assert rule(scenario, 1000, min_queries=1000).min_queries_met
    ruling = rule(scenario, 1000, min_queries=1001)
    assert not ruling.min_queries_met
    assert not ruling.valid
    assert ruling.recommendations == (EXITED_EARLY,)


def test_offline_knows_no_early_stopping() -> None:
    ruling = rule(Offline(), 1)
    assert ruling.early_stopping == EarlyStopping(met=True, text="")
    assert ruling.valid
