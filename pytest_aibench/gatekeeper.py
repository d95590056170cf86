"""Holds benchmarks against their history while a session runs.

A benchmark that looks worse is run again at once; only if both runs show it does its test fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_aibench.errors import UserError
from pytest_aibench.messages import BenchmarkFailed
from pytest_aibench.results.schema import SCHEMA, BenchmarkEntry, Environment, Metric, Run

if TYPE_CHECKING:
    from pytest_aibench.item_records import ItemRecords
    from pytest_aibench.regression.baseline import Policy
    from pytest_aibench.regression.gate import Gated, GateReport
    from pytest_aibench.results.index import Index

DEFAULT_REF = "auto"
"""Stands for the branch that the project merges to."""

_MANY = 1_000
"""So many records are read in half a minute."""


class Gatekeeper:
    """Compares with the history of a store; reads it when first asked.

    Args:
        location: The store.
        rootdir: The project under test.
        ref: Branch, tag or commit whose runs are the baseline.
        vary: Factors in which the session may differ from it, beside the commit.
        harness: The plugin's settings, for the series' keys.
        group: What the shards of this session share.
        say: Shows a line while a long history is read for the first time.
    """

    def __init__(
        self,
        location: str,
        rootdir: Path,
        *,
        ref: str,
        vary: Sequence[str],
        harness: dict[str, str],
        group: str,
        say: Callable[[str], None],
    ) -> None:
        self._location = location
        self._rootdir = rootdir
        self._ref = "" if ref == DEFAULT_REF else ref
        self._vary = vary
        self._harness = harness
        self._group = group
        self._say = say
        self._open = ExitStack()

    @property
    def source(self) -> str:
        """What the session is compared with, like ``main at 1a2b3c4``."""
        return self._policy.source

    def check_source(self) -> None:
        """Find the baseline's commits.

        Raises:
            UserError: git does not know the ref, or the store cannot be read.
        """
        try:
            _ = self.source
        except UserError as error:
            raise UserError(f"--aibench-compare={self._ref}: {error}{self._hint()}") from error

    def _hint(self) -> str:
        is_path = bool(self._ref) and (self._rootdir / self._ref).exists()
        return "; a path must stand before --aibench-compare, or after a '='" if is_path else ""

    def close(self) -> None:
        """Let go of the index."""
        self._open.close()

    def check(
        self,
        records: ItemRecords,
        canaries: dict[str, Metric],
        n_benchmarks: int,
        measure_canaries: Callable[[], dict[str, Metric]],
    ) -> None:
        """Compare a benchmark that has passed, and fail it if it got worse twice.

        Args:
            records: Its records.
            canaries: Figures of the machine alone, from this session.
            n_benchmarks: How many share the chance of a false alarm.
            measure_canaries: Measures them again, beside the second run: the machine has moods.

        Raises:
            BenchmarkFailed: A figure is worse than its baseline, and a second run confirms it.
        """
        __tracebackhide__ = True
        report = self._report(records.entries, canaries)
        if report.suspects:
            records.confirm()
            report = self._report(records.entries, measure_canaries())
        worse = [row for row in report.rows if is_worse(row, n_benchmarks)]
        if worse:
            raise BenchmarkFailed(_failure(worse, report))

    def report(self, run: Run) -> GateReport:
        """A session, or a part of one, against its history.

        Raises:
            UserError: git does not know the ref, or the store cannot be read.
        """
        from pytest_aibench.regression.gate import gate

        return gate([run], self._index, self._policy)

    @cached_property
    def _index(self) -> Index:
        from pytest_aibench.results.index import Index
        from pytest_aibench.results.locations import open_store

        return self._open.enter_context(Index.opened(open_store(self._location), self._progress))

    def _progress(self, done: int, total: int) -> None:
        if total >= _MANY and (done == total or done % _MANY == 0):
            self._say(f"aibench: indexing {done} of {total} records of {self._location}")

    @cached_property
    def _policy(self) -> Policy:
        from pytest_aibench.regression.acceptance import read_acceptances
        from pytest_aibench.regression.ancestry import find_ancestry
        from pytest_aibench.regression.baseline import Policy
        from pytest_aibench.results.identity import DEFAULT_VARY
        from pytest_aibench.results.locations import open_store

        acceptances, _ = read_acceptances(open_store(self._location))
        ancestry = find_ancestry(self._rootdir, self._ref)
        return Policy(
            ancestry=ancestry,
            source=str(ancestry),
            vary=(*DEFAULT_VARY, *self._vary),
            acceptances=tuple(acceptances),
        )

    def _report(self, entries: Sequence[BenchmarkEntry], canaries: dict[str, Metric]) -> GateReport:
        return self.report(self._provisional(list(entries), canaries))

    def _provisional(self, entries: list[BenchmarkEntry], canaries: dict[str, Metric]) -> Run:
        """What the session's record would be if it ended now."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        return Run(
            schema=SCHEMA,
            run_id="",
            started_at=now,
            finished_at=now,
            interrupted=False,
            environment=self._environment,
            benchmarks=entries,
            canaries=canaries,
            group_id=self._group,
        )

    @cached_property
    def _environment(self) -> Environment:
        from pytest_aibench.results.environment import collect

        return collect(self._rootdir, self._harness, {})


def is_worse(row: Gated, n_benchmarks: int) -> bool:
    """Whether a figure fails its test, one of so many that share the chance of a false alarm."""
    from pytest_aibench.regression.comparison import Change
    from pytest_aibench.regression.verdicts import FALSE_DISCOVERY_RATE

    comparison = row.comparison
    # Tests end one by one, so that the strictest correction for many has to do.
    unlikely = comparison.p is None or comparison.p <= FALSE_DISCOVERY_RATE / n_benchmarks
    return comparison.change is Change.REGRESSED and unlikely


def _failure(worse: Sequence[Gated], report: GateReport) -> str:
    from pytest_aibench.report.comparison import accept_lines, change_lines

    figures = ", ".join(f"{row.key.metric} {row.comparison.text}" for row in worse)
    headline = f"regressed: {figures}, compared with {report.source}"
    return "\n".join([headline, *change_lines(worse), *accept_lines(worse)])
