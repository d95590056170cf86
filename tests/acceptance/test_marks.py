"""Scenarios as marks and ids, and what ``-m`` and ``-k`` select."""

from __future__ import annotations

import pytest

from pytest_aibench.plugin import MARKS

BENCHMARK = """
import pytest
from pytest_aibench import Gamma, MultiStream, Offline, Server, SingleStream, Users

@pytest.mark.parametrize(
    "scenario",
    [
        SingleStream(),
        MultiStream(),
        Server(target_qps=50, latency_bound="100 ms"),
        Server(target_qps=0.5, latency_bound="1 s"),
        Server(arrivals=Gamma(qps=50, burstiness=0.5), latency_bound="1 s"),
        Offline(),
        Users(count=8, think_time="100 ms"),
    ],
)
def test_model(loadgen, scenario):
    pass

def test_plain():
    pass
"""
IDS = {
    "single_stream": ["single_stream"],
    "multi_stream": ["multi_stream"],
    "server": ["server-50qps", "server-0.5qps", "server-gamma-50qps-0.5"],
    "offline": ["offline"],
    "users": ["users-8"],
}


def collected(project: pytest.Pytester, *arguments: str) -> list[str]:
    project.makepyfile(test_model=BENCHMARK)
    lines = project.runpytest("--collect-only", "-q", *arguments).outlines
    return [line.partition("::")[2] for line in lines if "::" in line]


@pytest.mark.parametrize("strict", [(), ("--strict-markers",), ("-o", "strict_markers=true")])
@pytest.mark.parametrize(
    ("expression", "scenarios"),
    [
        ("server", ["server"]),
        ("server or offline", ["server", "offline"]),
        ("single_stream", ["single_stream"]),
        ("multi_stream", ["multi_stream"]),
        ("users", ["users"]),
    ],
)
def test_marks_select_their_scenarios(
    project: pytest.Pytester, strict: tuple[str, ...], expression: str, scenarios: list[str]
) -> None:
    expected = [f"test_model[cpu-{id}]" for scenario in scenarios for id in IDS[scenario]]
    assert collected(project, "-m", expression, *strict) == expected


def test_marks_under_strict(project: pytest.Pytester) -> None:
    project.makeini("[pytest]\nstrict = true")
    expected = [f"test_model[cpu-{id}]" for id in IDS["server"]]
    assert collected(project, "-m", "server") == expected


def test_ids_are_selected_as_words(project: pytest.Pytester) -> None:
    expected = [f"test_model[cpu-{id}]" for id in IDS["server"]]
    assert collected(project, "-k", "server") == expected


def test_what_is_no_scenario_is_left_alone(project: pytest.Pytester) -> None:
    expression = "not (server or offline or single_stream or multi_stream or users)"
    assert collected(project, "-m", expression) == ["test_plain"]


def test_all_marks_are_explained(project: pytest.Pytester) -> None:
    lines = [f"@pytest.mark.{line}" for line in MARKS]
    project.runpytest("--markers").stdout.fnmatch_lines_random(lines)
    names = [line.partition(":")[0].partition("(")[0] for line in MARKS]
    assert names == [*IDS, "train", "micro", "dataset"]
