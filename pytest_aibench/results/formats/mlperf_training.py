"""Exports in the formats of MLPerf Training: logs of trainings, and reference convergence points.

They hold what the record knows, under the keys of https://github.com/mlcommons/logging. Benchmarks
have our own names, and nothing here has been verified by MLCommons.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from pytest_aibench.results.formats import Exported, file_word, json_text, left_out
from pytest_aibench.results.identity import hardware_class, invalid_reason
from pytest_aibench.results.schema import BenchmarkEntry, Json, Run, TrainingEntry

_HEADER = "MLPerf-style log of pytest-aibench, not verified by MLCommons"
_START, _END = "INTERVAL_START", "INTERVAL_END"

_LONGEST_S = 1e9
"""What lasts longer is no training."""

_FEWEST_SEEDS = 4
"""Of which two are left without the fastest and the slowest: one would not vary."""

_TOO_FEW = "fewer than four seeds, or two missed the target, train on more with --aibench-seeds=5"


class _Training(NamedTuple):
    """A training, and where it was recorded."""

    run: Run
    entry: BenchmarkEntry
    result: TrainingEntry

    @property
    def platform(self) -> str:
        """The class of hardware that it ran on."""
        return hardware_class(self.run.environment, self.entry.device)


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


def mllog(runs: Sequence[Run]) -> Exported:
    """A folder for each platform, one in it for each task, with ``result_0.txt`` and so on."""
    valid, notes = _trainings(runs)
    logs: dict[str, list[str]] = {}
    for training in filter(_is_timed, valid):
        folder = f"{file_word(training.platform)}/{file_word(training.result.task)}"
        logs.setdefault(folder, []).append(_log(training))
    files = {
        f"{folder}/result_{number}.txt": text
        for folder, texts in logs.items()
        for number, text in enumerate(texts)
    }
    untimed = [training.entry.id for training in valid if not _is_timed(training)]
    return Exported(files, [*notes, *left_out("recorded without its epochs' times", untimed)])


def rcp(runs: Sequence[Run]) -> Exported:
    """Epochs to quality by task, batch size and target, as ``--aibench-rcp`` reads them.

    Of a seed that was trained again the last training counts: how much epochs vary is told by other
    seeds. The reference is in fp32, and not compiled.
    """
    valid, notes = _trainings(runs)
    reduced = [training.entry.id for training in valid if not _is_plain(training)]
    notes += left_out("in reduced precision, or compiled", reduced)
    valid = list(filter(_is_plain, valid))
    points: dict[str, dict[int, _Training]] = {}
    for training in filter(_is_placed, valid):
        points.setdefault(_point_name(training.result), {})[training.result.seed] = training
    good = {name: _point(by_seed) for name, by_seed in points.items() if _is_enough(by_seed)}
    unplaced = [training.entry.id for training in valid if not _is_placed(training)]
    notes += left_out("recorded without task, batch size and target", unplaced)
    notes += left_out(_TOO_FEW, [*points.keys() - good])
    return Exported({"aibench-rcp.json": json_text(good)} if good else {}, notes)


def _trainings(runs: Sequence[Run]) -> tuple[list[_Training], list[str]]:
    """Every valid training, oldest first, and lines on what else there is."""
    oldest_first = sorted(runs, key=lambda run: run.started_at)
    entries = [(run, entry) for run in oldest_first for entry in run.benchmarks]
    others = [entry.id for _, entry in entries if entry.training is None]
    trained = [(run, entry, invalid_reason(run, entry)) for run, entry in entries if entry.training]
    invalid = [f"{entry.id}: {why}" for _, entry, why in trained if why]
    valid = [
        _Training(run, entry, result)
        for run, entry, why in trained
        for result in (entry.training, *entry.other_seeds)
        if result is not None and not why
    ]
    return valid, [*left_out("invalid", invalid), *left_out("no training", others)]


def _is_plain(training: _Training) -> bool:
    return training.result.precision == "fp32" and not training.result.compiled


def _is_placed(training: _Training) -> bool:
    result = training.result
    return bool(result.task) and None not in (result.batch_size, result.target)


def _is_enough(by_seed: Mapping[int, _Training]) -> bool:
    """Whether they have an olympic mean: one that missed the target is left out as the slowest."""
    missed = sum(not training.result.reached_target for training in by_seed.values())
    return len(by_seed) >= _FEWEST_SEEDS and missed <= 1


def _point_name(result: TrainingEntry) -> str:
    return f"{result.task}_ref_{result.batch_size}_{result.target}"


def _point(by_seed: Mapping[int, _Training]) -> dict[str, Json]:
    """One of MLPerf's points; its target is our addition, and null a seed that missed it."""
    last = max(by_seed.values(), key=lambda training: training.run.started_at)
    return {
        "Benchmark": last.result.task,
        "Creator": "pytest-aibench",
        "When": last.run.started_at,
        "Platform": last.platform,
        "BS": last.result.batch_size,
        "Target": last.result.target,
        "Epochs to converge": [
            by_seed[seed].result.epochs if by_seed[seed].result.reached_target else None
            for seed in sorted(by_seed)
        ],
    }


def _is_timed(training: _Training) -> bool:
    """Whether all its times are known; older records do not tell training from evaluation."""
    result = training.result
    traces = (result.train_seconds_trace, result.seconds_trace, result.quality_trace)
    times = [result.duration_s, *result.train_seconds_trace, *result.seconds_trace]
    is_known = all(time is not None and 0 <= time < _LONGEST_S for time in times)
    return is_known and len(set(map(len, traces))) == 1


def _log(training: _Training) -> str:
    return "\n".join([_HEADER, *map(_line, _events(training)), ""])


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


def _events(training: _Training) -> Iterator[_Event]:
    result, dataset = training.result, training.entry.dataset
    facts = {
        "submission_benchmark": result.task,
        "submission_platform": training.platform,
        "seed": result.seed,
        "global_batch_size": result.batch_size,
        "train_samples": result.n_samples,
        "eval_samples": dataset and dataset.n_samples,
    }
    yield from (_Event(key, value) for key, value in facts.items() if value is not None)
    yield _Event("run_start", None, 0.0, _START)
    yield from _epochs(result)
    status = "success" if result.reached_target else "aborted"
    yield _Event("run_stop", None, result.duration_s or 0.0, _END, status=status)


def _epochs(result: TrainingEntry) -> Iterator[_Event]:
    """Training and evaluation of each epoch that was evaluated, which follow upon each other."""
    traces = (result.quality_trace, result.train_seconds_trace, result.seconds_trace)
    begin_s = 0.0
    for epoch, (quality, train_s, until_s) in enumerate(zip(*traces, strict=True), 1):
        trained_s, end_s = begin_s + (train_s or 0.0), until_s or 0.0
        yield _Event("epoch_start", None, begin_s, _START, epoch)
        yield _Event("epoch_stop", None, trained_s, _END, epoch)
        yield _Event("eval_start", None, trained_s, _START, epoch)
        yield _Event("eval_accuracy", quality, end_s, epoch=epoch)
        yield _Event("eval_stop", None, end_s, _END, epoch)
        begin_s = end_s
