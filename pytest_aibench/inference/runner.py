"""Runs benchmarks of inference; what the ``loadgen`` fixture gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_aibench.bounds import Bound, Violation, at_most
from pytest_aibench.datasets.base import Dataset
from pytest_aibench.datasets.library import SampleLibrary
from pytest_aibench.errors import UserError
from pytest_aibench.inference.agreement import disagreement, not_a_number
from pytest_aibench.inference.audit import ANSWERS_COMPARED as ANSWERS_AUDITED
from pytest_aibench.inference.audit import QUERIES_FACTOR, Audit, audit
from pytest_aibench.inference.job import ANSWERS_COMPARED, AccuracyPass, Job, LoadPass, Mode
from pytest_aibench.inference.peak import peak_search, run_search
from pytest_aibench.inference.peak_result import PeakRun
from pytest_aibench.inference.punctuality import late_generator
from pytest_aibench.inference.result import Answers, LoadResult, excluded
from pytest_aibench.loadgen.clock import Clock, MonotonicClock
from pytest_aibench.loadgen.decision import FixedEstimator, SequentialDecision
from pytest_aibench.loadgen.effort import EFFORTS, Effort, stop_rule
from pytest_aibench.loadgen.engine import Progress, engine_for
from pytest_aibench.loadgen.percentiles import (
    percentile_figure,
    queries_needed,
)
from pytest_aibench.loadgen.systems import BatchingServer, InlineSystem, adapt
from pytest_aibench.loadgen.token_figures import Slo
from pytest_aibench.outcome import LookUp, Outcome, Required
from pytest_aibench.scenarios import Scenario
from pytest_aibench.units import parse_duration_s

if TYPE_CHECKING:
    from pytest_aibench.inference.mlperf import InForce
    from pytest_aibench.loadgen.mlperf_conf import Conf

_REFERENCE_TIMEOUT_S = 60.0

ReferenceMemory = MutableMapping[tuple[int, str], "tuple[Any, Answers]"]


@dataclass(frozen=True, kw_only=True)
class LoadGenerator:
    """Loads models with queries, and has the results judged.

    Attributes:
        effort: How long loads run by default.
        settle: Takes each result's outcome; raises what fails the test.
        memory: Answers of reference models, kept between benchmarks.
        synchronize: Waits for the device, so that answers are stamped when they are there.
        clock: Where stamps come from; by default the monotonic clock.
        progress: Called now and then while a load runs.
        say: Gets a line of text after each probe of a search.
        audit: Load each model again, with one sample repeated and with other seeds.
        mode: What runs: accuracy pass, load, or both.
        user_conf: Settings of LoadGen's ``user.conf``, which go before those of scenarios.
        log_folders: A folder for the logs of each run; None where no logs are wanted.
        look_up: Finds the bounds that stand in a file.
    """

    effort: Effort
    settle: Callable[[Any, Outcome], None]
    memory: ReferenceMemory
    synchronize: Callable[[], None] | None = None
    clock: Clock | None = None
    progress: Progress | None = None
    say: Callable[[str], None] = lambda text: None
    audit: bool = False
    mode: Mode = Mode.SUBMISSION
    user_conf: Conf | None = None
    log_folders: Iterator[Path] | None = None
    look_up: LookUp = Required

    def run(
        self,
        model: Any,
        dataset: Dataset,
        scenario: Scenario,
        *,
        bounds: Mapping[str, Bound] | None = None,
        references: Mapping[str, Any] | None = None,
        max_batch: int = 32,
        performance_samples: int | None = None,
        timeout: str = "60 s",
        may_differ: float = 0.0,
        provenance: Mapping[str, Any] | None = None,
        slo: Slo | None = None,
        mlperf_model: str | None = None,
    ) -> LoadResult:
        """Load a model and measure it; judge with ``require`` on the result.

        Args:
            model: A callable on a list of samples that returns one output for each; an object
                with ``preprocess``, ``infer`` and ``postprocess``; a `BatchingServer` around
                either; an async callable; a function on one sample that yields tokens, async or
                not, or a `TokenServer` around it; an `HttpEndpoint`; or an object with ``start``,
                ``issue``, ``flush`` and ``stop``.
            dataset: Samples and right answers.
            scenario: How queries arrive.
            bounds: Bounds known beforehand: the load ends as soon as they are certain.
            references: For bounds like "99% of fp32": models, or numbers, by name.
            max_batch: Most samples in one call, offline and in the accuracy pass; a
                `BatchingServer` has its own.
            performance_samples: Samples in memory under load; by default all.
            timeout: Longest wait for a completion.
            may_differ: Share of the answers under load that may differ from the accuracy pass.
            provenance: Facts about the model for the record, as JSON values.
            slo: What is promised of token streams, for the figure ``goodput``.
            mlperf_model: The model's name in MLPerf, like ``"resnet50"``, for official loads and
                for lines of ``user.conf`` that are for one model.

        Raises:
            UserError: The model, the data and the settings do not fit together.
            Exception: What the model raised, with a note that names the query.
        """
        __tracebackhide__ = True
        _check(max_batch, may_differ)
        scenario, performance_samples, notes = self._in_force(
            scenario, performance_samples, len(dataset), mlperf_model
        )
        required = Required(_own_bounds(scenario)) | self.look_up(bounds or {})
        watch = self._watch(scenario, required.bounds)
        needed = queries_needed(scenario.judged_percentile) * (QUERIES_FACTOR if self.audit else 1)
        rule = stop_rule(scenario, self.effort, needed, watch.look if watch else None)
        library = SampleLibrary(dataset, performance_samples)
        timeout_s = parse_duration_s(timeout, "timeout")
        with self._job(model, library, max_batch, timeout_s, self.mode) as job:
            alone = job.accuracy_pass()
            loaded = job.load(scenario, rule, alone)
            audited = self._audit(job, loaded, alone, may_differ)
        of_load = self._violations(loaded, alone, may_differ)
        logs = self._write_logs(model, library, alone, loaded, of_load)
        violations = (*alone.violations, *of_load, *audited.violations)
        return LoadResult(
            scenario=scenario,
            settings={
                "effort": self.effort.name,
                "mode": self.mode.value,
                **loaded.settings,
                **({"notes": notes} if notes else {}),
                **logs,
            },
            mode=self.mode,
            load=loaded.load,
            answers=Answers(dataset, alone.by_index),
            references=self._references(references, library, max_batch),
            violations=tuple({violation.rule: violation for violation in violations}.values()),
            bounds=required.bounds,
            uncalibrated=required.uncalibrated,
            look_up=self.look_up,
            provenance=provenance or {},
            phases_ms=job.phases_ms(),
            estimator=watch or FixedEstimator(),
            slo=slo,
            audit=audited.checks,
            settle=self.settle,
        )

    def find_peak(
        self,
        model: Any,
        dataset: Dataset,
        scenario: Scenario,
        *,
        highest: float | None = None,
        tolerance: str | None = None,
        max_queries: int | None = None,
        max_duration: str | None = None,
        references: Mapping[str, Any] | None = None,
        max_batch: int = 32,
        performance_samples: int | None = None,
        timeout: str = "60 s",
        may_differ: float = 0.0,
        provenance: Mapping[str, Any] | None = None,
    ) -> PeakRun:
        """Search the highest load within the latency bound; judge with ``require`` on the result.

        The figure is ``peak_qps`` of a `Server`, searched from its ``target_qps``, or the rate of
        its arrivals, and ``peak_streams`` of a `MultiStream` with a latency bound, searched from
        one sample per query. What is not explained here is the same as for `run`.

        Args:
            model: The model.
            dataset: Samples and right answers.
            scenario: A server or multi-stream scenario with a latency bound.
            highest: The load at which the doubling ends, met or not.
            tolerance: Half-width of the interval that ends the search, like ``"3 %"``; by default
                the effort decides.
            max_queries: Budget of queries, likewise.
            max_duration: Budget of time under load, likewise.
            references: For bounds like "99% of fp32".
            max_batch: Most samples in one call.
            performance_samples: Samples in memory under load.
            timeout: Longest wait for a completion.
            may_differ: Share of the answers under load that may differ.
            provenance: Facts about the model for the record.

        Raises:
            UserError: The model, the data and the settings do not fit together.
            Exception: What the model raised, with a note that names the query.
        """
        __tracebackhide__ = True
        _check(max_batch, may_differ)
        search = peak_search(
            scenario,
            self.effort,
            highest=highest,
            tolerance=tolerance,
            max_queries=max_queries,
            max_duration=max_duration,
            may_differ=may_differ,
        )
        library = SampleLibrary(dataset, performance_samples)
        with self._job(model, library, max_batch, parse_duration_s(timeout, "timeout")) as job:
            alone = job.accuracy_pass()
            found = run_search(job, search, alone, self.say)
        return PeakRun(
            search=search,
            settings={"effort": self.effort.name, **asdict(search)},
            found=found,
            answers=Answers(dataset, alone.by_index),
            references=self._references(references, library, max_batch),
            provenance=provenance or {},
            look_up=self.look_up,
            settle=self.settle,
        )

    def _in_force(
        self, scenario: Scenario, performance_samples: int | None, total: int, model: str | None
    ) -> InForce:
        official = self.effort == EFFORTS["official"]
        if not official and self.user_conf is None:
            return scenario, performance_samples, []
        from pytest_aibench.inference.mlperf import in_force

        return in_force(
            scenario,
            performance_samples,
            total,
            model=model,
            official=official,
            conf=self.user_conf,
        )

    def _audit(self, job: Job, loaded: LoadPass, alone: AccuracyPass, may_differ: float) -> Audit:
        __tracebackhide__ = True
        if not self.audit or self.mode is Mode.ACCURACY:
            return Audit()
        reload = partial(job.load, rule=loaded.rule, alone=alone)
        return audit(reload, loaded.scenario, loaded.load, alone, may_differ)

    def _violations(
        self, loaded: LoadPass, alone: AccuracyPass, may_differ: float
    ) -> tuple[Violation, ...]:
        """Rules broken by the load."""
        answers = dict(loaded.answers) if self.mode is Mode.PERFORMANCE else {}
        return (
            *loaded.load.violations,
            *disagreement(loaded.answers, alone.by_index, may_differ),
            *not_a_number(answers),
            *late_generator(loaded.scenario, loaded.load.generator_lateness_ns),
        )

    def _write_logs(
        self,
        model: Any,
        library: SampleLibrary,
        alone: AccuracyPass,
        loaded: LoadPass,
        violations: Sequence[Violation],
    ) -> dict[str, Any]:
        """Write MLPerf's logs if they are wanted, and say so in settings for the record."""
        if self.log_folders is None:
            return {}
        from pytest_aibench.inference.mlperf import write_benchmark_logs

        return write_benchmark_logs(
            next(self.log_folders),
            system=getattr(model, "__name__", type(model).__name__),
            library=library,
            alone=alone,
            loaded=loaded,
            violations=violations,
        )

    def _watch(self, scenario: Scenario, bounds: Mapping[str, Bound]) -> SequentialDecision | None:
        if self.audit or not self.effort.sequential or scenario.ends:
            return None
        return SequentialDecision(
            {name: bound for name, bound in bounds.items() if excluded(scenario, name) is None}
        )

    @contextmanager
    def _job(
        self,
        model: Any,
        library: SampleLibrary,
        max_batch: int,
        timeout_s: float,
        mode: Mode = Mode.SUBMISSION,
    ) -> Iterator[Job]:
        """The model at work on the library."""
        __tracebackhide__ = True
        system = adapt(model, self.synchronize)
        clock = self.clock or MonotonicClock(yielding=not isinstance(system, InlineSystem))
        most = model.max_batch if isinstance(model, BatchingServer) else max_batch
        engine = engine_for(system, library, clock, timeout_s=timeout_s, progress=self.progress)
        with engine.at_work():
            yield Job(
                engine=engine,
                system=system,
                library=library,
                max_batch=most,
                mode=mode,
                answers_compared=ANSWERS_AUDITED if self.audit else ANSWERS_COMPARED,
            )

    def _references(
        self, references: Mapping[str, Any] | None, library: SampleLibrary, max_batch: int
    ) -> dict[str, Callable[[str], float]]:
        return {
            name: self._reference(reference, library, max_batch)
            for name, reference in (references or {}).items()
        }

    def _reference(
        self, reference: Any, library: SampleLibrary, max_batch: int
    ) -> Callable[[str], float]:
        """The reference's quality by metric; a model is asked only when a bound needs it."""
        if isinstance(reference, (int, float)):
            return lambda name: float(reference)

        def quality(name: str) -> float:
            estimate = self._answers_of(reference, library, max_batch).quality(name)
            if estimate.value is None:
                raise UserError(f"the reference's {name} was not measured: {estimate.why_open}")
            return estimate.value

        return quality

    def _answers_of(self, model: Any, library: SampleLibrary, max_batch: int) -> Answers:
        key = (id(model), library.dataset.fingerprint)
        if key not in self.memory:
            with self._job(model, library, max_batch, _REFERENCE_TIMEOUT_S) as job:
                answers = Answers(library.dataset, job.accuracy_pass().by_index)
            # The model is kept with its answers so that its id cannot come to mean another.
            self.memory[key] = (model, answers)
        return self.memory[key][1]


def _check(max_batch: int, may_differ: float) -> None:
    if not isinstance(max_batch, int) or max_batch < 1:
        raise UserError(f"max_batch={max_batch!r} must be a whole number of at least 1")
    if not 0 <= may_differ <= 1:
        raise UserError(f"may_differ={may_differ!r} must be a share between 0 and 1, like 0.01")


def _own_bounds(scenario: Scenario) -> dict[str, Bound]:
    """The latency bound that stands in the scenario itself, as a bound on its percentile."""
    text = getattr(scenario, "latency_bound", None)
    return {} if text is None else {percentile_figure(scenario.judged_percentile): at_most(text)}
