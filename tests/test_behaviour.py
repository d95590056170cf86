"""What stored trainings say of tasks: clusters, the rule for a subset, and what one saves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.components import all_tasks
from pytest_aibench.report.behaviour import (
    COMPARED,
    FEWEST_REPEATS,
    FIGURES,
    LARGEST_VARIATION,
    N_CLUSTERS,
    Behaviour,
    Clusters,
    Place,
    clustered,
    component_of,
    fits_subset,
    saving,
    selected,
)
from pytest_aibench.results.schema import Metric


def figures(**values: float) -> dict[str, Metric]:
    """All figures of a task, unknown but for these."""
    unknown = Metric(value=None, better="lower", n=0, why_open="not in the record")
    known = {name: Metric(value=value, better="lower", n=1) for name, value in values.items()}
    return {**dict.fromkeys(FIGURES, unknown), **known}


def task(name: str, **values: float) -> Behaviour:
    return Behaviour(
        name=name,
        component="",
        run_id="",
        epochs=(1,) * FEWEST_REPEATS,
        figures=figures(**values),
        is_accepted=True,
    )


def group(size: float, count: int = 4) -> list[Behaviour]:
    """Tasks that are alike: every figure is about that size."""
    return [
        task(f"{size:g} {number}", **dict.fromkeys(COMPARED, size + number / 100))
        for number in range(count)
    ]


def test_alike_tasks_are_in_one_cluster() -> None:
    groups = [group(10.0), group(1000.0), group(100_000.0)]
    found = clustered([one for tasks in groups for one in tasks])
    numbers = [{found.places[one.name].cluster for one in tasks} for tasks in groups]
    assert numbers == [{1}, {2}, {3}]
    assert found.compared == tuple(COMPARED)
    assert found.silhouette == pytest.approx(1, abs=0.01)
    assert found.perplexity == pytest.approx(11 / 3)
    assert found == clustered([one for tasks in groups for one in tasks])


def test_a_large_figure_does_not_outweigh_the_others() -> None:
    """Five times the parameters counts as much as five times the epochs."""
    found = clustered(
        [
            task(
                f"{name} {number}",
                n_parameters=parameters * (1 + number / 100),
                epochs_to_quality=epochs,
            )
            for name, parameters, epochs in (("a", 1e6, 2), ("b", 5e6, 2), ("c", 1e6, 10))
            for number in range(3)
        ]
    )
    assert [found.places[f"{name} 2"].cluster for name in "abc"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("tasks", "differing"),
    [
        ([], 0),
        (group(10.0, 5), 5),
        ([*group(10.0, 5), task("other", n_parameters=3.0)], 5),
        (group(10.0, 1) * 9, 1),
    ],
)
def test_too_few_tasks_for_clusters(tasks: Sequence[Behaviour], differing: int) -> None:
    found = clustered(tasks)
    assert found.places == {}
    assert found.why_none == (f"they need 6 tasks that differ and have all figures; {differing} do")


def test_a_task_without_a_figure_that_others_have_is_left_out() -> None:
    found = clustered([*group(10.0), *group(99.0), task("other", n_parameters=3.0)])
    assert len(found.places) == 8
    assert "other" not in found.places


@pytest.mark.parametrize(
    ("variation", "repeats", "is_accepted", "fits"),
    [
        (0.019, 4, True, True),
        (0.0, 10, True, True),
        (0.02, 4, True, False),
        (0.019, 3, True, None),
        (None, 5, True, None),
        (None, None, True, None),
        (0.019, 4, False, False),
        (None, None, False, False),
    ],
)
def test_what_fits_the_rule(
    variation: float | None, repeats: int | None, is_accepted: bool, fits: bool | None
) -> None:
    assert fits_subset(variation, repeats, is_accepted) is fits


def place(cluster: int) -> Place:
    return Place(cluster=cluster, x=0.0, y=0.0)


def test_of_each_cluster_the_steadiest_and_then_the_cheapest_is_chosen() -> None:
    tasks = [
        task("unsteady", variation=0.01, time_to_quality_s=1.0),
        task("dear", variation=0.0, time_to_quality_s=9.0),
        task("cheap", variation=0.0, time_to_quality_s=2.0),
        task("alone", variation=0.015, time_to_quality_s=99.0),
        task("unfit", variation=0.2, time_to_quality_s=1.0),
        task("placeless", variation=0.0, time_to_quality_s=1.0),
    ]
    clusters = {"unsteady": 1, "dear": 1, "cheap": 1, "alone": 2, "unfit": 3}
    found = Clusters(places={name: place(cluster) for name, cluster in clusters.items()})
    assert selected(tasks, found) == ("cheap", "alone")
    everything = selected(tasks, Clusters(why_none="too few"))
    assert everything == ("unsteady", "dear", "cheap", "alone", "placeless")


VARIATIONS = st.floats(0, 2 * LARGEST_VARIATION)


@given(st.lists(st.tuples(VARIATIONS, st.integers(1, N_CLUSTERS)), max_size=9))
def test_what_is_chosen_fits_and_spreads(tasks: list[tuple[float, int]]) -> None:
    known = [task(str(n), variation=one) for n, (one, _) in enumerate(tasks)]
    clusters = {str(n): place(cluster) for n, (_, cluster) in enumerate(tasks)}
    chosen = selected(known, Clusters(places=clusters))
    fitting = {one.name for one in known if one.fits}
    assert set(chosen) <= fitting
    assert sorted(clusters[name].cluster for name in chosen) == sorted(
        {clusters[name].cluster for name in fitting}
    )


@given(st.dictionaries(st.text(max_size=2), st.floats(0.1, 1e6), min_size=1), st.data())
def test_more_members_save_less(costs: dict[str, float], data: Any) -> None:
    names = sorted(costs)
    members = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    fewer = saving(costs, members[:1])
    share = saving(costs, members)
    assert fewer is not None
    assert share is not None
    assert -1e-9 <= share <= fewer < 1
    assert saving(costs, names) == pytest.approx(0, abs=1e-9)
    assert saving({**costs, "unknown": None}, members) == pytest.approx(share)
    assert saving({**costs, "unknown": None}, [*members, "unknown"]) is None


def test_no_members_save_nothing_that_is_known() -> None:
    assert saving({"a": 1.0}, ()) is None
    assert saving({}, ("a",)) is None


def test_components_are_known_by_their_provenance() -> None:
    tasks = all_tasks()
    assert [component_of(one.provenance) for one in tasks] == [one.component for one in tasks]
    assert component_of({}) == component_of({"component": "my own, like C1"}) == ""
