"""The steps of a benchmark of inference on one system: accuracy pass, warm-up, load."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import Violation
from pytest_aibench.datasets.library import SampleLibrary
from pytest_aibench.inference.agreement import not_a_number
from pytest_aibench.inference.quiet import undisturbed
from pytest_aibench.loadgen.arrivals import Arrivals, Poisson
from pytest_aibench.loadgen.effort import FOR_EVER_NS, Effort, StopRule
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
from pytest_aibench.loadgen.systems import ConcurrentSystem, InlineSystem
from pytest_aibench.loadgen.throughput import MIN_CALLS
from pytest_aibench.loadgen.users import ThinkingUsers
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

OFFICIAL_OFFLINE_SAMPLES = 24_576
"""Fewest samples of an offline query (MLPerf inference rules, scenarios)."""

_WARM_UP_QUERIES = 10
_CHUNK = 1024
_ARRIVALS = 256  # few, because they are made while queries fall due
_TO_THE_END = StopRule(min_queries=1, min_duration_ns=FOR_EVER_NS, budget_ns=None)


@dataclass(frozen=True, slots=True)
class AccuracyPass:
    """Every sample answered once.

    Attributes:
        by_index: Outputs by sample index.
        samples_per_s: How fast it went.
        violations: Rules broken.
    """

    by_index: dict[int, Any]
    samples_per_s: float
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class LoadPass:
    """A load, a sample of the answers given under it, and the effective settings."""

    load: Load
    answers: list[tuple[int, Any]]
    settings: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One system on one library.

    Attributes:
        engine: Loads the system; the system must be at work.
        system: The system, for what it says about itself.
        library: The samples.
        max_batch: Most samples in one query, offline and in the accuracy pass.
        answers_compared: Answers given under load that are kept for comparison with those of the
            accuracy pass.
    """

    engine: Engine
    system: InlineSystem | ConcurrentSystem
    library: SampleLibrary
    max_batch: int
    answers_compared: int = ANSWERS_COMPARED

    def accuracy_pass(self) -> AccuracyPass:
        """Give every sample exactly once, set by set, in batches."""
        __tracebackhide__ = True
        settings = OrderSettings(
            total=self.library.total_count,
            performance_count=self.library.performance_count,
            offline=True,
            selection=Selection.ACCURACY,
        )
        answers = EveryAnswer()
        loads: list[Load] = []
        for samples in sample_sets(settings):
            if not any(load.violations for load in loads):
                indices = next(query_chunks(settings, samples, 1))[0]
                with self._loaded(indices):
                    plan = self._all_at_once(indices)
                    loads.append(self.engine.run(plan, _TO_THE_END, answers))
        seconds = sum(load.duration_s for load in loads)
        broken = [violation for load in loads for violation in load.violations]
        return AccuracyPass(
            by_index=answers.by_index,
            samples_per_s=len(answers.by_index) / seconds if seconds else math.inf,
            violations=(*broken, *not_a_number(answers.by_index)),
        )

    def load(
        self, scenario: Scenario, rule: StopRule, effort: Effort, alone: AccuracyPass
    ) -> LoadPass:
        """Warm up, then load the system; a system that broke a rule before is not loaded."""
        __tracebackhide__ = True
        rule = self._rule(scenario, rule)
        order = OrderSettings(
            total=self.library.total_count,
            performance_count=self.library.performance_count,
            samples_per_query=self._samples_per_query(scenario, rule, effort, alone.samples_per_s),
            offline=isinstance(scenario, Offline),
            selection=Selection(scenario.selection),
            min_queries=rule.min_queries,
            seeds=scenario.seeds,
        )
        answers = SampledAnswers(self.answers_compared, scenario.seeds.sample_index % 2**32)
        load = no_load("the accuracy pass broke a rule", ())
        if not alone.violations:
            load = self._warm_up_and_load(scenario, rule, order, answers)
        return LoadPass(load, answers.kept, self._settings(scenario, rule, order))

    def phases_ms(self) -> dict[str, float]:
        """Mean time per call in each phase of the model, over accuracy pass and load."""
        inline = getattr(self.system, "inline", self.system)
        return inline.phases_ms() if isinstance(inline, InlineSystem) else {}

    def _warm_up_and_load(
        self, scenario: Scenario, rule: StopRule, order: OrderSettings, answers: Answers
    ) -> Load:
        __tracebackhide__ = True
        (samples,) = sample_sets(order)
        with self._loaded(samples), undisturbed():
            few = QueryPlan(_first(self._orders(order, samples), _WARM_UP_QUERIES))
            warm_up = self.engine.run(few, _TO_THE_END, EveryAnswer())
            if warm_up.violations:
                return no_load("the warm-up broke a rule", warm_up.violations)
            return self.engine.run(self._plan(scenario, order, samples), rule, answers)

    @contextmanager
    def _loaded(self, indices: npt.NDArray[np.int64]) -> Iterator[None]:
        self.library.load(indices)
        try:
            yield
        finally:
            self.library.unload(indices)

    def _plan(
        self, scenario: Scenario, order: OrderSettings, samples: npt.NDArray[np.int64]
    ) -> QueryPlan:
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
        return QueryPlan(orders)

    def _orders(self, order: OrderSettings, samples: npt.NDArray[np.int64]) -> Chunks:
        if order.offline:
            return batches(samples, self.max_batch)
        return query_chunks(order, samples, _CHUNK)

    def _all_at_once(self, indices: npt.NDArray[np.int64]) -> QueryPlan:
        return QueryPlan(batches(indices, self.max_batch), all_due_at_begin())

    def _rule(self, scenario: Scenario, rule: StopRule) -> StopRule:
        """Under equal issue, queries of one sample end with a whole pass over the loaded ones."""
        if scenario.selection != "equal_issue" or isinstance(scenario, Offline):
            return rule
        loaded = self.library.performance_count
        if isinstance(scenario, SingleStream):
            rule = replace(rule, min_queries=equal_issue_min_queries(rule.min_queries, loaded))
        return replace(rule, set_size=loaded)

    def _samples_per_query(
        self, scenario: Scenario, rule: StopRule, effort: Effort, samples_per_s: float
    ) -> int:
        if isinstance(scenario, MultiStream):
            return scenario.samples_per_query
        if not isinstance(scenario, Offline):
            return 1
        loaded = self.library.performance_count
        if scenario.selection == "unique":
            return loaded
        count = scenario.samples or self._samples_to_last(scenario, rule, effort, samples_per_s)
        return math.ceil(count / loaded) * loaded if scenario.selection == "equal_issue" else count

    def _samples_to_last(
        self, scenario: Offline, rule: StopRule, effort: Effort, samples_per_s: float
    ) -> int:
        """As many as fill the shortest duration at the speed of the accuracy pass, and a tenth."""
        fewest = scenario.min_queries or self._fewest_offline(effort)
        if math.isinf(samples_per_s):
            return fewest
        return max(fewest, math.ceil(1.1 * rule.min_duration_ns / 1e9 * samples_per_s))

    def _fewest_offline(self, effort: Effort) -> int:
        fewest = max(self.library.performance_count, MIN_CALLS * self.max_batch)
        return fewest if effort.sequential else max(fewest, OFFICIAL_OFFLINE_SAMPLES)

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


def _arrivals(scenario: Server) -> Arrivals:
    """The scenario's arrivals; by default MLPerf's."""
    return scenario.arrivals or Poisson(scenario.target_qps or 0.0)


def _arrival_settings(scenario: Scenario) -> dict[str, Any]:
    if not isinstance(scenario, Server):
        return {}
    arrivals = _arrivals(scenario)
    return {"arrivals": {"process": arrivals.process, **asdict(arrivals)}}


def _first(orders: Chunks, n: int) -> Chunks:
    for chunk in orders:
        yield chunk[:n]
        n -= len(chunk)
        if n <= 0:
            return
