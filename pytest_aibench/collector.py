"""Gathers the benchmarks of a session, in one place even under xdist, and hands them on."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_aibench.stash import SETTINGS

if TYPE_CHECKING:
    from pytest_aibench.results.schema import BenchmarkEntry, Run


class Collector:
    """Lives in the process that shows results, whichever processes ran the benchmarks."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._payloads: list[dict[str, Any]] = []
        self._started_at = _utc_now()
        self._interrupted = False
        self._entries: list[BenchmarkEntry] = []
        self._written = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the records that came with a report."""
        payload = getattr(report, "aibench", None)
        if payload is not None:
            self.take(payload)

    def take(self, payload: dict[str, Any]) -> None:
        """Take records: JSON entries, and the state of the machine before they were made."""
        self._payloads.append(payload)

    def pytest_keyboard_interrupt(self) -> None:
        """Note that the session did not end by itself."""
        self._interrupted = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the record of the session, if it had benchmarks."""
        if not self._payloads:
            return
        run = self._run()
        self._entries = run.benchmarks
        self._written = self._write(run)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the benchmarks, what was not judged and why, and where the record is."""
        if not self._entries:
            return
        from pytest_aibench.report.terminal import not_judged_lines, problem_lines, summary_table

        width = shutil.get_terminal_size().columns
        terminalreporter.section("benchmarks")
        terminalreporter.write_line(summary_table(self._entries, width))
        for line in (*problem_lines(self._entries), *not_judged_lines(self._entries)):
            terminalreporter.write_line(line)
        terminalreporter.write_line(self._written)

    def _run(self) -> Run:
        from pytest_aibench.results.environment import collect
        from pytest_aibench.results.schema import SCHEMA, BenchmarkEntry, Run, from_json
        from pytest_aibench.results.store import new_run_id

        settings = self._config.stash[SETTINGS]
        before = self._payloads[0]["state_before"]
        entries = [entry for payload in self._payloads for entry in payload["benchmarks"]]
        return Run(
            schema=SCHEMA,
            run_id=new_run_id(),
            started_at=self._started_at,
            finished_at=_utc_now(),
            interrupted=self._interrupted,
            environment=collect(self._config.rootpath, settings.harness(), before or {}),
            benchmarks=[from_json(BenchmarkEntry, entry) for entry in entries],
        )

    def _write(self, run: Run) -> str:
        """Write the record, and say where it is."""
        from pytest_aibench.errors import UserError
        from pytest_aibench.results.store import write_run

        store = self._config.stash[SETTINGS].store
        if store is None:
            return "no record was kept (--aibench-no-store)"
        try:
            return f"record: {_relative(write_run(store, run), self._config.invocation_params.dir)}"
        except UserError as error:
            path = write_run(Path(tempfile.mkdtemp(prefix="aibench-")), run)
            return f"{error}; this record is in {path}"


def _utc_now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _relative(path: Path, start: Path) -> str:
    return str(path.relative_to(start) if path.is_relative_to(start) else path)
