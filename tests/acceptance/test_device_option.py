"""``--device``: ours where nobody else has it, theirs where somebody has."""

from __future__ import annotations

import pytest

BENCHMARK = """
def test_device(aibench_loadgen, aibench_device):
    assert aibench_device.id == "cpu"
    raise RuntimeError("seen")
"""


@pytest.fixture
def bare(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project whose environment names no device."""
    monkeypatch.delenv("AIBENCH_DEVICE")
    project.makepyfile(BENCHMARK)
    return project


@pytest.mark.parametrize("spelling", [["--device", "cpu"], ["--device=cpu"]])
def test_the_alias(bare: pytest.Pytester, spelling: list[str]) -> None:
    result = bare.runpytest(*spelling)
    result.stdout.fnmatch_lines(["aibench: device cpu, *", "E *RuntimeError: seen"])


def test_the_alias_in_addopts(bare: pytest.Pytester) -> None:
    bare.makeini("[pytest]\naddopts = --device=cpu")
    bare.runpytest().stdout.fnmatch_lines(["aibench: device cpu, *"])


def test_the_last_spelling_wins(bare: pytest.Pytester) -> None:
    result = bare.runpytest("--device=foo", "--aibench-device=cpu")
    result.stdout.fnmatch_lines(["aibench: device cpu, *"])


THEIR_TEST = """
def test_option(pytestconfig, aibench_device):
    assert pytestconfig.getoption("device") == "theirs"
    assert aibench_device.id == "cpu"
    raise RuntimeError("seen")
"""


def test_a_conftest_that_owns_the_option(bare: pytest.Pytester) -> None:
    bare.makeconftest("def pytest_addoption(parser): parser.addoption('--device', default='none')")
    bare.makepyfile(THEIR_TEST)
    result = bare.runpytest("--device=theirs", "--aibench-device=cpu")
    result.stdout.fnmatch_lines(["E *RuntimeError: seen"])


def test_a_conftest_of_a_folder_that_owns_the_option(bare: pytest.Pytester) -> None:
    bare.makepyfile(
        **{
            "sub/conftest": "def pytest_addoption(parser): parser.addoption('--device')",
            "sub/test_sub": THEIR_TEST,
        }
    )
    result = bare.runpytest("sub", "--device=theirs", "--aibench-device=cpu")
    result.stdout.fnmatch_lines(["E *RuntimeError: seen"])


LIKE_PLAYWRIGHT = """
import pytest

def pytest_addoption(parser):
    group = parser.getgroup("playwright", "Playwright")
    group.addoption("--device", default=None, action="store", help="Device to be emulated.")

@pytest.fixture(scope="session")
def device(pytestconfig):
    return pytestconfig.getoption("--device")
"""


@pytest.mark.parametrize(
    "plugins",
    [("like_playwright", "pytest_aibench.plugin"), ("pytest_aibench.plugin", "like_playwright")],
    ids=["before us", "after us"],
)
def test_a_plugin_that_owns_option_and_fixture(
    bare: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, plugins: tuple[str, ...]
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    bare.makepyfile(like_playwright=LIKE_PLAYWRIGHT)
    bare.makepyfile(
        """
        def test_theirs(device):
            assert device == "iPhone 13"

        def test_ours(aibench_device, dataset):
            assert aibench_device.id == "cpu"
        """
    )
    bare.syspathinsert()
    arguments = [argument for plugin in plugins for argument in ("-p", plugin)]
    result = bare.runpytest(*arguments, "--device=iPhone 13", "--aibench-device=cpu", "-v")
    result.stdout.fnmatch_lines(
        [
            "*::test_theirs PASSED*",
            "*::test_ours[[]cpu] ERROR*",
            "*: the dataset fixture needs a mark: write @pytest.mark.dataset('digits')",
        ]
    )
