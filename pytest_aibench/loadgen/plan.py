"""The queries to come, read lazily: which samples, and when they are due."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import numpy as np
import numpy.typing as npt

from pytest_aibench.loadgen.arrivals import ThinkingUsers

IntArray = npt.NDArray[np.int64]
Chunks = Iterator[IntArray]

_PIECE = 4096
_FEW = 256


class QueryPlan:
    """A stream of queries that can be looked at before it is used up.

    Args:
        orders: Arrays of sample indices, shape (k, samples_per_query); k may change.
        arrivals: Arrays of due times in ns from the begin, shape (k,), or users whose next query
            is due some time after an answer; None where the answer to one query brings the next.
        coalesce: Queries that have fallen due together go to the system in one call.
        max_async: Most queries that may be unanswered; None for any number.
    """

    def __init__(
        self,
        orders: Chunks,
        arrivals: Chunks | ThinkingUsers | None = None,
        *,
        coalesce: bool = False,
        max_async: int | None = None,
    ) -> None:
        self.coalesce = coalesce
        self.max_async = max_async
        self.users = arrivals if isinstance(arrivals, ThinkingUsers) else None
        self._orders = _Reader(orders)
        self._arrivals: _Reader | ThinkingUsers | None = self.users
        if arrivals is not None and not isinstance(arrivals, ThinkingUsers):
            self._arrivals = _Reader(arrivals)

    @property
    def timed(self) -> bool:
        """Whether queries have due times."""
        return self._arrivals is not None

    @property
    def out_of_samples(self) -> bool:
        """Whether there are no more samples to ask for."""
        return not len(self._orders.peek(1))

    @property
    def out_of_arrivals(self) -> bool:
        """Whether no more queries will fall due."""
        return isinstance(self._arrivals, _Reader) and not len(self._arrivals.peek(1))

    def peek(self, n: int) -> tuple[IntArray, IntArray | None]:
        """Up to ``n`` of the next queries, of one size, with their due times; none at the end."""
        queries = self._orders.peek(n)
        if self._arrivals is None:
            return queries, None
        dues = self._arrivals.peek(len(queries))
        return queries[: len(dues)], dues

    def advance(self, n: int) -> None:
        """Use up ``n`` of the queries peeked at."""
        self._orders.advance(n)
        if self._arrivals is not None:
            self._arrivals.advance(n)

    def n_due(self, elapsed_ns: int) -> int:
        """How many queries have fallen due by now and were not issued."""
        n = _FEW
        while (dues := self.peek(n)[1]) is not None:
            if len(dues) < n or dues[-1] > elapsed_ns:
                return int(np.searchsorted(dues, elapsed_ns, side="right"))
            n *= 2
        return 0

    def overdue(self, elapsed_ns: int) -> IntArray:
        """How late the queries are that fell due before now and were not issued, in ns.

        This uses them up.
        """
        late = [np.empty(0, np.int64)]
        while (dues := self.peek(_PIECE)[1]) is not None and len(dues) and dues[0] < elapsed_ns:
            late.append(elapsed_ns - dues[dues < elapsed_ns])
            self.advance(len(late[-1]))
        return np.concatenate(late)


class _Reader:
    """Hands out arrays of any length in pieces of the length asked for."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._chunk = np.empty(0, np.int64)
        self._ahead: IntArray | None = None

    def peek(self, n: int) -> IntArray:
        """Up to ``n`` rows, fewer only where their width changes, none only at the end."""
        while len(self._chunk) < n and self._read_on():
            pass
        return self._chunk[:n]

    def advance(self, n: int) -> None:
        self._chunk = self._chunk[n:]

    def _read_on(self) -> bool:
        ahead = next(self._chunks, None) if self._ahead is None else self._ahead
        if not len(self._chunk) and ahead is not None:
            self._chunk, self._ahead = ahead, None
            return True
        if ahead is None or ahead.shape[1:] != self._chunk.shape[1:]:
            self._ahead = ahead
            return False
        self._chunk, self._ahead = np.concatenate([self._chunk, ahead]), None
        return True


def batches(indices: IntArray, size: int) -> Chunks:
    """Cut sample indices into queries of ``size``, the last one perhaps smaller."""
    whole = len(indices) // size * size
    if whole:
        yield indices[:whole].reshape(-1, size)
    if whole < len(indices):
        yield indices[whole:].reshape(1, -1)


def all_due_at_begin() -> Chunks:
    """Due times of queries that are all due at the begin."""
    return repeat(np.zeros(_PIECE, np.int64))
