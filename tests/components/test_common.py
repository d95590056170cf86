"""Schedules of the learning rate that several tasks share."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import SGD

from benchmarks.components._common import OneCycle

PEAK = 0.1


def rates(schedule: OneCycle, steps: int) -> list[float]:
    """The learning rate of each step."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], momentum=0.9)
    made, found = schedule(optimizer, steps), []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        made.step()
    return found


def test_the_rate_goes_up_once_and_down() -> None:
    found = rates(OneCycle(PEAK, rise=0.3), 10)
    assert found[2] == max(found) == pytest.approx(PEAK)
    assert found[:3] == sorted(found[:3])
    assert found[2:] == sorted(found[2:], reverse=True)


@pytest.mark.parametrize(("steps", "rise"), [(10, 0.1), (4, 0.25), (5, 0.2), (2, 0.5), (20, 0.05)])
def test_a_rise_of_a_single_step_takes_two(steps: int, rise: float) -> None:
    found = rates(OneCycle(PEAK, rise=rise), steps)
    assert len(found) == steps
    if steps > 2:
        assert found[:2] == pytest.approx([PEAK / 25, PEAK])


@given(st.integers(1, 60), st.floats(0.0, 0.5))
def test_there_is_a_rate_for_every_step(steps: int, rise: float) -> None:
    assert all(0 < rate <= PEAK * 1.000001 for rate in rates(OneCycle(PEAK, rise=rise), steps))
