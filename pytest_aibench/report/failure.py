"""The message of a benchmark that did not pass."""

from __future__ import annotations

from pytest_aibench.bounds import format_estimate
from pytest_aibench.outcome import Outcome
from pytest_aibench.report.terminal import check_table


def outcome_text(outcome: Outcome) -> str:
    """All checks in one table, then broken rules, then what was not judged and why."""
    lines = [_headline(outcome), check_table(outcome.checks)]
    lines += [f"invalid: {broken.rule}: {broken.evidence}" for broken in outcome.violations]
    lines += [f"{name} not judged: {reason}" for name, reason in outcome.not_judged]
    return "\n".join(lines)


def _headline(outcome: Outcome) -> str:
    """The verdict and what decided it: pytest's short summary shows only this line."""
    decisive = [
        f"{check.name} {format_estimate(check.estimate)}, required {check.bound}"
        for check in outcome.checks
        if check.verdict is outcome.verdict
    ]
    broken = [violation.rule for violation in outcome.violations]
    return f"{outcome.verdict.value}: {'; '.join(broken or decisive)}"
