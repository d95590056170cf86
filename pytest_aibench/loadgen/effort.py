"""How long a load runs, and when it may end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_aibench.bounds import Verdict
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.journal import Journal
from pytest_aibench.scenarios import Scenario
from pytest_aibench.units import format_quantity, parse_duration_s

SLICE_NS = 200_000_000
"""The engine comes up for air this often: to look, to show progress, to end in time."""

MOST_QUERIES_BETWEEN_LOOKS = 1024

MOST_QUERIES = 2**62
"""More than any load has."""

FOR_EVER_NS = 2**62
"""Longer than any load lasts."""

Decide = Callable[[Journal], "tuple[Verdict, str] | None"]


@dataclass(frozen=True, slots=True)
class Effort:
    """Durations by default; a scenario's own settings go first.

    Attributes:
        min_duration_s: Shortest load whose bounds are not decided earlier.
        budget_s: The load ends here, decided or not; None for no such end.
        sequential: End as soon as every bound is decided.
    """

    name: str
    min_duration_s: float
    budget_s: float | None
    sequential: bool


EFFORTS = {
    effort.name: effort
    for effort in (
        Effort("quick", 0.5, 5.0, sequential=True),
        Effort("standard", 2.0, 30.0, sequential=True),
        Effort("official", 600.0, None, sequential=False),
    )
}


def effort_named(name: str) -> Effort:
    """The effort of that name.

    Raises:
        UserError: There is none.
    """
    if name not in EFFORTS:
        raise UserError(f"unknown effort {name!r}: use one of {', '.join(EFFORTS)}")
    return EFFORTS[name]


@dataclass(frozen=True, slots=True)
class NextLook:
    """When the engine comes up for air again.

    Attributes:
        after: After the first query issued at this moment or later.
        latest: At this moment, when no query is due by then.
    """

    after: int
    latest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRule:
    """When a load ends: decided, long enough, or out of budget.

    Attributes:
        min_queries: Fewest queries of a load whose bounds are not decided earlier.
        min_duration_ns: Shortest duration, likewise.
        budget_ns: End of the budget; None for none.
        set_size: The load ends only after a multiple of so many queries, unless the budget ends
            it; None for any number.
        decide: Says that the bounds are certainly met or missed, and why; None while open.
    """

    min_queries: int
    min_duration_ns: int
    budget_ns: int | None
    decide: Decide | None = None
    set_size: int | None = None

    def n_left_of_set(self, n_issued: int) -> int:
        """How many more queries may be issued before the load may end: at least 1."""
        return MOST_QUERIES if self.set_size is None else self.set_size - n_issued % self.set_size

    def n_until_look(self, n_issued: int) -> int:
        """How many more queries to issue before the next look."""
        wanted = max(32, n_issued // 8)
        missing = self.min_queries - n_issued
        return min(wanted, missing if missing > 0 else wanted, MOST_QUERIES_BETWEEN_LOOKS)

    def next_look(self, journal: Journal, now: int) -> NextLook:
        """When the engine is to come up for air again."""
        ends = [now + SLICE_NS]
        if self.budget_ns is not None:
            ends.append(journal.begin + self.budget_ns)
        latest = min(ends)
        long_enough = journal.begin + self.min_duration_ns
        return NextLook(min(latest, long_enough) if long_enough >= now else latest, latest)

    def look(self, journal: Journal, now: int) -> str | None:
        """Why the load ends now, or None to go on."""
        journal.looked_at = now
        elapsed = now - journal.begin
        if len(journal) and not len(journal) % (self.set_size or 1):
            last = (journal.due or journal.issued)[-1] - journal.begin
            reason = self._enough(journal, elapsed, last >= self.min_duration_ns)
            if reason is not None:
                return reason
        if self.budget_ns is not None and elapsed >= self.budget_ns:
            return f"the budget of {format_quantity(self.budget_ns / 1e9, 's')} was spent"
        return None

    def _enough(self, journal: Journal, elapsed: int, long_enough: bool) -> str | None:
        if self.decide is not None:
            decision = self.decide(journal)
            if decision is not None and (long_enough or decision[0] is Verdict.FAILED):
                return decision[1]
        elif long_enough and len(journal) >= self.min_queries:
            return f"{len(journal)} queries in {format_quantity(elapsed / 1e9, 's')} were enough"
        return None


def stop_rule(
    scenario: Scenario,
    effort: Effort,
    min_queries: int,
    decide: Decide | None = None,
) -> StopRule:
    """The rule for a scenario at an effort; the scenario's own settings go first.

    A load with an end of its own goes on to it, whatever the effort: what it showed before says
    nothing about the rest.
    """
    if scenario.ends:
        return _to_the_end(scenario, min_queries)
    shortest, budget = effort.min_duration_s, effort.budget_s
    if scenario.min_duration is not None:
        shortest = parse_duration_s(scenario.min_duration, "min_duration")
        budget = None if budget is None else max(budget, shortest)
    if scenario.max_duration is not None:
        budget = parse_duration_s(scenario.max_duration, "max_duration")
        shortest = min(shortest, budget)
    return StopRule(
        min_queries=scenario.min_queries or min_queries,
        min_duration_ns=int(shortest * 1e9),
        budget_ns=None if budget is None else int(budget * 1e9),
        decide=decide if effort.sequential else None,
    )


def _to_the_end(scenario: Scenario, min_queries: int) -> StopRule:
    budget = scenario.max_duration
    return StopRule(
        min_queries=scenario.min_queries or min_queries,
        min_duration_ns=FOR_EVER_NS,
        budget_ns=None if budget is None else int(parse_duration_s(budget, "max_duration") * 1e9),
    )
