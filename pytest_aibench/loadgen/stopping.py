"""Stop when certain: tests of a latency or throughput bound that may be looked at repeatedly.

A usual 99 % test loses its guarantee when it is repeated until it succeeds. `PercentileTest` is
valid at every query and `ThroughputTest` at doubling looks: the probability of ever deciding
wrongly, over the whole run, is at most 1 % for each kind of error.

What is guaranteed under correlation: `PercentileTest` needs that, whatever happened before, the
next query is over the bound with a probability that stays on one side of the allowed share (below
or at it for a bound that holds, at or above it for one that does not). Independent queries satisfy
it, and so do correlated ones of a system that is always good or always bad. It is not enough that
the share holds in the long run: a system whose slow phases come in bursts (a growing queue, thermal
throttling) can be decided before the first burst, so the shortest duration must span such phases.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import CONFIDENCE, Estimate, Verdict
from pytest_aibench.loadgen.percentiles import estimate_from_ranks
from pytest_aibench.loadgen.throughput import MIN_CALLS, Completions, throughput_estimate


@dataclass(frozen=True, slots=True)
class PercentileTest:
    """Whether a latency percentile is within a bound, valid at every look.

    The evidence is a mixture of binomial likelihood ratios against the allowed over-latency share,
    a supermartingale while the decision would be wrong; by Ville's inequality it ever reaches
    ``1 / (1 - confidence)`` with probability ``1 - confidence`` at most (Robbins, Annals of
    Mathematical Statistics 41, 1970; Howard et al., Annals of Statistics 49, 2021). The mixture is
    a beta distribution whose mean is the allowed share, cut at it.

    A bound decided here is decided alike by the interval of `percentile_estimate` on the same
    queries, which is never wider than that of `estimate`.
    """

    percentile: float
    confidence: float = CONFIDENCE

    def decide(self, queries: int, over: int) -> Verdict | None:
        """The verdict after ``queries`` of which ``over`` exceeded the bound; None if undecided."""
        needed = -math.log(1 - self.confidence)
        share, prior = 1 - self.percentile, (1.0, self.percentile / (1 - self.percentile))
        if over < queries * share:
            evidence = _log_evidence_below(share, queries, over, prior)
            return Verdict.PASSED if evidence >= needed else None
        under = queries - over
        evidence = _log_evidence_below(self.percentile, queries, under, prior[::-1])
        return Verdict.FAILED if evidence >= needed else None

    def estimate(self, sorted_latencies_s: npt.NDArray[np.float64]) -> Estimate:
        """The percentile with an interval that is valid at every look.

        Judging a bound by this interval is the same as `decide`.

        Args:
            sorted_latencies_s: Latencies in seconds, ascending.
        """
        n = len(sorted_latencies_s)
        overs = range(n + 1)
        passing = bisect_left(overs, True, key=lambda k: self.decide(n, k) != Verdict.PASSED)
        failing = bisect_left(overs, True, key=lambda k: self.decide(n, k) == Verdict.FAILED)
        ranks = (n + 1 - failing, passing)
        return estimate_from_ranks(sorted_latencies_s, self.percentile, ranks, self._needed())

    def _needed(self) -> int:
        """Fewest queries after which both outcomes are possible."""
        most = 2
        while not self._both_possible(most):
            most *= 2
        return bisect_left(range(most), True, key=self._both_possible)

    def _both_possible(self, n: int) -> bool:
        return self.decide(n, 0) == Verdict.PASSED and self.decide(n, n) == Verdict.FAILED


def _log_evidence_below(share: float, n: int, k: int, prior: tuple[float, float]) -> float:
    """Log of the mixed likelihood ratio of all shares below ``share`` against ``share`` itself.

    Args:
        share: The share under test.
        n: Number of observations.
        k: How many of them were hits.
        prior: Parameters of the beta distribution that mixes the shares.
    """
    a, b = prior
    mixed = _log_partial_beta(share, a + k, b + n - k) - _log_partial_beta(share, a, b)
    return mixed - k * math.log(share) - (n - k) * math.log1p(-share)


def _log_partial_beta(x: float, a: float, b: float) -> float:
    """Log of the integral of ``t**(a - 1) * (1 - t)**(b - 1)`` over t from 0 to x."""
    from scipy.special import betainc, betaln

    part = float(betainc(a, b, x))
    return float(betaln(a, b)) + math.log(part) if part > 0 else -math.inf


@dataclass(frozen=True, slots=True)
class ThroughputTest:
    """Whether a throughput is at least a bound, valid over looks at doubling numbers of calls.

    Look j = 1, 2, ... comes at ``MIN_CALLS * 2**(j - 1)`` completion calls and spends
    ``(1 - confidence) / ((j + 1) * (j + 2))`` of the error allowed to each side (error spending on
    a fixed schedule; Lan & DeMets, Biometrika 70, 1983). However many looks there are, that adds
    up to half of it; the other half covers that Student's t is approximate for skewed times.
    """

    at_least: float
    confidence: float = CONFIDENCE

    def look(self, calls: int) -> int:
        """The latest look that is due at ``calls`` completion calls; 0 before the first."""
        return (calls // MIN_CALLS).bit_length()

    def decide(self, look: int, completions: Completions) -> Verdict | None:
        """The verdict of a look, in samples/s; None if undecided. Take each look only once."""
        estimate = self.estimate(look, completions)
        if estimate.low is not None and estimate.low >= self.at_least:
            return Verdict.PASSED
        if estimate.high is not None and estimate.high < self.at_least:
            return Verdict.FAILED
        return None

    def estimate(self, look: int, completions: Completions) -> Estimate:
        """The throughput with the interval of a look."""
        spent = (1 - self.confidence) / ((look + 1) * (look + 2))
        return throughput_estimate(completions, 1 - spent)


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a load stopped: what was decided about a bound, and after how many queries.

    Attributes:
        bound: The bound with its figure, like ``p99 ≤ 100 ms``.
        verdict: Passed, failed, or inconclusive when the budget ended first.
        queries: Queries completed by then.
    """

    bound: str
    verdict: Verdict
    queries: int

    def __str__(self) -> str:
        """``p99 ≤ 100 ms certain after 1024 queries``."""
        outcome = {Verdict.PASSED: "certain", Verdict.FAILED: "certainly missed"}
        return f"{self.bound} {outcome.get(self.verdict, 'undecided')} after {self.queries} queries"
