"""A project's other tests and plugins do not notice that we are installed."""

from __future__ import annotations

import sys

import pytest

PLAIN = """
import random
import time

import pytest

@pytest.fixture
def broken():
    raise OSError("broken")

def test_passes():
    pass

def test_fails():
    assert random.randrange(10**9) < 0

def test_error(broken):
    pass

@pytest.mark.skip
def test_skipped():
    pass

@pytest.mark.xfail
def test_xfails():
    raise ValueError

@pytest.mark.timeout(0.05)
def test_times_out():
    time.sleep(5)

def test_measures(benchmark):
    benchmark.pedantic(sum, args=([1, 2],), rounds=1)

@pytest.mark.parametrize("server", [1, 2])
def test_parametrized(server):
    pass
"""


def test_plain_tests_end_as_without_us(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pytest_benchmark", "pytest_randomly", "pytest_timeout", "xdist"):
        pytest.importorskip(module)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:cacheprovider")
    project.makeconftest("")
    project.makepyfile(test_plain=PLAIN)

    without_us = _outcomes(project, "-p", "no:aibench")
    files = set(project.path.rglob("*"))
    assert len(without_us) == 9
    assert _outcomes(project) == without_us
    assert _outcomes(project, "-n2") == without_us
    assert set(project.path.rglob("*")) == files


def _outcomes(project: pytest.Pytester, *arguments: str) -> list[str]:
    """One line for each test, sorted, because workers and pytest-randomly shuffle them.

    The seed fixes what random numbers a test fails with.
    """
    lines = project.runpytest("-rA", "-p", "randomly", "--randomly-seed=1", *arguments).outlines
    words = ("PASSED", "FAILED", "ERROR", "SKIPPED", "XFAIL")
    return sorted(line for line in lines if line.startswith(words))


def test_a_benchmark_lives_with_the_other_plugins(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pytest_timeout")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest")
    project.makepyfile(
        """
        import pytest
        from pytest_aibench import Server, SingleStream, at_least
        from tiny import right

        @pytest.mark.dataset("tiny")
        def test_in_time(loadgen, dataset):
            scenario = SingleStream(min_duration="1 ms")
            loadgen.run(right, dataset, scenario).require(top1=at_least(0.97))

        @pytest.mark.timeout(2)
        @pytest.mark.dataset("tiny")
        def test_too_long(loadgen, dataset):
            scenario = Server(target_qps=200, latency_bound="1 s", min_duration="60 s")
            loadgen.run(right, dataset, scenario).require(top1=at_least(0.97))
        """
    )
    result = project.runpytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "E *Failed: Timeout (>2.0s) from pytest-timeout.",
            "test_too_long invalid: no error in the benchmark: *Timeout (>2.0s)*",
            "test_in_time *passed",
        ]
    )


HEAVY = ("numpy", "scipy", "torch", "tabulate", "psutil", "pynvml", "jsonschema")
PROBE = f"""
import sys
import pytest
status = pytest.main(["-p", "pytest_aibench.plugin", "-p", "no:cacheprovider", *sys.argv[1:]])
print("loaded:", *[name for name in {HEAVY!r} if name in sys.modules])
print("ours:", *sorted(name for name in sys.modules if name.startswith("pytest_aibench.")))
"""


@pytest.mark.parametrize("arguments", [["--collect-only"], []])
def test_nothing_heavy_is_imported_without_benchmarks(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("AIBENCH_DEVICE")
    project.makeconftest("")
    project.makepyfile("def test_plain(): pass")
    result = project.run(sys.executable, "-c", PROBE, *arguments)
    result.stdout.fnmatch_lines(["loaded:", "ours: *"])
    result.stdout.no_fnmatch_line("ours: *session*")
