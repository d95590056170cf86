"""Figures of tokens against hand-made loads and brute force."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from pytest_aibench.bounds import Estimate
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.decision import FixedEstimator
from pytest_aibench.loadgen.journal import EveryAnswer, Journal, Load
from pytest_aibench.loadgen.percentiles import percentile_estimate
from pytest_aibench.loadgen.token_figures import (
    Slo,
    is_token_figure,
    keeps,
    like_figure,
    token_estimate,
    token_summary,
    ttft_s,
)
from pytest_aibench.loadgen.tokens import TokenTrace

MS = 1_000_000


def load_of(
    answers: Sequence[TokenTrace | None], overdue_ms: Sequence[int] = (), due_ms: int = 100
) -> Load:
    """Queries of one sample, one due every ``due_ms``; arrivals are in ms after the due time."""
    journal = Journal(0, EveryAnswer())
    for number, trace in enumerate(answers):
        due = number * due_ms * MS
        journal.due.append(due)
        journal.issued.append(due)
        journal.taken.append(due)
        journal.sizes.append(1)
        at = [due + ms * MS for ms in trace.arrivals_ns] if trace else []
        journal.completed.append(max(at, default=due + 1))
        if trace is not None:
            journal.take_tokens(number, [number], [TokenTrace(at, trace.n_tokens)])
    journal.overdue = np.array(overdue_ms, np.int64) * MS
    return journal.finish("done")


def evenly(first_ms: int, gap_ms: int, n: int) -> TokenTrace:
    return TokenTrace([first_ms + gap_ms * position for position in range(n)], n)


def estimate(name: str, load: Load, slo: Slo | None = None) -> Estimate:
    return token_estimate(name, load, FixedEstimator(), slo)


def test_time_to_first_token_counts_from_the_scheduled_time() -> None:
    load = load_of([evenly(10, 5, 3), evenly(30, 5, 3)])
    assert load.tokens is not None
    assert ttft_s(load, load.tokens).tolist() == [0.01, 0.03]


def test_time_per_output_token_leaves_the_first_out() -> None:
    assert estimate("tpot_p50", load_of([evenly(1000, 5, 4)])).value == 0.005


@given(st.lists(st.integers(1, 500), min_size=1, max_size=700), st.sampled_from([50, 90, 99]))
def test_percentiles_are_those_of_the_times(first_ms: list[int], percent: int) -> None:
    load = load_of([TokenTrace([first, 2 * first], 2) for first in first_ms], due_ms=1000)
    expected = percentile_estimate(np.sort(np.array(first_ms) * MS / 1e9), percent / 100)
    assert estimate(f"ttft_p{percent}", load) == expected
    assert estimate(f"tpot_p{percent}", load) == expected


def test_queries_that_were_overdue_at_the_end_count() -> None:
    load = load_of([evenly(10, 5, 3)], overdue_ms=[300, 200])
    assert estimate("ttft_p99", load).value == 0.3
    assert estimate("ttft_p99", load).n == 3


@pytest.mark.parametrize("name", ["ttft_p99", "tpot_p50", "itl_p50", "tokens_per_s"])
def test_a_model_that_gives_no_tokens_has_no_figures_of_them(name: str) -> None:
    figure = estimate(name, load_of([None, None]))
    assert figure.value is None
    assert figure.why_open == (
        "the model gives no tokens: give a generator of tokens or a streaming endpoint"
    )


def test_answers_without_tokens_among_others_leave_nothing_to_measure() -> None:
    figure = estimate("ttft_p99", load_of([evenly(10, 5, 3), None]))
    assert (figure.value, figure.why_open) == (None, "1 of 2 answers came as tokens")


def test_no_answer_at_all_leaves_nothing_to_measure() -> None:
    assert estimate("ttft_p99", load_of([])).why_open == "no query completed"


def test_an_answer_without_a_token_breaks_a_rule() -> None:
    (violation,) = load_of([evenly(10, 5, 3), TokenTrace([], 0)]).violations
    assert violation.rule == "every answer has tokens"
    assert violation.evidence == "sample 1 was answered without a token"


def test_answers_of_one_token_are_left_out_of_the_pace_and_counted() -> None:
    load = load_of([evenly(10, 5, 1), evenly(10, 7, 3), TokenTrace([10, 10], 2)])
    figure = estimate("tpot_p50", load)
    assert (figure.value, figure.n) == (0.007, 1)
    assert load.tokens is not None
    assert token_summary(load.tokens) == {
        "n_answers": 3,
        "n_tokens": 6,
        "n_arrivals": 6,
        "tpot_excluded": 2,
        "itl_excluded": 1,
    }


def test_a_pace_that_no_answer_shows_is_not_measured() -> None:
    figure = estimate("tpot_p99", load_of([evenly(10, 5, 1), evenly(20, 5, 1)]))
    assert figure.value is None
    assert figure.why_open == "in none of 2 answers did tokens come one after the other"


def test_gaps_are_not_measured_where_several_tokens_come_at_a_time() -> None:
    bundled = TokenTrace([10, 20], 8)
    figure = estimate("itl_p99", load_of([bundled]))
    assert figure.why_open == "in none of 1 answers did tokens come one by one"
    assert estimate("tpot_p50", load_of([bundled])).value == pytest.approx(0.010 / 7)


@given(
    st.lists(st.tuples(st.integers(2, 30), st.integers(1, 99)), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.9]),
)
def test_gaps_within_an_answer_count_as_one_observation(
    answers: list[tuple[int, int]], percentile: float
) -> None:
    load = load_of([evenly(1, gap, n) for n, gap in answers], due_ms=10_000)
    gaps = sorted(gap / 1000 for n, gap in answers for _ in range(n - 1))
    figure = estimate(f"itl_p{percentile * 100:.0f}", load)
    assert figure.value == pytest.approx(gaps[min(int(len(gaps) * percentile), len(gaps) - 1)])
    assert figure.n == len(answers)
    alike = percentile_estimate(np.zeros(len(answers)), percentile)
    assert (figure.low is None, figure.high is None) == (alike.low is None, alike.high is None)
    assert figure.value is not None
    assert figure.low is None or figure.low <= figure.value
    assert figure.high is None or figure.high >= figure.value


def test_token_rate_counts_tokens_not_answers() -> None:
    figure = estimate("tokens_per_s", load_of([evenly(50, 0, 10)] * 200))
    assert figure.unit == "tokens/s"
    assert figure.value == pytest.approx(2000 / (199 * 0.1 + 0.05))
    assert figure.low is not None


def test_a_promise_is_kept_by_both_times() -> None:
    slo = Slo(ttft="100 ms", tpot="10 ms")
    answers = [evenly(100, 10, 5), evenly(101, 1, 5), evenly(1, 11, 5), evenly(100, 0, 1)]
    load = load_of(answers, overdue_ms=[1])
    assert load.tokens is not None
    assert keeps(load, load.tokens, slo).tolist() == [True, False, False, True, False]
    assert estimate("goodput", load, slo).value == 0.4


@pytest.mark.parametrize(
    ("slo", "kept"), [(Slo(ttft="100 ms"), 2), (Slo(tpot="10 ms"), 1), (Slo(ttft="1 ms"), 1)]
)
def test_half_a_promise_leaves_the_other_time_free(slo: Slo, kept: int) -> None:
    load = load_of([evenly(100, 1, 5), evenly(1, 50, 5)])
    assert load.tokens is not None
    assert keeps(load, load.tokens, slo).sum() == kept


@pytest.mark.parametrize(("kept", "n"), [(0, 20), (20, 20), (13, 20), (990, 1000)])
def test_goodput_has_the_exact_interval_of_a_share(kept: int, n: int) -> None:
    load = load_of([evenly(1, 1, 2)] * kept + [evenly(9, 1, 2)] * (n - kept))
    share = estimate("goodput", load, Slo(ttft="5 ms"))
    assert (share.value, share.n) == (kept / n, n)
    assert share.low is not None
    assert share.high is not None
    assert share.low == 0 if kept == 0 else binom.sf(kept - 1, n, share.low) == pytest.approx(0.01)
    assert share.high == 1 if kept == n else binom.cdf(kept, n, share.high) == pytest.approx(0.01)


def test_goodput_as_a_rate() -> None:
    load = load_of([evenly(50, 1, 1)] * 6 + [evenly(90, 1, 1)] * 4)
    rate = estimate("goodput_qps", load, Slo(ttft="60 ms"))
    assert rate.unit == "queries/s"
    assert rate.value == pytest.approx(6 / 0.99)


def test_goodput_needs_a_promise() -> None:
    message = "goodput needs a promise: pass slo=Slo(ttft='500 ms') to loadgen.run"
    with pytest.raises(UserError, match=re.escape(message)):
        estimate("goodput", load_of([evenly(1, 1, 2)]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Slo() promises nothing: give ttft='500 ms', tpot='50 ms', or both"),
        ({"ttft": "5"}, "ttft='5' needs a time unit: write it like '15 ms' or '2 s'"),
        ({"tpot": "0 ms"}, "tpot='0 ms' must be above zero"),
    ],
)
def test_a_promise_that_makes_no_sense_is_refused(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        Slo(**arguments)


@pytest.mark.parametrize(
    ("name", "alike"),
    [
        ("ttft_p99", "latency"),
        ("tpot_p999", "tpot_p999"),
        ("itl_p50", "itl_p50"),
        ("tokens_per_s", "throughput"),
        ("goodput_qps", "latency"),
        ("goodput", "latency"),
    ],
)
def test_names_of_figures(name: str, alike: str) -> None:
    assert is_token_figure(name)
    assert like_figure(name) == alike


@pytest.mark.parametrize("name", ["p99", "ttft", "ttft_p0", "ttft_mean", "top1"])
def test_other_names_are_no_figures_of_tokens(name: str) -> None:
    assert not is_token_figure(name)
