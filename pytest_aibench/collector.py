"""Gathers the benchmarks of a session, in one place even under xdist, and hands them on."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_aibench.stash import SETTINGS, session_of

if TYPE_CHECKING:
    from pytest_aibench.results.locations import Store
    from pytest_aibench.results.partial import Partial
    from pytest_aibench.results.schema import BenchmarkEntry, Run


class Collector:
    """Lives in the process that shows results, whichever processes ran the benchmarks."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._payloads: list[dict[str, Any]] = []
        self._started_at = _utc_now()
        self._interrupted = False
        self._entries: list[BenchmarkEntry] = []
        self._partial: Partial | None = None
        self._written: list[str] = []
        self._compared: list[str] = []
        self._calibrated: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the records that came with a report."""
        payload = getattr(report, "aibench", None)
        if payload is not None:
            self.take(payload)

    def take(self, payload: dict[str, Any]) -> None:
        """Take records: JSON entries, and the state of the machine before they were made."""
        self._payloads.append(payload)
        if self._store is not None:
            self._make_safe(self._store, payload)

    def pytest_keyboard_interrupt(self) -> None:
        """Note that the session did not end by itself."""
        self._interrupted = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the record of the session, if it had benchmarks; compare it, write its bounds."""
        if not self._payloads:
            return
        run = self._run()
        self._entries = run.benchmarks
        self._written = self._write(run)
        self._compare(session, run)
        self._calibrate(run)
        self._forget_states(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the benchmarks, what was not judged and why, and where the record is."""
        if not self._entries:
            return
        from pytest_aibench.report.terminal import (
            not_judged_lines,
            note_lines,
            problem_lines,
            summary_table,
        )

        width = shutil.get_terminal_size().columns
        terminalreporter.section("benchmarks")
        terminalreporter.write_line(summary_table(self._entries, width))
        for lines in (problem_lines, not_judged_lines, note_lines):
            for line in lines(self._entries):
                terminalreporter.write_line(line)
        for line in self._written:
            terminalreporter.write_line(line)
        for title, told in (("comparison", self._compared), ("calibration", self._calibrated)):
            if told:
                terminalreporter.section(title)
            for line in told:
                terminalreporter.write_line(line)

    def _run(self) -> Run:
        from pytest_aibench.results.environment import collect
        from pytest_aibench.results.schema import SCHEMA, BenchmarkEntry, Metric, Run, from_json

        settings = self._config.stash[SETTINGS]
        before, canaries = self._payloads[0]["state_before"], self._payloads[0]["canaries"]
        entries = [entry for payload in self._payloads for entry in payload["benchmarks"]]
        return Run(
            schema=SCHEMA,
            run_id=self._run_id,
            started_at=self._started_at,
            finished_at=_utc_now(),
            interrupted=self._interrupted,
            environment=collect(self._config.rootpath, settings.harness(), before or {}),
            benchmarks=[from_json(BenchmarkEntry, entry) for entry in entries],
            canaries=from_json(dict[str, Metric], canaries),
            group_id=settings.group,
        )

    @cached_property
    def _run_id(self) -> str:
        from pytest_aibench.results.store import new_run_id

        return new_run_id()

    @cached_property
    def _store(self) -> Store | None:
        from pytest_aibench.results.locations import open_store

        location = self._config.stash[SETTINGS].store
        return None if location is None else open_store(location)

    def _make_safe(self, store: Store, payload: dict[str, Any]) -> None:
        """Have the records on disk, in case this session is killed."""
        from pytest_aibench.results.partial import Partial

        if self._partial is None:
            self._partial = Partial(store, self._run())
        else:
            self._partial.add(payload["benchmarks"])

    def _compare(self, session: pytest.Session, run: Run) -> None:
        """Hold the whole session against its history: all that moved together fails the session."""
        gatekeeper = session_of(self._config).gatekeeper
        if gatekeeper is None:
            return
        from pytest_aibench.errors import UserError
        from pytest_aibench.report.comparison import gate_lines

        try:
            report = gatekeeper.report(run)
        except UserError as error:  # a comparison that was asked for and not made is not green
            self._compared, is_worse = [f"not compared: {error}"], True
        else:
            self._compared = list(gate_lines(report, shutil.get_terminal_size().columns))
            is_worse = report.suite_regressed
        if is_worse and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _calibrate(self, run: Run) -> None:
        """Write the bounds that the session has learnt."""
        settings = self._config.stash[SETTINGS]
        if not settings.calibrate:
            return
        from pytest_aibench.bounds_file import Learnt, write_learnt
        from pytest_aibench.results.schema import from_json

        learnt = [one for payload in self._payloads for one in payload.get("learnt", ())]
        versions = {name: run.environment.sw.get(name) for name in ("driver", "torch")}
        self._calibrated = write_learnt(
            [from_json(Learnt, one) for one in learnt],
            root=self._config.rootpath,
            effort=settings.effort,
            scale=settings.scale,
            date=run.finished_at[:10],
            versions={name: version for name, version in versions.items() if version},
        )

    def _forget_states(self, session: pytest.Session) -> None:
        """Remove what trainings have left that have ended, unless the session is to go on later."""
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            for path in {path for one in self._payloads for path in one.get("ended", ())}:
                Path(path).unlink(missing_ok=True)

    def _write(self, run: Run) -> list[str]:
        """Write the record, and say where it is; likewise for those of killed sessions."""
        if self._store is None:
            return ["no record was kept (--aibench-no-store)"]
        from pytest_aibench.results.partial import recover
        from pytest_aibench.results.store import keep_run

        where, problem = keep_run(self._store, run)
        if self._partial is not None:
            self._partial.remove()
        record = _relative(where, self._config.invocation_params.dir)
        return [problem or f"record: {record}", *recover(self._store)]


def _utc_now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _relative(where: str, start: Path) -> str:
    """A path below the start without it; URLs and other paths as they are."""
    path = Path(where)
    return str(path.relative_to(start)) if path.is_relative_to(start) else where
