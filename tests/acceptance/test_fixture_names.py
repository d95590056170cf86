"""Our fixtures have short names, which belong to the project wherever it uses them itself."""

from __future__ import annotations

import pytest

SHORT = ["device", "precision", "dataset", "loadgen", "trainer"]

OWN = """
import pytest

@pytest.fixture
def {name}():
    return "the project's own"
"""
PLAIN = """
def test_plain({name}):
    assert {name} == "the project's own"
"""


@pytest.mark.parametrize("name", SHORT)
def test_a_fixture_of_a_test_module_wins(project: pytest.Pytester, name: str) -> None:
    project.makepyfile((OWN + PLAIN).format(name=name))
    project.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize("name", SHORT)
def test_a_fixture_of_a_conftest_wins(project: pytest.Pytester, name: str) -> None:
    project.makeconftest(OWN.format(name=name))
    project.makepyfile(PLAIN.format(name=name))
    project.runpytest().assert_outcomes(passed=1)


def test_a_fixture_of_one_folder_leaves_others_alone(project: pytest.Pytester) -> None:
    project.makepyfile(
        **{
            "theirs/conftest": OWN.format(name="device"),
            "theirs/test_theirs": PLAIN.format(name="device"),
            "ours/test_ours": "def test_ours(device): raise RuntimeError(device.id)",
        }
    )
    result = project.runpytest("theirs", "ours")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *RuntimeError: cpu"])


def test_the_long_names_always_work(project: pytest.Pytester) -> None:
    project.makeconftest("".join(OWN.format(name=name) for name in SHORT) + "\nimport tiny")
    project.makepyfile(
        """
        import pytest
        from pytest_aibench import SingleStream, at_least
        from tiny import right

        @pytest.mark.dataset("tiny")
        def test_ours(
            aibench_device, aibench_precision, aibench_dataset, aibench_loadgen, aibench_trainer
        ):
            assert (aibench_device.id, aibench_precision) == ("cpu", "fp32")
            assert aibench_trainer.device is aibench_device
            scenario = SingleStream(min_duration="1 ms")
            aibench_loadgen.run(right, aibench_dataset, scenario).require(top1=at_least(0.97))
        """
    )
    project.runpytest().assert_outcomes(passed=1)


def test_they_are_listed(project: pytest.Pytester) -> None:
    project.makepyfile("def test_plain(): pass")
    listed = project.runpytest("--fixtures").stdout
    listed.fnmatch_lines_random(
        [
            "device [[]session scope] -- *",
            "    The same as ``aibench_device``.",
            "aibench_loadgen -- *",
            "    Loads models with queries under MLPerf's scenarios, and judges what it sees.",
        ]
    )
