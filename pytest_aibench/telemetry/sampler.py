"""Watch a device or the machine while a benchmark runs."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

from pytest_aibench.telemetry import machine, nvml
from pytest_aibench.telemetry.reading import Reading

INTERVAL_S = 0.1
_STOP_S = 2.0


@dataclass(slots=True)
class _Range:
    """Smallest, mean and largest of the values seen."""

    n: int = 0
    total: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")

    def add(self, value: float) -> None:
        self.n += 1
        self.total += value
        self.low, self.high = min(self.low, value), max(self.high, value)

    def summary(self) -> dict[str, float]:
        return {"min": self.low, "mean": self.total / self.n, "max": self.high}


@dataclass(slots=True)
class _Energy:
    """Energy since the first reading: by the device's counter, else by the integral of power."""

    counter: tuple[float, float] | None = None
    integral_j: float | None = None
    last: tuple[float, float] | None = None

    def add(self, now_s: float, counter_j: float | None, power_w: float | None) -> None:
        if counter_j is not None:
            first_j = counter_j if self.counter is None else self.counter[0]
            self.counter = (first_j, counter_j)
        if power_w is not None:
            if self.last is not None:
                then_s, then_w = self.last
                step_j = (now_s - then_s) * (power_w + then_w) / 2
                self.integral_j = (self.integral_j or 0.0) + step_j
            self.last = (now_s, power_w)

    def summary(self) -> dict[str, Any]:
        # A counter that stands still is too coarse for the time; one that fell was reset.
        if self.counter is not None and self.counter[1] > self.counter[0]:
            return {"energy_j": self.counter[1] - self.counter[0], "energy_source": "counter"}
        if self.integral_j is not None:
            return {"energy_j": self.integral_j, "energy_source": "power"}
        return {}


@dataclass(slots=True)
class Totals:
    """Everything that is kept of the readings; its size does not grow with their number."""

    n: int = 0
    ranges: dict[str, _Range] = field(default_factory=dict)
    n_conditions: int = 0
    conditions: Counter[str] = field(default_factory=Counter)
    energy: _Energy = field(default_factory=_Energy)

    def add(self, now_s: float, reading: Reading) -> None:
        """Take in one reading."""
        self.n += 1
        for name, value in reading.figures.items():
            self.ranges.setdefault(name, _Range()).add(value)
        if reading.conditions is not None:
            self.n_conditions += 1
            self.conditions.update(reading.conditions)
        self.energy.add(now_s, reading.energy_j, reading.figures.get("power_w"))

    def summary(self) -> dict[str, Any]:
        """``min``, ``mean``, ``max`` by figure, shares of readings by condition, ``energy_j``."""
        ranges = {name: seen.summary() for name, seen in self.ranges.items()}
        shares = {name: count / self.n_conditions for name, count in self.conditions.items()}
        conditions = {"conditions": shares} if self.n_conditions else {}
        return {"n_readings": self.n, **ranges, **conditions, **self.energy.summary()}


@final
class Sampler:
    """Reads at an interval from a thread of its own, from entering the block to leaving it.

    Args:
        read: Takes one reading.
        interval_s: Time between readings.
        clock: Time in s.
    """

    def __init__(
        self,
        read: Callable[[], Reading],
        *,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._interval_s = interval_s
        self._clock = clock
        self._totals = Totals()
        self._fault = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aibench-sampler", daemon=True)

    def __enter__(self) -> Sampler:
        """Take the first reading and start."""
        self.take()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and take the last reading."""
        self._stop.set()
        self._thread.join(_STOP_S)
        # A driver that hangs keeps its thread; the benchmark goes on without the last reading.
        if not self._thread.is_alive():
            self.take()

    def take(self) -> None:
        """Take one reading now."""
        if self._fault:
            return
        try:
            self._totals.add(self._clock(), self._read())
        except Exception as error:  # A source that fails must not fail the benchmark.
            self._fault = f"{type(error).__name__}: {error}"

    def summary(self) -> dict[str, Any]:
        """See `Totals.summary`; ``unavailable`` says why readings ended early."""
        return self._totals.summary() | ({"unavailable": self._fault} if self._fault else {})

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s) and not self._fault:
            self.take()


@contextmanager
def sampling(uuid: str | None, *, interval_s: float = INTERVAL_S) -> Iterator[Sampler]:
    """Watch the GPU with the UUID or, where NVML knows no such GPU, the machine."""
    with nvml.opened() as driver:
        gpu = driver.find(uuid)
        read = machine.read_host if gpu is None else gpu.read
        with Sampler(read, interval_s=interval_s) as sampler:
            yield sampler
