"""Which runs a figure is compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_aibench.regression.acceptance import Acceptance
from pytest_aibench.regression.ancestry import Ancestry
from pytest_aibench.regression.baseline import (
    MOST_RUNS,
    Baseline,
    Policy,
    at_accepted_level,
    differing_from,
)
from pytest_aibench.regression.baseline import choose as choose_from
from pytest_aibench.results.identity import SeriesKey
from pytest_aibench.results.index import Point

KEY = SeriesKey(benchmark="a.py::test", metric="p50_ms", hardware="cpu-x", setup="s")
SCORE = replace(KEY, metric="top1")
NOW = {"sw.driver": "560", "subject.commit": "new"}
ANY = Policy()


def point(number: int, value: float = 10.0, **changes: Any) -> Point:
    made = Point(
        run_id=f"run{number}",
        group_id="",
        started_at=f"2026-03-{1 + number // 24:02}T{number % 24:02}:00:00+00:00",
        commit=f"c{number}",
        branch="main",
        dirty=False,
        value=value,
        low=None,
        high=None,
        n=100,
        better="lower",
        invalid="",
        factors={"sw.driver": "560", "subject.commit": f"c{number}"},
    )
    return made._replace(**changes)


def choose(
    key: SeriesKey, points: Sequence[Point], candidate: Mapping[str, str], policy: Policy
) -> Baseline:
    return choose_from(key, points, differing_from(candidate, policy), policy)


def wobbling(first: int, runs: int, level: float) -> list[Point]:
    """Runs about a level, one per cent up and down in turn."""
    return [point(first + i, level * (1.01 if i % 2 else 0.99)) for i in range(runs)]


def accepted_at(number: int) -> Acceptance:
    since = point(number).started_at
    return Acceptance(
        benchmark="a.py::*",
        metric="*",
        since=since,
        run_id=f"run{number}",
        commit="",
        reason="",
        accepted_at=since,
    )


def test_the_newest_runs_count() -> None:
    points = wobbling(0, MOST_RUNS + 5, 10.0)
    assert choose(KEY, points, NOW, ANY).points == tuple(points[5:])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"invalid": "device throttled: half of the time"}, "invalid"),
        ({"dirty": True}, "uncommitted changes"),
        ({"commit": "elsewhere"}, "on other branches"),
        ({"value": float("inf")}, "not measured"),
    ],
)
def test_runs_that_are_no_baseline_are_counted(changes: dict[str, Any], why: str) -> None:
    policy = Policy(ancestry=Ancestry(ref="main", base="c1", commits=frozenset({"c0", "c1"})))
    baseline = choose(KEY, [point(0), point(1, **changes)], NOW, policy)
    assert [p.run_id for p in baseline.points] == ["run0"]
    assert baseline.left_out == {why: 1}


def test_shards_of_one_session_are_one_run() -> None:
    points = [point(0, 9.0, group_id="g"), point(1, 11.0, group_id="g"), point(2)]
    assert choose(KEY, points, NOW, ANY).values == (11.0, 10.0)


def test_another_driver_confounds() -> None:
    old = point(0, factors={"sw.driver": "550"})
    assert choose(KEY, [old], NOW, ANY).confounded == {"sw.driver": ("550", "560")}
    assert choose(KEY, [old], NOW, ANY).points == ()


def test_a_declared_factor_may_differ() -> None:
    old = point(0, factors={"sw.driver": "550"})
    assert choose(KEY, [old], NOW, Policy(vary=("sw.driver",))).points == (old,)
    assert choose(KEY, [old], NOW, Policy(allow_confounded=True)).points == (old,)


def test_runs_in_this_environment_go_before_others() -> None:
    old, like = point(0, factors={"sw.driver": "550"}), point(1)
    baseline = choose(KEY, [like, old], NOW, ANY)
    assert baseline.points == (like,)
    assert baseline.left_out == {"another environment": 1}


def test_a_confirmed_change_starts_a_new_baseline_and_keeps_the_spread() -> None:
    points = wobbling(0, 20, 10.0) + wobbling(20, 12, 13.0)
    baseline = choose(KEY, points, NOW, ANY)
    assert baseline.points == tuple(points[20:])
    assert baseline.spread == pytest.approx([p.value * 1.3 for p in points[:20]])


def test_an_accepted_run_stands_beside_the_older_level() -> None:
    points = wobbling(0, 20, 10.0) + wobbling(20, 2, 11.0)
    baseline = choose(KEY, points, NOW, Policy(acceptances=(accepted_at(20),)))
    assert baseline.accepted == points[20]
    level = at_accepted_level(KEY, baseline)
    assert level is not None
    assert level.points == (points[20],)
    assert level.spread == pytest.approx([p.value * 1.089 for p in points], rel=0.02)


def test_a_level_that_began_after_an_acceptance_has_no_use_for_it() -> None:
    points = wobbling(0, 20, 13.0) + wobbling(20, 12, 10.0)
    baseline = choose(KEY, points, NOW, Policy(acceptances=(accepted_at(5),)))
    assert baseline.points == tuple(points[20:])
    assert baseline.accepted is None
    assert at_accepted_level(KEY, baseline) is None


def test_an_acceptance_is_about_its_series_only() -> None:
    points = wobbling(0, 10, 10.0)
    policy = Policy(acceptances=(accepted_at(5),))
    other = replace(KEY, benchmark="b.py::test")
    assert choose(KEY, points, NOW, policy).acceptance is not None
    assert choose(other, points, NOW, policy).acceptance is None


def test_the_spread_of_scores_moves_by_differences() -> None:
    points = [*wobbling(0, 20, 0.5), point(20, 0.6)]
    baseline = choose(SCORE, points, NOW, Policy(acceptances=(accepted_at(20),)))
    level = at_accepted_level(SCORE, baseline)
    assert level is not None
    assert level.spread == pytest.approx([p.value + 0.1 for p in points], abs=0.006)


def test_named_runs_are_the_baseline_wherever_they_stand() -> None:
    points = [*wobbling(0, 9, 10.0), point(9, 20.0, dirty=True)]
    baseline = choose(KEY, points, NOW, Policy(only=frozenset({"run9"})))
    assert baseline.values == (20.0,)
    assert baseline.spread == pytest.approx([p.value * 2 for p in points[:9]], rel=0.02)


def test_named_runs_may_be_confounded() -> None:
    named = point(3, factors={"sw.driver": "550"})
    baseline = choose(KEY, [point(0), named], NOW, Policy(only=frozenset({"run3"})))
    assert baseline.confounded == {"sw.driver": ("550", "560")}
