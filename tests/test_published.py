"""AIBench's published figures give the sums it drew from them."""

from __future__ import annotations

from benchmarks.published import (
    COMPONENTS,
    MLPERF_V05_HOURS,
    SUBSET,
    repeatable,
    subset,
    total_hours,
)


def saving(part: float, whole: float) -> float:
    return round(100 * (1 - part / whole), 1)


def test_all_seventeen_are_there() -> None:
    assert [one.component for one in COMPONENTS] == [f"C{number}" for number in range(1, 18)]


def test_the_subset_saves_41_percent() -> None:
    assert round(total_hours(COMPONENTS), 2) == 225.41
    assert round(total_hours(subset()), 2) == 132.99
    assert saving(total_hours(subset()), total_hours(COMPONENTS)) == 41.0


def test_against_mlperf() -> None:
    mlperf = sum(MLPERF_V05_HOURS)
    assert round(mlperf, 2) == 361.72
    assert saving(total_hours(subset()), mlperf) == 63.2
    assert saving(total_hours(COMPONENTS), mlperf) == 37.7


def test_five_repeats() -> None:
    costliest = sorted((one.hours or 0 for one in COMPONENTS), reverse=True)[:3]
    days = [5 * hours / 24 for hours in (sum(costliest), total_hours(COMPONENTS))]
    assert [round(one, 2) for one in days] == [38.5, 46.96]
    assert round(5 * sum(MLPERF_V05_HOURS) / 24, 1) == 75.4


def test_the_selection_rule_gives_the_subset() -> None:
    assert repeatable() == SUBSET


def test_the_epochs_contradict_the_text() -> None:
    epochs = {one.component: round(one.epochs) for one in COMPONENTS if one.epochs is not None}
    beyond = {component for component, count in epochs.items() if count > 96}
    assert beyond == {"C8", "C11"}
    assert (epochs["C8"], epochs["C11"], epochs["C9"], epochs["C3"]) == (1170, 304, 6, 96)
