"""Arrival processes: MLPerf's schedule exactly, the others by their rates and shapes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.arrivals import (
    Arrivals,
    Constant,
    Gamma,
    Poisson,
    Ramp,
    Replay,
    Steps,
)
from pytest_aibench.loadgen.streams import IntArray

V61_SCHEDULE = 16159082839903944936


def times_ns(arrivals: Arrivals, count: int, seed: int = 0, size: int = 1000) -> IntArray:
    """The first arrivals, or all where there are fewer."""
    chunks = islice(arrivals.chunks(seed, size), -(-count // size))
    return np.concatenate(list(chunks))[:count]


@pytest.mark.parametrize(
    ("seed", "schedule_ns"),
    [
        (
            V61_SCHEDULE,
            "0 18436540 23015776 35874399 43004346 46868412 69351828 80267627 81285096 95898565 "
            "99112295 114546934",
        ),
        (
            0,
            "0 8985603 27581645 47097098 65886738 75656802 80508083 84039674 84623520 87807081 "
            "94301544 111023656",
        ),
    ],
)
def test_poisson_equals_the_official_schedule(seed: int, schedule_ns: str) -> None:
    expected = [int(time) for time in schedule_ns.split()]
    assert times_ns(Poisson(100.0), 12, seed, size=5).tolist() == expected


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert times_ns(Constant(300), 5, size=2).tolist() == [
        0, 3333333, 6666666, 10000000, 13333333,
    ]  # fmt: skip


def test_constant_arrivals_do_not_drift() -> None:
    (late,) = islice(Constant(3).chunks(0, 3_000_001), 1)
    assert late[-1] == 1_000_000_000_000_000


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gamma_keeps_the_rate_and_varies_as_asked(burstiness: float) -> None:
    gaps_s = np.diff(times_ns(Gamma(200.0, burstiness), 100_000)) / 1e9
    assert gaps_s.mean() == pytest.approx(1 / 200, rel=0.02)
    assert gaps_s.std() / gaps_s.mean() == pytest.approx(burstiness**-0.5, rel=0.02)


def test_ramp_follows_its_rate() -> None:
    times_s = times_ns(Ramp(100, 900, "100 s"), 10**6) / 1e9
    counts, _ = np.histogram(times_s, np.arange(0, 101, 10))
    assert counts.tolist() == pytest.approx(range(1400, 9000, 800), rel=0.05)
    assert times_s[-1] < 100


def test_ramp_may_start_and_end_at_rest() -> None:
    for ramp in (Ramp(0, 1000, "20 s"), Ramp(1000, 0, "20 s")):
        times = times_ns(ramp, 10**6)
        assert len(times) == pytest.approx(10_000, rel=0.05)
        assert times[0] == 0
        assert np.all(np.diff(times) >= 0)


def test_steps_follow_their_rates_and_pause() -> None:
    times_s = times_ns(Steps(((100, "20 s"), (0, "5 s"), (1000, "20 s"))), 10**6) / 1e9
    counts, _ = np.histogram(times_s, [0, 20, 25, 45])
    assert counts.tolist() == [pytest.approx(2000, rel=0.1), 0, pytest.approx(20_000, rel=0.03)]
    assert times_s[-1] < 45


def test_a_first_pause_delays_the_first_query() -> None:
    assert times_ns(Steps(((0, "5 s"), (100, "5 s"))), 1)[0] == 5_000_000_000


def test_a_single_step_is_the_poisson_schedule_to_the_rounding() -> None:
    step = times_ns(Steps(((500, "10 s"),)), 10**6)
    poisson = times_ns(Poisson(500), len(step))
    # The official schedule rounds each gap down, a step only each time.
    assert np.abs(step - poisson).max() <= len(step)


PROCESSES = [
    Poisson(100.0),
    Constant(100.0),
    Gamma(100.0, 0.5),
    Ramp(10, 100, "3 s"),
    Steps(((10, "1 s"), (100, "2 s"))),
]


@pytest.mark.parametrize("arrivals", PROCESSES, ids=repr)
def test_times_do_not_depend_on_the_chunks(arrivals: Arrivals) -> None:
    whole = times_ns(arrivals, 100, seed=3)
    assert times_ns(arrivals, 100, seed=3, size=7).tolist() == whole.tolist()
    assert whole.dtype == np.int64


@pytest.mark.parametrize("arrivals", PROCESSES, ids=repr)
@given(seed=st.integers(0, 2**64 - 1))
def test_times_ascend_from_zero(arrivals: Arrivals, seed: int) -> None:
    times = times_ns(arrivals, 50, seed)
    assert times[0] == 0
    assert np.all(np.diff(times) >= 0)


def test_processes_are_values() -> None:
    assert len({*PROCESSES, Poisson(100.0), Replay("times.txt")}) == len(PROCESSES) + 1


def test_replay_gives_the_recorded_times(tmp_path: Path) -> None:
    path = tmp_path / "times.txt"
    path.write_text("0.25\n0.25\n\n 1.001\n1e3\n")
    chunks = [chunk.tolist() for chunk in Replay(str(path)).chunks(0, 3)]
    assert chunks == [[250_000_000, 250_000_000, 1_001_000_000], [1_000_000_000_000]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " has no arrival times: write one per line, in seconds"),
        ("0\n1 s\n", ":2: '1 s' is no time: write seconds from the start, like 0.25"),
        ("0\n-1\n", ":2: '-1' is no time: write seconds from the start, like 0.25"),
        ("nan\n", ":1: 'nan' is no time: write seconds from the start, like 0.25"),
        ("0\n\n2\n1.5\n", ":4: '1.5' comes before the time above it: sort the times"),
    ],
)
def test_replay_names_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "times.txt"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        Replay(str(path)).chunks(0, 10)
    assert str(error.value) == f"{path}{message}"


def test_replay_names_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "missing.txt"
    with pytest.raises(UserError) as error:
        Replay(str(path)).chunks(0, 10)
    assert str(error.value) == (
        f"cannot read arrival times from {path}: No such file or directory; "
        "give a file with one time in seconds per line"
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Poisson(0), "qps=0 must be a number above zero"),
        (lambda: Constant(float("inf")), "qps=inf must be a number above zero"),
        (lambda: Gamma(1, -1), "burstiness=-1 must be a number above zero"),
        (lambda: Ramp(-1, 1, "1 s"), "rate -1 must be a number of queries per second, 0 or more"),
        (lambda: Ramp(1, 2, "5"), "duration='5' needs a time unit: write it like '15 ms' or '2 s'"),
        (lambda: Steps(()), "steps is empty: give rates and durations, like ((10, '30 s'),)"),
        (
            lambda: Steps(((1, "5"),)),
            "duration='5' needs a time unit: write it like '15 ms' or '2 s'",
        ),
    ],
)
def test_mistakes_are_named(make: Callable[[], Arrivals], message: str) -> None:
    with pytest.raises(UserError) as error:
        make()
    assert str(error.value) == message
