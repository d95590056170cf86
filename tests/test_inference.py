"""A benchmark of inference from the accuracy pass to its figures."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pytest_aibench.bounds import Verdict, at_least, at_most
from pytest_aibench.errors import UserError
from pytest_aibench.inference.agreement import disagreement, not_a_number, same_answer
from pytest_aibench.inference.quiet import SWITCH_INTERVAL_S, undisturbed
from pytest_aibench.inference.result import excluded
from pytest_aibench.loadgen.effort import Effort
from pytest_aibench.loadgen.systems import BatchingServer
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream
from tests.fakes import FakeClock
from tests.loads import BOUNDS, FIXED, MS, SCENARIOS, Bench, Taking, last_digits, numbers

WARM_UP_QUERIES = 10


def samples_asked(model: Taking) -> list[int]:
    return [sample for call in model.calls for sample in call]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_a_good_model_passes_every_scenario(scenario: Scenario) -> None:
    clock = FakeClock()
    bench = Bench(clock)
    outcome = bench.outcome(Taking(clock, MS // 10), scenario)
    assert outcome.verdict is Verdict.PASSED
    assert outcome.violations == ()


@pytest.mark.parametrize("performance_samples", [None, 7])
def test_the_accuracy_pass_sees_every_sample_once_in_batches(
    performance_samples: int | None,
) -> None:
    clock = FakeClock()
    model = Taking(clock)
    result = Bench(clock).run(
        model, SingleStream(), max_batch=16, performance_samples=performance_samples
    )
    n_calls = 3 if performance_samples is None else 6
    assert sorted(samples_asked(model)[:40]) == list(range(40))
    assert max(map(len, model.calls[:n_calls])) == (performance_samples or 16)
    assert sum(map(len, model.calls[:n_calls])) == 40
    assert result.answers.by_index == {index: index % 10 for index in range(40)}
    assert result.estimate("top1").value == 1.0


def test_under_load_only_loaded_samples_are_asked() -> None:
    clock = FakeClock()
    model = Taking(clock)
    Bench(clock).run(model, SingleStream(), performance_samples=7)
    assert set(samples_asked(model)[40:]) == set(range(7))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_the_warm_up_is_not_recorded(scenario: Scenario) -> None:
    clock = FakeClock()
    model = Taking(clock)
    result = Bench(clock).run(model, scenario, bounds=BOUNDS, max_batch=8)
    before = len(model.calls) - len(result.load.issued_ns)
    assert before == 5 + (5 if isinstance(scenario, Offline) else WARM_UP_QUERIES)
    assert result.load.begin_ns == sum(MS * len(call) for call in model.calls[:before])


def test_offline_fills_the_shortest_duration_at_the_speed_of_the_accuracy_pass() -> None:
    clock = FakeClock()
    effort = Effort("test", min_duration_s=2.0, budget_s=9.0, sequential=True)
    result = Bench(clock, effort).run(Taking(clock), Offline(), max_batch=8)
    assert result.load.sizes.sum() == 2200
    assert result.settings["samples_per_query"] == 2200
    assert result.load.duration_s == 2.2


def test_offline_has_enough_calls_for_an_interval_and_all_samples() -> None:
    clock = FakeClock()
    assert Bench(clock).run(Taking(clock), Offline(), max_batch=8).load.sizes.sum() == 800
    large = Bench(clock).run(Taking(clock), Offline(), max_batch=8, dataset=numbers(1000))
    assert large.load.sizes.sum() == 1000
    assert Bench(clock).run(Taking(clock), Offline(samples=50)).load.sizes.sum() == 50


def test_an_official_offline_query_has_at_least_mlperfs_samples() -> None:
    clock = FakeClock()
    result = Bench(clock, FIXED).run(Taking(clock, 1000), Offline(), max_batch=64)
    assert result.settings["samples_per_query"] == 24_576


def test_offline_each_sample_is_asked_equally_often() -> None:
    clock = FakeClock()
    model = Taking(clock)
    Bench(clock).run(model, Offline(samples=120), max_batch=8)
    asked = np.bincount(samples_asked(model)[-120:], minlength=40)
    assert asked.tolist() == [3] * 40


def test_server_queries_come_when_mlperf_schedules_them() -> None:
    clock = FakeClock()
    scenario = Server(target_qps=100, latency_bound="50 ms")
    result = Bench(clock).run(Taking(clock), scenario, performance_samples=10)
    official = [0, 18436540, 23015776, 35874399, 43004346, 46868412, 69351828, 80267627, 81285096]
    assert result.load.due_ns[: len(official)].tolist() == official


def test_a_batching_server_keeps_its_own_batch_size() -> None:
    sizes = []

    def model(samples: Sequence[Any]) -> list[int]:
        sizes.append(len(samples))
        return last_digits(samples)

    Bench().run(BatchingServer(model, max_batch=3), Offline(samples=40), max_batch=32)
    assert max(sizes) == 3


def test_swapped_answers_under_load_are_found() -> None:
    clock = FakeClock()
    model = Taking(clock)

    def answer(samples: Sequence[Any]) -> list[int]:
        return last_digits(samples)[:: 1 if len(model.calls) <= 2 else -1]

    model.answer = answer
    outcome = Bench(clock).outcome(model, MultiStream(), max_batch=32)
    assert outcome.verdict is Verdict.INVALID
    (violation,) = outcome.violations
    assert violation.rule == "answers under load are those of the accuracy pass"


def test_a_share_of_answers_may_differ() -> None:
    under_load = [(0, 1), (1, 5), (2, 3), (3, 4)]
    alone = {0: 1, 1: 2, 2: 3, 3: 4}
    assert disagreement(under_load, alone, 0.25) == ()
    (violation,) = disagreement(under_load, alone, 0.24)
    assert violation.evidence == (
        "1 of 4 compared answers differ from the accuracy pass; sample 1: 5 under load, 2 alone"
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1, True),
        (1, 2, False),
        ("cat", "cat", True),
        ("cat", "dog", False),
        ([1.0, 2.0], [1.05, 2.0], True),
        ([1.0, 2.0], [1.2, 2.0], False),
        ([1.0, 2.0], [1.0, 2.0, 3.0], False),
        (np.array([1000, 2]), np.array([1001, 2]), False),
        (float("nan"), 1.0, False),
        ({"box": np.ones(4), "label": 3}, {"box": np.ones(4), "label": 3}, True),
        ({"box": np.ones(4), "label": 3}, {"box": np.ones(4), "label": 4}, False),
        ({"box": np.ones(4)}, {"boxes": np.ones(4)}, False),
        ([np.ones(2), np.ones(3)], [np.ones(2), np.ones(3)], True),
        ([np.ones(2), np.ones(3)], [np.ones(2), np.zeros(3)], False),
        ((np.ones(2), "a"), (np.ones(2), "a"), True),
        (None, None, True),
        (None, 1, False),
    ],
)
def test_answers_that_are_the_same(one: Any, other: Any, same: bool) -> None:
    assert same_answer(one, other) is same


def test_answers_of_torch() -> None:
    torch = pytest.importorskip("torch")
    tokens = torch.tensor([15_000, 2])
    assert same_answer(tokens, tokens.clone())
    assert not same_answer(tokens, torch.tensor([15_001, 2]))
    logits = torch.tensor([1.0, -2.0], dtype=torch.bfloat16)
    assert same_answer(logits, logits.float())


def test_an_output_that_is_no_number_is_named() -> None:
    outputs = {4: 1.0, 5: [1.0, np.nan], 6: {"score": np.nan}, 7: (np.array([np.nan]), "text")}
    (violation,) = not_a_number(outputs)
    assert violation.evidence == "3 of 4 outputs hold a NaN; the first is sample 5"
    assert not_a_number({1: "text", 2: 3, 3: None}) == ()


def test_a_model_that_breaks_a_rule_in_the_accuracy_pass_is_not_loaded() -> None:
    clock = FakeClock()
    model = Taking(clock, answer=lambda samples: [float("nan")] * len(samples))
    bench = Bench(clock)
    result = bench.run(model, SingleStream(), bounds=BOUNDS, max_batch=20)
    assert len(model.calls) == 2
    assert result.load.stopped == "the accuracy pass broke a rule"
    result.require()
    outcome = bench.outcomes[-1]
    assert outcome.verdict is Verdict.INVALID
    reasons = {check.name: check.reason for check in outcome.checks}
    assert reasons["p90"] == "not measured: no query completed"
    assert reasons["throughput"] == "not measured: no sample completed"


def test_bounds_that_the_scenario_does_not_judge_do_not_end_the_load() -> None:
    clock = FakeClock()
    bounds = {"p99": at_most("1 ms"), "throughput": at_least("20 samples/s")}
    result = Bench(clock).run(Taking(clock), Offline(samples=400), bounds=bounds, max_batch=8)
    assert result.load.stopped == "all 400 samples were issued"
    assert excluded(Offline(), "p99") is not None
    assert excluded(Offline(), "mean") is not None
    assert excluded(Offline(), "throughput") is None
    assert excluded(SingleStream(), "p99") is None


def test_a_load_that_is_not_watched_has_its_fixed_length() -> None:
    clock = FakeClock()
    result = Bench(clock, FIXED).run(Taking(clock), SingleStream(), bounds=BOUNDS)
    assert result.load.stopped == "44 queries in 44 ms were enough"


def test_figures() -> None:
    clock = FakeClock()
    result = Bench(clock, FIXED).run(Taking(clock), SingleStream(min_queries=200))
    assert result.estimate("p50").value == 0.001
    assert result.estimate("p999").value == 0.001
    assert result.estimate("mean").value == pytest.approx(0.001)
    assert result.estimate("throughput").value == 1000
    with pytest.raises(UserError, match="this benchmark has no figure 'speed': use one of p50"):
        result.estimate("speed")


def test_figures_of_a_reference() -> None:
    clock = FakeClock()
    model = Taking(clock)
    bench = Bench(clock)
    bounds = {"top1": at_least("99% of fp32")}
    assert bench.outcome(model, SingleStream(), bounds, references={"fp32": 0.9}).checks[
        0
    ].limit == pytest.approx(0.891)
    reference = Taking(clock)
    outcome = bench.outcome(model, SingleStream(), bounds, references={"fp32": reference})
    assert outcome.checks[0].limit == pytest.approx(0.99)
    assert sorted(samples_asked(reference)) == list(range(40))
    with pytest.raises(UserError, match="unknown reference 'fp32'"):
        bench.outcome(model, SingleStream(), bounds)
    with pytest.raises(UserError, match="only quality can be required relative to 'fp32'"):
        bench.outcome(model, SingleStream(), {"p90": at_most("99% of fp32")})


def test_a_reference_is_asked_once_in_a_session() -> None:
    clock = FakeClock()
    generator = Bench(clock).generator
    model, reference, data = Taking(clock), Taking(clock), numbers()
    bounds = {"top1": at_least("99% of fp32")}
    for _ in range(2):
        generator.run(
            model, data, SingleStream(), bounds=bounds, references={"fp32": reference}
        ).require()
    assert len(samples_asked(reference)) == 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 0}, "max_batch=0 must be a whole number of at least 1"),
        ({"may_differ": 5}, "may_differ=5 must be a share between 0 and 1, like 0.01"),
        ({"performance_samples": 41}, "performance_count=41"),
        ({"timeout": "soon"}, "cannot read the quantity 'soon'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Bench(FakeClock()).run(last_digits, SingleStream(), **options)


def test_old_objects_are_kept_out_of_collections_and_given_back() -> None:
    interval_s = sys.getswitchinterval()
    assert gc.get_freeze_count() == 0
    with undisturbed():
        assert gc.get_freeze_count() > 1000
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    assert gc.get_freeze_count() == 0
    assert sys.getswitchinterval() == interval_s


def test_objects_that_the_user_froze_stay_frozen() -> None:
    gc.freeze()
    try:
        with undisturbed():
            pass
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_phases_of_the_model_are_in_the_result() -> None:
    class Phased:
        def preprocess(self, samples: Sequence[Any]) -> Sequence[Any]:
            return samples

        def infer(self, inputs: Sequence[Any]) -> list[int]:
            return last_digits(inputs)

        def postprocess(self, raw: list[int]) -> list[int]:
            return raw

    for model in (Phased(), BatchingServer(Phased())):
        phases = Bench().run(model, Offline(samples=40)).phases_ms
        assert list(phases) == ["preprocess_ms", "infer_ms", "postprocess_ms"]
        assert min(phases.values()) > 0
