"""Helpers to load a system without a clock's help: ask it queries, wait for its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue
from time import perf_counter_ns
from typing import Any

from pytest_aibench.loadgen.systems import Completion, ConcurrentSystem, Query

WAIT_S = 10.0
"""Far more than any answer takes: a test that waits so long has failed."""


@dataclass(slots=True)
class Asker:
    """Asks a system that is at work."""

    system: ConcurrentSystem
    now: Callable[[], int] = perf_counter_ns
    inbox: SimpleQueue[Completion] = field(default_factory=SimpleQueue)
    asked: int = 0

    def issue(self, *samples: Any) -> Query:
        """Issue a query."""
        query = Query(self.asked, samples, self.inbox, self.now)
        self.asked += 1
        self.system.issue(query)
        return query

    def answer(self) -> Completion:
        """The next completion."""
        return self.inbox.get(timeout=WAIT_S)

    def ask(self, *samples: Any) -> Sequence[Any]:
        """The outputs for samples; what the system failed with is raised."""
        self.issue(*samples)
        completion = self.answer()
        if completion.error is not None:
            raise completion.error
        return completion.outputs


@contextmanager
def asking(system: ConcurrentSystem, now: Callable[[], int] = perf_counter_ns) -> Iterator[Asker]:
    """Put a system to work."""
    system.start()
    try:
        yield Asker(system, now)
    finally:
        system.stop()
