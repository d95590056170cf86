"""The entry point: as little as a project without benchmarks can be asked to pay for.

Options are defined when somebody names one, fixtures and what finds their users (see `fixtures`)
when the first test module is collected, and all other hooks (see `hooks`) when a test is one.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest

MARKS = (
    "single_stream: a load of one sample at a time; set by the scenario parameter SingleStream()",
    "multi_stream: a load of several samples at a time; set by the scenario MultiStream()",
    "server: a load of random arrivals; set by the scenario Server(target_qps=, latency_bound=)",
    "offline: a load of all samples at once; set by the scenario parameter Offline()",
    "users: a load of users who wait for answers and think; set by the scenario Users(count=)",
    "train: a training to a quality target",
    "micro: a measurement of one operation",
    "dataset(name, split='test'): the data set that the dataset fixture gives",
)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, Any, Any]:
    """Define the options, if the command line, the environment or the ini file names one."""
    if not _is_named(early_config, args):
        return (yield)
    from pytest_aibench import options

    options.add_options(parser)
    result = yield
    options.add_device_alias(parser)
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, and all hooks where options were named or workers run the tests."""
    for line in MARKS:
        config.addinivalue_line("markers", line)
    # Only xdist's workers see the benchmarks; this process must be ready for their records.
    if hasattr(config.option, "aibench_device") or getattr(config.option, "dist", "no") != "no":
        from pytest_aibench import hooks

        hooks.register(config)


def pytest_pycollect_makemodule(parent: pytest.Collector) -> None:
    """Register the fixtures before the first test module is read."""
    if not parent.config.pluginmanager.hasplugin("aibench-fixtures"):
        from pytest_aibench import fixtures

        fixtures.register(parent.config)


def _is_named(config: pytest.Config, args: list[str]) -> bool:
    """Whether any of our options may be meant, or help is asked for."""
    words = (*args, *os.environ)
    if any(word.startswith(("--device", "-h", "--help")) for word in args):
        return True
    if any("aibench" in word.lower() for word in words):
        return True
    return config.inipath is not None and b"aibench" in config.inipath.read_bytes()
