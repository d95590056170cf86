"""Export to logs like those of MLPerf Training, one for each training.

They hold what the record knows, under the keys of https://github.com/mlcommons/logging. Benchmarks
have our own names, and nothing here has been verified by MLCommons.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pytest_aibench.results.formats import Exported, file_word, left_out
from pytest_aibench.results.identity import hardware_class, invalid_reason
from pytest_aibench.results.schema import BenchmarkEntry, Json, Run, TrainingEntry

_HEADER = "MLPerf-style log of pytest-aibench, not verified by MLCommons"
_START, _END = "INTERVAL_START", "INTERVAL_END"

_LONGEST_S = 1e9
"""What lasts longer is no training."""


class _Event(NamedTuple):
    """One line of a log, so many seconds after the training began."""

    key: str
    value: Json = None
    at_s: float = 0.0
    kind: str = "POINT_IN_TIME"
    epoch: int | None = None
    status: str = ""

    @property
    def metadata(self) -> dict[str, Json]:
        """What belongs to the value."""
        facts = {"epoch_num": self.epoch, "status": self.status}
        return {name: fact for name, fact in facts.items() if fact}


def export(runs: Sequence[Run]) -> Exported:
    """A folder for each platform, one in it for each task, with ``result_0.txt`` and so on."""
    logs: dict[str, list[str]] = {}
    invalid, untimed = [], []
    for run, entry, training in _trainings(runs):
        if why := invalid_reason(run, entry):
            invalid.append(f"{entry.id}: {why}")
        elif not _is_timed(training):
            untimed.append(entry.id)
        else:
            platform = hardware_class(run.environment, entry.device)
            folder = f"{file_word(platform)}/{file_word(training.task)}"
            logs.setdefault(folder, []).append(_text(_events(entry, training, platform)))
    files = {
        f"{folder}/result_{number}.txt": text
        for folder, texts in logs.items()
        for number, text in enumerate(texts)
    }
    others = [entry.id for run in runs for entry in run.benchmarks if entry.training is None]
    notes = [
        *left_out("invalid", invalid),
        *left_out("recorded without its epochs' times", untimed),
    ]
    return Exported(files, [*notes, *left_out("no training", others)])


def _trainings(runs: Sequence[Run]) -> Iterator[tuple[Run, BenchmarkEntry, TrainingEntry]]:
    for run in runs:
        for entry in run.benchmarks:
            for training in filter(None, (entry.training, *entry.other_seeds)):
                yield run, entry, training


def _is_timed(training: TrainingEntry) -> bool:
    """Whether all its times are known; older records do not tell training from evaluation."""
    traces = (training.train_seconds_trace, training.seconds_trace, training.quality_trace)
    times = [training.duration_s, *training.train_seconds_trace, *training.seconds_trace]
    is_known = all(time is not None and 0 <= time < _LONGEST_S for time in times)
    return is_known and len(set(map(len, traces))) == 1


def _text(events: Iterator[_Event]) -> str:
    return "\n".join([_HEADER, *map(_line, events), ""])


def _line(event: _Event) -> str:
    line = {
        "namespace": "",
        "time_ms": round(1000 * event.at_s),
        "event_type": event.kind,
        "key": event.key,
        "value": event.value,
        "metadata": event.metadata,
    }
    return f":::MLLOG {json.dumps(line, allow_nan=False)}"


def _events(entry: BenchmarkEntry, training: TrainingEntry, platform: str) -> Iterator[_Event]:
    facts = {
        "submission_benchmark": training.task,
        "submission_platform": platform,
        "seed": training.seed,
        "global_batch_size": training.batch_size,
        "train_samples": training.n_samples,
        "eval_samples": entry.dataset and entry.dataset.n_samples,
    }
    yield from (_Event(key, value) for key, value in facts.items() if value is not None)
    yield _Event("run_start", None, 0.0, _START)
    yield from _epochs(training)
    status = "success" if training.reached_target else "aborted"
    yield _Event("run_stop", None, training.duration_s or 0.0, _END, status=status)


def _epochs(training: TrainingEntry) -> Iterator[_Event]:
    """Training and evaluation of each epoch that was evaluated, which follow upon each other."""
    traces = (training.quality_trace, training.train_seconds_trace, training.seconds_trace)
    begin_s = 0.0
    for epoch, (quality, train_s, until_s) in enumerate(zip(*traces, strict=True), 1):
        trained_s, end_s = begin_s + (train_s or 0.0), until_s or 0.0
        yield _Event("epoch_start", None, begin_s, _START, epoch)
        yield _Event("epoch_stop", None, trained_s, _END, epoch)
        yield _Event("eval_start", None, trained_s, _START, epoch)
        yield _Event("eval_accuracy", quality, end_s, epoch=epoch)
        yield _Event("eval_stop", None, end_s, _END, epoch)
        begin_s = end_s
