"""The search for a peak, with probes that load a real system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module

import numpy as np

from pytest_aibench.bounds import CONFIDENCE, Estimate, Verdict, Violation
from pytest_aibench.errors import UserError
from pytest_aibench.inference.agreement import disagreement
from pytest_aibench.inference.job import AccuracyPass, Job
from pytest_aibench.inference.punctuality import late_generator, undisturbed
from pytest_aibench.loadgen.decision import OverCount
from pytest_aibench.loadgen.effort import Effort, StopRule
from pytest_aibench.loadgen.journal import Journal, Load, Stamps
from pytest_aibench.loadgen.peak import (
    BudgetSpent,
    Enough,
    NoPeak,
    PeakSettings,
    ProbePoint,
    ProbeResult,
    find_peak,
)
from pytest_aibench.loadgen.percentiles import percentile_figure, percentile_index
from pytest_aibench.scenarios import MultiStream, Scenario, Seeds, Server
from pytest_aibench.units import RATIO, TIME, format_quantity, parse_duration_s, parse_quantity

HIGHEST_QPS = 1_000_000.0
HIGHEST_STREAMS = 4096.0


@dataclass(frozen=True, slots=True)
class PeakEffort:
    """How precisely to search, and at what cost.

    Attributes:
        tolerance: Half-width of the interval that ends the search, as a share of the answer.
        over_per_probe: Queries that may miss the bound in a full probe; with p99, a hundred times
            as many are issued.
        max_queries: Budget of queries.
        max_duration_s: Budget of seconds under load.
    """

    tolerance: float
    over_per_probe: int
    max_queries: int
    max_duration_s: float


# Found by simulation: at a tenth of the precision a quarter of the queries is honest, not fewer.
PEAK_EFFORTS = {
    "quick": PeakEffort(0.10, 20, 200_000, 120.0),
    "standard": PeakEffort(0.03, 80, 1_000_000, 600.0),
    "official": PeakEffort(0.03, 80, 1_000_000, 36_000.0),
}


@dataclass(frozen=True, kw_only=True)
class PeakSearch:
    """What the user asked for.

    Attributes:
        scenario: Where the search starts, and how queries arrive; its latency bound and percentile
            are what must hold.
        highest: The load at which the doubling ends.
        tolerance: Half-width of the interval that ends the search, as a share of the answer.
        over_per_probe: See `PeakEffort`.
        max_queries: Budget of queries.
        max_duration_s: Budget of seconds under load.
        may_differ: Share of the answers under load that may differ from the accuracy pass.
    """

    scenario: Server | MultiStream
    highest: float
    tolerance: float
    over_per_probe: int
    max_queries: int
    max_duration_s: float
    may_differ: float

    @property
    def figure(self) -> str:
        """What bounds and records call the answer."""
        return "peak_qps" if isinstance(self.scenario, Server) else "peak_streams"

    @property
    def unit(self) -> str:
        """Unit of the answer."""
        return "queries/s" if isinstance(self.scenario, Server) else "streams"

    @property
    def bound_s(self) -> float:
        """The latency bound in seconds."""
        return parse_duration_s(str(self.scenario.latency_bound), "latency_bound")

    @property
    def shortest_probe_s(self) -> float:
        """How long a rate must be borne: until half the tolerance too much exceeds the bound.

        Queries that are issued in turn make no queue.
        """
        return 2 * self.bound_s / self.tolerance if isinstance(self.scenario, Server) else 0.0

    @property
    def start(self) -> float:
        """The first load."""
        return (_qps(self.scenario) if isinstance(self.scenario, Server) else None) or 1.0

    @property
    def _alone_qps(self) -> float:
        """At this rate no more Poisson arrivals follow another within the bound than may miss it.

        The others find an idle system if it meets the bound at all: a lower rate would not help.
        """
        return (1 - self.scenario.judged_percentile) / self.bound_s

    def settings(self) -> PeakSettings:
        """The same for `find_peak`. Streams are counted from one, rates from the scenario's."""
        server = isinstance(self.scenario, Server)
        return PeakSettings(
            percentile=self.scenario.judged_percentile,
            bound_s=self.bound_s,
            start=self.start,
            lowest=min(self.start, self._alone_qps) if server else 1.0,
            highest=self.highest,
            whole=not server,
            tolerance=self.tolerance,
            confidence=2 * CONFIDENCE - 1,
            max_queries=self.max_queries,
            over_per_probe=self.over_per_probe,
        )

    def at(self, load: float, probe: int) -> Server | MultiStream:
        """The scenario at one load, with seeds of its own but the same loaded samples."""
        seeds = self.scenario.seeds
        own = Seeds(seeds.qsl, seeds.sample_index + probe, seeds.schedule + probe)
        if isinstance(self.scenario, Server):
            return replace(_at_rate(self.scenario, load), seeds=own)
        return replace(self.scenario, samples_per_query=int(load), seeds=own)


def peak_search(
    scenario: Scenario,
    effort: Effort,
    *,
    highest: float | None,
    tolerance: str | None,
    max_queries: int | None,
    max_duration: str | None,
    may_differ: float,
) -> PeakSearch:
    """What to search; what is not given comes from the effort.

    Raises:
        UserError: The scenario has no load to search or no latency bound, or a number is wrong.
    """
    if not isinstance(scenario, (Server, MultiStream)) or scenario.latency_bound is None:
        raise UserError(
            f"find_peak cannot search {scenario.name}: give Server(target_qps=…, latency_bound=…) "
            "or MultiStream(latency_bound=…)"
        )
    default = PEAK_EFFORTS[effort.name]
    if isinstance(scenario, Server) and _qps(scenario) is None:
        raise UserError(
            f"find_peak cannot search {scenario.id}: its arrivals have no one rate; "
            "give target_qps, Constant or Gamma"
        )
    most = HIGHEST_QPS if isinstance(scenario, Server) else HIGHEST_STREAMS
    search = PeakSearch(
        scenario=scenario,
        highest=most if highest is None else float(highest),
        tolerance=default.tolerance if tolerance is None else _tolerance(tolerance),
        over_per_probe=default.over_per_probe,
        max_queries=max_queries or default.max_queries,
        max_duration_s=default.max_duration_s
        if max_duration is None
        else parse_duration_s(max_duration, "max_duration"),
        may_differ=may_differ,
    )
    start = search.settings().start
    if search.highest < start:
        raise UserError(f"highest={search.highest:g} must be at least the start of {start:g}")
    return search


def _qps(server: Server) -> float | None:
    """The rate to search; None where the arrivals change theirs, or end."""
    return server.target_qps or getattr(server.arrivals, "qps", None)


def _at_rate(server: Server, qps: float) -> Server:
    if server.arrivals is None:
        return replace(server, target_qps=qps)
    return replace(server, arrivals=replace(server.arrivals, qps=qps))


def _tolerance(text: str) -> float:
    quantity = parse_quantity(text)
    if quantity.unit != RATIO or not 0.01 <= quantity.value <= 0.5:
        raise UserError(f"tolerance={text!r} must be a share from '1 %' to '50 %', like '3 %'")
    return quantity.value


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakFound:
    """What a search showed.

    Attributes:
        peak: The answer.
        curve: Every probe, in the order of running.
        stopped: Why the search ended.
        violations: Rules broken by a probe.
    """

    peak: Estimate
    curve: tuple[ProbePoint, ...]
    stopped: str
    violations: tuple[Violation, ...]


def run_search(
    job: Job, search: PeakSearch, alone: AccuracyPass, say: Callable[[str], None]
) -> PeakFound:
    """Search with real loads; a probe that breaks a rule ends it.

    Args:
        job: The model at work.
        search: What to search.
        alone: The accuracy pass.
        say: Gets a line of text after each probe.
    """
    __tracebackhide__ = True
    # Now, because at the first look it would delay queries.
    import_module("scipy.special")
    if alone.violations:
        return _broken(search, alone.violations)
    probe = _EngineProbe(job, search, alone)
    try:
        with undisturbed():
            found = find_peak(
                probe, search.settings(), lambda point: say(probe_text(search, point))
            )
    except NoPeak as unknown:
        return _open(search, unknown)
    except _RuleBroken as broken:
        return _broken(search, broken.violations)
    n = sum(point.result.n for point in found.curve if point.replication)
    return PeakFound(
        peak=Estimate(
            value=found.rate,
            low=found.low,
            high=found.high,
            unit=search.unit,
            n=n,
            why_open=found.stopped,
        ),
        curve=found.curve,
        stopped=found.stopped,
        violations=probe.late_in(found.curve),
    )


def _open(search: PeakSearch, unknown: NoPeak) -> PeakFound:
    peak = Estimate(
        value=unknown.met,
        low=unknown.met if unknown.certain else None,
        unit=search.unit,
        n=sum(point.result.n for point in unknown.curve),
        why_open=str(unknown),
    )
    return PeakFound(peak=peak, curve=unknown.curve, stopped=str(unknown), violations=())


def _broken(search: PeakSearch, violations: tuple[Violation, ...]) -> PeakFound:
    why = f"a rule was broken: {violations[0].rule}"
    nothing = Estimate(value=None, unit=search.unit, why_open=why)
    return PeakFound(peak=nothing, curve=(), stopped=why, violations=violations)


class _RuleBroken(Exception):
    def __init__(self, violations: tuple[Violation, ...]) -> None:
        super().__init__(violations[0].rule)
        self.violations = violations


def probe_text(search: PeakSearch, point: ProbePoint) -> str:
    """``probe at 3200 queries/s: p99 4.1 ms, met the bound``."""
    load = format_quantity(point.result.rate, search.unit)
    figure = percentile_figure(search.scenario.judged_percentile)
    latency = format_quantity(point.result.percentile_s, TIME)
    verdict = "met" if point.verdict is Verdict.PASSED else "missed"
    return f"probe at {load}: {figure} {latency}, {verdict} the bound"


class _EngineProbe:
    """Runs one real load per call, each from an idle system, within one budget of time."""

    def __init__(self, job: Job, search: PeakSearch, alone: AccuracyPass) -> None:
        self._job = job
        self._search = search
        self._alone = alone
        self._spent_s = 0.0
        self._lateness_ns: list[Stamps] = []

    def __call__(self, rate: float, budget_queries: int, seed: int, enough: Enough) -> ProbeResult:
        """See `pytest_aibench.loadgen.peak.Probe`."""
        __tracebackhide__ = True
        watch = _ProbeWatch(self._search, budget_queries, enough)
        scenario = self._search.at(rate, seed)
        load = self._load(scenario, watch)
        duration_s = max(load.duration_s, watch.elapsed_s)
        self._spent_s += duration_s
        if not watch.is_complete:
            raise BudgetSpent(self._spent())
        self._lateness_ns.append(load.generator_lateness_ns)
        latencies_s = np.sort(load.latency_ns) / 1e9
        return ProbeResult(
            rate=rate,
            n=watch.count.queries,
            over=watch.count.over,
            percentile_s=float(
                latencies_s[percentile_index(len(latencies_s), scenario.judged_percentile)]
            ),
            duration_s=duration_s,
        )

    def late_in(self, curve: Sequence[ProbePoint]) -> tuple[Violation, ...]:
        """A violation if the generator was late in the replications, all taken together."""
        pairs = zip(self._lateness_ns, curve, strict=True)
        lateness_ns = np.concatenate([late for late, point in pairs if point.replication])
        return late_generator(self._search.scenario, lateness_ns)

    def _load(self, scenario: Scenario, watch: _ProbeWatch) -> Load:
        __tracebackhide__ = True
        left_s = max(self._search.max_duration_s - self._spent_s, 0.0)
        rule = StopRule(
            min_queries=watch.budget_queries,
            min_duration_ns=0,
            budget_ns=int(left_s * 1e9),
            decide=watch.look,
        )
        loaded = self._job.load(scenario, rule, self._alone)
        broken = (
            *loaded.load.violations,
            *disagreement(loaded.answers, self._alone.by_index, self._search.may_differ),
        )
        if broken:
            raise _RuleBroken(broken)
        return loaded.load

    def _spent(self) -> str:
        budget = format_quantity(self._search.max_duration_s, "s")
        return (
            f"the budget of {budget} was spent: start nearer to the peak, judge a lower "
            "percentile, or raise max_duration"
        )


@dataclass(slots=True)
class _ProbeWatch:
    """Ends a probe when enough of its queries are settled.

    A probe that has not missed the bound yet goes on until a queue would show: any burst is
    answered within a bound that is longer than the probe.
    """

    search: PeakSearch
    budget_queries: int
    enough: Enough
    count: OverCount = field(init=False)
    is_complete: bool = False
    elapsed_s: float = 0.0

    def __post_init__(self) -> None:
        self.count = OverCount(self.search.bound_s)

    def look(self, journal: Journal) -> tuple[Verdict, str] | None:
        self.elapsed_s = (journal.looked_at - journal.begin) / 1e9
        self.count.update(journal)
        n, over = self.count.queries, self.count.over
        last_ns = (journal.due or journal.issued)[-1] - journal.begin
        long_enough = last_ns >= self.search.shortest_probe_s * 1e9
        if n >= self.budget_queries:
            self.is_complete = long_enough
        if self.enough(n, over):
            misses = over > (1 - self.search.scenario.judged_percentile) * n
            self.is_complete = long_enough or misses
        return (Verdict.PASSED, f"{n} queries were enough") if self.is_complete else None
