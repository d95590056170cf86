"""The user's mistakes: one line each, which names the fix, and no traceback of ours."""

from __future__ import annotations

import pytest

HEADER = """
import pytest
from pytest_aibench import MultiStream, Offline, Server, SingleStream, at_least, at_most
from tiny import right

ONE_BY_ONE = SingleStream(min_duration="1 ms")
"""


def assert_one_line(result: pytest.RunResult, line: str) -> None:
    """The line is all that is shown of the mistake, beside pytest's own summary."""
    lines = [*result.outlines, *result.errlines]
    # The records' summary and pytest's repeat the line behind the name of the test.
    shown = [text for text in lines if text.startswith((line, f"ERROR: {line}"))]
    assert len(shown) == 1, "\n".join(lines)
    text = "\n".join(lines)
    assert "Traceback" not in text
    assert "pytest_aibench/" not in text
    assert not [text for text in lines if text.startswith((">", "E  "))]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--device", "foo"],
            "device 'foo' is unknown: use auto, all, cuda, xpu, mps, cpu or cuda:N; available: cpu",
        ),
        (
            ["--device", "cpu:1"],
            "device 'cpu:1' is not available: the last one is cpu; available: cpu",
        ),
        (
            ["--aibench-precision", "fp13"],
            "precision 'fp13' is not available on cpu (",
        ),
        (
            ["--aibench-precision", "fp32,fp16"],
            "precision 'fp16' is not available on cpu (",
        ),
    ],
)
def test_options(project: pytest.Pytester, arguments: list[str], line: str) -> None:
    project.makepyfile(f"{HEADER}\ndef test_tiny(loadgen, aibench_precision): pass")
    result = project.runpytest(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert_one_line(result, line)


def test_cuda_where_there_is_none(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    project.makepyfile("def test_plain(): pass")
    result = project.runpytest("--device", "cuda")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert_one_line(result, "device 'cuda' is not available: ")
    result.stderr.fnmatch_lines(["*; available: cpu"])


@pytest.mark.parametrize("name", ["taken", ".aibench"])
def test_a_store_that_is_a_file(project: pytest.Pytester, name: str) -> None:
    (project.path / name).write_text("")
    project.makepyfile("def test_tiny(loadgen): pass")
    result = project.runpytest(*(["--aibench-store", name] if name == "taken" else []))
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    path = project.path / name
    assert_one_line(
        result,
        f"cannot write records to {path}: {path} is no folder; "
        "choose another folder with --aibench-store or use --aibench-no-store",
    )


def test_the_default_store_does_not_matter_to_plain_tests(project: pytest.Pytester) -> None:
    (project.path / ".aibench").write_text("")
    project.makepyfile("def test_plain(): pass")
    project.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "Server(target_qps=-5, latency_bound='10 ms')",
            "target_qps=-5 must be a number of queries per second above zero",
        ),
        (
            "SingleStream(percentile=990)",
            "percentile=990 must lie between 0 and 1: write 0.99 for the 99th percentile",
        ),
        (
            "MultiStream(percentile=99)",
            "percentile=99 must lie between 0 and 1: write 0.99 for the 99th percentile",
        ),
        (
            "Server(target_qps=5, latency_bound='10')",
            "latency_bound='10' needs a time unit: write it like '15 ms' or '2 s'",
        ),
        (
            "at_most('15 miles')",
            "unknown unit 'miles' in '15 miles': use one of %, ns, us, µs, ms, ",
        ),
        (
            "at_most('fast')",
            "cannot read the quantity 'fast': write a number and a unit, like '15 ms'",
        ),
    ],
)
def test_values_at_import_and_in_a_test(project: pytest.Pytester, code: str, message: str) -> None:
    project.makepyfile(
        test_import=f"{HEADER}\n@pytest.mark.parametrize('x', [{code}])\ndef test_x(x): pass",
        test_call=f"{HEADER}\ndef test_x(loadgen):\n    {code}",
    )
    at_import = project.runpytest("test_import.py")
    assert at_import.ret == pytest.ExitCode.INTERRUPTED
    assert_one_line(at_import, f"test_import.py:7: {message}")
    in_test = project.runpytest("test_call.py")
    assert in_test.ret == pytest.ExitCode.TESTS_FAILED
    assert_one_line(in_test, f"test_call.py:8: {message}")


MARKS = [
    (
        "dataset()",
        "mark dataset needs the data set's name: write dataset('digits')",
    ),
    (
        "dataset('tiny', shuffle=True)",
        "mark dataset has no argument 'shuffle': it takes a name and split",
    ),
    (
        "server(target_qps=5)",
        "mark server takes no arguments: give settings to the scenario, "
        "like Server(target_qps=50, latency_bound='100 ms')",
    ),
    ("train(epochs=3)", "mark train takes no arguments: give settings to trainer.run"),
]


@pytest.mark.parametrize(("mark", "message"), MARKS)
def test_arguments_of_marks(project: pytest.Pytester, mark: str, message: str) -> None:
    project.makepyfile(
        test_marks=f"{HEADER}\n@pytest.mark.{mark}\ndef test_x(loadgen, dataset): pass"
    )
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert_one_line(result, f"test_marks.py::test_x: {message}")


@pytest.mark.parametrize(("mark", "message"), MARKS)
def test_marks_of_others_are_theirs(project: pytest.Pytester, mark: str, message: str) -> None:
    project.makepyfile(f"import pytest\n@pytest.mark.{mark}\ndef test_x(): pass")
    project.runpytest().assert_outcomes(passed=1)


def test_arguments_of_marks_under_xdist(project: pytest.Pytester) -> None:
    mark, message = MARKS[0]
    project.makepyfile(
        test_marks=f"{HEADER}\n@pytest.mark.{mark}\ndef test_x(loadgen, dataset): pass"
    )
    result = project.runpytest("-n2")
    assert_one_line(result, f"test_marks.py::test_x: {message}")
    result.stdout.no_fnmatch_line("INTERNALERROR*")


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ("", "the dataset fixture needs a mark: write @pytest.mark.dataset('digits')"),
        ("@pytest.mark.dataset('moons')", "unknown data set 'moons': use one of digits, tiny"),
        (
            "@pytest.mark.dataset('tiny', split='dev')",
            "unknown split 'dev' of data set 'tiny': use train or test",
        ),
    ],
)
def test_the_dataset_fixture(project: pytest.Pytester, mark: str, message: str) -> None:
    project.makepyfile(test_data=f"{HEADER}\n{mark}\ndef test_x(loadgen, dataset): pass")
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"test_data.py:*: {message}*"])
    assert_one_line(result, "test_data.py:")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "run(3, dataset, ONE_BY_ONE)",
            "cannot load a int: give a callable on a list of samples, an object with preprocess, ",
        ),
        (
            "run(right, dataset, ONE_BY_ONE, timeout='5')",
            "timeout='5' needs a time unit: write it like '15 ms' or '2 s'",
        ),
        (
            "run(right, dataset, ONE_BY_ONE).require(p99=at_most('15 samples/s'))",
            "p99: the bound '15 samples/s' has the wrong unit: write it like '15 ms'",
        ),
        (
            "run(right, dataset, ONE_BY_ONE).require(top1=at_least('15 ms'))",
            "top1: the bound '15 ms' has the wrong unit: write it like '0.97'",
        ),
        (
            "run(right, dataset, ONE_BY_ONE).require(top1=0.97)",
            "top1=0.97 is no bound: write at_least(0.97) or at_most(0.97)",
        ),
        (
            "run(right, dataset, ONE_BY_ONE, bounds={'p99': '5 ms'})",
            "p99='5 ms' is no bound: write at_least('5 ms') or at_most('5 ms')",
        ),
        (
            "run(right, dataset, ONE_BY_ONE).require(speed=at_least(1))",
            "this benchmark has no figure 'speed': use one of p50 … p999, mean, throughput, ",
        ),
        (
            "run(right, dataset, ONE_BY_ONE).require(top1=at_least('99% of fp32'))",
            "top1: unknown reference 'fp32' (known: none were given): "
            "pass references={'fp32': …} to loadgen.run",
        ),
        (
            "run(right, dataset, ONE_BY_ONE, references={'fp32': 1}).require("
            "p99=at_most('99% of fp32'))",
            "p99: only quality can be required relative to 'fp32': give a bound in absolute units",
        ),
    ],
)
def test_the_load_generator(project: pytest.Pytester, call: str, message: str) -> None:
    project.makepyfile(
        test_load=f"""{HEADER}
@pytest.mark.dataset("tiny")
def test_x(loadgen, dataset):
    loadgen.{call}
"""
    )
    result = project.runpytest()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert_one_line(result, f"test_load.py:9: {message}")
