"""What the terminal shows, and what it does not show in a project without benchmarks."""

from __future__ import annotations

import sys

import pytest

BENCHMARK = """
import pytest
from pytest_aibench import Offline, Server, at_least, at_most
from tiny import right

@pytest.mark.parametrize(
    "scenario",
    [
        Server(target_qps=2000, latency_bound="1 s", min_duration="10 ms"),
        Offline(min_duration="10 ms"),
    ],
)
@pytest.mark.dataset("tiny")
def test_tiny(loadgen, scenario, dataset, precision):
    result = loadgen.run(right, dataset, scenario)
    result.require(top1=at_least(0.97), p99=at_most("1 s"), throughput=at_least("1 samples/s"))
"""


def test_a_line_before_and_a_table_after_the_benchmarks(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK)
    result = project.runpytest()
    result.stdout.fnmatch_lines(
        [
            "collected 2 items",
            "aibench: device cpu, effort quick, records in .aibench",
            "*= benchmarks =*",
            "benchmark *quality *speed *verdict",
            "server-2000qps *top1 1 *p99 * passed",
            "*cpu*≥ 0.97 *[[]*, *]*",
            "*≤ 1 s*",
            "offline *top1 1 *throughput * samples/s *passed",
            "*≥ 1 samples/s*",
            "throughput not judged: in the server scenario target_qps sets the rate; "
            "judge a latency percentile (server-2000qps)",
            "p99 not judged: offline is one query: its latency is the length of the run; "
            "judge throughput (offline)",
            "record: .aibench/runs/*.json",
            "*= 2 passed in *",
        ]
    )


def test_the_line_says_where_no_record_is_kept(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK)
    result = project.runpytest("--aibench-no-store", "-k", "offline")
    result.stdout.fnmatch_lines(["aibench: device cpu, effort quick, records kept nowhere"])


def test_a_quiet_session_has_no_line(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK)
    project.runpytest("-q", "--collect-only").stdout.no_fnmatch_line("aibench:*")


def test_a_project_without_benchmarks_shows_nothing(project: pytest.Pytester) -> None:
    project.makepyfile("def test_plain(): pass")
    result = project.runpytest()
    result.stdout.no_fnmatch_line("aibench:*")
    result.stdout.no_fnmatch_line("*= benchmarks =*")


def test_deselected_benchmarks_show_nothing(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK + "\ndef test_plain(): pass")
    result = project.runpytest("-k", "plain")
    result.stdout.no_fnmatch_line("aibench:*")
    result.stdout.no_fnmatch_line("*= benchmarks =*")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_is_shown_on_a_terminal_and_taken_away(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK.replace('1 s", min_duration="10 ms"', '1 s", min_duration="1 s"'))
    result = project.run(
        *(sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])"),
        *(sys.executable, "-m", "pytest", "-k", "server", "--color=no", "-W", "error"),
    )
    result.stdout.fnmatch_lines(
        ["*test_tiny[[]cpu-fp32-server-2000qps]: * queries, * s of 5 s", "*= 1 passed, *"]
    )
    # The outcome's letter stands on a line that the progress has left.
    result.stdout.no_fnmatch_line("* s of 5 s?*")
