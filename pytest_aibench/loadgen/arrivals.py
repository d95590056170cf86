"""When queries arrive: schedules in ns from the start, produced lazily.

`Poisson` is MLPerf's server schedule, bit for bit. The others go beyond MLPerf: evenly spaced,
bursty, changing with time, or replayed from a recording. The first query is at 0, except where a
recording or a rate of 0 says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.streams import IntArray, Stream
from pytest_aibench.units import parse_duration_s

_TINY = np.finfo(np.float64).tiny
_Number = TypeVar("_Number", np.int64, np.float64)


class Arrivals(Protocol):
    """A process that says when queries arrive: a dataclass whose fields are its settings.

    Attributes:
        process: Its name.
        ends: Whether the arrivals end by themselves.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]
    process: ClassVar[str]
    ends: ClassVar[bool]

    @property
    def id(self) -> str:
        """Short text for node ids, one for each process and its settings."""

    def chunks(self, seed: int, size: int) -> Iterator[IntArray]:
        """Arrival times in ns from the start, ascending, in arrays of up to ``size``.

        The size does not change the times. A process without an end goes on for ever.
        """


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent arrivals at a mean rate, as LoadGen's server scenario schedules them."""

    process: ClassVar[str] = "poisson"
    ends: ClassVar[bool] = False

    qps: float

    def __post_init__(self) -> None:
        _check_above_zero("qps", self.qps)

    @property
    def id(self) -> str:
        """Short text, see `Arrivals`."""
        return f"{self.process}-{self.qps:.10g}qps"

    def chunks(self, seed: int, size: int) -> Iterator[IntArray]:
        """Arrival times, see `Arrivals`."""
        stream = Stream(seed)
        return _add_up(stream.gaps_ns(self.qps, size) for _ in count())


@dataclass(frozen=True, slots=True)
class Constant:
    """Evenly spaced arrivals; the seed has no effect."""

    process: ClassVar[str] = "constant"
    ends: ClassVar[bool] = False

    qps: float

    def __post_init__(self) -> None:
        _check_above_zero("qps", self.qps)

    @property
    def id(self) -> str:
        """Short text, see `Arrivals`."""
        return f"{self.process}-{self.qps:.10g}qps"

    def chunks(self, seed: int, size: int) -> Iterator[IntArray]:
        """Arrival times, see `Arrivals`."""
        for first in count(step=size):
            yield (np.arange(first, first + size) * 1e9 / self.qps).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Gamma:
    """Arrivals with gamma-distributed gaps of a mean rate.

    Attributes:
        qps: Mean rate.
        burstiness: Shape of the distribution: below 1 arrivals cluster, 1 is a Poisson process,
            above 1 they approach even spacing. The gaps' coefficient of variation is its inverse
            root.
    """

    process: ClassVar[str] = "gamma"
    ends: ClassVar[bool] = False

    qps: float
    burstiness: float

    def __post_init__(self) -> None:
        _check_above_zero("qps", self.qps)
        _check_above_zero("burstiness", self.burstiness)

    @property
    def id(self) -> str:
        """Short text, see `Arrivals`."""
        return f"{self.process}-{self.qps:.10g}qps-{self.burstiness:.10g}"

    def chunks(self, seed: int, size: int) -> Iterator[IntArray]:
        """Arrival times, see `Arrivals`."""
        # numpy promises that RandomState's numbers never change; its newer generators may.
        random = np.random.RandomState(seed % 2**32)
        scale_ns = 1e9 / (self.qps * self.burstiness)
        return _add_up(
            random.gamma(self.burstiness, scale_ns, size).astype(np.int64) for _ in count()
        )


@dataclass(frozen=True, slots=True)
class Ramp:
    """Poisson arrivals whose rate moves evenly from ``start_qps`` to ``end_qps``, then end."""

    process: ClassVar[str] = "ramp"
    ends: ClassVar[bool] = True

    start_qps: float
    end_qps: float
    duration: str

    def __post_init__(self) -> None:
        for qps in (self.start_qps, self.end_qps):
            if not isinstance(qps, Real) or not 0 <= qps < math.inf:
                raise UserError(f"rate {qps!r} must be a number of queries per second, 0 or more")
        parse_duration_s(self.duration, "duration")

    @property
    def id(self) -> str:
        """Short text, see `Arrivals`."""
        return (
            f"{self.process}-{self.start_qps:.10g}-{self.end_qps:.10g}qps-{_compact(self.duration)}"
        )

    def chunks(self, seed: int, size: int) -> Iterator[IntArray]:
        """Arrival times, see `Arrivals`."""
        return _varying((self,), seed, size)


@dataclass(frozen=True, slots=True)
class Steps:
    """Poisson arrivals at a sequence of rates, each for a duration, then end.

    Attributes:
        steps: Rate in queries per second and duration, like ``((10, "30 s"), (50, "5 s"))``.
    """

    process: ClassVar[str] = "steps"
    ends: ClassVar[bool] = True

    steps: tuple[tuple[float, str], ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise UserError("steps is empty: give rates and durations, like ((10, '30 s'),)")
        self._pieces()

    @property
    def id(self) -> str:
        """Short text, see `Arrivals`."""
        steps = [f"{qps:.10g}qps_{_compact(duration)}" for qps, duration in self.steps]
        return "-".join([self.process, *steps])

    def chunks(self, seed: int, size: int) -> Iterator[IntArray]:
        """Arrival times, see `Arrivals`."""
        return _varying(self._pieces(), seed, size)

    def _pieces(self) -> Sequence[Ramp]:
        return [Ramp(qps, qps, duration) for qps, duration in self.steps]


@dataclass(frozen=True, slots=True)
class Replay:
    """Recorded arrivals.

    Attributes:
        path: File with one arrival per line, in seconds from the start, ascending.
    """

    process: ClassVar[str] = "replay"
    ends: ClassVar[bool] = True

    path: str

    @property
    def id(self) -> str:
        """Short text, see `Arrivals`."""
        return f"{self.process}-{self.path}"

    def chunks(self, seed: int, size: int) -> Iterator[IntArray]:
        """Arrival times, see `Arrivals`; the seed has no effect.

        Raises:
            UserError: The file cannot be read, or a line is no arrival time.
        """
        times_ns = _read_times_ns(Path(self.path))
        return (times_ns[first : first + size] for first in range(0, len(times_ns), size))


def _add_up(gap_chunks: Iterable[NDArray[_Number]]) -> Iterator[NDArray[_Number]]:
    """Times from the gaps between them, the first at 0."""
    now: Any = 0
    for gaps in gap_chunks:
        times = np.cumsum(np.concatenate([[now], gaps]))
        yield times[:-1]
        now = times[-1]


def _varying(ramps: Sequence[Ramp], seed: int, size: int) -> Iterator[IntArray]:
    """A Poisson process of varying rate, by time change.

    An arrival comes when the rate, integrated from the start, reaches the arrival's time in a
    Poisson process of rate 1 (Cinlar, "Introduction to Stochastic Processes", 1975, section 4.7).
    """
    first, last = np.array([(ramp.start_qps, ramp.end_qps) for ramp in ramps]).T
    durations_s = np.array([parse_duration_s(ramp.duration, "duration") for ramp in ramps])
    counts = (first + last) / 2 * durations_s
    slopes = (last - first) / durations_s
    ends = counts.cumsum()
    stream = Stream(seed)
    for arrivals in _add_up(stream.exponentials(size) for _ in count()):
        within = arrivals[arrivals < ends[-1]]
        ramp = np.searchsorted(ends, within, side="right")
        since = within - (ends - counts)[ramp]
        # The root of rate * t + slope * t**2 / 2 = since, in the form that allows a slope of 0.
        squared = first[ramp] ** 2 + 2 * slopes[ramp] * since
        rates = first[ramp] + np.sqrt(np.maximum(squared, 0))
        times_s = (durations_s.cumsum() - durations_s)[ramp] + 2 * since / np.maximum(rates, _TINY)
        yield (times_s * 1e9).astype(np.int64)
        if len(within) < size:
            return


def _read_times_ns(path: Path) -> IntArray:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise UserError(
            f"cannot read arrival times from {path}: {error.strerror}; "
            "give a file with one time in seconds per line"
        ) from None
    times_s = [0.0]
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line:
            times_s.append(_parse_time_s(line, times_s[-1], f"{path}:{number}"))
    if len(times_s) == 1:
        raise UserError(f"{path} has no arrival times: write one per line, in seconds")
    return np.rint(np.array(times_s[1:]) * 1e9).astype(np.int64)


def _parse_time_s(text: str, previous_s: float, where: str) -> float:
    try:
        time_s = float(text)
    except ValueError:
        time_s = math.nan
    if not 0 <= time_s < math.inf:
        raise UserError(f"{where}: {text!r} is no time: write seconds from the start, like 0.25")
    if time_s < previous_s:
        raise UserError(f"{where}: {text!r} comes before the time above it: sort the times")
    return time_s


def _compact(duration: str) -> str:
    return "".join(duration.split())


def _check_above_zero(name: str, value: float) -> None:
    if not isinstance(value, Real) or not 0 < value < math.inf:
        raise UserError(f"{name}={value!r} must be a number above zero")


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
        heappush(self._dues, self._next_due(at_ns))

    def _next_due(self, answered_ns: int) -> int:
        return answered_ns + self._think_ns


class FixedInterval(ThinkingUsers):
    """One user who asks at every tick, save those that pass while he waits for an answer.

    This is the multi-stream scenario of MLPerf Inference v0.5 with one query unanswered at most:
    the first query goes at tick 1, each further one at the first tick after the query before
    that is not earlier than its answer (LoadGen, branch r0.5).

    Args:
        interval_ns: From tick to tick.
    """

    def __init__(self, interval_ns: int) -> None:
        super().__init__(1, interval_ns)
        self._interval_ns = interval_ns
        self._tick = 1
        self._dues = [interval_ns]

    def _next_due(self, answered_ns: int) -> int:
        not_passed = -(-answered_ns // self._interval_ns)
        self._tick = max(self._tick + 1, not_passed)
        return self._tick * self._interval_ns
