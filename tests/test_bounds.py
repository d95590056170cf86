"""Bounds, judging, and the texts about them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.bounds import (
    Estimate,
    Verdict,
    at_least,
    at_most,
    format_estimate,
    judge,
    worst,
)
from pytest_aibench.errors import UserError
from pytest_aibench.units import Quantity

VALUES = st.floats(-1e6, 1e6)


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (at_least(0.97), "≥ 0.97"),
        (at_least(0.97531234), "≥ 0.97531234"),
        (at_most(" 100 ms "), "≤ 100 ms"),
        (at_least("99% of fp32"), "≥ 99% of fp32"),
    ],
)
def test_bounds_print_as_written(bound: object, text: str) -> None:
    assert str(bound) == text


def test_limits_are_in_base_units() -> None:
    assert at_most("100 ms").limit == Quantity(0.1, "s")
    relative = at_least("99.5 % of fp32")
    assert relative.limit.value == pytest.approx(0.995)
    assert relative.reference == "fp32"


@pytest.mark.parametrize("text", ["fast", "9.9.9% of fp32", "99% of", "% of fp32"])
def test_unreadable_bounds(text: str) -> None:
    with pytest.raises(UserError) as caught:
        at_least(text)
    assert str(caught.value) == (
        f"cannot read the quantity {text!r}: write a number and a unit, like '15 ms'"
    )


@pytest.mark.parametrize(
    ("unit", "limit", "message"),
    [
        ("s", 15, "p99: the bound '15' has the wrong unit: write it like '15 ms'"),
        ("", "15 ms", "p99: the bound '15 ms' has the wrong unit: write it like '0.97'"),
        ("B", "1 s", "p99: the bound '1 s' has the wrong unit: write it like '512 MiB'"),
        (
            "samples/s",
            "50 queries/s",
            "p99: the bound '50 queries/s' has the wrong unit: write it like '50 samples/s'",
        ),
    ],
)
def test_wrong_unit(unit: str, limit: str | float, message: str) -> None:
    with pytest.raises(UserError) as caught:
        judge("p99", Estimate(value=1.0, unit=unit), at_most(limit))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (9.0, 10.0, Verdict.PASSED),
        (9.0, 10.1, Verdict.INCONCLUSIVE),
        (10.0, 11.0, Verdict.INCONCLUSIVE),
        (10.1, 11.0, Verdict.FAILED),
        (None, 10.0, Verdict.PASSED),
        (10.1, None, Verdict.FAILED),
        (9.0, None, Verdict.INCONCLUSIVE),
        (None, None, Verdict.INCONCLUSIVE),
    ],
)
def test_intervals_decide_upper_bounds(
    low: float | None, high: float | None, verdict: Verdict
) -> None:
    estimate = Estimate(value=10.05, low=low, high=high, unit="s")
    assert judge("p99", estimate, at_most("10 s")).verdict is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (10.0, 11.0, Verdict.PASSED),
        (9.9, 11.0, Verdict.INCONCLUSIVE),
        (9.0, 10.0, Verdict.INCONCLUSIVE),
        (9.0, 9.9, Verdict.FAILED),
        (10.0, None, Verdict.PASSED),
        (None, 9.9, Verdict.FAILED),
        (None, 11.0, Verdict.INCONCLUSIVE),
    ],
)
def test_intervals_decide_lower_bounds(
    low: float | None, high: float | None, verdict: Verdict
) -> None:
    estimate = Estimate(value=9.95, low=low, high=high, unit="samples/s")
    assert judge("throughput", estimate, at_least("10 samples/s")).verdict is verdict


def test_inconclusive_says_why() -> None:
    straddling = Estimate(value=10.0, low=9.0, high=11.0, unit="s")
    assert judge("p99", straddling, at_most("10 s")).reason == "the interval straddles the bound"
    few = Estimate(value=9.0, low=8.0, unit="s", n=30, why_open="needs 40 more queries")
    assert judge("p99", few, at_most("10 s")).reason == "needs 40 more queries"


def test_quality_is_judged_by_value_unless_confidence_is_asked() -> None:
    top1 = Estimate(value=0.98, low=0.96, high=0.99, by_value=True)
    assert judge("top1", top1, at_least(0.98)).verdict is Verdict.PASSED
    assert judge("top1", top1, at_least(0.981)).verdict is Verdict.FAILED
    assert judge("top1", top1, at_least(0.98, confident=True)).verdict is Verdict.INCONCLUSIVE
    assert judge("top1", top1, at_least(0.96, confident=True)).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("value", "why", "reason"),
    [
        (None, "no outputs", "not measured: no outputs"),
        (None, "", "not measured: it is None"),
        (float("nan"), "", "not measured: it is nan"),
        (float("inf"), "", "not measured: it is inf"),
    ],
)
@pytest.mark.parametrize("by_value", [True, False])
def test_what_was_not_measured_never_passes(
    value: float | None, why: str, reason: str, by_value: bool
) -> None:
    estimate = Estimate(value=value, low=1.0, high=2.0, by_value=by_value, why_open=why)
    check = judge("top1", estimate, at_least(0.5))
    assert (check.verdict, check.reason) == (Verdict.FAILED, reason)


def test_relative_bounds() -> None:
    top1 = Estimate(value=0.97, by_value=True)
    check = judge("top1", top1, at_least("99% of fp32"), reference=0.98)
    assert check.verdict is Verdict.FAILED
    assert check.limit == pytest.approx(0.9702)
    latency = Estimate(value=1.0, low=0.9, high=1.04, unit="s")
    assert judge("p99", latency, at_most("105% of fp32"), reference=1.0).verdict is Verdict.PASSED


def test_a_missing_reference_never_passes() -> None:
    check = judge("top1", Estimate(value=1.0, by_value=True), at_least("99% of fp32"))
    assert (check.verdict, check.limit, check.margin) == (Verdict.FAILED, None, None)
    assert check.reason == "the reference fp32 was not measured"


@given(VALUES, VALUES, st.booleans())
def test_margin_is_negative_exactly_when_the_value_misses(
    value: float, limit: float, upper: bool
) -> None:
    bound = at_most(limit) if upper else at_least(limit)
    check = judge("f1", Estimate(value=value, by_value=True), bound)
    if check.margin is not None and abs(value - limit) > 1e-9 * abs(limit):
        assert (check.margin < 0) == (check.verdict is Verdict.FAILED)


@given(st.lists(VALUES, min_size=3, max_size=3).map(sorted), VALUES)
def test_opposite_bounds_never_both_fail(ends: list[float], limit: float) -> None:
    low, value, high = ends
    estimate = Estimate(value=value, low=low, high=high)
    verdicts = {judge("f1", estimate, make(limit)).verdict for make in (at_least, at_most)}
    assert verdicts != {Verdict.FAILED}


def test_worst_verdict() -> None:
    assert worst([Verdict.PASSED, Verdict.INCONCLUSIVE]) is Verdict.INCONCLUSIVE
    assert worst([Verdict.FAILED, Verdict.INCONCLUSIVE]) is Verdict.FAILED
    assert worst([Verdict.FAILED, Verdict.INVALID, Verdict.PASSED]) is Verdict.INVALID


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(value=0.0123, low=0.0119, high=0.0128, unit="s"), "12.3 ms [11.9, 12.8]"),
        (Estimate(value=0.0123, low=0.0119, unit="s"), "12.3 ms [11.9, ?]"),
        (Estimate(value=0.0123, unit="s"), "12.3 ms"),
        (Estimate(value=None, unit="s"), "not measured"),
    ],
)
def test_format_estimate(estimate: Estimate, text: str) -> None:
    assert format_estimate(estimate) == text
