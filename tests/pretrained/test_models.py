"""What is said of each pretrained model, and what happens before it is fetched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.pretrained import MODELS, Pretrained
from pytest_aibench import Offline, SingleStream, at_most
from pytest_aibench.datasets import DataAbsent, registered
from pytest_aibench.quality.metrics import metric

FOUR = ("single_stream", "multi_stream", "server", "offline")

every_model = pytest.mark.parametrize("model", MODELS, ids=str)


@every_model
def test_a_model_names_what_there_is(model: Pretrained) -> None:
    assert all(len(carrier.sha256) == 64 for carrier in registered()[model.name])
    assert all(target > 0 and metric(name) for name, target in model.targets.items())
    names = {"server", "offline"} if model.streamed else set(FOUR)
    assert {scenario.name for scenario in model.scenarios} == names
    for scenario in model.scenarios:
        assert model.bounds(scenario) or scenario.latency_bound_s
    assert {"weights", "architecture", "data", "target"} <= model.provenance.keys()


@every_model
def test_nothing_is_fetched_by_a_benchmark(
    model: Pretrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path))
    carriers = registered()[model.name]
    size_mb = sum(carrier.size_mb for carrier in carriers)
    with pytest.raises(DataAbsent) as error:
        model.check_fetched()
    assert str(error.value) == (
        f"data of '{model}' is absent: run `aibench data fetch --from benchmarks.pretrained "
        f"{model}` ({size_mb:.1f} MB)"
    )
    for carrier in carriers:
        carrier.path.parent.mkdir(exist_ok=True)
        carrier.path.touch()
    model.check_fetched()


def test_speed_is_required_where_it_is_judged() -> None:
    tokens = {"ttft_p90": at_most("1 s")}
    single, streamed = MODELS[0], replace(MODELS[0], streamed=tokens, throughput=None)
    assert single.bounds(Offline()) == {"throughput": single.throughput}
    assert single.bounds(SingleStream()) == {}
    assert streamed.bounds(Offline()) == streamed.bounds(SingleStream()) == tokens


@every_model
def test_a_target_is_required_of_fp32(model: Pretrained) -> None:
    required = model.required("fp32")
    assert {name: bound.limit.value for name, bound in required.items()} == model.targets
    for name, bound in required.items():
        assert bound.at_least == (metric(name).better == "higher")


@pytest.mark.parametrize(
    ("targets", "within", "required"),
    [
        ({"top1": 0.7, "top5": 0.9}, 0.03, ["≥ 97% of fp32", "≥ 97% of fp32"]),
        ({"wer": 0.05}, 0.2, ["≤ 120% of fp32"]),
    ],
)
def test_reduced_precisions_are_judged_by_fp32(
    targets: dict[str, float], within: float, required: list[str]
) -> None:
    model = replace(MODELS[0], targets=targets, within=within)
    assert [str(bound) for bound in model.required("bf16").values()] == required


def test_an_unfetched_model_is_skipped_with_the_command(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(pytester.path))
    pytester.makepyfile(
        """
        from benchmarks.pretrained import MODELS

        def test_pretrained():
            MODELS[0].check_fetched()
        """
    )
    result = pytester.runpytest("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        "SKIPPED * run `aibench data fetch --from benchmarks.pretrained efficientnet_lite0` (*"
    )
