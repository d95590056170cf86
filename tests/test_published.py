"""AIBench's published figures give the sums it drew from them, by the functions that tables use."""

from __future__ import annotations

import pytest

from benchmarks import test_components
from pytest_aibench.report.behaviour import COMPONENTS, SUBSET, fits_subset, saving

HOURS = {one.component: one.hours for one in COMPONENTS}
KNOWN_HOURS = {component: hours for component, hours in HOURS.items() if hours is not None}

MLPERF_V05_HOURS = (130, 0.16, 73.34, 23.7, 16.52, 22, 96)
"""What MLPerf Training v0.5 cost on the same machine; the last was "more than 96"."""


def test_all_seventeen_are_there() -> None:
    assert [one.component for one in COMPONENTS] == [f"C{number}" for number in range(1, 18)]


def test_the_suite_marks_the_first_task_of_each_component_in_the_subset() -> None:
    marked = [task.name for task, marks in test_components._tasks("embedded") if marks]
    assert marked == ["image_classification", "object_detection", "learning_to_rank"]


def test_the_subset_saves_41_percent() -> None:
    assert round(sum(KNOWN_HOURS.values()), 2) == 225.41
    assert round(sum(KNOWN_HOURS[member] for member in SUBSET), 2) == 132.99
    assert saving(HOURS, SUBSET) == pytest.approx(0.41, abs=0.0005)


def test_against_mlperf() -> None:
    mlperf = sum(MLPERF_V05_HOURS)
    assert round(mlperf, 2) == 361.72
    assert round(100 * (1 - sum(KNOWN_HOURS[member] for member in SUBSET) / mlperf), 1) == 63.2
    assert round(100 * (1 - sum(KNOWN_HOURS.values()) / mlperf), 1) == 37.7


def test_five_repeats() -> None:
    costliest = sorted(KNOWN_HOURS.values(), reverse=True)[:3]
    days = [5 * sum(hours) / 24 for hours in (costliest, KNOWN_HOURS.values())]
    assert [round(one, 2) for one in days] == [38.5, 46.96]
    assert round(5 * sum(MLPERF_V05_HOURS) / 24, 1) == 75.4


def test_the_selection_rule_gives_the_subset() -> None:
    fitting = [
        one.component
        for one in COMPONENTS
        if fits_subset(one.variation, one.repeats, one.widely_accepted)
    ]
    assert tuple(fitting) == SUBSET == tuple(one.component for one in COMPONENTS if one.in_subset)


def test_the_epochs_contradict_the_text() -> None:
    epochs = {one.component: round(one.epochs) for one in COMPONENTS if one.epochs is not None}
    beyond = {component for component, count in epochs.items() if count > 96}
    assert beyond == {"C8", "C11"}
    assert (epochs["C8"], epochs["C11"], epochs["C9"], epochs["C3"]) == (1170, 304, 6, 96)
