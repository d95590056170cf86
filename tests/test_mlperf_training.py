"""Formats of MLPerf Training: logs, read by a parser of their lines, and reference points."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_aibench.bounds import Violation
from pytest_aibench.results.formats import Exported, exporter
from pytest_aibench.results.schema import BenchmarkEntry, DatasetEntry, TrainingEntry
from pytest_aibench.training.convergence import Reference, read_references
from tests.records import benchmark, run_of

DATA = DatasetEntry(
    name="digits", fingerprint="", split="test", n_samples=359, licence="", source=""
)
FIRST = TrainingEntry(
    seed=3,
    epochs=2,
    duration_s=9.5,
    samples_per_s=200.0,
    quality_trace=[0.5, 0.98],
    seconds_trace=[5.0, 9.5],
    reached_target=True,
    task="classification",
    n_samples=700,
    batch_size=64,
    train_seconds_trace=[4.0, 3.0],
)
_LINE = re.compile(r":::MLLOG (\{.*\})")


def entry(*trainings: TrainingEntry, **changes: Any) -> BenchmarkEntry:
    first, *others = trainings or (FIRST,)
    bare = benchmark("tests/test_it.py::test_training[cpu-it]")
    return replace(
        bare, kind="training", dataset=DATA, training=first, other_seeds=others, **changes
    )


def exported(*entries: BenchmarkEntry, name: str = "mllog") -> Exported:
    return exporter(name)([run_of(*entries)])


def parsed(text: str) -> list[dict[str, Any]]:
    """The lines, each with what MLPerf's parsers ask for; other text may only come first."""
    header, *lines = text.splitlines()
    assert header == "MLPerf-style log of pytest-aibench, not verified by MLCommons"
    found = []
    for line in lines:
        match = _LINE.fullmatch(line)
        assert match is not None
        found.append(json.loads(match[1], parse_constant=pytest.fail))
    fields = ["namespace", "time_ms", "event_type", "key", "value", "metadata"]
    assert all(list(event) == fields for event in found)
    return found


def events(export: Exported) -> list[dict[str, Any]]:
    (text,) = export.files.values()
    return parsed(text)


def test_a_training_that_reached_its_target() -> None:
    export = exported(entry())
    assert (list(export.files), export.left_out) == (["cpu/classification/result_0.txt"], [])
    point, start, end = "POINT_IN_TIME", "INTERVAL_START", "INTERVAL_END"
    told = [
        (event["time_ms"], event["event_type"], event["key"], event["value"], event["metadata"])
        for event in events(export)
    ]
    assert told == [
        (0, point, "submission_benchmark", "classification", {}),
        (0, point, "submission_platform", "cpu", {}),
        (0, point, "seed", 3, {}),
        (0, point, "global_batch_size", 64, {}),
        (0, point, "train_samples", 700, {}),
        (0, point, "eval_samples", 359, {}),
        (0, start, "run_start", None, {}),
        (0, start, "epoch_start", None, {"epoch_num": 1}),
        (4000, end, "epoch_stop", None, {"epoch_num": 1}),
        (4000, start, "eval_start", None, {"epoch_num": 1}),
        (5000, point, "eval_accuracy", 0.5, {"epoch_num": 1}),
        (5000, end, "eval_stop", None, {"epoch_num": 1}),
        (5000, start, "epoch_start", None, {"epoch_num": 2}),
        (8000, end, "epoch_stop", None, {"epoch_num": 2}),
        (8000, start, "eval_start", None, {"epoch_num": 2}),
        (9500, point, "eval_accuracy", 0.98, {"epoch_num": 2}),
        (9500, end, "eval_stop", None, {"epoch_num": 2}),
        (9500, end, "run_stop", None, {"status": "success"}),
    ]


def test_lines_are_written_as_mlperfs_logger_writes_them() -> None:
    (text,) = exported(entry()).files.values()
    assert text.splitlines()[3] == (
        ':::MLLOG {"namespace": "", "time_ms": 0, "event_type": "POINT_IN_TIME", '
        '"key": "seed", "value": 3, "metadata": {}}'
    )


def test_a_training_that_missed_its_target_was_aborted() -> None:
    missed = entry(replace(FIRST, reached_target=False))
    assert events(exported(missed))[-1]["metadata"] == {"status": "aborted"}


def test_what_a_record_does_not_know_is_left_out() -> None:
    unknown = entry(replace(FIRST, batch_size=None, n_samples=None))
    keys = [event["key"] for event in events(exported(replace(unknown, dataset=None)))]
    assert keys[:4] == ["submission_benchmark", "submission_platform", "seed", "run_start"]


def test_every_seed_of_every_benchmark_has_a_log_of_its_own() -> None:
    second, other = replace(FIRST, seed=4), replace(FIRST, seed=7, task="translation/../en")
    export = exported(entry(FIRST, second), entry(other), entry(replace(FIRST, seed=5)))
    seeds = {
        path: next(event["value"] for event in parsed(text) if event["key"] == "seed")
        for path, text in export.files.items()
    }
    assert seeds == {
        "cpu/classification/result_0.txt": 3,
        "cpu/classification/result_1.txt": 4,
        "cpu/classification/result_2.txt": 5,
        "cpu/translation-..-en/result_0.txt": 7,
    }


@pytest.mark.parametrize(
    ("left_out", "why"),
    [
        (entry(violations=[Violation(rule="finite", evidence="nan")]), "invalid: {}: finite: nan"),
        (entry(replace(FIRST, train_seconds_trace=[])), "recorded without its epochs' times: {}"),
        (entry(replace(FIRST, duration_s=None)), "recorded without its epochs' times: {}"),
        (entry(replace(FIRST, duration_s=1e300)), "recorded without its epochs' times: {}"),
        (
            entry(replace(FIRST, train_seconds_trace=[4.0, -1.0])),
            "recorded without its epochs' times: {}",
        ),
        (replace(entry(), training=None), "no training: {}"),
    ],
)
def test_what_has_no_log(left_out: BenchmarkEntry, why: str) -> None:
    assert exported(left_out) == Exported({}, [why.format(left_out.id)])


def seeds(*epochs: int | None, **changes: Any) -> list[TrainingEntry]:
    """One seed for each number of epochs; of None one that missed the target."""
    return [
        replace(
            FIRST, target=0.98, seed=seed, epochs=n or 20, reached_target=n is not None, **changes
        )
        for seed, n in enumerate(epochs)
    ]


def points(*entries: BenchmarkEntry) -> Any:
    (text,) = exported(*entries, name="rcp").files.values()
    return json.loads(text)


def test_reference_points_hold_the_epochs_of_each_seed() -> None:
    assert points(entry(*seeds(5, None, 6, 4))) == {
        "classification_ref_64_0.98": {
            "Benchmark": "classification",
            "Creator": "pytest-aibench",
            "When": "2026-03-01T23:30:00+00:00",
            "Platform": "cpu",
            "BS": 64,
            "Target": 0.98,
            "Epochs to converge": [5, None, 6, 4],
        }
    }


def test_reference_points_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "rcp.json"
    larger = seeds(9, 8, 9, 8, batch_size=128)
    path.write_text(json.dumps(points(entry(*seeds(5, None, 6, 4)), entry(*larger))))
    assert read_references(path) == {
        "classification": [
            replace(Reference.of(64, [4, 5, 6, math.inf]), target=0.98),
            replace(Reference.of(128, [9, 8, 9, 8]), target=0.98),
        ]
    }


def test_a_seed_that_was_trained_again_counts_once() -> None:
    first = run_of(entry(*reversed(seeds(5, 6, 7, 8))))
    again = replace(run_of(entry(*seeds(4))), started_at="2026-03-02T00:00:00+00:00")
    for runs in ([first, again], [again, first]):
        (text,) = exporter("rcp")(runs).files.values()
        (point,) = json.loads(text).values()
        assert point["Epochs to converge"] == [4, 6, 7, 8]
        assert point["When"] == again.started_at


TOO_FEW = (
    "fewer than four seeds, or two missed the target, train on more with --aibench-seeds=5: {point}"
)


@pytest.mark.parametrize(
    ("left_out", "why"),
    [
        (entry(*seeds(5, 6, 7)), TOO_FEW),
        (entry(*seeds(5, None, 6, None)), TOO_FEW),
        (
            entry(*seeds(5, 6, 7, 8, compiled=True)),
            "in reduced precision, or compiled: {id} and 3 more",
        ),
        (
            entry(*seeds(5, 6, 7, 8, precision="bf16")),
            "in reduced precision, or compiled: {id} and 3 more",
        ),
        (entry(FIRST), "recorded without task, batch size and target: {id}"),
        (replace(entry(), training=None), "no training: {id}"),
    ],
)
def test_what_is_no_reference(left_out: BenchmarkEntry, why: str) -> None:
    said = why.format(id=left_out.id, point="classification_ref_64_0.98")
    assert exported(left_out, name="rcp") == Exported({}, [said])
