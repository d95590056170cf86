"""How long loads run."""

from __future__ import annotations

import pytest

from pytest_aibench.bounds import Verdict
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.effort import EFFORTS, SLICE_NS, StopRule, effort_named, stop_rule
from pytest_aibench.loadgen.journal import EveryAnswer, Journal
from pytest_aibench.scenarios import SingleStream

RULE = StopRule(min_queries=3, min_duration_ns=1000, budget_ns=5000)


def journal_at(*issued: int, due: tuple[int, ...] = ()) -> Journal:
    journal = Journal(100, EveryAnswer())
    journal.issued.extend(issued)
    journal.due.extend(due)
    return journal


def test_an_unknown_effort() -> None:
    message = "unknown effort 'slow': use one of quick, standard, official"
    with pytest.raises(UserError, match=message):
        effort_named("slow")


@pytest.mark.parametrize(
    ("issued", "now", "reason"),
    [
        ((100, 600), 1200, None),
        ((100, 600, 1099), 1200, None),
        ((100, 600, 1100), 1200, "3 queries in 1.1 µs were enough"),
        ((100, 1100), 1200, None),
        ((100, 600), 5099, None),
        ((100, 600), 5100, "the budget of 5 µs was spent"),
        ((), 5100, "the budget of 5 µs was spent"),
        ((), 200, None),
    ],
)
def test_a_load_ends_when_the_last_query_was_issued_late_enough(
    issued: tuple[int, ...], now: int, reason: str | None
) -> None:
    assert RULE.look(journal_at(*issued), now) == reason


def test_due_times_go_before_times_of_issue() -> None:
    assert RULE.look(journal_at(1100, 1100, 1100, due=(100, 110, 1099)), 1200) is None
    assert RULE.look(journal_at(1100, 1100, 1100, due=(100, 110, 1100)), 1200) is not None


@pytest.mark.parametrize(
    ("verdict", "last", "ends"),
    [
        (Verdict.PASSED, 1099, False),
        (Verdict.PASSED, 1100, True),
        (Verdict.FAILED, 101, True),
    ],
)
def test_a_missed_bound_ends_a_load_at_once_and_a_met_one_after_the_shortest_duration(
    verdict: Verdict, last: int, ends: bool
) -> None:
    rule = StopRule(
        min_queries=10**9,
        min_duration_ns=1000,
        budget_ns=None,
        decide=lambda journal: (verdict, "certain"),
    )
    assert rule.look(journal_at(100, last), 1200) == ("certain" if ends else None)


def test_a_load_of_whole_sets_ends_with_a_whole_set() -> None:
    rule = StopRule(min_queries=3, min_duration_ns=10, budget_ns=5000, set_size=4)
    assert rule.look(journal_at(100, 105, 110), 200) is None
    assert rule.look(journal_at(100, 105, 110, 115), 200) == "4 queries in 100 ns were enough"
    assert rule.look(journal_at(100, 105, 110, 115, 120), 200) is None
    assert rule.look(journal_at(100, 105, 110), 5100) == "the budget of 5 µs was spent"
    assert [rule.n_left_of_set(n) for n in (0, 1, 3, 4)] == [4, 3, 1, 4]
    assert RULE.n_left_of_set(10**6) > 10**9


def test_an_open_decision_goes_on_to_the_budget() -> None:
    rule = StopRule(min_queries=1, min_duration_ns=0, budget_ns=5000, decide=lambda journal: None)
    assert rule.look(journal_at(100, 4000), 5000) is None
    assert rule.look(journal_at(100, 4000), 5100) == "the budget of 5 µs was spent"


@pytest.mark.parametrize(
    ("issued", "until_look"),
    [(0, 32), (256, 32), (400, 50), (450, 9), (459, 57), (2000, 250), (10**6, 1024)],
)
def test_looks_come_at_growing_distances_and_at_the_fewest_queries(
    issued: int, until_look: int
) -> None:
    rule = StopRule(min_queries=459, min_duration_ns=0, budget_ns=None)
    assert rule.n_until_look(issued) == until_look


@pytest.mark.parametrize(
    ("min_duration", "budget", "now", "after", "latest"),
    [
        (10**12, None, 100, 100 + SLICE_NS, 100 + SLICE_NS),
        (1000, None, 100, 1100, 100 + SLICE_NS),
        (1000, None, 1100, 1100, 1100 + SLICE_NS),
        (1000, None, 1101, 1101 + SLICE_NS, 1101 + SLICE_NS),
        (1000, 5000, 100, 1100, 5100),
        (1000, 5000, 2000, 5100, 5100),
    ],
)
def test_the_next_look_is_never_far(
    min_duration: int, budget: int | None, now: int, after: int, latest: int
) -> None:
    rule = StopRule(min_queries=1, min_duration_ns=min_duration, budget_ns=budget)
    look = rule.next_look(journal_at(), now)
    assert (look.after, look.latest) == (after, latest)


def test_a_scenario_goes_before_the_effort() -> None:
    quick, official = EFFORTS["quick"], EFFORTS["official"]
    plain = stop_rule(SingleStream(), quick, 64)
    assert (plain.min_queries, plain.min_duration_ns, plain.budget_ns) == (64, 5 * 10**8, 5 * 10**9)
    longer = stop_rule(SingleStream(min_duration="10 s"), quick, 64)
    assert (longer.min_duration_ns, longer.budget_ns) == (10**10, 10**10)
    shorter = stop_rule(SingleStream(max_duration="100 ms", min_queries=5), quick, 64)
    assert (shorter.min_queries, shorter.min_duration_ns, shorter.budget_ns) == (5, 10**8, 10**8)
    assert stop_rule(SingleStream(), official, 64).budget_ns is None
    assert stop_rule(SingleStream(), official, 64, lambda journal: None).decide is None
