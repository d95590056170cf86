"""The fixtures, and the hooks that find who uses them.

Each fixture has a name of its own, and a short alias that gives way to other plugins.
"""

from __future__ import annotations

import sys
from inspect import getattr_static
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from pytest_aibench.stash import session_of

if TYPE_CHECKING:
    from pytest_aibench.datasets.base import Dataset
    from pytest_aibench.devices.base import Device
    from pytest_aibench.inference.runner import LoadGenerator
    from pytest_aibench.training.runner import Trainer


@pytest.fixture(scope="session")
def aibench_device(request: pytest.FixtureRequest) -> Device:
    """The device under test, one of those that ``--device`` names."""
    return session_of(request.config).device(request.param)


@pytest.fixture(scope="session")
def aibench_precision(request: pytest.FixtureRequest, aibench_device: Device) -> str:
    """The precision under test, one of those that ``--aibench-precision`` names."""
    return session_of(request.config).precision(request.param, aibench_device)


@pytest.fixture
def aibench_dataset(request: pytest.FixtureRequest) -> Dataset:
    """The data set that the ``dataset`` mark names."""
    from pytest_aibench.datasets import get
    from pytest_aibench.errors import UserError

    mark = request.node.get_closest_marker("dataset")
    if mark is None:
        raise UserError("the dataset fixture needs a mark: write @pytest.mark.dataset('digits')")
    return get(*mark.args, **mark.kwargs)


@pytest.fixture
def aibench_loadgen(request: pytest.FixtureRequest, aibench_device: Device) -> LoadGenerator:
    """Loads models with queries under MLPerf's scenarios, and judges what it sees."""
    return session_of(request.config).load_generator(request.node, aibench_device)


@pytest.fixture
def aibench_trainer(request: pytest.FixtureRequest, aibench_device: Device) -> Trainer:
    """Trains a task to its quality target, and judges how long it took."""
    return session_of(request.config).trainer(request.node, aibench_device)


@pytest.fixture(scope="session")
def _device(aibench_device: Device) -> Device:
    """The same as ``aibench_device``."""
    return aibench_device


@pytest.fixture(scope="session")
def _precision(aibench_precision: str) -> str:
    """The same as ``aibench_precision``."""
    return aibench_precision


@pytest.fixture
def _dataset(aibench_dataset: Dataset) -> Dataset:
    """The same as ``aibench_dataset``."""
    return aibench_dataset


@pytest.fixture
def _loadgen(aibench_loadgen: LoadGenerator) -> LoadGenerator:
    """The same as ``aibench_loadgen``."""
    return aibench_loadgen


@pytest.fixture
def _trainer(aibench_trainer: Trainer) -> Trainer:
    """The same as ``aibench_trainer``."""
    return aibench_trainer


_SHORT = {
    "device": _device,
    "precision": _precision,
    "dataset": _dataset,
    "loadgen": _loadgen,
    "trainer": _trainer,
}


@pytest.hookimpl(tryfirst=True)
def _generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run benchmarks once for each device and precision."""
    if "aibench_device" in metafunc.fixturenames:
        from pytest_aibench import hooks

        hooks.register(metafunc.config)
        session_of(metafunc.config).parametrize(metafunc)


def _exception_interact(
    call: pytest.CallInfo[Any], report: pytest.CollectReport | pytest.TestReport
) -> None:
    """Show mistakes in the code of a test module in one line."""
    ours = "pytest_aibench.errors" in sys.modules
    if ours and call.excinfo is not None and isinstance(report, pytest.CollectReport):
        from pytest_aibench.messages import shorten

        shorten(report, call.excinfo)


_HOOKS = {
    "pytest_generate_tests": _generate_tests,
    "pytest_exception_interact": _exception_interact,
}


def register(config: pytest.Config) -> None:
    """Register all this; a short name only where nobody has a fixture of that name."""
    holder = ModuleType("pytest_aibench fixtures")
    plugins = [
        plugin
        for plugin in config.pluginmanager.get_plugins()
        if not _is_conftest_of_a_folder(plugin, config.rootpath)
    ]
    for name, fixture in _SHORT.items():
        setattr(holder, f"aibench_{name}", globals()[f"aibench_{name}"])
        if not any(_has_fixture(plugin, name) for plugin in plugins):
            setattr(holder, name, fixture)
    vars(holder).update(_HOOKS)
    config.pluginmanager.register(holder, "aibench-fixtures")


def _is_conftest_of_a_folder(plugin: object, root: Path) -> bool:
    """Whether a plugin is a conftest below the root: it overrides ours where it applies.

    One at the root applies everywhere. Its fixtures are registered before ours and would lose.
    """
    path = Path(getattr(plugin, "__file__", None) or "")
    return path.name == "conftest.py" and root in path.parent.parents


def _has_fixture(plugin: object, name: str) -> bool:
    return isinstance(getattr_static(plugin, name, None), type(_device))
