"""The scenarios as values: hashable, printable, usable as pytest parameters.

MLPerf's four follow MLPerf Inference LoadGen 6.0 and the inference rules of round v6.1; `Users`,
and arrivals other than Poisson's, go beyond MLPerf.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from pytest_aibench.errors import UserError
from pytest_aibench.units import parse_duration_s

if TYPE_CHECKING:
    from pytest_aibench.loadgen.arrivals import Arrivals

Selection = Literal["random", "unique", "equal_issue", "same"]


@dataclass(frozen=True, slots=True)
class Seeds:
    """The random seeds of a run; the defaults are those of MLPerf Inference round v6.1."""

    qsl: int = 2085463073848966840
    sample_index: int = 2747215439041700203
    schedule: int = 16159082839903944936


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How queries reach the system under test, and for how long.

    Attributes:
        min_duration: Shortest load, like ``"10 s"``; by default the effort decides.
        max_duration: The budget: the load ends here, decided or not.
        min_queries: Fewest queries, samples offline; by default what the judged percentile needs.
        seeds: Seeds of sample sets, sample order and arrival times.
        selection: How queries pick samples: at random, each once, each equally often, or always
            the same one.
    """

    name: ClassVar[str]
    not_judged: ClassVar[dict[str, str]] = {}

    min_duration: str | None = None
    max_duration: str | None = None
    min_queries: int | None = None
    seeds: Seeds = Seeds()
    selection: Selection = "random"

    def __post_init__(self) -> None:
        for option in ("min_duration", "max_duration", "latency_bound", "think_time", "interval"):
            text = getattr(self, option, None)
            if text is not None:
                parse_duration_s(text, option)
        _check_budget(self.min_duration, self.max_duration)
        _check_percentile(self.judged_percentile)
        for option in ("min_queries", "samples_per_query", "samples", "max_async", "count"):
            _check_count(option, getattr(self, option, None))
        _check_selection(self.selection)

    @property
    def id(self) -> str:
        """Short text for node ids: the name, and what tells apart two of the same name."""
        return self.name

    @property
    def ends(self) -> bool:
        """Whether the load has an end of its own; then it is never ended early."""
        return False

    @property
    def timed(self) -> bool:
        """Whether latency counts from due times, which a late generator would spoil."""
        return False

    @property
    def judged_percentile(self) -> float:
        """The latency percentile that is this scenario's metric, as a fraction."""
        return getattr(self, "percentile", 0.99)

    @property
    def latency_bound_s(self) -> float | None:
        """The scenario's own latency bound in seconds, if it has one."""
        text = getattr(self, "latency_bound", None)
        return None if text is None else parse_duration_s(text, "latency_bound")


@dataclass(frozen=True, kw_only=True)
class SingleStream(Scenario):
    """One sample at a time, the next when the last is done; metric: 90th percentile latency."""

    name: ClassVar[str] = "single_stream"

    percentile: float = 0.90
    latency_bound: str | None = None


@dataclass(frozen=True, kw_only=True)
class MultiStream(Scenario):
    """Queries of several samples, back to back; metric: 99th percentile query latency.

    Attributes:
        samples_per_query: Number of streams: each gives a sample to each query.
        interval: Issue a query at every such interval instead, as MLPerf did up to v1.1; a query
            that is not answered when the next is due makes that one skip its turn.
        latency_bound: By default the interval, where there is one.
    """

    name: ClassVar[str] = "multi_stream"

    samples_per_query: int = 8
    percentile: float = 0.99
    interval: str | None = None
    latency_bound: str | None = None

    def __post_init__(self) -> None:
        if self.latency_bound is None:
            object.__setattr__(self, "latency_bound", self.interval)
        Scenario.__post_init__(self)
        if self.selection == "equal_issue":
            raise UserError(
                "selection='equal_issue' needs queries of one sample: multi-stream has none"
            )

    @property
    def id(self) -> str:
        """``multi_stream``, or ``multi_stream-4-50ms`` with what is not as in MLPerf today."""
        samples = "" if self.samples_per_query == 8 else f"-{self.samples_per_query}"
        interval = "" if self.interval is None else f"-{self.interval.replace(' ', '')}"
        return f"{self.name}{samples}{interval}"

    @property
    def timed(self) -> bool:
        """Whether queries are due at fixed intervals."""
        return self.interval is not None

    @property
    def interval_s(self) -> float | None:
        """The interval in seconds, if there is one."""
        return None if self.interval is None else parse_duration_s(self.interval, "interval")


@dataclass(frozen=True, kw_only=True)
class Server(Scenario):
    """Queries of one sample at random arrivals; metric: 99th percentile latency under a bound.

    Latency counts from the scheduled arrival, so a system that falls behind is charged for it.

    Attributes:
        target_qps: Mean rate of MLPerf's Poisson arrivals.
        arrivals: Other arrivals in their place, like ``Gamma(qps=50, burstiness=0.5)``.
        coalesce: Hand queries that are due at the same time to the system in one call.
        max_async: End the load when more queries than this are unanswered; by default never.
    """

    name: ClassVar[str] = "server"
    not_judged: ClassVar[dict[str, str]] = {
        "throughput": "in the server scenario target_qps sets the rate; judge a latency percentile"
    }

    target_qps: float | None = None
    arrivals: Arrivals | None = None
    latency_bound: str
    percentile: float = 0.99
    coalesce: bool = False
    max_async: int | None = None

    def __post_init__(self) -> None:
        if self.arrivals is None:
            _check_rate(self.target_qps)
        elif self.target_qps is not None:
            raise UserError("give target_qps or arrivals, not both: arrivals have their own rate")
        elif not hasattr(self.arrivals, "chunks"):
            raise UserError(
                f"arrivals={self.arrivals!r}: use Constant, Gamma, Ramp, Steps or Replay"
            )
        Scenario.__post_init__(self)

    @property
    def id(self) -> str:
        """``server-50qps``, or ``server-gamma-50qps-0.5`` with the arrivals and their settings."""
        load = f"{self.target_qps:.10g}qps" if self.arrivals is None else self.arrivals.id
        return f"{self.name}-{load}"

    @property
    def timed(self) -> bool:
        """Queries are due at their arrivals."""
        return True

    @property
    def ends(self) -> bool:
        """Whether the arrivals end."""
        return self.arrivals is not None and self.arrivals.ends


@dataclass(frozen=True, kw_only=True)
class Offline(Scenario):
    """All samples in one query; metric: samples per second until the last is done.

    Attributes:
        samples: Size of the query; by default as many as fill the shortest duration.
    """

    name: ClassVar[str] = "offline"
    not_judged: ClassVar[dict[str, str]] = {
        "latency": "offline is one query: its latency is the length of the run; judge throughput"
    }

    samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class Users(Scenario):
    """A closed loop: users ask, wait for the answer, think; metric: 99th percentile latency.

    Latency counts from the moment a user asks, which is one think time after the last answer. The
    users' first queries are spread evenly over one think time, so that they do not march in step.

    Attributes:
        count: Number of users; each has at most one query of one sample unanswered.
        think_time: From an answer to the same user's next query, like ``"100 ms"``; by default
            none.
    """

    name: ClassVar[str] = "users"

    count: int
    think_time: str | None = None
    latency_bound: str | None = None
    percentile: float = 0.99

    @property
    def id(self) -> str:
        """``users-8``."""
        return f"{self.name}-{self.count}"

    @property
    def timed(self) -> bool:
        """Queries are due when a user has thought."""
        return True

    @property
    def think_time_s(self) -> float:
        """The think time in seconds."""
        return 0.0 if self.think_time is None else parse_duration_s(self.think_time, "think_time")


def _check_rate(rate: float | None) -> None:
    if rate is None:
        raise UserError("a server needs target_qps=50 or arrivals=Gamma(qps=50, burstiness=0.5)")
    if not isinstance(rate, Real) or not 0 < rate < math.inf:
        raise UserError(f"target_qps={rate!r} must be a number of queries per second above zero")


def _check_budget(min_duration: str | None, max_duration: str | None) -> None:
    if min_duration is None or max_duration is None:
        return
    if parse_duration_s(min_duration, "") > parse_duration_s(max_duration, ""):
        raise UserError(
            f"min_duration={min_duration!r} must not exceed max_duration={max_duration!r}"
        )


def _check_percentile(value: float) -> None:
    if not isinstance(value, Real) or not 0 < value < 1:
        raise UserError(
            f"percentile={value!r} must lie between 0 and 1: write 0.99 for the 99th percentile"
        )


def _check_count(option: str, count: int | None) -> None:
    if count is not None and (not isinstance(count, Integral) or count < 1):
        raise UserError(f"{option}={count!r} must be a whole number of at least 1")


def _check_selection(selection: str) -> None:
    known = get_args(Selection)
    if selection not in known:
        raise UserError(f"unknown selection {selection!r}: use one of {', '.join(known)}")
