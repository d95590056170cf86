"""Monotonic time, and waiting for a moment without oversleeping."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

SPIN_NS = 300_000
"""A sleeping thread wakes 50 to 200 µs late on Linux, so the rest of a wait is spun."""

give_way: Callable[[], object] = getattr(os, "sched_yield", partial(time.sleep, 0))
"""Lets another thread of the process take the interpreter lock.

On Linux not ``time.sleep(0)``, which sleeps for some 50 µs. A thread that a queue has just woken
would find the lock taken and fall asleep again; with this after each hand-over, twice as many
queries go through a worker thread.
"""


class Clock(Protocol):
    """Time in ns since an arbitrary moment; never steps back."""

    def now(self) -> int:
        """The time in ns."""

    def sleep_until(self, due: int) -> int:
        """Return at ``due`` or, when that has passed, at once; the value is the time then."""


class MonotonicClock:
    """The system's monotonic clock, blind to steps of the wall clock.

    Args:
        yielding: Let other threads of this process run while spinning, where the system under
            test has threads that need the interpreter lock.
    """

    def __init__(self, *, yielding: bool = False) -> None:
        self._yielding = yielding
        self.now = time.perf_counter_ns

    def sleep_until(self, due: int) -> int:
        """Sleep, then spin, until ``due``."""
        now = self.now()
        while now < due:
            left = due - now
            if left > SPIN_NS:
                time.sleep((left - SPIN_NS) / 1e9)
            elif self._yielding:
                give_way()
            now = self.now()
        return now
