"""Results as they stand in the record: correctness by metric, energy, and when the load was."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pytest_aibench.bounds import Estimate, Verdict, Violation, at_least, at_most
from pytest_aibench.entries import energy_metrics, inference_fields, load_window, training_fields
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.outcome import judge_all, with_violations
from pytest_aibench.quality import metrics
from pytest_aibench.results.schema import BaselineEntry, Metric
from pytest_aibench.scenarios import SingleStream
from pytest_aibench.training.convergence import variation
from pytest_aibench.training.result import Epoch, TrainingResult, Trainings
from pytest_aibench.training.runner import TrainingRun
from tests.clouds import TASK
from tests.fakes import FakeClock
from tests.loads import Bench, Taking, numbers

READINGS = {"n_readings": 21, "covered_s": 2.0, "energy_j": 100.0}


def loaded(answer: Any = None) -> LoadResult:
    clock = FakeClock()
    model = Taking(clock) if answer is None else Taking(clock, answer=answer)
    return Bench(clock).run(model, SingleStream(min_queries=100))


def training(seed: int, n_epochs: int) -> TrainingResult:
    quality = Estimate(value=0.9, n=5)
    return TrainingResult(
        metric="top1",
        target=0.5,
        seed=seed,
        n_samples=10,
        batch_size=4,
        windows=((46.0 + 10 * seed, 46.0 + 10 * seed + 4.0 * n_epochs),),
        epochs=tuple(
            Epoch(loss=0.1, quality=quality, train_s=3.0, end_s=4.0 * number)
            for number in range(1, n_epochs + 1)
        ),
        state_dict={},
    )


def trained(*epochs: int) -> TrainingRun:
    """One epoch on one seed, or on each seed as many as are given."""
    results = (training(seed, n_epochs) for seed, n_epochs in enumerate(epochs or (1,)))
    return TrainingRun(
        task=TASK,
        result=Trainings(by_seed=tuple(results)),
        baseline=Estimate(value=0.1, n=5),
        settle=lambda run, outcome: None,
    )


def test_the_window_of_a_load_and_of_a_training() -> None:
    result = loaded()
    begin_s, end_s = load_window(result) or (0, 0)
    assert begin_s == result.load.begin_ns / 1e9 > 0
    assert end_s - begin_s == pytest.approx(result.load.duration_s)
    assert load_window(trained()) == (46.0, 50.0)
    assert load_window(trained(1, 2)) == (46.0, 64.0)


def test_energy_of_each_sample_of_a_load() -> None:
    """Watts over what the readings cover, for as long as the load took."""
    result = loaded()
    n_samples = int(result.load.sizes.sum())
    (name, metric), *others = energy_metrics(result, READINGS).items()
    assert (name, metric.better, metric.n, others) == ("energy_j_per_sample", "lower", 21, [])
    assert metric.value == pytest.approx(50.0 * result.load.duration_s / n_samples)


def test_the_energy_of_a_training_is_measured_before_it_is_judged() -> None:
    assert energy_metrics(trained(), READINGS) == {}


def test_energy_of_several_processes_is_not_known() -> None:
    run = trained()
    spread = replace(run.result.by_seed[0], processes=2)
    assert energy_metrics(replace(run, result=Trainings(by_seed=(spread,))), READINGS) == {}


@pytest.mark.parametrize("missing", [{"energy_j": 1.0, "covered_s": 0.9}, {"covered_s": 2.0}, {}])
def test_energy_is_left_out_where_it_was_not_measured(missing: dict[str, float]) -> None:
    assert energy_metrics(loaded(), missing) == {}


def test_the_energy_of_a_training_stands_in_its_metrics_and_with_its_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pytest_aibench.entries.datasets.get", lambda *names: numbers())
    spent = Estimate(value=200.0, unit="J", n=21, by_value=True)
    run = replace(trained(), result=Trainings(by_seed=(replace(training(0, 1), energy=spent),)))
    fields = training_fields(run, judge_all(run.result, {"top1": at_least(0.5)}))
    assert fields["metrics"]["energy_to_quality_j"] == Metric(value=200.0, better="lower", n=1)
    assert fields["training"].energy_j == 200.0


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


def test_scores_that_are_not_right_or_wrong_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_METRICS", dict(metrics._METRICS))
    quarters = metrics.each(lambda output, reference: int(output) / 4)
    metrics.register(metrics.MeanMetric(name="quarters", measure=quarters))
    result = loaded()
    judged = judge_all(result, {"quarters": at_least(0.1), "top1": at_least(0.1)})
    fields = inference_fields(result, judged)
    assert (list(fields["correct"]), list(fields["scores"])) == (["top1"], ["quarters"])
    packed = base64.b64decode(fields["scores"]["quarters"])
    assert np.frombuffer(packed, "<f4").tolist() == (numbers().references / 4).tolist()


def test_scores_that_could_not_be_measured_are_not_kept() -> None:
    result = loaded(lambda samples: [float("nan")] * len(samples))
    fields = inference_fields(result, judge_all(result, {"top1": at_least(0.1)}))
    assert (fields["correct"], fields["scores"]) == ({}, {})


def test_a_training_is_factored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_aibench.entries.datasets.get", lambda *names: numbers())
    run = trained()
    figures = training_fields(run, judge_all(run.result, {"top1": at_least(0.5)}))["metrics"]
    assert figures["steps_to_quality"].value == 3
    assert figures["s_per_step"].value == pytest.approx(4 / 3)


def test_a_training_has_its_trivial_answer_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_aibench.entries.datasets.get", lambda *names: numbers())
    run = trained()
    entry = training_fields(run, judge_all(run.result, {"top1": at_least(0.5)}))["training"]
    assert entry.baseline == BaselineEntry(name="first class", metric="top1", value=0.1)
    assert replace(entry, task="", baseline=None) == training(0, 1).entry()


def test_the_record_keeps_every_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_aibench.entries.datasets.get", lambda *names: numbers())
    run = trained(3, 4, 3)
    fields = training_fields(run, judge_all(run.result, {"top1": at_least(0.5)}))
    assert [fields["training"], *fields["other_seeds"]] == run.entries()
    assert [(one.seed, one.epochs) for one in run.entries()] == [(0, 3), (1, 4), (2, 3)]
    assert [one.seconds_trace for one in fields["other_seeds"]] == [
        [4.0, 8.0, 12.0, 16.0],
        [4.0, 8.0, 12.0],
    ]
    known = variation([3, 4, 3])
    assert fields["metrics"]["variation"] == Metric(
        value=known.sample, better="lower", n=3, low=known.low, high=known.high, confidence=0.975
    )
    population = Metric(value=known.population, better="lower", n=3)
    assert fields["metrics"]["variation_population"] == population


def test_one_seed_has_no_others_and_does_not_vary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_aibench.entries.datasets.get", lambda *names: numbers())
    run = trained()
    fields = training_fields(run, judge_all(run.result, {"top1": at_least(0.5)}))
    assert fields["other_seeds"] == []
    for name in ("variation", "variation_population"):
        assert fields["metrics"][name] == Metric(
            value=None, better="lower", n=0, why_open="it takes two seeds: add --aibench-seeds=5"
        )


def test_a_rule_broken_by_the_device_makes_the_outcome_invalid() -> None:
    result = loaded()
    outcome = judge_all(result, {"p90": at_most("1 s")})
    assert outcome.verdict is Verdict.PASSED
    assert with_violations(outcome, ()) is outcome
    violation = Violation(rule="the device is not throttled", evidence="hot")
    broken = with_violations(outcome, (violation,))
    assert (broken.verdict, broken.violations) == (Verdict.INVALID, (violation,))
    assert broken.checks == outcome.checks
