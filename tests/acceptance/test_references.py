"""Bounds relative to a reference, given as a number or as a model."""

from __future__ import annotations

import pytest

BENCHMARK = """
import pytest
from pytest_aibench import SingleStream, at_least
from tiny import right

def worse(samples):
    return [0 if sample == 7 else sample %% 10 for sample in samples]

def reference(samples):
    with open("asked.txt", "a") as file:
        file.write(" ".join(str(sample) for sample in samples) + " ")
    return right(samples)

@pytest.mark.dataset("tiny")
@pytest.mark.parametrize("model", [right, worse], ids=["right", "worse"])
def test_relative(loadgen, dataset, model):
    result = loadgen.run(
        model, dataset, SingleStream(min_duration="1 ms"), references={"fp32": %s}
    )
    result.require(top1=at_least("99%% of fp32"))
"""


@pytest.mark.parametrize("reference", ["1.0", "reference"])
def test_a_relative_bound_passes_and_fails(project: pytest.Pytester, reference: str) -> None:
    project.makepyfile(BENCHMARK % reference)
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["failed: *", "top1 *0.98 *≥ 99% of fp32 *-1.0 % *failed", " *= 0.99*"]
    )


def test_a_reference_model_is_asked_once(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK % "reference")
    project.runpytest()
    asked = (project.path / "asked.txt").read_text().split()
    assert sorted(map(int, asked)) == list(range(50))


def test_a_reference_model_is_not_asked_in_vain(project: pytest.Pytester) -> None:
    project.makepyfile((BENCHMARK % "reference").replace("99% of fp32", "99 %"))
    project.runpytest()
    assert not (project.path / "asked.txt").exists()
