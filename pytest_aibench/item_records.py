"""The records of one benchmark item, and what they make of the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain, repeat
from typing import Any

import pytest

from pytest_aibench.bounds import Verdict, Violation, figure_with_unit
from pytest_aibench.entries import energy_metrics, judged_fields, load_window
from pytest_aibench.messages import BenchmarkFailed, evidence
from pytest_aibench.outcome import Outcome, with_violations
from pytest_aibench.report.terminal import outcome_text
from pytest_aibench.results.schema import BenchmarkEntry, CheckEntry
from pytest_aibench.telemetry.watch import Watch, unfit

NOTHING_JUDGED = (
    "the benchmark judged nothing: call result.require(...) with a bound on quality "
    "and one on speed"
)


class ItemRecords:
    """Gathers an item's entries from its setup to its report.

    Args:
        item: The benchmark.
        watch: Observes the device it runs on.
        inconclusive: What an undecided benchmark becomes: ``fail``, ``pass`` or ``skip``.
    """

    def __init__(self, item: pytest.Item, watch: Watch, inconclusive: str) -> None:
        self.watch = watch
        self._item = item
        self._inconclusive = inconclusive
        self._entries: list[BenchmarkEntry] = []
        self._outcomes: list[Outcome] = []
        self._repeats = False

    @property
    def entries(self) -> tuple[BenchmarkEntry, ...]:
        """What has been judged so far."""
        return tuple(self._entries)

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What became of every measurement so far, repetitions included."""
        return tuple(self._outcomes)

    def repeated(self) -> list[BenchmarkEntry]:
        """Run the test once more: what it measures is returned, and neither recorded nor judged."""
        first, self._entries, self._repeats = self._entries, [], True
        try:
            self._item.runtest()
            return self._entries
        finally:
            self._entries, self._repeats = first, False

    def confirm(self) -> None:
        """Measure a second time what was measured before."""
        again = chain(self.repeated(), repeat(None))
        self._entries = list(map(_confirmed, self._entries, again))

    def settle(
        self, fields: Callable[[Any, Outcome], dict[str, Any]], result: Any, outcome: Outcome
    ) -> None:
        """Record a judged result, and fail the test if it did not pass."""
        __tracebackhide__ = True
        telemetry = self.watch.telemetry(load_window(result))
        outcome = with_violations(outcome, unfit(telemetry))
        judged = {**fields(result, outcome), **judged_fields(outcome)}
        judged["metrics"] |= energy_metrics(result, telemetry)
        entry = replace(self.bare_entry(telemetry), **judged)
        self._entries.append(entry)
        self._outcomes.append(outcome)
        if self._repeats:
            return
        self._item.user_properties.append(("aibench_verdict", entry.verdict))
        self._item.user_properties.extend(map(_headline, entry.checks))
        if outcome.verdict is Verdict.PASSED:
            return
        if outcome.verdict is not Verdict.INCONCLUSIVE or self._inconclusive == "fail":
            raise BenchmarkFailed(outcome_text(outcome))
        if self._inconclusive == "skip":
            pytest.skip(outcome_text(outcome))

    def reported(
        self, call: pytest.CallInfo[None], report: pytest.TestReport
    ) -> list[BenchmarkEntry]:
        """The entries, with one for what went wrong outside of them.

        A benchmark that judged nothing fails.
        """
        if report.passed and not self._entries:
            report.outcome = "failed"
            report.longrepr = NOTHING_JUDGED
            return [self._invalid("a benchmark judges something", NOTHING_JUDGED)]
        if call.excinfo is None or report.skipped or call.excinfo.errisinstance(BenchmarkFailed):
            return self._entries
        error = evidence(call.excinfo, self._item)
        return [*self._entries, self._invalid("no error in the benchmark", error)]

    def interrupted(self) -> list[BenchmarkEntry]:
        """The entries, and one for what was under way."""
        return [*self._entries, replace(self.bare_entry(), verdict="interrupted")]

    def _invalid(self, rule: str, evidence: str) -> BenchmarkEntry:
        return replace(self.bare_entry(), violations=[Violation(rule=rule, evidence=evidence)])

    def bare_entry(self, telemetry: Mapping[str, Any] | None = None) -> BenchmarkEntry:
        """An entry that counts as invalid as long as nothing has been judged."""
        parameters = self._item.callspec.params  # type: ignore[attr-defined]
        fixtures = self._item.fixturenames  # type: ignore[attr-defined]
        telemetry = telemetry or {}
        return BenchmarkEntry(
            id=self._item.nodeid,
            kind="inference" if "aibench_loadgen" in fixtures else "training",
            params={name: str(getattr(value, "id", value)) for name, value in parameters.items()},
            verdict=Verdict.INVALID.value,
            precision=parameters.get("aibench_precision", ""),
            device=self.watch.entry(telemetry),
            telemetry=dict(telemetry),
        )


def _confirmed(entry: BenchmarkEntry, again: BenchmarkEntry | None) -> BenchmarkEntry:
    """The entry with the metrics of its second measurement, if that one is valid."""
    if again is None or again.verdict == Verdict.INVALID.value:
        return entry
    return replace(entry, confirmation=again.metrics)


def _headline(check: CheckEntry) -> tuple[str, float | None]:
    """A figure for the test's properties, with the unit in its name: ``p99_s``."""
    return figure_with_unit(check.name, check.unit), check.value
