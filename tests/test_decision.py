"""Deciding bounds while a load runs."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_aibench.bounds import Bound, Verdict, at_least, at_most
from pytest_aibench.loadgen.decision import FixedEstimator, OverCount, SequentialDecision
from pytest_aibench.loadgen.journal import NEVER, EveryAnswer, Journal
from pytest_aibench.loadgen.percentiles import percentile_estimate
from pytest_aibench.loadgen.stopping import PercentileTest, ThroughputTest
from pytest_aibench.loadgen.throughput import throughput_estimate

MS = 1_000_000


def journal_of(latencies_ns: list[int], *, n_open: int = 0, at: int | None = None) -> Journal:
    """One query every 10 ms; the last ones may be open."""
    journal = Journal(0, EveryAnswer())
    for number, latency in enumerate(latencies_ns):
        start = 10 * MS * number
        journal.issued.append(start)
        journal.completed.append(NEVER if latency == NEVER else start + latency)
        journal.sizes.append(1)
    journal.n_open = n_open
    journal.looked_at = 10 * MS * len(latencies_ns) if at is None else at
    return journal


@pytest.mark.parametrize(("n", "decided"), [(607, False), (608, True)])
def test_a_bound_that_holds_is_certain_after_enough_queries(n: int, decided: bool) -> None:
    watch = SequentialDecision({"p99": at_most("2 ms")})
    outcome = watch.look(journal_of([2 * MS] * n))
    expected = (Verdict.PASSED, "p99 ≤ 2 ms certain after 608 queries")
    assert outcome == (expected if decided else None)


def test_a_bound_that_is_missed_is_certain_soon() -> None:
    watch = SequentialDecision({"p99": at_most("2 ms"), "p50": at_most("5 ms")})
    outcome = watch.look(journal_of([2 * MS + 1] * 5))
    assert outcome == (Verdict.FAILED, "p99 ≤ 2 ms certainly missed after 5 queries")


def test_all_bounds_must_be_certain() -> None:
    watch = SequentialDecision({"p50": at_most("2 ms"), "p99": at_most("2 ms")})
    assert watch.look(journal_of([MS] * 100)) is None
    assert watch.look(journal_of([MS] * 700)) == (
        Verdict.PASSED,
        "p50 ≤ 2 ms certain after 100 queries; p99 ≤ 2 ms certain after 700 queries",
    )


def test_each_query_counts_once_however_often_is_looked() -> None:
    rng = np.random.default_rng(1)
    latencies = np.where(rng.random(5000) < 0.02, 3 * MS, MS).tolist()
    watch = SequentialDecision({"p99": at_most("2 ms")})
    test = PercentileTest(0.99)
    for n in range(10, 5000, 10):
        expected = test.decide(n, sum(latency > 2 * MS for latency in latencies[:n]))
        outcome = watch.look(journal_of(latencies[:n]))
        assert (None if outcome is None else outcome[0]) == expected
        if outcome is not None:
            assert outcome[0] is Verdict.FAILED
            return
    pytest.fail("never decided")


def test_open_queries_count_when_they_are_over_the_limit_and_not_before() -> None:
    watch = SequentialDecision({"p50": at_most("35 ms")})
    # Queries 3 to 9 are due less than 35 ms ago at the look at 61 ms, or not yet.
    early = journal_of([MS] * 2 + [NEVER] * 8, n_open=8, at=61 * MS)
    assert watch.look(early) is None
    late = journal_of([MS] * 2 + [NEVER] * 8, n_open=8, at=130 * MS)
    assert watch.look(late) is None
    assert watch.look(journal_of([MS] * 2 + [NEVER] * 18, n_open=18, at=400 * MS)) == (
        Verdict.FAILED,
        "p50 ≤ 35 ms certainly missed after 20 queries",
    )


def test_queries_counted_when_all_were_answered_are_not_counted_again() -> None:
    """At the second look fewer queries are settled than at the first."""
    count = OverCount(35e-3)
    count.update(journal_of([MS] * 4 + [50 * MS] * 4, at=80 * MS))
    more = [MS] * 4 + [50 * MS] * 4 + [NEVER]
    count.update(journal_of(more, n_open=1, at=81 * MS))
    assert (count.queries, count.over) == (8, 4)
    count.update(journal_of([*more[:-1], MS], at=90 * MS))
    assert (count.queries, count.over) == (9, 4)


def test_throughput_is_looked_at_when_completions_have_doubled() -> None:
    watch = SequentialDecision({"throughput": at_least("90 samples/s")})
    assert watch.look(journal_of([MS] * 99)) is None
    outcome = watch.look(journal_of([MS] * 100))
    assert outcome == (Verdict.PASSED, "throughput ≥ 90 samples/s certain after 100 queries")
    failing = SequentialDecision({"throughput": at_least("110 samples/s")})
    outcome = failing.look(journal_of([MS] * 100))
    assert outcome is not None
    assert outcome[0] is Verdict.FAILED


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("top1", at_least(0.9)),
        ("p99", at_most("99% of fp32")),
        ("p99", at_least("1 ms")),
        ("throughput", at_most("5 samples/s")),
        ("mean", at_most("1 ms")),
    ],
)
def test_bounds_that_cannot_be_decided_under_load_are_not_watched(name: str, bound: Bound) -> None:
    assert not SequentialDecision({name: bound})


def test_intervals_fit_the_way_the_load_was_ended() -> None:
    latencies = np.sort(np.random.default_rng(1).exponential(size=1000))
    done = journal_of([MS] * 400).finish("").completions
    watch = SequentialDecision({"throughput": at_least("90 samples/s")})
    assert watch.percentile(latencies, 0.9) == PercentileTest(0.9).estimate(latencies)
    # Undecided, the bound is judged at one look more than have been taken.
    assert watch.throughput(done) == ThroughputTest(90).estimate(4, done)
    watch.look(journal_of([MS] * 400))
    assert watch.throughput(done) == ThroughputTest(90).estimate(3, done)
    fixed = FixedEstimator()
    assert fixed.percentile(latencies, 0.9) == percentile_estimate(latencies, 0.9)
    assert fixed.throughput(done) == throughput_estimate(done)
