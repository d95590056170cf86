"""Peak search: the highest load whose latency percentile still meets the bound.

Latencies of a queue near saturation come in long clusters, so a test that takes them for
independent draws is over-confident exactly where the answer lies. The search trusts such a test
only on the way to the boundary. There it runs independent replications, each with its own seed;
each counts as one observation of the share of queries over the bound. A fit of how that share
rises with the load says where it crosses the share allowed, and within what interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pytest_aibench.bounds import Verdict
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.crossing import Crossing, fit_crossing
from pytest_aibench.loadgen.percentiles import percentile_figure
from pytest_aibench.loadgen.stopping import PercentileTest
from pytest_aibench.units import TIME, format_quantity

Enough = Callable[[int, int], bool]

# With fewer, a search that a budget cut short has no answer.
_FEWEST_FITTED = 4

# A narrower gap would be narrowed by chance: the replications find their way from here.
_NARROW_RATIO = 1.1

# Below one tolerance, so that the loads nearest to the answer do not keep its interval too wide.
_WIDEST_SPREAD = 0.75

# Where the share jumps within a few percent, wider steps would only see both sides of the jump.
_WIDEST_STEP = 0.03

# Within a factor of twenty of the share allowed, and at so many different loads.
_NEAR_LOG_ODDS = 3.0
_FEWEST_NEAR = 4

# So many times the misses allowed in a whole probe are no single cluster.
_CLEARLY_OVER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What one run at one load showed.

    Attributes:
        rate: The load asked for, in queries/s, or the number of streams.
        n: Queries judged.
        over: How many of them missed the latency bound.
        percentile_s: The judged latency percentile, in seconds.
        duration_s: Length of the run, in seconds.
    """

    rate: float
    n: int
    over: int
    percentile_s: float
    duration_s: float


class Probe(Protocol):
    """Runs one load from an idle system."""

    def __call__(self, rate: float, budget_queries: int, seed: int, enough: Enough) -> ProbeResult:
        """Issue ``budget_queries``, or fewer once ``enough(n, over)`` is true of those judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbePoint:
    """One probe on the curve.

    Attributes:
        result: What the probe showed.
        verdict: Whether this probe by itself met the bound, without a confidence.
        replication: Whether it is one of the full-length replications behind the answer.
    """

    result: ProbeResult
    verdict: Verdict
    replication: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakSettings:
    """What to search, and how precisely.

    Attributes:
        percentile: The judged latency percentile, as a fraction.
        bound_s: The latency bound in seconds.
        start: The first load; the search doubles it, or halves it if it misses the bound.
        lowest: The load at which the halving ends.
        highest: The load at which the doubling ends.
        whole: Search whole numbers, as of streams.
        tolerance: Half-width of the interval, as a share of the answer, that ends the search.
        confidence: Confidence of the interval.
        max_queries: The budget; when it ends the search, the interval is wider than the tolerance.
        over_per_probe: Queries that may miss the bound in a full probe. That of the default was
            found by simulation, like the replications: with shorter or fewer ones the search ends
            while their spread still looks too small, and the interval misses the peak more often.
        replications: Fewest full probes near the boundary; those of a centre that proves far off
            do not count.
        seed: Seed of the first probe; each further probe takes the next number.
    """

    percentile: float
    bound_s: float
    start: float
    lowest: float
    highest: float
    whole: bool = False
    tolerance: float = 0.03
    confidence: float = 0.95
    max_queries: int = 1_000_000
    over_per_probe: int = 80
    replications: int = 24
    seed: int = 0

    @property
    def allowed(self) -> float:
        """The share of queries that may miss the bound."""
        return 1 - self.percentile

    @property
    def step(self) -> float:
        """How far apart the replications are at most, as a share of the load."""
        return min(self.tolerance, _WIDEST_STEP)

    @property
    def probe_queries(self) -> int:
        """Queries of a full probe."""
        return math.ceil(self.over_per_probe / self.allowed)


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakResult:
    """The highest load that meets the bound.

    Attributes:
        rate: The answer, in queries/s or streams.
        low: Lower end of its interval.
        high: Upper end.
        confidence: Confidence of the interval.
        curve: Every probe, in the order of running.
        n_queries: Queries spent.
        stopped: Why the search ended.
    """

    rate: float
    low: float
    high: float
    confidence: float
    curve: tuple[ProbePoint, ...]
    n_queries: int
    stopped: str


class BudgetSpent(Exception):
    """A probe raises this when its time is over before it is complete; the message says so."""


class NoPeak(UserError):
    """The search ended without an answer.

    Attributes:
        curve: Every probe, in the order of running.
        met: The highest load that met the bound; None if none did.
        certain: Whether the bound is met there with confidence, so that the peak is no lower.
    """

    def __init__(self, message: str, curve: Sequence[ProbePoint], *, certain: bool = False) -> None:
        super().__init__(message)
        self.curve = tuple(curve)
        met = [point.result.rate for point in curve if point.verdict is Verdict.PASSED]
        self.met = max(met, default=None)
        self.certain = certain


def find_peak(
    probe: Probe, settings: PeakSettings, seen: Callable[[ProbePoint], None] = lambda point: None
) -> PeakResult:
    """Search the highest load that meets the bound.

    Doubles the load until it misses the bound, or halves it until it meets the bound; halves the
    gap to a tenth; then replicates on both sides of the estimated peak until its interval is narrow
    enough or the budget is spent.

    Args:
        probe: Runs one load.
        settings: What to search.
        seen: Gets each probe when it has ended.

    Raises:
        NoPeak: The bound is missed at the lowest load, or met at the highest, or a budget of time
            was spent before the first replications.
    """
    search = _Search(probe, settings, seen)
    try:
        met, missed = search.narrow(*search.bracket())
        crossing, stopped = search.replicate(math.sqrt(met * missed))
    except BudgetSpent as spent:
        crossing, stopped = search.so_far(str(spent)), str(spent)
    low, high = search.interval(crossing)
    return PeakResult(
        rate=math.floor(crossing.load) if settings.whole else crossing.load,
        low=math.floor(low) if settings.whole else low,
        high=math.ceil(high) - 1 if settings.whole else high,
        confidence=settings.confidence,
        curve=tuple(search.curve),
        n_queries=search.n_queries,
        stopped=stopped,
    )


@dataclass(slots=True)
class _Search:
    probe: Probe
    settings: PeakSettings
    seen: Callable[[ProbePoint], None]
    curve: list[ProbePoint] = field(default_factory=list)

    @property
    def n_queries(self) -> int:
        return sum(point.result.n for point in self.curve)

    def bracket(self) -> tuple[float, float]:
        """Two loads, a factor of two apart at most: one met the bound, the next missed it."""
        start = self.settings.start
        return self._double(start) if self._meets(start) else self._halve(start)

    def _double(self, met: float) -> tuple[float, float]:
        while met < self.settings.highest:
            rate = min(2 * met, self.settings.highest)
            if not self._meets(rate):
                return met, rate
            met = rate
        raise NoPeak(self._always_met(), self.curve, certain=self._is_certain())

    def _halve(self, missed: float) -> tuple[float, float]:
        while missed > self.settings.lowest:
            rate = max(missed / 2, self.settings.lowest)
            if self._meets(rate):
                return rate, missed
            missed = rate
        raise NoPeak(self._never_met(), self.curve)

    def narrow(self, met: float, missed: float) -> tuple[float, float]:
        """Halve the gap, on a logarithmic scale, until the loads are a tenth, or one, apart."""
        finest = 1.0 if self.settings.whole else 0.0
        while missed / met > _NARROW_RATIO and missed - met > finest:
            middle = math.sqrt(met * missed)
            if self.settings.whole:
                middle = max(float(math.floor(middle)), met + 1)
            if self._meets(middle):
                met = middle
            else:
                missed = middle
        return met, missed

    def replicate(self, centre: float) -> tuple[Crossing, str]:
        """Replicate on both sides of the estimated peak until it is known; why that is enough."""
        loads = 2 * self._around(centre, _WIDEST_SPREAD * self.settings.step)
        while True:
            points = [self._run(load, _never, replication=True) for load in loads]
            crossing = self._fit()
            if (reason := self._ends(crossing)) is not None:
                return crossing, reason
            centre, spread = self._next(centre, crossing, points)
            loads = self._around(centre, spread)

    def so_far(self, spent: str) -> Crossing:
        """The crossing by the replications that there are."""
        loads = [point.result.rate for point in self.curve if point.replication]
        if len(loads) < _FEWEST_FITTED:
            raise NoPeak(self._cut_short(spent), self.curve) from None
        return self._fit()

    def interval(self, crossing: Crossing) -> tuple[float, float]:
        """The fit's interval, widened to the nearest loads that met and missed the bound.

        A share that jumps fits perfectly wherever between two loads it jumps. No end lies beyond
        the loads tried.
        """
        loads = [point.result.rate for point in self.curve]
        met = [point.result.rate for point in self.curve if point.verdict is Verdict.PASSED]
        missed = [point.result.rate for point in self.curve if point.verdict is Verdict.FAILED]
        below = max((load for load in met if load <= crossing.load), default=crossing.load)
        above = min((load for load in missed if load > crossing.load), default=crossing.load)
        low, high = max(crossing.low, min(loads)), min(crossing.high, max(loads))
        return min(low, below), max(high, above)

    def _meets(self, rate: float) -> bool:
        test = PercentileTest(self.settings.percentile)
        allowed = self.settings.over_per_probe
        halving = bool(self.curve) and not self._has_met()

        def certain(n: int, over: int) -> bool:
            hopeless = halving and over >= allowed and 2 * over > n
            return hopeless or over >= _CLEARLY_OVER * allowed or _passes(test, n, over)

        return self._run(rate, certain, replication=False).verdict is Verdict.PASSED

    def _is_certain(self) -> bool:
        last = self.curve[-1].result
        return _passes(PercentileTest(self.settings.percentile), last.n, last.over)

    def _has_met(self) -> bool:
        return any(point.verdict is Verdict.PASSED for point in self.curve)

    def _run(self, rate: float, enough: Enough, *, replication: bool) -> ProbePoint:
        seed = self.settings.seed + len(self.curve)
        result = self.probe(rate, self.settings.probe_queries, seed, enough)
        met = result.over <= self.settings.allowed * result.n
        verdict = Verdict.PASSED if met else Verdict.FAILED
        point = ProbePoint(result=result, verdict=verdict, replication=replication)
        self.curve.append(point)
        self.seen(point)
        return point

    def _fit(self) -> Crossing:
        """The crossing by the replications near it; far off, log-odds are not linear in the load.

        A queue beyond its capacity grows for as long as the probe lasts.
        """
        results = [point.result for point in self.curve if point.replication]
        crossing = self._fit_to(results)
        near = [result for result in results if _is_near(result.rate, crossing)]
        return (
            self._fit_to(near)
            if len({result.rate for result in near}) >= _FEWEST_NEAR
            else crossing
        )

    def _fit_to(self, results: list[ProbeResult]) -> Crossing:
        return fit_crossing(
            [result.rate for result in results],
            [result.over for result in results],
            [result.n for result in results],
            self.settings.allowed,
            self.settings.confidence,
        )

    def _ends(self, crossing: Crossing) -> str | None:
        settings = self.settings
        if self.n_queries >= settings.max_queries:
            return f"the budget of {settings.max_queries} queries was spent"
        loads = [point.result.rate for point in self.curve if point.replication]
        if sum(self._at_boundary(load, crossing) for load in loads) < settings.replications:
            return None
        low, high = self.interval(crossing)
        if settings.whole and math.floor(low) == math.ceil(high) - 1:
            return "the interval is a single number"
        if high - low <= 2 * settings.tolerance * crossing.load:
            return f"the interval reaches at most {100 * settings.tolerance:g} % to each side"
        return None

    def _at_boundary(self, load: float, crossing: Crossing) -> bool:
        """Whether a replication there tells about the crossing; at a jump, log-odds are far off."""
        if self.settings.whole and abs(load - crossing.load) <= 1:
            return True
        step = abs(math.log(load / crossing.load)) <= self.settings.step
        return step or _is_near(load, crossing)

    def _next(
        self, centre: float, crossing: Crossing, points: list[ProbePoint]
    ) -> tuple[float, float]:
        """Where to replicate next, and how far apart: about one unit of log-odds to each side."""
        step_size = self.settings.step
        widest = _WIDEST_SPREAD * step_size
        verdicts = {point.verdict for point in points}
        if math.isinf(crossing.high) and len(verdicts) == 1:
            step = step_size if Verdict.PASSED in verdicts else -step_size
            return centre * math.exp(step), widest
        step = min(max(math.log(crossing.load / centre), -2 * step_size), 2 * step_size)
        spread = max(1 / max(crossing.slope, 1 / widest), step_size / 4)
        return centre * math.exp(step), spread

    def _around(self, centre: float, spread: float) -> list[float]:
        low, high = centre * math.exp(-spread), centre * math.exp(spread)
        if self.settings.whole:
            return [max(1.0, float(math.floor(low))), float(math.ceil(high))]
        return [low, high]

    def _never_met(self) -> str:
        return (
            f"even {self._load()}, the lowest load tried, misses the bound: {self._percentile()} "
            f"> {self._bound()}; raise the bound or use a faster model"
        )

    def _cut_short(self, spent: str) -> str:
        if not self.curve or self._has_met():
            return spent
        return f"{self._load()} still misses the bound, and {spent}"

    def _always_met(self) -> str:
        return (
            f"the bound is met at the highest load tried, {self._load()}: {self._percentile()} "
            f"<= {self._bound()}; raise the highest load or lower the bound"
        )

    def _load(self) -> str:
        unit = "streams" if self.settings.whole else "queries/s"
        return format_quantity(self.curve[-1].result.rate, unit)

    def _percentile(self) -> str:
        value = format_quantity(self.curve[-1].result.percentile_s, TIME)
        return f"{percentile_figure(self.settings.percentile)} {value}"

    def _bound(self) -> str:
        return format_quantity(self.settings.bound_s, TIME)


def _is_near(load: float, crossing: Crossing) -> bool:
    return abs(crossing.slope * math.log(load / crossing.load)) <= _NEAR_LOG_ODDS


def _passes(test: PercentileTest, n: int, over: int) -> bool:
    return test.decide(n, over) is Verdict.PASSED


def _never(n: int, over: int) -> bool:
    return False
