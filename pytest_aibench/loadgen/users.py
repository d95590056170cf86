"""A closed loop of users: the answer to a user's query decides when the next one is due."""

from __future__ import annotations

from heapq import heappop, heappush

import numpy as np

from pytest_aibench.loadgen.streams import IntArray


class ThinkingUsers:
    """Users who each ask, wait for the answer, think, and ask again; times in ns from the begin.

    Their first queries are spread evenly over one think time, so that they do not march in step.

    Args:
        count: Number of users.
        think_ns: From an answer to the next query of the same user.
    """

    def __init__(self, count: int, think_ns: int) -> None:
        self._think_ns = think_ns
        self._dues = [user * think_ns // count for user in range(count)]

    def peek(self, n: int) -> IntArray:
        """When the next query is due, where ``n`` is not 0 and not all users wait for answers."""
        return np.array(self._dues[: min(n, 1)], np.int64)

    def advance(self, n: int) -> None:
        """The next ``n`` users have asked; they wait for their answers."""
        for _ in range(n):
            heappop(self._dues)

    def answered(self, at_ns: int) -> None:
        """One of the users who wait was answered."""
        heappush(self._dues, at_ns + self._think_ns)
