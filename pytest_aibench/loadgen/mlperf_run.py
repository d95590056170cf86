"""A finished run as MLPerf's logs tell it: the settings, and what was answered and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pytest_aibench.loadgen.journal import Load
from pytest_aibench.loadgen.mlperf_settings import (
    EffectiveSettings,
    RequestedSettings,
    effective_settings,
)
from pytest_aibench.loadgen.streams import IntArray
from pytest_aibench.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class LoggedAnswer:
    """One line of the accuracy log.

    Attributes:
        number: Number of the sample in order of issue.
        index: Index of the sample in the library.
        output: What the system answered.
    """

    number: int
    index: int
    output: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AccuracyPhase:
    """The accuracy run: every sample answered once, each loaded set in one query.

    Attributes:
        sets: Sample indices of each loaded set, in order of issue.
        outputs: What was answered, by sample index.
        began_at: When it began, by the wall clock.
        duration_s: Until the last answer.
    """

    sets: Sequence[IntArray]
    outputs: Mapping[int, Any]
    began_at: datetime
    duration_s: float

    @property
    def ended_at(self) -> datetime:
        """When the last answer came, by the wall clock."""
        return self.began_at + timedelta(seconds=self.duration_s)

    @property
    def answers(self) -> list[LoggedAnswer]:
        """The answers, in order of issue; samples without one are left out."""
        indices = [index for loaded in self.sets for index in loaded.tolist()]
        return [
            LoggedAnswer(number, index, self.outputs[index])
            for number, index in enumerate(indices)
            if index in self.outputs
        ]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PerformancePhase:
    """The performance run; offline its one query may have been handed over in parts.

    Attributes:
        load: What happened to each query.
        loaded: Sample indices of the loaded set.
        began_at: When it began, by the wall clock.
        answers: The answers chosen for the accuracy log, as for compliance TEST01.
        samples: Index of each sample in order of issue; None when no trace is wanted.
    """

    load: Load
    loaded: IntArray
    began_at: datetime
    answers: Sequence[LoggedAnswer] = ()
    samples: IntArray | None = None

    @property
    def ended_at(self) -> datetime:
        """When the last answer came, by the wall clock."""
        return self.began_at + timedelta(seconds=self.load.duration_s)

    @property
    def errors(self) -> tuple[str, ...]:
        """What went wrong, one line each."""
        load = self.load
        broken = [f"{violation.rule}: {violation.evidence}" for violation in load.violations]
        if len(load.overdue_ns):
            broken.append(f"{len(load.overdue_ns)} queries were due but not issued: {load.stopped}")
        return tuple(broken)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedRun:
    """A run with its accuracy phase, its performance phase, or both (a submission run).

    Attributes:
        scenario: The scenario that ran.
        requested: The settings it ran with.
        system: Name of the system under test.
        library: Name of the sample library.
        total: Samples in the library.
        performance_count: Samples of it that fit in memory.
        accuracy: The accuracy phase, if there was one.
        performance: The performance phase, if there was one.
    """

    scenario: Scenario
    requested: RequestedSettings
    system: str
    library: str
    total: int
    performance_count: int
    accuracy: AccuracyPhase | None = None
    performance: PerformancePhase | None = None

    @property
    def mode(self) -> str:
        """LoadGen's name of the mode."""
        if self.accuracy is None:
            return "PerformanceOnly"
        return "AccuracyOnly" if self.performance is None else "SubmissionRun"

    @property
    def effective(self) -> EffectiveSettings:
        """The settings in effect; the offline query is as large as it was."""
        effective = effective_settings(self.requested, self.total, self.performance_count)
        if self.scenario.name != "offline" or self.performance is None:
            return effective
        return replace(effective, samples_per_query=int(self.performance.load.sizes.sum()))

    @property
    def answers(self) -> Sequence[LoggedAnswer]:
        """The lines of the accuracy log."""
        if self.accuracy is not None:
            return self.accuracy.answers
        return self.performance.answers if self.performance is not None else ()

    @property
    def errors(self) -> tuple[str, ...]:
        """What went wrong, one line each."""
        return self.performance.errors if self.performance is not None else ()
