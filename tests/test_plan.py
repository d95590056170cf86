"""Queries to come, read ahead and used up."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.loadgen.arrivals import ThinkingUsers
from pytest_aibench.loadgen.plan import QueryPlan, all_due_at_begin, batches

IntArray = npt.NDArray[np.int64]


def orders(n: int, chunk: int) -> Iterator[IntArray]:
    for first in range(0, n, chunk):
        yield np.arange(first, min(first + chunk, n))[:, np.newaxis]


def arrivals(times: list[int], chunk: int) -> Iterator[IntArray]:
    for first in range(0, len(times), chunk):
        yield np.array(times[first : first + chunk])


def read_all(plan: QueryPlan, step: int) -> tuple[list[int], list[int]]:
    queries: list[int] = []
    dues: list[int] = []
    while len(peeked := plan.peek(step)[0]):
        due = plan.peek(step)[1]
        assert len(peeked) <= step
        queries += peeked[:, 0].tolist()
        dues += [] if due is None else due.tolist()
        plan.advance(len(peeked))
    return queries, dues


@given(st.integers(0, 40), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_pieces_do_not_change_the_stream(n: int, chunk: int, other: int, step: int) -> None:
    times = [10 * i for i in range(n)]
    plan = QueryPlan(orders(n, chunk), arrivals(times, other))
    assert read_all(plan, step) == (list(range(n)), times)


def test_a_plan_ends_with_its_arrivals() -> None:
    assert read_all(QueryPlan(orders(10, 3), arrivals([0, 5], 2)), 4) == ([0, 1], [0, 5])


def test_a_plan_without_arrivals_has_no_due_times() -> None:
    queries, dues = QueryPlan(orders(3, 3)).peek(2)
    assert queries.tolist() == [[0], [1]]
    assert dues is None


def test_looking_uses_nothing_up() -> None:
    plan = QueryPlan(orders(3, 3))
    assert plan.peek(2)[0].tolist() == plan.peek(2)[0].tolist()
    plan.advance(1)
    assert plan.peek(2)[0].tolist() == [[1], [2]]


def test_queries_that_fell_due_and_were_not_issued_are_overdue() -> None:
    plan = QueryPlan(orders(100, 7), arrivals(list(range(0, 1000, 10)), 3))
    plan.peek(2)
    plan.advance(2)
    assert plan.overdue(60).tolist() == [40, 30, 20, 10]


def test_nothing_is_overdue_where_answers_bring_the_next_query() -> None:
    assert QueryPlan(orders(5, 5)).overdue(10**9).tolist() == []


def test_all_queries_left_of_one_batch_are_overdue() -> None:
    plan = QueryPlan(batches(np.arange(10_000), 1), all_due_at_begin())
    assert plan.overdue(5).tolist() == [5] * 10_000


def test_batches_cover_all_samples_once() -> None:
    chunks = list(batches(np.arange(10), 4))
    assert [chunk.tolist() for chunk in chunks] == [[[0, 1, 2, 3], [4, 5, 6, 7]], [[8, 9]]]
    assert [chunk.tolist() for chunk in batches(np.arange(2), 4)] == [[[0, 1]]]
    assert [chunk.tolist() for chunk in batches(np.arange(4), 4)] == [[[0, 1, 2, 3]]]


@given(st.integers(0, 2000), st.integers(-1, 2001))
def test_queries_that_have_fallen_due_are_counted(n: int, elapsed: int) -> None:
    plan = QueryPlan(orders(n, 100), arrivals(list(range(n)), 30))
    assert plan.n_due(elapsed) == min(n, elapsed + 1)
    assert len(plan.peek(n)[0]) == n


def test_a_plan_says_what_it_ran_out_of() -> None:
    few = QueryPlan(orders(10, 3), arrivals([0, 5], 2))
    assert not few.out_of_arrivals
    few.advance(len(few.peek(9)[0]))
    assert few.out_of_arrivals
    assert not few.out_of_samples
    in_turn = QueryPlan(orders(1, 1))
    in_turn.advance(len(in_turn.peek(9)[0]))
    assert in_turn.out_of_samples
    assert not in_turn.out_of_arrivals


def test_users_who_wait_for_answers_have_not_run_out() -> None:
    plan = QueryPlan(orders(10, 3), ThinkingUsers(2, 10))
    for due in (0, 5):
        assert plan.peek(4)[1] == [due]
        plan.advance(1)
    assert not len(plan.peek(4)[0])
    assert not plan.out_of_arrivals
    assert plan.users is not None
    plan.users.answered(9)
    plan.users.answered(7)
    assert plan.peek(4)[1] == [17]
