"""Figures of a load whose answers are tokens: time to first token, time per token, goodput.

Time to first token counts from the scheduled time, as MLPerf does. A figure that cannot be known
is not measured: it is never a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import CONFIDENCE, Estimate
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.journal import Load, completions
from pytest_aibench.loadgen.percentiles import figure_percentile, percentile_index
from pytest_aibench.loadgen.tokens import TokenStamps
from pytest_aibench.units import RATIO, TIME, parse_duration_s

if TYPE_CHECKING:
    from pytest_aibench.loadgen.decision import Estimator

Seconds = npt.NDArray[np.float64]

TOKEN_FIGURES = ("ttft_p50 …", "tpot_p50 …", "itl_p50 …", "tokens_per_s", "goodput", "goodput_qps")
"""As they are named to a user who asks for one that does not exist."""

TOKEN_RATE = "tokens/s"
QUERY_RATE = "queries/s"

_LATENCY = re.compile(r"(ttft|tpot|itl)_(p\d+)$")


@dataclass(frozen=True, slots=True)
class Slo:
    """What a user of a token stream is promised; goodput is the share of queries that keep it.

    Attributes:
        ttft: Longest time to first token, from the scheduled time, like ``"500 ms"``.
        tpot: Longest time per output token; an answer of one token keeps it.
    """

    ttft: str | None = None
    tpot: str | None = None

    def __post_init__(self) -> None:
        if self.ttft is None and self.tpot is None:
            raise UserError("Slo() promises nothing: give ttft='500 ms', tpot='50 ms', or both")
        for name in ("ttft", "tpot"):
            if getattr(self, name) is not None:
                parse_duration_s(getattr(self, name), name)

    def limit_s(self, name: str) -> float:
        """The limit of ``ttft`` or ``tpot`` in seconds; infinite where nothing is promised."""
        text = getattr(self, name)
        return np.inf if text is None else parse_duration_s(text, name)


def is_token_figure(name: str) -> bool:
    """Whether ``name`` is a figure of tokens: ``ttft_p99``, ``tokens_per_s``, ``goodput``…"""
    return name in ("tokens_per_s", "goodput", "goodput_qps") or _latency(name) is not None


def like_figure(name: str) -> str:
    """The figure whose fate a figure of tokens shares where a scenario does not judge all.

    Time to first token is a latency, and goodput hangs on it; a rate of tokens is a throughput.
    """
    if name.startswith("ttft_") or name in ("goodput", "goodput_qps"):
        return "latency"
    return "throughput" if name == "tokens_per_s" else name


def token_estimate(name: str, load: Load, estimator: Estimator, slo: Slo | None = None) -> Estimate:
    """A figure of tokens.

    Args:
        name: ``ttft_p99``, ``tpot_p99``, ``itl_p99`` or another percentile of these, in seconds;
            ``tokens_per_s``; ``goodput``, the share of queries that keep the promise of ``slo``;
            ``goodput_qps``, their rate.
        load: The finished load.
        estimator: Makes intervals that fit the way the load was ended.
        slo: What is promised, for goodput.

    Raises:
        UserError: Goodput without a promise.
    """
    tokens = load.tokens
    answered = int(load.sizes[load.answered].sum())
    if tokens is None or len(tokens) != answered:
        return Estimate(value=None, unit=_unit(name), why_open=_missing(tokens, answered))
    latency = _latency(name)
    if latency is not None:
        return _percentile(*latency, load, tokens, estimator)
    if name == "tokens_per_s":
        return _tokens_per_s(load, tokens, estimator)
    if slo is None:
        raise UserError(f"{name} needs a promise: pass slo=Slo(ttft='500 ms') to loadgen.run")
    share = _share(keeps(load, tokens, slo))
    return share if name == "goodput" else _per_second(share, load)


def ttft_s(load: Load, tokens: TokenStamps) -> Seconds:
    """Time to first token of each answer that had one, in seconds from the scheduled time."""
    due_ns = load.due_ns[tokens.queries[tokens.begun]]
    return np.asarray((tokens.first_ns - due_ns) / 1e9)


def keeps(load: Load, tokens: TokenStamps, slo: Slo) -> npt.NDArray[np.bool_]:
    """Which queries keep a promise with all their answers; shape (n_queries,).

    Queries that were not answered do not, nor do those overdue at the end, which come last.
    """
    ttft = np.full(len(tokens), np.inf)
    ttft[tokens.begun] = ttft_s(load, tokens)
    broken = (ttft > slo.limit_s("ttft")) | (tokens.tpot_s > slo.limit_s("tpot"))
    kept = np.zeros(len(load.sizes) + len(load.overdue_ns), np.bool_)
    kept[tokens.queries] = True
    kept[tokens.queries[broken]] = False
    return kept


def token_summary(tokens: TokenStamps) -> dict[str, Any]:
    """What the figures of tokens rest on, for the record.

    ``tpot_excluded`` and ``itl_excluded`` count the answers whose pace cannot be known: those of
    one token, and those whose tokens came at once, or several at a time.
    """
    return {
        "n_answers": len(tokens),
        "n_tokens": int(tokens.n_tokens.sum()),
        "n_arrivals": int(tokens.n_arrivals.sum()),
        "tpot_excluded": int(np.isnan(tokens.tpot_s).sum()),
        "itl_excluded": int((~tokens.singly).sum()),
    }


def _latency(name: str) -> tuple[str, float] | None:
    match = _LATENCY.match(name)
    percentile = figure_percentile(match[2]) if match else None
    return (match[1], percentile) if match and percentile is not None else None


def _unit(name: str) -> str:
    units = {"tokens_per_s": TOKEN_RATE, "goodput": RATIO, "goodput_qps": QUERY_RATE}
    return units.get(name, TIME)


def _missing(tokens: TokenStamps | None, answered: int) -> str:
    if not answered:
        return "no query completed"
    if tokens is None:
        return "the model gives no tokens: give a generator of tokens or a streaming endpoint"
    return f"{len(tokens)} of {answered} answers came as tokens"


def _percentile(
    kind: str, percentile: float, load: Load, tokens: TokenStamps, estimator: Estimator
) -> Estimate:
    if kind == "itl":
        return _itl(tokens, percentile, estimator)
    if kind == "ttft":
        # Queries overdue when the budget ended count with what is known of them.
        times = np.concatenate([ttft_s(load, tokens), load.overdue_ns / 1e9])
    else:
        times = tokens.tpot_s[~np.isnan(tokens.tpot_s)]
        if not len(times):
            return _no_pace("one after the other", tokens)
    return estimator.percentile(np.sort(times), percentile)


def _itl(tokens: TokenStamps, percentile: float, estimator: Estimator) -> Estimate:
    """A percentile of the gaps, with an interval as if each answer were a single observation.

    The gaps of one answer are not independent; at worst, each tells the same as the others.
    """
    gaps = np.sort(tokens.gaps_s)
    if not len(gaps):
        return _no_pace("one by one", tokens)
    n = int(tokens.singly.sum())
    quantiles = gaps[((np.arange(n) + 0.5) / n * len(gaps)).astype(np.int64)]
    estimate = estimator.percentile(quantiles, percentile)
    return replace(estimate, value=float(gaps[percentile_index(len(gaps), percentile)]))


def _no_pace(how: str, tokens: TokenStamps) -> Estimate:
    why = f"in none of {len(tokens)} answers did tokens come {how}"
    return Estimate(value=None, unit=TIME, why_open=why)


def _tokens_per_s(load: Load, tokens: TokenStamps, estimator: Estimator) -> Estimate:
    of_query = np.bincount(tokens.queries, tokens.n_tokens, len(load.sizes)).astype(np.int64)
    completed = completions(0, load.completed_ns, of_query)
    return replace(estimator.throughput(completed), unit=TOKEN_RATE)


def _share(kept: npt.NDArray[np.bool_]) -> Estimate:
    """A share with its exact interval, each side at 99 % confidence.

    Clopper & Pearson, Biometrika 26, 1934: what order statistics are to a percentile.
    """
    from scipy.special import betaincinv

    n, k = len(kept), int(kept.sum())
    return Estimate(
        value=k / n,
        low=float(betaincinv(k, n - k + 1, 1 - CONFIDENCE)) if k else 0.0,
        high=float(betaincinv(k + 1, n - k, CONFIDENCE)) if k < n else 1.0,
        n=n,
    )


def _per_second(share: Estimate, load: Load) -> Estimate:
    """A share of the queries as a rate, at the rate of queries that the load had."""
    rate = share.n / load.duration_s
    value, low, high = (
        None if part is None else part * rate for part in (share.value, share.low, share.high)
    )
    return replace(share, value=value, low=low, high=high, unit=QUERY_RATE)
