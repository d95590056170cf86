"""Watch a device or the machine while a benchmark runs."""

from __future__ import annotations

import math
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
_MOST_READINGS = 4096


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
    throttled: list[tuple[float, float]] = field(default_factory=list)

    def add(self, now_s: float, reading: Reading) -> None:
        """Take in one reading."""
        self.n += 1
        for name, value in reading.figures.items():
            self.ranges.setdefault(name, _Range()).add(value)
        if reading.conditions is not None:
            self.n_conditions += 1
            self.conditions.update(reading.conditions)
        self.energy.add(now_s, reading.energy_j, reading.figures.get("power_w"))
        if reading.throttled_s is not None:
            self.throttled[1:] = [(now_s, reading.throttled_s)]

    def summary(self) -> dict[str, Any]:
        """``min``, ``mean``, ``max`` by figure, shares of time by condition, ``energy_j``."""
        ranges = {name: seen.summary() for name, seen in self.ranges.items()}
        shares = {name: count / self.n_conditions for name, count in self.conditions.items()}
        is_known = self.n_conditions > 0 or len(self.throttled) == 2
        conditions = {"conditions": shares | self._heat()} if is_known else {}
        return {"n_readings": self.n, **ranges, **conditions, **self.energy.summary()}

    def _heat(self) -> dict[str, float]:
        if len(self.throttled) < 2:
            return {}
        (begin_s, before_s), (end_s, after_s) = self.throttled
        share = (after_s - before_s) / (end_s - begin_s)
        return {"cpu_thermal_slowdown": share} if share > 0 else {}


@final
class Sampler:
    """Reads at an interval from a thread of its own, from entering the block to leaving it.

    When there are too many readings, every other one is dropped and the interval doubled.

    Args:
        read: Takes one reading.
        interval_s: Time between readings; None for no thread, so that only `take` reads.
        clock: Time in s.
    """

    def __init__(
        self,
        read: Callable[[], Reading],
        *,
        interval_s: float | None = INTERVAL_S,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._read = read
        self._interval_s = interval_s
        self._clock = clock
        self._readings: list[tuple[float, Reading]] = []
        self._fault = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aibench-sampler", daemon=True)

    def __enter__(self) -> Sampler:
        """Take the first reading and start."""
        self.take()
        if self._interval_s is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and take the last reading."""
        self._stop.set()
        if self._interval_s is not None:
            self._thread.join(_STOP_S)
        # A driver that hangs keeps its thread; the benchmark goes on without the last reading.
        if not self._thread.is_alive():
            self.take()

    def take(self) -> None:
        """Take one reading now."""
        if self._fault:
            return
        try:
            self._readings.append((self._clock(), self._read()))
        except Exception as error:  # A source that fails must not fail the benchmark.
            self._fault = f"{type(error).__name__}: {error}"

    def summary(self, since_s: float = -math.inf, until_s: float = math.inf) -> dict[str, Any]:
        """See `Totals.summary`, of the readings between two moments of the clock.

        ``covered_s`` is the time from the first of them to the last; ``unavailable`` says why
        readings ended early.
        """
        totals = Totals()
        moments = [pair for pair in self._readings if since_s <= pair[0] <= until_s]
        for now_s, reading in moments:
            totals.add(now_s, reading)
        covered = {"covered_s": moments[-1][0] - moments[0][0]} if moments else {}
        fault = {"unavailable": self._fault} if self._fault else {}
        return totals.summary() | covered | fault

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s) and not self._fault:
            self.take()
            if len(self._readings) > _MOST_READINGS:
                del self._readings[1::2]
                self._interval_s = 2 * (self._interval_s or 0.0)


@contextmanager
def sampling(
    uuid: str | None, *, interval_s: float = INTERVAL_S
) -> Iterator[tuple[Sampler, nvml.Gpu | None]]:
    """Watch the GPU with the UUID or, where NVML knows no such GPU, the machine.

    The machine is only read when asked: a reading takes half a millisecond of the interpreter's
    lock, which a load on the processor would see among its latencies.
    """
    with nvml.opened() as driver:
        gpu = driver.find(uuid)
        if gpu is None:
            sampler = Sampler(machine.read_host, interval_s=None)
        else:
            sampler = Sampler(gpu.read, interval_s=interval_s)
        with sampler:
            yield sampler, gpu
