"""Waiting for a moment."""

from __future__ import annotations

import time

import pytest

from pytest_aibench.loadgen.clock import SPIN_NS, MonotonicClock


class FakeTime:
    """The time module, with a sleep that takes 200 µs more than asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ns = 0
        self.slept_ns: list[int] = []
        self.given_way = 0
        monkeypatch.setattr(time, "perf_counter_ns", self.read)
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr("pytest_aibench.loadgen.clock.give_way", self.give_way)

    def read(self) -> int:
        """Reading takes 50 ns."""
        self.now_ns += 50
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        """Oversleep."""
        self.slept_ns.append(round(seconds * 1e9))
        self.now_ns += round(seconds * 1e9) + 200_000

    def give_way(self) -> None:
        """Count."""
        self.given_way += 1


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


def test_a_wait_sleeps_first_and_spins_to_the_moment(fake_time: FakeTime) -> None:
    clock = MonotonicClock()
    assert clock.sleep_until(10_000_000) == 10_000_000
    assert fake_time.slept_ns == [10_000_000 - 50 - SPIN_NS]
    assert fake_time.given_way == 0


def test_a_short_wait_is_only_spun(fake_time: FakeTime) -> None:
    assert MonotonicClock().sleep_until(SPIN_NS) == SPIN_NS
    assert fake_time.slept_ns == []


def test_a_moment_that_has_passed_is_not_waited_for(fake_time: FakeTime) -> None:
    fake_time.now_ns = 1000
    assert MonotonicClock().sleep_until(500) == 1050
    assert fake_time.slept_ns == []


def test_spinning_lets_other_threads_run_where_they_need_it(fake_time: FakeTime) -> None:
    assert MonotonicClock(yielding=True).sleep_until(1000) == 1000
    assert fake_time.given_way == 19


def test_steps_of_the_wall_clock_are_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = MonotonicClock()
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.now() >= before
