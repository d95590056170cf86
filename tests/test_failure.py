"""The message of a benchmark that did not pass begins with what decided it."""

from __future__ import annotations

from pytest_aibench.bounds import Estimate, Verdict, Violation, at_least, at_most, judge
from pytest_aibench.outcome import Outcome
from pytest_aibench.report.terminal import outcome_text

SLOW = judge("p99", Estimate(value=0.02, low=0.019, high=0.021, unit="s"), at_most("10 ms"))
RIGHT = judge("top1", Estimate(value=0.98, low=0.96, high=0.99, by_value=True), at_least(0.97))


def outcome(verdict: Verdict, *violations: Violation) -> Outcome:
    excluded = (("throughput", "the rate is given"),)
    return Outcome(
        checks=(SLOW, RIGHT), not_judged=excluded, violations=violations, verdict=verdict
    )


def test_a_failure_names_the_missed_checks_alone() -> None:
    first, *_, last = outcome_text(outcome(Verdict.FAILED)).splitlines()
    assert first == "failed: p99 20 ms [19, 21], required ≤ 10 ms"
    assert last == "throughput not judged: the rate is given"


def test_an_invalid_run_names_the_broken_rules() -> None:
    broken = Violation(rule="outputs are numbers", evidence="sample 3 holds a NaN")
    lines = outcome_text(outcome(Verdict.INVALID, broken)).splitlines()
    assert lines[0] == "invalid: outputs are numbers"
    assert "invalid: outputs are numbers: sample 3 holds a NaN" in lines
