"""What a benchmark says when its model is wrong, slow, both, or neither."""

from __future__ import annotations

import pytest

MODELS = """
import time

import pytest
from pytest_aibench import Server, SingleStream, at_least, at_most
from tiny import right

def shuffled(samples):
    return [7 * answer % 10 for answer in right(samples)]

def slow(model):
    def sleep_first(samples):
        time.sleep(0.002)
        return model(samples)
    return sleep_first

@pytest.mark.dataset("tiny")
@pytest.mark.parametrize("scenario", [SingleStream(min_duration="10 ms")])
@pytest.mark.parametrize("model", [{model}], ids=["model"])
def test_tiny(loadgen, scenario, dataset, model):
    result = loadgen.run(model, dataset, scenario)
    result.require(top1=at_least(0.97), p90=at_most("{bound}"))
"""


def run(project: pytest.Pytester, model: str, bound: str) -> pytest.RunResult:
    project.makepyfile(MODELS.format(model=model, bound=bound))
    return project.runpytest()


def test_right_and_fast_passes(project: pytest.Pytester) -> None:
    result = run(project, "right", "1 s")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*top1 1 *p90 * passed", "*≥ 0.97 *[[]*, *]*", "*≤ 1 s*"])


def test_a_wrong_model_fails_on_quality(project: pytest.Pytester) -> None:
    result = run(project, "shuffled", "1 s")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "failed: *",
            "check * value *interval *bound *margin *verdict",
            "top1 *0.2 *[[]0.1009, 0.3577] *≥ 0.97 *-79.4 % *failed",
            "p90 * *[[]*, *] *≤ 1 s *+* % *passed",
        ]
    )


def test_a_slow_model_fails_on_speed(project: pytest.Pytester) -> None:
    result = run(project, "slow(right)", "1 ms")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "failed: *",
            "check * value *interval *bound *margin *verdict",
            "top1 *1 *[[]0.*, 1] *≥ 0.97 *+3.1 % *passed",
            "p90 * ms *[[]*, *] *≤ 1 ms *-* % *failed",
        ]
    )


def test_a_model_that_is_wrong_and_slow_fails_on_both(project: pytest.Pytester) -> None:
    result = run(project, "slow(shuffled)", "1 ms")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "top1 *0.2 *[[]0.1009, 0.3577] *≥ 0.97 *-79.4 % *failed",
            "p90 * ms *[[]*, *] *≤ 1 ms *-* % *failed",
        ]
    )


def test_a_failure_shows_no_traceback(project: pytest.Pytester) -> None:
    result = run(project, "shuffled", "1 s")
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*pytest_aibench*")
    result.stdout.no_fnmatch_line("> *")


def test_a_benchmark_that_requires_nothing_fails(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from pytest_aibench import SingleStream
        from tiny import right

        @pytest.mark.dataset("tiny")
        def test_tiny(loadgen, dataset):
            loadgen.run(right, dataset, SingleStream(min_duration="1 ms"))
        """
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "the benchmark judged nothing: "
            "call result.require(...) with a bound on quality and one on speed",
            "*invalid: a benchmark judges something: the benchmark judged nothing: *",
        ]
    )


def test_a_benchmark_whose_bounds_all_do_not_apply_fails(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from pytest_aibench import Offline, at_most
        from tiny import right

        @pytest.mark.dataset("tiny")
        def test_tiny(loadgen, dataset):
            result = loadgen.run(right, dataset, Offline(min_duration="1 ms"))
            result.require(p99=at_most("1 s"))
        """
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*.py:8: nothing is judged here (offline is one query: its latency is the length of "
            "the run; judge throughput): require a figure that this benchmark measures"
        ]
    )


def test_what_the_test_asserts_itself_counts_in_the_record(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest
        from pytest_aibench import SingleStream, at_least
        from tiny import right

        @pytest.mark.dataset("tiny")
        def test_tiny(loadgen, dataset):
            result = loadgen.run(right, dataset, SingleStream(min_duration="1 ms"))
            result.require(top1=at_least(0.97))
            assert result.load.duration_s == 0, "too long"
        """
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*invalid: no error in the benchmark: *.py:9: AssertionError: too long"]
    )
