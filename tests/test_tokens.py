"""What is kept of token arrivals, and the times that follow from them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.loadgen.tokens import TokenJournal, TokenStamps, TokenTrace

arrivals = st.lists(st.integers(0, 10**12), max_size=6).map(sorted)
traces = st.builds(TokenTrace, arrivals, st.integers(0, 8))


def stamps_of(*answers: TokenTrace, begin: int = 0) -> TokenStamps:
    """Stamps of queries of one sample each."""
    journal = TokenJournal()
    for query, trace in enumerate(answers):
        journal.append(query, [trace])
    stamps = journal.finish(begin)
    assert stamps is not None
    return stamps


def test_a_load_without_tokens_has_no_stamps() -> None:
    assert TokenJournal().finish(0) is None


def test_stamps_are_relative_to_the_begin_and_keep_queries_apart() -> None:
    journal = TokenJournal()
    journal.append(7, [TokenTrace([110, 120], 2), TokenTrace([130], 1)])
    journal.append(3, [TokenTrace([105], 1)])
    stamps = journal.finish(100)
    assert stamps is not None
    assert stamps.queries.tolist() == [7, 7, 3]
    assert stamps.arrivals_ns.tolist() == [10, 20, 30, 5]
    assert stamps.first_ns.tolist() == [10, 30, 5]
    assert stamps.last_ns.tolist() == [20, 30, 5]


@given(st.lists(traces, min_size=1, max_size=8))
def test_times_are_those_of_a_loop_over_the_answers(answers: list[TokenTrace]) -> None:
    stamps = stamps_of(*answers)
    begun = [a.arrivals_ns for a in answers if a.arrivals_ns]
    assert stamps.begun.tolist() == [bool(a.arrivals_ns) for a in answers]
    assert stamps.first_ns.tolist() == [times[0] for times in begun]
    assert stamps.last_ns.tolist() == [times[-1] for times in begun]
    assert np.array_equal(stamps.tpot_s, [tpot_s(a) for a in answers], equal_nan=True)
    assert stamps.gaps_s.tolist() == [gap for a in answers for gap in gaps_s(a)]


def tpot_s(trace: TokenTrace) -> float:
    if trace.n_tokens < 2 or not trace.arrivals_ns:
        return np.nan
    span_ns = trace.arrivals_ns[-1] - trace.arrivals_ns[0]
    return span_ns / (trace.n_tokens - 1) / 1e9 if span_ns else np.nan


def gaps_s(trace: TokenTrace) -> list[float]:
    if trace.n_tokens != len(trace.arrivals_ns):
        return []
    return [(later - earlier) / 1e9 for earlier, later in pairwise(trace.arrivals_ns)]


def test_too_few_tokens_are_never_a_number() -> None:
    one, none, at_once = TokenTrace([5], 1), TokenTrace([], 0), TokenTrace([5, 5, 5], 3)
    assert np.isnan(stamps_of(one, none, at_once).tpot_s).all()
