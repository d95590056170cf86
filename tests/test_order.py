"""Loaded sets and orders against those of the official wheel, and their properties."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.order import (
    OrderSettings,
    Selection,
    accuracy_log_chunks,
    equal_issue_min_queries,
    query_chunks,
    sample_sets,
)
from pytest_aibench.scenarios import Seeds

V61 = Seeds()
TEST01_SEED = 720381539243781796
ZERO = Seeds(qsl=0, sample_index=0, schedule=0)


def sets_of(settings: OrderSettings) -> list[list[int]]:
    return [sample_set.tolist() for sample_set in sample_sets(settings)]


def queries_of(settings: OrderSettings, count: int, chunk: int = 5) -> list[list[int]]:
    """The first queries of each set."""
    return [
        query
        for sample_set in sample_sets(settings)
        for query in islice(
            (row for rows in query_chunks(settings, sample_set, chunk) for row in rows.tolist()),
            count,
        )
    ]


def samples_of(settings: OrderSettings, count: int) -> list[int]:
    return [index for query in queries_of(settings, count) for index in query]


@pytest.mark.parametrize(
    ("seeds", "loaded", "issued"),
    [
        (V61, [1, 5, 7, 6, 0, 8, 3, 2, 9, 4], [2, 2, 2, 0, 8, 6, 0, 9, 1, 9, 6, 3]),
        (ZERO, [0, 2, 1, 5, 9, 8, 4, 7, 6, 3], [0, 3, 1, 5, 9, 7, 6, 8, 9, 8, 5, 3]),
    ],
)
def test_random_order_equals_the_official_one(
    seeds: Seeds, loaded: list[int], issued: list[int]
) -> None:
    settings = OrderSettings(total=10, min_queries=12, seeds=seeds)
    assert sets_of(settings) == [loaded]
    assert samples_of(settings, 12) == issued


@pytest.mark.parametrize(
    ("seeds", "padding", "queries"),
    [
        (V61, [1, 5, 7], [[3, 2, 9, 4], [9, 4, 1, 5], [9, 4, 1, 5], [2, 9, 4, 1]]),
        (ZERO, [0, 2, 1], [[6, 3, 0, 2], [9, 8, 4, 7], [4, 7, 6, 3], [4, 7, 6, 3]]),
    ],
)
def test_multi_stream_order_equals_the_official_one(
    seeds: Seeds, padding: list[int], queries: list[list[int]]
) -> None:
    settings = OrderSettings(total=10, samples_per_query=4, min_queries=4, seeds=seeds)
    assert sets_of(settings)[0][10:] == padding
    assert queries_of(settings, 4) == queries


@pytest.mark.parametrize(
    ("seeds", "loaded", "issued"),
    [
        (V61, [2, 0, 1, 4, 3], [3, 4, 2, 0, 1, 2, 4, 0, 1, 3, 0, 2, 1, 3, 4]),
        (ZERO, [2, 4, 3, 0, 1], [2, 1, 4, 0, 3, 4, 1, 3, 0, 2, 3, 2, 4, 0, 1]),
    ],
)
def test_equal_issue_order_equals_the_official_one(
    seeds: Seeds, loaded: list[int], issued: list[int]
) -> None:
    min_queries = equal_issue_min_queries(12, 5)
    assert min_queries == 15
    settings = OrderSettings(
        total=10,
        performance_count=5,
        selection=Selection.EQUAL_ISSUE,
        min_queries=min_queries,
        seeds=seeds,
    )
    assert sets_of(settings) == [loaded]
    assert samples_of(settings, 15) == issued


@pytest.mark.parametrize(
    ("seeds", "sets", "issued"),
    [
        (V61, [[1, 5, 7, 6], [0, 8, 3, 2], [9, 4]], [1, 5, 7, 6, 0, 8, 3, 2, 9, 4]),
        (ZERO, [[0, 2, 1, 5], [9, 8, 4, 7], [6, 3]], [0, 1, 2, 5, 9, 4, 8, 7, 6, 3]),
    ],
)
def test_accuracy_order_equals_the_official_one(
    seeds: Seeds, sets: list[list[int]], issued: list[int]
) -> None:
    settings = OrderSettings(
        total=10, performance_count=4, selection=Selection.ACCURACY, seeds=seeds
    )
    assert sets_of(settings) == sets
    assert samples_of(settings, 100) == issued


@pytest.mark.parametrize(
    ("selection", "query"),
    [
        (Selection.RANDOM, [2, 4, 3, 0, 1, 2, 4, 3, 0, 1, 2, 4]),
        (Selection.UNIQUE, [2, 4, 3, 0, 1]),
        (Selection.SAME, [3] * 12),
        (Selection.EQUAL_ISSUE, [3, 4, 1, 0, 2, 3, 1, 2, 0, 4, 4, 2, 1, 3, 0]),
    ],
)
def test_offline_order_equals_the_official_one(selection: Selection, query: list[int]) -> None:
    settings = OrderSettings(
        total=10,
        performance_count=5,
        offline=True,
        samples_per_query=12,
        selection=selection,
        same_index=2,
        seeds=ZERO,
    )
    assert queries_of(settings, 100) == [query]


def test_offline_accuracy_is_one_query_for_each_set_in_loaded_order() -> None:
    settings = OrderSettings(
        total=10, performance_count=4, offline=True, selection=Selection.ACCURACY, seeds=ZERO
    )
    assert queries_of(settings, 100) == [[0, 2, 1, 5], [9, 8, 4, 7], [6, 3]]


def test_multi_stream_accuracy_repeats_samples_of_sets_that_do_not_divide() -> None:
    settings = OrderSettings(
        total=10,
        performance_count=4,
        samples_per_query=6,
        selection=Selection.ACCURACY,
        seeds=ZERO,
    )
    queries = queries_of(settings, 100)
    assert queries == [[0, 2, 1, 5, 0, 2], [9, 8, 4, 7, 9, 8], [6, 3, 6, 3, 6, 3]]


def test_same_index_repeats_one_query() -> None:
    settings = OrderSettings(
        total=10, samples_per_query=4, selection=Selection.SAME, same_index=9, seeds=ZERO
    )
    assert queries_of(settings, 7) == [[3, 0, 2, 1]] * 7


def test_equal_issue_adds_a_set_to_a_multiple() -> None:
    assert [equal_issue_min_queries(n, 5) for n in (4, 5, 9, 10)] == [5, 10, 10, 15]


def test_equal_issue_repeats_the_drawn_passes() -> None:
    settings = OrderSettings(
        total=10,
        performance_count=5,
        selection=Selection.EQUAL_ISSUE,
        min_queries=10,
        seeds=ZERO,
    )
    issued = samples_of(settings, 25)
    assert issued[:10] == [2, 1, 4, 0, 3, 4, 1, 3, 0, 2]
    assert issued[10:] == issued[:10] + issued[:5]


@given(total=st.integers(1, 50), loaded=st.integers(1, 60), min_queries=st.integers(1, 200))
def test_equal_issue_is_equal(total: int, loaded: int, min_queries: int) -> None:
    settings = OrderSettings(
        total=total,
        performance_count=loaded,
        selection=Selection.EQUAL_ISSUE,
        min_queries=min_queries,
    )
    set_size = min(total, loaded)
    issued = Counter(samples_of(settings, equal_issue_min_queries(min_queries, set_size)))
    assert len(issued) == set_size
    assert len(set(issued.values())) == 1


@given(
    total=st.integers(1, 50),
    loaded=st.none() | st.integers(1, 60),
    accuracy=st.none() | st.integers(1, 60),
)
def test_accuracy_asks_for_each_sample_once(
    total: int, loaded: int | None, accuracy: int | None
) -> None:
    settings = OrderSettings(
        total=total,
        performance_count=loaded,
        accuracy_count=accuracy,
        selection=Selection.ACCURACY,
    )
    covered = total if accuracy is None else min(accuracy, total)
    assert sorted(samples_of(settings, 1000)) == list(range(covered))


@given(
    selection=st.sampled_from([Selection.RANDOM, Selection.UNIQUE, Selection.SAME]),
    samples_per_query=st.integers(1, 9),
    chunk=st.integers(1, 40),
)
def test_order_does_not_depend_on_the_chunks(
    selection: Selection, samples_per_query: int, chunk: int
) -> None:
    settings = OrderSettings(
        total=13, selection=selection, samples_per_query=samples_per_query, min_queries=20
    )
    assert queries_of(settings, 30, chunk) == queries_of(settings, 30)


def test_accuracy_log_takes_the_samples_of_the_official_one() -> None:
    (logged,) = islice(accuracy_log_chunks(0.1, TEST01_SEED, 300), 1)
    numbers = logged.nonzero()[0].tolist()
    assert numbers[:9] == [5, 56, 65, 82, 87, 89, 92, 107, 113]
    assert len(numbers) == 22


def test_accuracy_log_does_not_depend_on_the_chunks() -> None:
    chunks = islice(accuracy_log_chunks(0.3, seed=5, size=10), 6)
    whole = next(accuracy_log_chunks(0.3, seed=5, size=60))
    assert [logged for chunk in chunks for logged in chunk] == whole.tolist()


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"total": 0}, "total=0 must be at least 1"),
        ({"performance_count": 0}, "performance_count=0 must be at least 1"),
        ({"min_queries": 0}, "min_queries=0 must be at least 1"),
        (
            {"same_index": 3, "performance_count": 3},
            "same_index=3 is outside the 3 loaded samples: choose 0 to 2",
        ),
        (
            {"selection": Selection.EQUAL_ISSUE, "samples_per_query": 2},
            "equal issue needs one sample per query: use another selection for multi-stream",
        ),
    ],
)
def test_mistakes_are_named(mistake: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        OrderSettings(**{"total": 10, **mistake})
    assert str(error.value) == message
