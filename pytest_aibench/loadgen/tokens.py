"""When the tokens of each answer came."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenTrace:
    """The tokens of one answer.

    Attributes:
        arrivals_ns: When tokens came, ascending, by the clock of the load.
        n_tokens: How many there are; more than arrivals where several come at once.
    """

    arrivals_ns: Sequence[int]
    n_tokens: int


class TokenJournal:
    """The arrivals of a running load; append-only, 8 bytes a stamp."""

    def __init__(self) -> None:
        self._queries = array("q")
        self._n_tokens = array("q")
        self._n_arrivals = array("q")
        self._arrivals = array("q")

    def append(self, query: int, traces: Sequence[TokenTrace]) -> None:
        """Keep the traces of a query's answers, one for each sample."""
        for trace in traces:
            self._queries.append(query)
            self._n_tokens.append(trace.n_tokens)
            self._n_arrivals.append(len(trace.arrivals_ns))
            self._arrivals.extend(trace.arrivals_ns)

    def finish(self, begin: int) -> TokenStamps | None:
        """All traces, relative to the begin of the load; None when there were none."""
        if not self._queries:
            return None
        return TokenStamps(
            queries=np.array(self._queries, np.int64),
            n_tokens=np.array(self._n_tokens, np.int64),
            n_arrivals=np.array(self._n_arrivals, np.int64),
            arrivals_ns=np.array(self._arrivals, np.int64) - begin,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStamps:
    """The traces of a finished load, one answer after the other.

    Attributes:
        queries: Number of each answer's query, shape (n_answers,).
        n_tokens: Tokens of each answer, shape (n_answers,).
        n_arrivals: Arrivals of each answer, shape (n_answers,).
        arrivals_ns: Arrivals of all answers, in ns from the begin, shape (n_arrivals.sum(),).
    """

    queries: Integers
    n_tokens: Integers
    n_arrivals: Integers
    arrivals_ns: Integers

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def begun(self) -> npt.NDArray[np.bool_]:
        """Which answers had a first token, shape (n_answers,)."""
        return np.greater(self.n_arrivals, 0)

    @property
    def first_ns(self) -> Integers:
        """First arrival of each answer that had one, shape (begun.sum(),)."""
        return np.take(self.arrivals_ns, (self._ends - self.n_arrivals)[self.begun])

    @property
    def last_ns(self) -> Integers:
        """Last arrival of each answer that had one, shape (begun.sum(),)."""
        return np.take(self.arrivals_ns, self._ends[self.begun] - 1)

    @property
    def tpot_s(self) -> npt.NDArray[np.float64]:
        """Time per output token of each answer, (last - first) / (tokens - 1), in seconds.

        NaN where it cannot be known: fewer than two tokens, or all of them came at once. Shape
        (n_answers,).
        """
        tpot = np.full(len(self), np.nan)
        span = np.zeros(len(self), np.int64)
        span[self.begun] = self.last_ns - self.first_ns
        paced = (self.n_tokens > 1) & (span > 0)
        tpot[paced] = span[paced] / (self.n_tokens[paced] - 1) / 1e9
        return tpot

    @property
    def singly(self) -> npt.NDArray[np.bool_]:
        """Which answers have two tokens or more, and each its own arrival, shape (n_answers,)."""
        return np.equal(self.n_tokens, self.n_arrivals) & np.greater(self.n_tokens, 1)

    @property
    def gaps_s(self) -> npt.NDArray[np.float64]:
        """Times between the tokens of an answer, of answers whose tokens came singly."""
        answer = np.repeat(np.arange(len(self)), self.n_arrivals)
        within = (answer[1:] == answer[:-1]) & self.singly[answer[1:]]
        return np.asarray(np.diff(self.arrivals_ns)[within] / 1e9)

    @property
    def _ends(self) -> Integers:
        return np.cumsum(self.n_arrivals)
