"""Results as they stand in the record: correctness by metric, energy, and when the load was."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from pytest_aibench.bounds import Estimate, Verdict, Violation, at_least, at_most
from pytest_aibench.entries import energy_metrics, inference_fields, load_window, training_fields
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.outcome import judge_all, with_violations
from pytest_aibench.results.schema import Metric
from pytest_aibench.scenarios import SingleStream
from pytest_aibench.training.result import Epoch, TrainingResult
from pytest_aibench.training.runner import TrainingRun
from tests.fakes import FakeClock
from tests.loads import Bench, Taking, numbers

READINGS = {"n_readings": 21, "covered_s": 2.0, "energy_j": 100.0}


def loaded(answer: Any = None) -> LoadResult:
    clock = FakeClock()
    model = Taking(clock) if answer is None else Taking(clock, answer=answer)
    return Bench(clock).run(model, SingleStream(min_queries=100))


def trained() -> TrainingRun:
    epoch = Epoch(loss=0.1, quality=Estimate(value=0.9, n=5), train_s=3.0, end_s=4.0)
    result = TrainingResult(
        metric="top1",
        target=0.5,
        seed=0,
        n_samples=10,
        batch_size=4,
        epochs=(epoch,),
        state_dict={},
    )
    task: Any = None
    return TrainingRun(task=task, result=result, ended_s=50.0, settle=lambda run, outcome: None)


def test_the_window_of_a_load_and_of_a_training() -> None:
    result = loaded()
    begin_s, end_s = load_window(result) or (0, 0)
    assert begin_s == result.load.begin_ns / 1e9 > 0
    assert end_s - begin_s == pytest.approx(result.load.duration_s)
    assert load_window(trained()) == (46.0, 50.0)


def test_energy_of_each_sample_of_a_load() -> None:
    """Watts over what the readings cover, for as long as the load took."""
    result = loaded()
    n_samples = int(result.load.sizes.sum())
    (name, metric), *others = energy_metrics(result, READINGS).items()
    assert (name, metric.better, metric.n, others) == ("energy_j_per_sample", "lower", 21, [])
    assert metric.value == pytest.approx(50.0 * result.load.duration_s / n_samples)


def test_energy_of_a_training() -> None:
    assert energy_metrics(trained(), READINGS) == {
        "energy_j": Metric(value=200.0, better="lower", n=21)
    }


@pytest.mark.parametrize("missing", [{"energy_j": 1.0, "covered_s": 0.9}, {"covered_s": 2.0}, {}])
def test_energy_is_left_out_where_it_was_not_measured(missing: dict[str, float]) -> None:
    assert energy_metrics(trained(), missing) == {}


def test_correctness_of_every_judged_metric() -> None:
    def scores(samples: Any) -> list[Any]:
        """The right class comes second in every other answer, of ten classes."""
        outputs = np.zeros((len(samples), 10))
        for row, sample in enumerate(samples):
            outputs[row, int(sample) % 10] = 0.5
            outputs[row, (int(sample) + 1) % 10] = int(sample) % 2
        return list(outputs)

    result = loaded(scores)
    bounds = {"top1": at_least(0.1), "top5": at_least(0.1), "p90": at_most("1 s")}
    correct = inference_fields(result, judge_all(result, bounds))["correct"]
    n = len(numbers())
    bits = {
        name: np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))[:n].tolist()
        for name, text in correct.items()
    }
    assert bits == {"top1": [1, 0] * (n // 2), "top5": [1] * n}


def test_a_training_is_factored(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained()
    monkeypatch.setattr("pytest_aibench.entries.datasets.get", lambda *names: numbers())
    object.__setattr__(run, "task", type("T", (), {"dataset": "numbers", "provenance": {}}))
    metrics = training_fields(run, judge_all(run.result, {"top1": at_least(0.5)}))["metrics"]
    assert metrics["steps_to_quality"].value == 3
    assert metrics["s_per_step"].value == pytest.approx(4 / 3)


def test_a_rule_broken_by_the_device_makes_the_outcome_invalid() -> None:
    result = loaded()
    outcome = judge_all(result, {"p90": at_most("1 s")})
    assert outcome.verdict is Verdict.PASSED
    assert with_violations(outcome, ()) is outcome
    violation = Violation(rule="the device is not throttled", evidence="hot")
    broken = with_violations(outcome, (violation,))
    assert (broken.verdict, broken.violations) == (Verdict.INVALID, (violation,))
    assert broken.checks == outcome.checks
