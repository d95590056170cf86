"""Benchmarks whose budget ends before their bounds are decided."""

from __future__ import annotations

import json
import re

import pytest

from tests.records import stored_files

FEW = """
import time

import pytest
from pytest_aibench import Server, SingleStream, at_least, at_most
from tiny import right

def model(samples):
    time.sleep(0.001)
    return right(samples)

@pytest.mark.dataset("tiny")
@pytest.mark.parametrize(
    "scenario",
    [
        SingleStream(max_duration="20 ms"),
        Server(target_qps=500, latency_bound="1 s", max_duration="20 ms"),
    ],
)
def test_few(loadgen, scenario, dataset):
    loadgen.run(model, dataset, scenario).require(top1=at_least(0.97), p99=at_most("1 s"))
"""


@pytest.mark.parametrize(
    ("policy", "outcomes"),
    [("fail", {"failed": 2}), ("pass", {"passed": 2}), ("skip", {"skipped": 2})],
)
def test_the_policy_decides(
    project: pytest.Pytester, policy: str, outcomes: dict[str, int]
) -> None:
    project.makepyfile(FEW)
    result = project.runpytest(f"--aibench-inconclusive={policy}")
    result.assert_outcomes(**outcomes)
    (path,) = stored_files(project.path / ".aibench")
    entries = json.loads(path.read_text())["benchmarks"]
    assert [entry["verdict"] for entry in entries] == ["inconclusive"] * 2


def test_a_skip_is_told_with_the_place_of_the_test(project: pytest.Pytester) -> None:
    project.makepyfile(f"{FEW}\ndef test_own(device):\n    pytest.skip('of my own')\n")
    result = project.runpytest("--aibench-inconclusive=skip", "-rs", "-k", "single_stream or own")
    result.assert_outcomes(skipped=2)
    place = "test_a_skip_is_told_with_the_place_of_the_test.py"
    result.stdout.fnmatch_lines_random(
        [
            f"SKIPPED [[]1[]] {place}:20: inconclusive: *",
            f"SKIPPED [[]1[]] {place}:23: of my own",
        ]
    )


def test_failing_is_the_default(project: pytest.Pytester) -> None:
    project.makepyfile(FEW)
    result = project.runpytest("-k", "single_stream")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "inconclusive: *",
            "top1 *1 *≥ 0.97 *passed",
            "p99 *[[]*, [?]] *≤ 1 s *inconclusive",
            "p99: p99 needs 459 queries, * more; give the scenario min_queries=, or *bounds=",
        ]
    )


def test_the_summary_says_how_many_queries_are_missing(project: pytest.Pytester) -> None:
    project.makepyfile(FEW)
    output = project.runpytest("--aibench-inconclusive=pass").stdout.str()
    found = re.findall(r"inconclusive: p99 ≤ 1 s: p99 needs (\d+) queries, (\d+) more", output)
    assert len(found) == 2
    assert all(0 < int(more) < int(needed) for needed, more in found)
