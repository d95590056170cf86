"""What is said of each pretrained model, and what happens before it is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pretrained import MODELS, Pretrained
from pytest_aibench.datasets import DataAbsent, registered
from pytest_aibench.quality.metrics import metric
from pytest_aibench.units import RATE

every_model = pytest.mark.parametrize("model", MODELS, ids=str)


@every_model
def test_a_model_names_what_there_is(model: Pretrained) -> None:
    assert all(len(carrier.sha256) == 64 for carrier in registered()[model.name])
    assert all(0 < target < 1 and metric(name) for name, target in model.targets.items())
    assert {scenario.name for scenario in model.scenarios} == {
        "single_stream",
        "multi_stream",
        "server",
        "offline",
    }
    assert model.throughput.limit.unit == RATE
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


@every_model
def test_reduced_precisions_are_judged_by_fp32(model: Pretrained) -> None:
    assert {str(bound) for bound in model.required("bf16").values()} == {"≥ 97% of fp32"}
    required = model.required("fp32")
    assert {name: bound.limit.value for name, bound in required.items()} == model.targets


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
