"""The steps of a benchmark of inference on one system: accuracy pass, warm-up, load."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from typing import Any

import numpy as np

from pytest_aibench.bounds import Violation
from pytest_aibench.datasets.library import SampleLibrary
from pytest_aibench.inference.agreement import not_a_number
from pytest_aibench.inference.punctuality import undisturbed
from pytest_aibench.loadgen.arrivals import Arrivals, FixedInterval, Poisson, ThinkingUsers
from pytest_aibench.loadgen.effort import FOR_EVER_NS, StopRule
from pytest_aibench.loadgen.engine import Engine
from pytest_aibench.loadgen.journal import Answers, EveryAnswer, Load, SampledAnswers, no_load
from pytest_aibench.loadgen.order import (
    OrderSettings,
    Selection,
    equal_issue_min_queries,
    query_chunks,
    sample_sets,
)
from pytest_aibench.loadgen.plan import Chunks, QueryPlan, all_due_at_begin, batches
from pytest_aibench.loadgen.streams import IntArray
from pytest_aibench.loadgen.systems import ConcurrentSystem, InlineSystem
from pytest_aibench.loadgen.throughput import MIN_CALLS
from pytest_aibench.scenarios import (
    MultiStream,
    Offline,
    Scenario,
    Server,
    SingleStream,
    Users,
)

ANSWERS_COMPARED = 1024
"""Answers given under load that are kept for comparison with the accuracy pass."""

_WARM_UP_QUERIES = 10
_CHUNK = 1024
_ARRIVALS = 256  # few, because they are made while queries fall due
_TO_THE_END = StopRule(min_queries=1, min_duration_ns=FOR_EVER_NS, budget_ns=None)


class Mode(str, Enum):
    """What runs, in LoadGen's words: the accuracy pass, the load, or one after the other."""

    SUBMISSION = "submission"
    ACCURACY = "accuracy"
    PERFORMANCE = "performance"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccuracyPass:
    """Every sample answered once; in performance mode a few, for the speed alone.

    Attributes:
        sets: Sample indices of each loaded set, in the order of issue.
        by_index: Outputs by sample index; none in performance mode.
        began_at: When it began, by the wall clock.
        duration_s: Time under load.
        samples_per_s: How fast it went.
        violations: Rules broken.
    """

    sets: tuple[IntArray, ...]
    by_index: dict[int, Any]
    began_at: datetime
    duration_s: float
    samples_per_s: float
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadPass:
    """A load.

    Attributes:
        load: What happened to each query.
        answers: Sample indices and outputs of some of the answers given under it.
        settings: The effective settings.
        scenario: The scenario it ran in.
        rule: When it was to end.
        order: What decided which samples were loaded and asked for.
        began_at: When it began, by the wall clock.
    """

    load: Load
    answers: list[tuple[int, Any]]
    settings: dict[str, Any]
    scenario: Scenario
    rule: StopRule
    order: OrderSettings
    began_at: datetime

    @property
    def loaded(self) -> IntArray:
        """Indices of the loaded samples."""
        (samples,) = sample_sets(self.order)
        return samples

    @property
    def issued(self) -> IntArray:
        """Index of each sample in the order of issue."""
        n = int(self.load.sizes.sum())
        chunks = query_chunks(self.order, self.loaded, _CHUNK)
        pieces = [np.empty(0, np.int64)]
        while sum(map(len, pieces)) < n:
            pieces.append(next(chunks).ravel())
        return np.concatenate(pieces)[:n]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One system on one library.

    Attributes:
        engine: Loads the system; the system must be at work.
        system: The system, for what it says about itself.
        library: The samples.
        max_batch: Most samples in one query, offline and in the accuracy pass.
        mode: What runs; the other is left out.
        answers_compared: Answers given under load that are kept for comparison with those of the
            accuracy pass.
    """

    engine: Engine
    system: InlineSystem | ConcurrentSystem
    library: SampleLibrary
    max_batch: int
    mode: Mode = Mode.SUBMISSION
    answers_compared: int = ANSWERS_COMPARED

    def accuracy_pass(self) -> AccuracyPass:
        """Give every sample exactly once, set by set, in batches.

        In performance mode only the speed is wanted, for the size of an offline query: a few
        batches tell it, given twice because the first of all may be slow.
        """
        __tracebackhide__ = True
        began_at, answers, sets = _utc_now(), EveryAnswer(), self._accuracy_sets()
        if self.mode is Mode.PERFORMANCE:
            few = sets[0][: _WARM_UP_QUERIES * self.max_batch]
            loads = self._answer_all([few, few], EveryAnswer())[-1:]
            return _summed(began_at, (), {}, loads)
        return _summed(began_at, sets, answers.by_index, self._answer_all(sets, answers))

    def load(self, scenario: Scenario, rule: StopRule, alone: AccuracyPass) -> LoadPass:
        """Warm up, then load the system.

        A system that broke a rule before is not loaded, and none is in accuracy mode.
        """
        __tracebackhide__ = True
        asked, rule = rule, self._rule(scenario, rule)
        order = OrderSettings(
            total=self.library.total_count,
            performance_count=self.library.performance_count,
            samples_per_query=self._samples_per_query(scenario, rule, alone.samples_per_s),
            offline=isinstance(scenario, Offline),
            selection=Selection(scenario.selection),
            min_queries=rule.min_queries,
            seeds=scenario.seeds,
        )
        answers = SampledAnswers(self.answers_compared, scenario.seeds.sample_index % 2**32)
        began_at, why_not = _utc_now(), self._why_not_loaded(alone)
        if why_not:
            load = no_load(why_not, ())
        else:
            began_at, load = self._warm_up_and_load(scenario, rule, order, answers)
        return LoadPass(
            load=load,
            answers=answers.kept,
            settings=self._settings(scenario, rule, order),
            scenario=scenario,
            rule=asked,
            order=order,
            began_at=began_at,
        )

    def phases_ms(self) -> dict[str, float]:
        """Mean time per call in each phase of the model, over accuracy pass and load."""
        inline = getattr(self.system, "inline", self.system)
        return inline.phases_ms() if isinstance(inline, InlineSystem) else {}

    def _accuracy_sets(self) -> tuple[IntArray, ...]:
        """Every sample once, in the sets in which they fit in memory."""
        order = OrderSettings(
            total=self.library.total_count,
            performance_count=self.library.performance_count,
            offline=True,
            selection=Selection.ACCURACY,
        )
        return tuple(next(query_chunks(order, loaded, 1))[0] for loaded in sample_sets(order))

    def _answer_all(self, sets: Sequence[IntArray], answers: Answers) -> list[Load]:
        """Have each set answered in batches, until a rule is broken."""
        __tracebackhide__ = True
        loads: list[Load] = []
        for indices in sets:
            if not any(load.violations for load in loads):
                with self._loaded(indices):
                    plan = self._all_at_once(indices)
                    loads.append(self.engine.run(plan, _TO_THE_END, answers))
        return loads

    def _why_not_loaded(self, alone: AccuracyPass) -> str:
        if alone.violations:
            return "the accuracy pass broke a rule"
        return "accuracy mode has no load" if self.mode is Mode.ACCURACY else ""

    def _warm_up_and_load(
        self, scenario: Scenario, rule: StopRule, order: OrderSettings, answers: Answers
    ) -> tuple[datetime, Load]:
        __tracebackhide__ = True
        (samples,) = sample_sets(order)
        with self._loaded(samples), undisturbed():
            few = QueryPlan(_first(self._orders(order, samples), _WARM_UP_QUERIES))
            warm_up = self.engine.run(few, _TO_THE_END, EveryAnswer())
            began_at = _utc_now()
            if warm_up.violations:
                return began_at, no_load("the warm-up broke a rule", warm_up.violations)
            return began_at, self.engine.run(self._plan(scenario, order, samples), rule, answers)

    @contextmanager
    def _loaded(self, indices: IntArray) -> Iterator[None]:
        self.library.load(indices)
        try:
            yield
        finally:
            self.library.unload(indices)

    def _plan(self, scenario: Scenario, order: OrderSettings, samples: IntArray) -> QueryPlan:
        if isinstance(scenario, Offline):
            return self._all_at_once(next(query_chunks(order, samples, 1))[0])
        orders = self._orders(order, samples)
        if isinstance(scenario, Server):
            return QueryPlan(
                orders,
                _arrivals(scenario).chunks(scenario.seeds.schedule, _ARRIVALS),
                coalesce=scenario.coalesce,
                max_async=scenario.max_async,
            )
        if isinstance(scenario, Users):
            think_ns = round(scenario.think_time_s * 1e9)
            return QueryPlan(orders, ThinkingUsers(scenario.count, think_ns))
        if isinstance(scenario, MultiStream) and scenario.interval_s is not None:
            return QueryPlan(orders, FixedInterval(round(scenario.interval_s * 1e9)))
        return QueryPlan(orders)

    def _orders(self, order: OrderSettings, samples: IntArray) -> Chunks:
        if order.offline:
            return batches(samples, self.max_batch)
        return query_chunks(order, samples, _CHUNK)

    def _all_at_once(self, indices: IntArray) -> QueryPlan:
        return QueryPlan(batches(indices, self.max_batch), all_due_at_begin())

    def _rule(self, scenario: Scenario, rule: StopRule) -> StopRule:
        """Under equal issue, queries of one sample end with a whole pass over the loaded ones."""
        if scenario.selection != "equal_issue" or isinstance(scenario, Offline):
            return rule
        loaded = self.library.performance_count
        if isinstance(scenario, SingleStream):
            rule = replace(rule, min_queries=equal_issue_min_queries(rule.min_queries, loaded))
        return replace(rule, set_size=loaded)

    def _samples_per_query(self, scenario: Scenario, rule: StopRule, samples_per_s: float) -> int:
        if isinstance(scenario, MultiStream):
            return scenario.samples_per_query
        if not isinstance(scenario, Offline):
            return 1
        loaded = self.library.performance_count
        if scenario.selection == "unique":
            return loaded
        count = scenario.samples or self._samples_to_last(scenario, rule, samples_per_s)
        return math.ceil(count / loaded) * loaded if scenario.selection == "equal_issue" else count

    def _samples_to_last(self, scenario: Offline, rule: StopRule, samples_per_s: float) -> int:
        """As many as fill the shortest duration at the speed of the accuracy pass, and a tenth."""
        fewest = scenario.min_queries or max(
            self.library.performance_count, MIN_CALLS * self.max_batch
        )
        if math.isinf(samples_per_s):
            return fewest
        return max(fewest, math.ceil(1.1 * rule.min_duration_ns / 1e9 * samples_per_s))

    def _settings(self, scenario: Scenario, rule: StopRule, order: OrderSettings) -> dict[str, Any]:
        return {
            **asdict(scenario),
            **_arrival_settings(scenario),
            "min_queries": rule.min_queries,
            "min_duration_s": None if scenario.ends else rule.min_duration_ns / 1e9,
            "budget_s": None if rule.budget_ns is None else rule.budget_ns / 1e9,
            "samples_per_query": order.samples_per_query,
            "performance_samples": self.library.performance_count,
            "max_batch": self.max_batch,
        }


def _summed(
    began_at: datetime,
    sets: tuple[IntArray, ...],
    by_index: dict[int, Any],
    loads: Sequence[Load],
) -> AccuracyPass:
    seconds = sum(load.duration_s for load in loads)
    n_samples = sum(int(load.sizes.sum()) for load in loads)
    broken = [violation for load in loads for violation in load.violations]
    return AccuracyPass(
        sets=sets,
        by_index=by_index,
        began_at=began_at,
        duration_s=seconds,
        samples_per_s=n_samples / seconds if seconds else math.inf,
        violations=(*broken, *not_a_number(by_index)),
    )


def _arrivals(scenario: Server) -> Arrivals:
    """The scenario's arrivals; by default MLPerf's."""
    return scenario.arrivals or Poisson(scenario.target_qps or 0.0)


def _arrival_settings(scenario: Scenario) -> dict[str, Any]:
    if not isinstance(scenario, Server):
        return {}
    arrivals = _arrivals(scenario)
    return {"arrivals": {"process": arrivals.process, **asdict(arrivals)}}


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


def _first(orders: Chunks, n: int) -> Chunks:
    for chunk in orders:
        yield chunk[:n]
        n -= len(chunk)
        if n <= 0:
            return
