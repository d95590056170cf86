"""The records of one benchmark item, and what they make of the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pytest_aibench.bounds import Verdict, Violation
from pytest_aibench.devices import Device
from pytest_aibench.entries import judged_fields
from pytest_aibench.messages import BenchmarkFailed, evidence
from pytest_aibench.outcome import Outcome
from pytest_aibench.report.terminal import outcome_text
from pytest_aibench.results.schema import BenchmarkEntry, CheckEntry, DeviceEntry

NOTHING_JUDGED = (
    "the benchmark judged nothing: call result.require(...) with a bound on quality "
    "and one on speed"
)


class ItemRecords:
    """Gathers an item's entries from its setup to its report.

    Args:
        item: The benchmark.
        device: The one it runs on.
        inconclusive: What an undecided benchmark becomes: ``fail``, ``pass`` or ``skip``.
    """

    def __init__(self, item: pytest.Item, device: Device, inconclusive: str) -> None:
        self._item = item
        self._device = device
        self._inconclusive = inconclusive
        self._entries: list[BenchmarkEntry] = []

    def settle(
        self, fields: Callable[[Any, Outcome], dict[str, Any]], result: Any, outcome: Outcome
    ) -> None:
        """Record a judged result, and fail the test if it did not pass."""
        __tracebackhide__ = True
        judged = {**fields(result, outcome), **judged_fields(outcome)}
        entry = replace(self._bare_entry(), **judged)
        self._entries.append(entry)
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
        explained = any(entry.verdict != Verdict.PASSED.value for entry in self._entries)
        if call.excinfo is None or report.skipped or explained:
            return self._entries
        error = evidence(call.excinfo, self._item)
        return [*self._entries, self._invalid("no error in the benchmark", error)]

    def interrupted(self) -> list[BenchmarkEntry]:
        """The entries, and one for what was under way."""
        return [*self._entries, replace(self._bare_entry(), verdict="interrupted")]

    def _invalid(self, rule: str, evidence: str) -> BenchmarkEntry:
        return replace(self._bare_entry(), violations=[Violation(rule=rule, evidence=evidence)])

    def _bare_entry(self) -> BenchmarkEntry:
        """An entry that counts as invalid as long as nothing has been judged."""
        parameters = self._item.callspec.params  # type: ignore[attr-defined]
        fixtures = self._item.fixturenames  # type: ignore[attr-defined]
        device = self._device
        return BenchmarkEntry(
            id=self._item.nodeid,
            kind="inference" if "aibench_loadgen" in fixtures else "training",
            params={name: str(getattr(value, "id", value)) for name, value in parameters.items()},
            verdict=Verdict.INVALID.value,
            precision=parameters.get("aibench_precision", ""),
            device=DeviceEntry(
                id=device.id,
                kind=device.kind,
                name=device.name,
                memory_bytes=device.memory_bytes,
                peak_memory_bytes=device.peak_memory_bytes(),
            ),
        )


def _headline(check: CheckEntry) -> tuple[str, float | None]:
    """A figure for the test's properties, with the unit in its name: ``p99_s``."""
    unit = check.unit.replace("/", "_per_")
    return f"{check.name}_{unit}" if unit else check.name, check.value
