"""Models that break the rules: invalid runs, with the rule and the evidence."""

from __future__ import annotations

import json

import pytest

from tests.records import stored_files

HEADER = """
import time

import pytest
from pytest_aibench import BatchingServer, Offline, Server, SingleStream, at_least, at_most
from tiny import right

ONE_BY_ONE = SingleStream(min_queries=1000, min_duration="1 ms")

def judge(result):
    result.require(top1=at_least(0.97), p90=at_most("1 s"))
"""
NEXT = """
@pytest.mark.dataset("tiny")
def test_next(loadgen, dataset):
    judge(loadgen.run(right, dataset, ONE_BY_ONE))
"""


def run(project: pytest.Pytester, model: str, scenario: str = "ONE_BY_ONE") -> pytest.RunResult:
    """Run a benchmark of a model that is faulty, and one after it that is not."""
    project.makepyfile(
        test_faulty=f"""
{HEADER}
{model}

@pytest.mark.dataset("tiny")
def test_faulty(loadgen, dataset):
    judge(loadgen.run(model, dataset, {scenario}, timeout="0.2 s"))
{NEXT}
"""
    )
    result = project.runpytest()
    result.assert_outcomes(failed=1, passed=1)
    return result


def verdicts(project: pytest.Pytester) -> list[str]:
    (path,) = stored_files(project.path / ".aibench")
    return [entry["verdict"] for entry in json.loads(path.read_text())["benchmarks"]]


def test_answers_swapped_only_under_load(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def model(samples):
    answers = right(samples)
    swapped = {3: 4, 4: 3}
    return [swapped.get(int(samples[0]), answers[0])] if len(samples) == 1 else answers
""",
    )
    result.stdout.fnmatch_lines(
        [
            "invalid: *",
            "top1 *1 *≥ 0.97 *passed",
            "p90 *≤ 1 s *passed",
            "invalid: answers under load are those of the accuracy pass: * of * compared answers "
            "differ from the accuracy pass; sample [34]: [34] under load, [34] alone",
        ]
    )
    assert verdicts(project) == ["invalid", "passed"]


def test_an_output_that_is_no_number(project: pytest.Pytester) -> None:
    result = run(
        project,
        """
def model(samples):
    return [float("nan") if sample == 7 else float(sample % 10) for sample in samples]
""",
    )
    result.stdout.fnmatch_lines(
        [
            "invalid: *",
            "top1 *not measured *≥ 0.97 *failed",
            "top1: not measured: 1 of 50 outputs are not numbers, the first is that of sample 7",
            "invalid: outputs are numbers: 1 of 50 outputs hold a NaN; the first is sample 7",
        ]
    )


def test_too_few_outputs(project: pytest.Pytester) -> None:
    result = run(project, "def model(samples): return right(samples)[:-1]")
    result.stdout.fnmatch_lines(
        [
            "invalid: *",
            "top1 *not measured *≥ 0.97 *failed",
            "top1: not measured: 50 of 50 samples were not answered",
            "invalid: one output per sample: "
            "the model gave 31 outputs for 32 samples (samples *, …)*",
        ]
    )


def test_too_few_outputs_only_under_load(project: pytest.Pytester) -> None:
    result = run(project, "def model(samples): return right(samples) if len(samples) > 1 else []")
    result.stdout.fnmatch_lines(
        [
            "top1 *1 *≥ 0.97 *passed",
            "invalid: one output per sample: the model gave 0 outputs for 1 sample (sample *)*",
        ]
    )


RAISES = """
calls = []

def model(samples):
    calls.append(samples)
    if len(calls) == 50:
        raise RuntimeError("out of luck")
    return right(samples)
"""


@pytest.mark.parametrize("scenario", ["ONE_BY_ONE", 'Server(target_qps=5000, latency_bound="1 s")'])
def test_a_model_that_raises(project: pytest.Pytester, scenario: str) -> None:
    result = run(project, RAISES, scenario)
    result.stdout.fnmatch_lines(
        [
            '> *raise RuntimeError("out of luck")',
            "E *RuntimeError: out of luck",
            "E * raised this on query 37 (sample *)",
            "test_faulty.py:18: RuntimeError",
            "*invalid: no error in the benchmark: test_faulty.py:18: RuntimeError: out of luck; "
            "* raised this on query 37 (sample *)",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_aibench/*")
    assert verdicts(project) == ["invalid", "passed"]


def test_a_model_that_raises_on_a_thread_of_a_batching_server(project: pytest.Pytester) -> None:
    result = run(
        project,
        RAISES + "raising = model\nmodel = BatchingServer(raising)",
        'Server(target_qps=2000, latency_bound="1 s")',
    )
    result.stdout.fnmatch_lines(
        [
            '> *raise RuntimeError("out of luck")',
            "E *RuntimeError: out of luck",
            "E * raised this on query * (sample*",
            "test_faulty.py:18: RuntimeError",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_aibench/*")


CONCURRENT = """
class Model:
    def start(self): pass
    def flush(self): pass
    def stop(self): pass
    def issue(self, query):
        for _ in range({times} if query.id == 3 else 1):
            query.complete(right(query.samples))

model = Model()
"""


def test_a_lost_completion(project: pytest.Pytester) -> None:
    result = run(project, CONCURRENT.format(times=0))
    result.stdout.fnmatch_lines(
        [
            "invalid: *",
            "invalid: every query is completed: nothing was completed for 0.2 s while 1 queries "
            "were open; the oldest is query 3 (sample *)",
        ]
    )


def test_a_doubled_completion(project: pytest.Pytester) -> None:
    result = run(project, CONCURRENT.format(times=2))
    result.stdout.fnmatch_lines(
        ["invalid: *", "invalid: every query is completed once: query 3 was completed again"]
    )
