"""Pairs of sessions: how often the verdicts err, and what stands in their way."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from pytest_aibench.bounds import Violation
from pytest_aibench.regression.comparison import Change, Comparison, Evidence
from pytest_aibench.regression.paired import (
    ALPHA,
    LEAST_PAIRS,
    PairedReport,
    compare_pairs,
    compare_sides,
    critical_t,
)
from pytest_aibench.results.identity import DEFAULT_VARY
from pytest_aibench.results.schema import DeviceEntry, Environment, LoadEntry, Metric, Run
from tests.records import benchmark, run_of

Floats = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, int], Floats]

FIRST_OF_B = np.array([False, True, True, False])  # A B B A


def evidence(
    a: Any, b: Any, metric: str = "p50_ms", better: str = "lower", **changes: Any
) -> Evidence:
    return Evidence(
        name="test", metric=metric, better=better, baseline=tuple(a), candidate=tuple(b), **changes
    )


def compare(a: Any, b: Any, metric: str = "p50_ms", better: str = "lower", **k: Any) -> Comparison:
    (row,) = compare_pairs([evidence(a, b, metric, better, **k)])
    return row


def steady(sd: float) -> Noise:
    return lambda rng, sessions: rng.normal(0, sd, sessions)


def heavy_tails(rng: np.random.Generator, sessions: int) -> Floats:
    noise: Floats = 0.02 * rng.standard_t(3, sessions) / math.sqrt(3)
    return noise


def drift(rng: np.random.Generator, sessions: int) -> Floats:
    return rng.normal(0, 0.02, sessions) + 0.005 * np.arange(sessions)


def wandering(rng: np.random.Generator, sessions: int) -> Floats:
    steps: Floats = rng.normal(0, 0.01, sessions)
    noise: Floats = rng.normal(0, 0.02, sessions) + np.cumsum(steps)
    return noise


def outages(rng: np.random.Generator, sessions: int) -> Floats:
    slow = rng.random(sessions) < 0.05
    return rng.normal(0, 0.02, sessions) + slow * rng.exponential(0.5, sessions)


NOISES = {
    "1 %": steady(0.01),
    "3 %": steady(0.03),
    "heavy tails": heavy_tails,
    "drift": drift,
    "wandering": wandering,
    "outages": outages,
}


def trial(
    rng: np.random.Generator, noise: Noise, worsening: float = 0.0, figures: int = 1, most: int = 20
) -> list[Comparison]:
    """Sessions in turns until every figure is decided; all figures get worse alike."""
    logs = np.array([noise(rng, 2 * most) for _ in range(figures)])
    is_b = np.resize(FIRST_OF_B, 2 * most)
    values = np.exp(logs + is_b * math.log1p(worsening))
    rows: list[Comparison] = []
    for pairs in range(LEAST_PAIRS, most + 1):
        rows = compare_pairs([evidence(row[~is_b][:pairs], row[is_b][:pairs]) for row in values])
        if all(row.change is not Change.INCONCLUSIVE for row in rows):
            break
    return rows


def has_regressed(rows: list[Comparison]) -> bool:
    return any(row.change is Change.REGRESSED for row in rows)


def test_identical_sides_hardly_ever_regress() -> None:
    rng = np.random.default_rng(4)
    false = Counter(
        name
        for name, noise in NOISES.items()
        for _ in range(334)
        if has_regressed(trial(rng, noise, most=12))
    )
    assert false.total() <= 0.01 * 334 * len(NOISES)
    assert max(false.values(), default=0) <= 0.02 * 334


def test_many_figures_share_the_chance_of_a_false_alarm() -> None:
    rng = np.random.default_rng(5)
    reports = [trial(rng, steady(0.02), figures=30, most=8) for _ in range(100)]
    assert sum(map(has_regressed, reports)) <= 1


@pytest.mark.parametrize("name", [name for name in NOISES if name != "outages"])
def test_ten_percent_are_found(name: str) -> None:
    rng = np.random.default_rng(6)
    found = [has_regressed(trial(rng, NOISES[name], worsening=0.1)) for _ in range(20)]
    assert sum(found) >= 16


def test_an_undecided_figure_names_the_pairs_it_needs() -> None:
    rng = np.random.default_rng(7)
    decided = []
    for _ in range(40):
        row = trial(rng, steady(0.02), most=8)[0]
        if row.change is Change.INCONCLUSIVE:
            assert row.runs_needed is not None
            assert row.reason == (
                "a worsening by 2.0 % is neither shown nor excluded: "
                f"about {row.runs_needed} pairs are needed"
            )
            again = trial(rng, steady(0.02), most=row.runs_needed)[0]
            decided.append(again.change is Change.NOT_WORSE)
    assert len(decided) > 20
    assert np.mean(decided) > 0.4


def test_among_many_figures_a_suspect_needs_more_pairs() -> None:
    suspect = evidence(np.ones(5), [1.1, 1.3, 1.05, 1.25, 1.12])
    calm = evidence(np.ones(5), np.ones(5))
    (alone,) = compare_pairs([suspect])
    among, *_ = compare_pairs([suspect, *[calm] * 30])
    assert alone.change is among.change is Change.INCONCLUSIVE
    assert alone.runs_needed is not None
    assert among.runs_needed is not None
    assert alone.runs_needed < among.runs_needed


def test_the_evidence_is_a_mixture_of_likelihood_ratios() -> None:
    differences = np.array([0.03, 0.01, 0.05, 0.02, 0.04, -0.01])
    pairs, df = len(differences), len(differences) - 1
    t = stats.ttest_1samp(differences, 0).statistic

    def weighted(effect: float) -> float:
        chance = stats.nct.pdf(t, df, effect * math.sqrt(pairs))
        return float(chance * stats.norm.pdf(effect, scale=3))

    mixture, _ = integrate.quad(weighted, -5, 10)
    row = compare(np.ones(pairs), np.exp(differences))
    assert row.p == pytest.approx(stats.t.pdf(t, df) / mixture, rel=1e-5)


@settings(max_examples=50)
@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=12).filter(lambda d: np.ptp(d) > 1e-3))
def test_the_interval_excludes_no_change_exactly_when_p_says_so(differences: list[float]) -> None:
    row = compare(np.ones(len(differences)), np.exp(differences))
    assert row.p is not None
    excluded = row.low is not None and row.high is not None and not row.low <= 0 <= row.high
    assert excluded == (row.p < 2 * ALPHA) or row.p == pytest.approx(2 * ALPHA)


def test_too_few_pairs_decide_nothing() -> None:
    assert math.isinf(critical_t(LEAST_PAIRS - 1, 2 * ALPHA))
    assert critical_t(LEAST_PAIRS, 2 * ALPHA) == pytest.approx(14.59, abs=0.01)
    row = compare([1, 1, 1], [2, 2.01, 2.02])
    assert (row.change, row.low, row.high, row.text) == (
        Change.INCONCLUSIVE,
        None,
        None,
        "+101.0 %",
    )
    assert compare([1], [2]).reason == "4 pairs at least are needed"


@pytest.mark.parametrize(
    ("metric", "better", "b", "change", "reason"),
    [
        ("p50_ms", "lower", 1.2, Change.REGRESSED, "over 2.0 %, p = 0.0005"),
        ("p50_ms", "lower", 0.8, Change.IMPROVED, "over 2.0 %, p = 0.0005"),
        ("p50_ms", "lower", 1.01, Change.NOT_WORSE, "a worsening by 2.0 % is excluded"),
        ("throughput_samples_per_s", "higher", 0.8, Change.REGRESSED, "over 2.0 %, p = 0.0005"),
        ("peak_qps", "higher", 0.8, Change.REGRESSED, "over 2.0 %, p = 0.0005"),
        ("top1", "higher", 0.99, Change.REGRESSED, "over 0.0020, p = 0.0005"),
        ("top1", "higher", 1.0, Change.NOT_WORSE, "a worsening by 0.0020 is excluded"),
    ],
)
def test_verdicts(metric: str, better: str, b: float, change: Change, reason: str) -> None:
    row = compare([1.0] * 5, [b] * 5, metric, better)
    assert (row.change, row.reason) == (change, reason)
    assert row.effect == pytest.approx(b - 1)


def test_a_floor_of_ones_own() -> None:
    a, b = [1.0] * 5, [1.2] * 5
    assert compare(a, b, floor=0.3).reason == "a worsening by 30.0 % is excluded"


def session(value: float = 1.0, **changes: Any) -> Run:
    """A session of one benchmark with one figure that gates."""
    load = LoadEntry(
        scenario="offline", settings={}, stopped="", n_queries=1, n_samples=1, duration_s=1.0
    )
    entry = replace(
        benchmark("t.py::test"),
        load=load,
        metrics={
            "throughput_samples_per_s": Metric(value=value, better="higher", n=9),
            "p99_ms": Metric(value=value, better="lower", n=9),
        },
    )
    return replace(run_of(replace(entry, **changes)))


def on(run: Run, **groups: dict[str, Any]) -> Run:
    facts = {"hw": {}, "unit": {}, "sw": {}, "subject": {}, "harness": {}, "state": {}, **groups}
    return replace(run, environment=Environment(**facts))


def report(a: list[Run], b: list[Run], *vary: str) -> PairedReport:
    return compare_sides(a, b, vary=vary)


def only_row(found: PairedReport) -> Comparison:
    (row,) = found.rows
    return row


def test_figures_that_gate_are_paired_in_order() -> None:
    found = report([session(1.0), session(2.0), session(9.0)], [session(3.0), session(4.0)])
    row = only_row(found)
    assert (found.pairs, found.decided) == (2, False)
    assert (row.evidence.name, row.evidence.metric) == ("t.py::test", "throughput_samples_per_s")
    assert (row.evidence.baseline, row.evidence.candidate) == ((1.0, 2.0), (3.0, 4.0))


def test_what_differs_is_named() -> None:
    a = on(session(), sw={"torch": "2.8", "x": "1"}, unit={"hostname": "h"})
    b = on(session(), sw={"torch": "2.9"}, unit={"hostname": "i"})
    found = report([a], [b], "sw")
    assert found.varied == {"sw.torch": ("2.8", "2.9"), "sw.x": ("1", "none")}
    assert found.confounded == {}


def test_what_differs_undeclared_forbids_a_verdict() -> None:
    a, b = (on(session(), sw={"torch": torch}) for torch in ("2.8", "2.9"))
    found = report([a] * 4, [b] * 4, *DEFAULT_VARY)
    assert found.confounded == {"sw.torch": ("2.8", "2.9")}
    assert (found.varied, found.decided) == ({}, True)
    row = only_row(found)
    assert (row.change, row.reason) == (
        Change.CONFOUNDED,
        "confounded by sw.torch: 2.8 → 2.9",
    )


def test_a_side_must_stay_as_it_is() -> None:
    before, after = (on(session(), subject={"commit": commit}) for commit in "ab")
    found = report([before, after], [before, before], *DEFAULT_VARY)
    assert found.confounded == {"subject.commit of A": ("a", "b")}


def test_a_figure_that_one_side_lacks() -> None:
    found = report([session()] * 4, [*[session()] * 3, session(metrics={})])
    row = only_row(found)
    assert (row.change, row.reason) == (Change.INVALID, "not measured in 1 of 4 sessions of B")
    found = report([session(metrics={})], [session()])
    assert found.rows == ()
    assert found.notes == ("t.py::test throughput_samples_per_s: measured in B only",)


THROTTLED = [Violation(rule="the device is not throttled", evidence="9 %")]


def test_pairs_with_an_invalid_session_are_left_out() -> None:
    bad = session(violations=THROTTLED)
    found = report([bad, *[session()] * 5], [session()] * 6)
    assert only_row(found).change is Change.NOT_WORSE
    assert found.notes == (
        "t.py::test throughput_samples_per_s: 1 of 6 pairs left out: "
        "the device is not throttled: 9 %",
    )
    found = report([bad] * 3 + [session()] * 3, [session()] * 6)
    row = only_row(found)
    assert (row.change, row.reason) == (Change.INVALID, "the device is not throttled: 9 %")
    assert only_row(report([session(0.0)], [session()])).reason == "the figure is not above zero"


def test_sides_that_measure_something_else() -> None:
    gpu = DeviceEntry(id="cuda:0", kind="cuda", name="L4", memory_bytes=None)
    row = only_row(report([session()], [session(device=gpu)]))
    assert (row.change, row.reason) == (Change.CONFOUNDED, "measured on L4 and on cpu")
    row = only_row(report([session()], [session(precision="bf16")]))
    assert (row.change, row.reason) == (
        Change.CONFOUNDED,
        "scenario settings, precision, data or effort differ",
    )
