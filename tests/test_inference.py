"""A benchmark of inference from the accuracy pass to its figures."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_aibench.bounds import Verdict, at_least, at_most
from pytest_aibench.errors import UserError
from pytest_aibench.inference import punctuality
from pytest_aibench.inference.agreement import disagreement, not_a_number, same_answer
from pytest_aibench.inference.job import Mode
from pytest_aibench.inference.punctuality import SWITCH_INTERVAL_S, undisturbed
from pytest_aibench.inference.result import LoadResult, excluded
from pytest_aibench.loadgen.effort import EFFORTS, Effort
from pytest_aibench.loadgen.mlperf_conf import Conf, read_conf
from pytest_aibench.loadgen.systems import BatchingServer
from pytest_aibench.scenarios import (
    MultiStream,
    Offline,
    Scenario,
    Server,
    SingleStream,
    Users,
)
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


def official(scenario: Scenario, per_sample_ns: int, **options: Any) -> LoadResult:
    clock = FakeClock()
    bench = Bench(clock, EFFORTS["official"])
    return bench.run(Taking(clock, per_sample_ns), scenario, max_batch=64, **options)


@pytest.mark.parametrize(
    ("scenario", "model", "per_sample_ns", "samples"),
    [
        (Offline(), None, 1000 * MS, 24_576),
        (Offline(samples=50, min_duration="1 s"), None, 1000 * MS, 24_576),
        (Offline(), None, 20 * MS, 33_000),
        (Offline(), "3d-unet", 1000 * MS, 680),
    ],
)
def test_an_official_offline_query_has_mlperfs_samples_and_lasts_600_s(
    scenario: Scenario, model: str | None, per_sample_ns: int, samples: int
) -> None:
    result = official(scenario, per_sample_ns, mlperf_model=model)
    assert result.settings["samples_per_query"] == result.load.sizes.sum() == samples
    assert result.load.duration_s >= 600


@pytest.mark.parametrize(
    ("scenario", "settings", "n_queries"),
    [
        (
            SingleStream(min_duration="1 s", max_duration="2 s", percentile=0.5),
            {"min_queries": 100, "percentile": 0.9, "selection": "random"},
            601,
        ),
        (MultiStream(samples_per_query=2), {"min_queries": 662, "samples_per_query": 8}, 662),
        (
            Server(target_qps=0.5, latency_bound="2 min", min_queries=400),
            {"min_queries": 400, "target_qps": 0.5, "latency_bound": "2 min"},
            400,
        ),
    ],
)
def test_official_loads_follow_the_rules_whatever_the_scenario_says(
    scenario: Scenario, settings: dict[str, Any], n_queries: int
) -> None:
    result = official(scenario, 1000 * MS)
    assert {name: result.settings[name] for name in settings} == settings
    assert result.settings["min_duration_s"] == 600
    assert result.settings["budget_s"] is None
    assert len(result.load.issued_ns) == n_queries


def test_official_loads_have_the_samples_of_the_model() -> None:
    model = "yolo"
    assert official(Offline(), 1000 * MS, mlperf_model=model).settings["performance_samples"] == 40
    options: dict[str, Any] = {"dataset": numbers(100), "mlperf_model": model}
    result = official(Offline(), 1000 * MS, **options)
    assert result.settings["performance_samples"] == 64
    result = official(Offline(), 1000 * MS, performance_samples=7, **options)
    assert result.settings["performance_samples"] == 7
    with pytest.raises(UserError, match=r"MLPerf v6\.1 has no model 'yolo-11': use yolo or none"):
        official(Offline(), MS, mlperf_model="yolo-11")


def test_official_loads_of_other_scenarios_last_as_long() -> None:
    result = official(Users(count=2), 1000 * MS)
    assert result.settings["min_duration_s"] == 600


def read(folder: Path, text: str) -> Conf:
    path = folder / "user.conf"
    path.write_text(text)
    return read_conf(path)


USER_CONF = """
*.Server.target_qps = 500
*.Server.target_latency = 25
numbers.*.min_query_count = 321
*.*.performance_sample_count_override = 8
*.*.print_timestamps = 1
*.*.mode = 2
"""


@pytest.mark.parametrize(("model", "fewest"), [(None, 70), ("numbers", 321)])
def test_user_conf_goes_before_the_scenario(tmp_path: Path, model: str | None, fewest: int) -> None:
    clock = FakeClock()
    bench = Bench(clock, FIXED)
    generator = replace(bench.generator, user_conf=read(tmp_path, USER_CONF))
    scenario = Server(target_qps=1000, latency_bound="50 ms", min_queries=70)
    result = generator.run(Taking(clock), numbers(), scenario, mlperf_model=model)
    assert result.settings["target_qps"] == 500
    assert result.settings["latency_bound"] == "25000000 ns"
    assert result.settings["performance_samples"] == 8
    assert result.settings["min_queries"] == fewest <= len(result.load.issued_ns)
    assert result.settings["notes"] == [
        "user.conf: mode has no effect here",
        "user.conf: print_timestamps has no effect here",
    ]


def test_user_conf_goes_before_the_rules_too(tmp_path: Path) -> None:
    clock = FakeClock()
    generator = replace(
        Bench(clock, EFFORTS["official"]).generator,
        user_conf=read(tmp_path, "*.*.min_duration = 2000\n*.*.min_query_count = 5\n"),
    )
    result = generator.run(Taking(clock, 100 * MS), numbers(), SingleStream())
    assert result.settings["min_duration_s"] == 2
    assert len(result.load.issued_ns) == 21


def test_user_conf_says_nothing_of_other_scenarios(tmp_path: Path) -> None:
    clock = FakeClock()
    conf = read(tmp_path, "*.*.min_query_count = 7\n")
    generator = replace(Bench(clock, FIXED).generator, user_conf=conf)
    result = generator.run(Taking(clock), numbers(), Users(count=2, min_queries=50))
    assert result.settings["min_queries"] == 50


def in_mode(mode: Mode, scenario: Scenario, **options: Any) -> tuple[Taking, Bench, LoadResult]:
    clock = FakeClock()
    bench, model = Bench(clock, FIXED), Taking(clock, **options)
    result = replace(bench.generator, mode=mode).run(model, numbers(), scenario, max_batch=4)
    return model, bench, result


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_accuracy_mode_has_no_load(scenario: Scenario) -> None:
    model, bench, result = in_mode(Mode.ACCURACY, scenario)
    assert sorted(samples_asked(model)) == list(range(40))
    assert result.load.stopped == "accuracy mode has no load"
    result.require(top1=at_least(0.9), p99=at_most("1 us"), throughput=at_least("1 samples/s"))
    outcome = bench.outcomes[-1]
    assert outcome.verdict is Verdict.PASSED
    assert [check.name for check in outcome.checks] == ["top1"]
    reasons = dict(outcome.not_judged)
    own = scenario.not_judged
    assert reasons["p99"] == own.get(
        "latency", "accuracy mode has no load: use --aibench-mode submission"
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.id)
def test_performance_mode_has_no_accuracy_pass(scenario: Scenario) -> None:
    model, bench, result = in_mode(Mode.PERFORMANCE, scenario)
    assert result.answers.by_index == {}
    before = len(model.calls) - len(result.load.issued_ns)
    # Twice ten batches tell the speed; then comes the usual warm-up.
    assert before == 20 + WARM_UP_QUERIES
    figure = "throughput" if isinstance(scenario, Offline) else "p50"
    limit = at_least("1 samples/s") if figure == "throughput" else at_most("1 s")
    result.require(**{figure: limit, "top1": at_least(0.9)})
    outcome = bench.outcomes[-1]
    assert outcome.verdict is Verdict.PASSED
    assert "top1" not in [check.name for check in outcome.checks]
    assert dict(outcome.not_judged)["top1"] == (
        "performance mode has no accuracy pass: use --aibench-mode submission"
    )


def test_performance_mode_fills_the_duration_offline() -> None:
    _, _, result = in_mode(Mode.PERFORMANCE, Offline(min_duration="1 s"))
    assert result.settings["samples_per_query"] == 1100


def test_what_a_mode_leaves_out_is_still_checked() -> None:
    _, _, result = in_mode(Mode.ACCURACY, SingleStream())
    with pytest.raises(UserError, match="this benchmark has no figure 'speed'"):
        result.require(speed=at_least(1.0), top1=at_least(0.9))
    with pytest.raises(UserError, match="nothing is judged here"):
        result.require(p90=at_most("1 s"))


def test_numbers_that_are_none_are_found_in_performance_mode() -> None:
    _, _, result = in_mode(
        Mode.PERFORMANCE,
        SingleStream(),
        answer=lambda samples: [float("nan")] * len(samples),
    )
    assert "outputs are numbers" in [violation.rule for violation in result.violations]


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


def test_a_reference_has_no_more_samples_in_memory_than_the_load() -> None:
    clock = FakeClock()
    reference = Taking(clock)
    Bench(clock).outcome(
        Taking(clock),
        SingleStream(),
        {"top1": at_least("99% of fp32")},
        references={"fp32": reference},
        performance_samples=8,
    )
    assert {len(call) for call in reference.calls} == {8}
    assert sorted(samples_asked(reference)) == list(range(40))


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


@pytest.fixture
def _collections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(punctuality, "gc", gc)


@pytest.mark.usefixtures("_collections")
def test_old_objects_are_kept_out_of_collections_and_given_back() -> None:
    interval_s = sys.getswitchinterval()
    assert gc.get_freeze_count() == 0
    with undisturbed():
        assert gc.get_freeze_count() > 1000
        assert sys.getswitchinterval() == pytest.approx(SWITCH_INTERVAL_S)
    assert gc.get_freeze_count() == 0
    assert sys.getswitchinterval() == interval_s


@pytest.mark.usefixtures("_collections")
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
