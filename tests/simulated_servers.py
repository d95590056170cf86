"""Queues of known capacity, simulated: what the peak search and the official search are tried on.

Poisson arrivals, first come first served, one queue for all workers. Times are in seconds; the
mean service time is 0.25 ms on every server.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from pytest_aibench.loadgen.peak import Enough, PeakSettings, ProbeResult
from pytest_aibench.loadgen.percentiles import percentile_index

Floats = npt.NDArray[np.float64]

SERVICE_S = 0.25e-3
PERCENTILE = 0.99
LOOK_QUERIES = 250
OFFICIAL_S = 10.0
"""The default min_duration of LoadGen's TestSettings; mlperf.conf asks for 600 s per probe."""


class Service(Enum):
    """Distributions of the service time, in units of its mean."""

    DETERMINISTIC = "deterministic"
    EXPONENTIAL = "exponential"
    BIMODAL = "bimodal"

    def times_s(self, rng: np.random.Generator, n: int) -> Floats:
        """Draw ``n`` service times; bimodal: nine of ten take 0.7 of the mean, one takes 3.7."""
        if self is Service.EXPONENTIAL:
            return SERVICE_S * rng.exponential(size=n)
        if self is Service.BIMODAL:
            return SERVICE_S * np.where(rng.random(n) < 0.9, 0.7, 3.7)
        return np.full(n, SERVICE_S)


@dataclass(frozen=True)
class Server:
    """A server with a latency bound.

    Attributes:
        service: Distribution of the service time.
        workers: How many queries are served at a time.
        bound_s: Latency bound.
    """

    service: Service
    workers: int
    bound_s: float

    def __str__(self) -> str:
        """``deterministic, 4 workers``."""
        return f"{self.service.value}, {self.workers} worker{'s' * (self.workers > 1)}"

    def latencies_s(self, rate: float, seed: tuple[int, ...], n: int) -> Floats:
        """Latencies of the first ``n`` queries, in the order of arrival, from an idle server.

        The same seed gives the same gaps and services at every rate, apart from the gaps' scale.
        """
        arrivals, services = (np.random.default_rng((*seed, stream)) for stream in (0, 1))
        arrivals_s = np.cumsum(arrivals.exponential(size=n)) / rate
        services_s = self.service.times_s(services, n)
        return self._done_s(arrivals_s, services_s) - arrivals_s

    def over_share(self, rate: float, seed: tuple[int, ...], n: int) -> float:
        """Share of the first ``n`` queries over the bound."""
        return float(np.mean(self.latencies_s(rate, seed, n) > self.bound_s))

    def _done_s(self, arrivals_s: Floats, services_s: Floats) -> Floats:
        if self.workers == 1:
            return one_worker_done_s(arrivals_s, services_s)
        if self.service is Service.DETERMINISTIC:
            return in_turn_done_s(arrivals_s, services_s, self.workers)
        return many_workers_done_s(arrivals_s, services_s, self.workers)


def one_worker_done_s(arrivals_s: Floats, services_s: Floats) -> Floats:
    """Completion times at one worker: Lindley's recursion, unrolled into a running maximum."""
    work_s = np.cumsum(services_s)
    return np.maximum.accumulate(arrivals_s - (work_s - services_s)) + work_s


def in_turn_done_s(arrivals_s: Floats, services_s: Floats, workers: int) -> Floats:
    """Completion times where equal services keep the workers in turn."""
    done_s = np.empty_like(arrivals_s)
    for worker in range(workers):
        mine = slice(worker, None, workers)
        done_s[mine] = one_worker_done_s(arrivals_s[mine], services_s[mine])
    return done_s


def many_workers_done_s(arrivals_s: Floats, services_s: Floats, workers: int) -> Floats:
    """Completion times where each query takes the worker that is free first."""
    free_s = [0.0] * workers
    done_s: list[float] = []
    replace, append = heapq.heapreplace, done_s.append
    for arrival_s, service_s in zip(arrivals_s.tolist(), services_s.tolist(), strict=True):
        start_s = free_s[0]
        end_s = (arrival_s if arrival_s > start_s else start_s) + service_s
        replace(free_s, end_s)
        append(end_s)
    return np.array(done_s)


class CountedProbe:
    """A probe of a simulated server that looks at every 250th query and counts its queries."""

    def __init__(self, server: Server, trial: int) -> None:
        self.server = server
        self.trial = trial
        self.n_queries = 0

    def __call__(self, rate: float, budget_queries: int, seed: int, enough: Enough) -> ProbeResult:
        """See `pytest_aibench.loadgen.peak.Probe`."""
        latencies_s = self.server.latencies_s(rate, (self.trial, seed), budget_queries)
        overs = np.cumsum(latencies_s > self.server.bound_s)
        looks = range(LOOK_QUERIES, budget_queries, LOOK_QUERIES)
        n = next((n for n in looks if enough(n, int(overs[n - 1]))), budget_queries)
        self.n_queries += n
        return ProbeResult(
            rate=rate,
            n=n,
            over=int(overs[n - 1]),
            percentile_s=percentile_s(latencies_s[:n]),
            duration_s=n / rate,
        )

    def official_run(self, rate: float, duration_s: float) -> bool:
        """One run of the official search: the same seeds each time, a percentile, no confidence."""
        n = math.ceil(rate * duration_s)
        self.n_queries += n
        return percentile_s(self.server.latencies_s(rate, (self.trial,), n)) <= self.server.bound_s


def percentile_s(latencies_s: Floats) -> float:
    """The judged percentile."""
    index = percentile_index(len(latencies_s), PERCENTILE)
    return float(np.partition(latencies_s, index)[index])


def official_peak(met: Callable[[float], bool], start: float) -> float:
    """LoadGen's FindPeakPerformance at its default settings: doubling, then bisection to 0.1 qps.

    Raises:
        ValueError: The bound is missed at the start.
    """
    if not met(start):
        raise ValueError(f"the bound is missed at {start} qps")
    low, high = start, 2 * start
    while met(high):
        low, high = high, 2 * high
    while math.floor(low * 10) + 1 < math.floor(high * 10):
        middle = low + (high - low) / 2
        low, high = (middle, high) if met(middle) else (low, middle)
    return low


def official_queries(server: Server, trial: int) -> int:
    """Queries that the official search spends, from the start of `peak_settings`."""
    probe = CountedProbe(server, trial)
    official_peak(lambda rate: probe.official_run(rate, OFFICIAL_S), peak_settings(server).start)
    return probe.n_queries


def simulated_capacity(server: Server, n: int, seeds: range) -> float:
    """The rate at which the judged percentile of ``n`` queries is the bound; mean over seeds."""
    full = server.workers / SERVICE_S
    return float(np.mean([_one_capacity(server, n, seed, full) for seed in seeds]))


def _one_capacity(server: Server, n: int, seed: int, full: float) -> float:
    def excess(rate: float) -> float:
        return server.over_share(rate, (seed,), n) - (1 - PERCENTILE)

    return brentq(excess, 0.3 * full, full, xtol=1e-4 * full)


def exponential_capacity(server: Server) -> float:
    """The same in the steady state of exponential service: M/M/c with Erlang's C formula."""
    served, full = 1 / SERVICE_S, server.workers / SERVICE_S

    def excess(rate: float) -> float:
        spare = full - rate
        waits = erlang_c(server.workers, rate * SERVICE_S)
        straight = math.exp(-served * server.bound_s)
        queued = spare * straight - served * math.exp(-spare * server.bound_s)
        # Where both rates agree, the formula below divides zero by zero; this is its limit.
        if math.isclose(spare, served):
            return straight * (1 + waits * served * server.bound_s) - (1 - PERCENTILE)
        return (1 - waits) * straight + waits * queued / (spare - served) - (1 - PERCENTILE)

    return brentq(excess, 1e-3 * full, (1 - 1e-6) * full)


def erlang_c(workers: int, offered: float) -> float:
    """Probability that an arrival waits, at an offered load of ``offered`` workers."""
    terms = [offered**k / math.factorial(k) for k in range(workers)]
    full = offered**workers / math.factorial(workers) * workers / (workers - offered)
    return full / (sum(terms) + full)


def deterministic_capacity(server: Server) -> float:
    """The same for one worker with deterministic service: M/D/1 by Erlang's series of 1909."""
    wait = server.bound_s / SERVICE_S - 1

    def excess(load: float) -> float:
        terms = (
            (load * (k - wait)) ** k / math.factorial(k) * math.exp(load * (wait - k))
            for k in range(math.floor(wait) + 1)
        )
        return PERCENTILE - (1 - load) * math.fsum(terms)

    return brentq(excess, 0.1, 0.999) / SERVICE_S


def known_servers() -> dict[Server, float]:
    """The servers that the search is tried on, each with its capacity in queries/s."""
    one = {kind: Server(kind, 1, 20 * SERVICE_S) for kind in Service}
    four = {kind: Server(kind, 4, 10 * SERVICE_S) for kind in Service}
    return {
        one[Service.DETERMINISTIC]: deterministic_capacity(one[Service.DETERMINISTIC]),
        # simulated_capacity(server, 4_000_000, range(4)), and 1_000_000 queries for the last
        four[Service.DETERMINISTIC]: 15032.7,
        one[Service.EXPONENTIAL]: exponential_capacity(one[Service.EXPONENTIAL]),
        four[Service.EXPONENTIAL]: exponential_capacity(four[Service.EXPONENTIAL]),
        one[Service.BIMODAL]: 3155.5,
        four[Service.BIMODAL]: 14200.2,
    }


def peak_settings(server: Server) -> PeakSettings:
    """A search as `find_peak` of the ``loadgen`` fixture makes it at the effort ``standard``."""
    return PeakSettings(
        percentile=PERCENTILE,
        bound_s=server.bound_s,
        start=250.0 * server.workers,
        lowest=1.0,
        highest=1e6,
        confidence=0.98,
    )
