"""The hooks that run benchmarks; registered when the first of them is seen."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_aibench import marks
from pytest_aibench.collector import Collector
from pytest_aibench.errors import Unsupported
from pytest_aibench.messages import shorten, skip_at_test, usage_errors, without_our_frames
from pytest_aibench.options import read_settings
from pytest_aibench.stash import SETTINGS, session_of

COLLECTOR = "aibench-collector"


def register(config: pytest.Config) -> None:
    """Register these hooks and, where records are kept, their collector, if it is not done yet."""
    if SETTINGS in config.stash:
        return
    with usage_errors():
        config.stash[SETTINGS] = read_settings(config)
    config.pluginmanager.register(sys.modules[__name__], "aibench-hooks")
    if not hasattr(config, "workerinput") and not config.stash[SETTINGS].launch.follows:
        config.pluginmanager.register(Collector(config), COLLECTOR)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Check what was asked for in so many words, before anything is collected."""
    given = session.config.stash[SETTINGS].given
    with usage_errors():
        if given & {"device", "precision"}:
            session_of(session.config).check_devices()
        if "store" in given:
            session_of(session.config).check_store()
        if given & {"mlperf-logs", "user-conf"}:
            session_of(session.config).check_mlperf()
        if given & {"pictures", "rcp"}:
            session_of(session.config).check_training()
        if "data" in given:
            session_of(session.config).check_data()
        if "compare" in given:
            session_of(session.config).check_history()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Give scenarios short ids."""
    return marks.scenario_id(val)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark items by their scenarios before ``-m`` selects."""
    if isinstance(item, pytest.Function):
        marks.mark_scenario(item)


def pytest_report_collectionfinish(
    config: pytest.Config, items: list[pytest.Item]
) -> str | list[str]:
    """One short line, where there are benchmarks."""
    settings = config.stash[SETTINGS]
    is_quiet = config.get_verbosity() < 0 or settings.launch.follows
    if is_quiet or not any(map(_is_benchmark, items)):
        return []
    n_processes = settings.launch.processes
    spread = f", {n_processes} processes" if n_processes > 1 else ""
    devices = ", ".join(session_of(config).devices)
    store = "kept nowhere" if settings.store is None else f"in {settings.store_name}"
    gatekeeper = session_of(config).gatekeeper
    compared = "" if gatekeeper is None else f", compared with {gatekeeper.source}"
    calibrated = f", bounds from {settings.calibrate} runs" if settings.calibrate else ""
    what = f"device {devices}{spread}, effort {settings.effort}, records {store}"
    return f"aibench: {what}{compared}{calibrated}"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Check before benchmarks run what their records and their comparison need."""
    config = session.config
    if config.pluginmanager.hasplugin(COLLECTOR) and any(map(_is_benchmark, session.items)):
        with usage_errors():
            session_of(config).check_store()
            session_of(config).check_mlperf()
            session_of(config).check_training()
            session_of(config).check_history()
    if config.stash[SETTINGS].launch.processes > 1:
        with usage_errors():
            session_of(config).check_alike(filter(_is_benchmark, session.items))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Give a benchmark its device alone."""
    with _noting_interruption(item):
        if _is_benchmark(item):
            session_of(item.config).begin(item)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Run a benchmark again where its bounds or its history ask for it; note an interruption."""
    __tracebackhide__ = True
    with _noting_interruption(item), _skipping_unsupported():
        result = yield
        if _is_benchmark(item):
            n_benchmarks = sum(map(_is_benchmark, item.session.items))
            session_of(item.config).calibrate(item)
            session_of(item.config).compare(item, n_benchmarks)
        return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, Any, Any]:
    """Let others have the device."""
    try:
        return (yield)
    finally:
        if _is_benchmark(item):
            session_of(item.config).end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Send a benchmark's record along with its report; xdist carries it to the controller."""
    if call.excinfo is not None and _is_benchmark(item):
        call.excinfo = without_our_frames(call.excinfo)
    error = call.excinfo  # pytest puts a skip in place of absent data
    report = yield
    if call.excinfo is not None and report.failed:
        shorten(report, call.excinfo, item)
    if error is not None and report.skipped:
        skip_at_test(report, error, item)
    has_run = call.when == "call" or (call.when == "setup" and report.failed)
    if has_run and _is_benchmark(item):
        session_of(item.config).attach(item, call, report)
    if call.excinfo is not None and report.failed and _is_benchmark(item):
        session_of(item.config).end_together(item, call.excinfo)
    return report


@contextmanager
def _noting_interruption(item: pytest.Item) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        collector = item.config.pluginmanager.get_plugin(COLLECTOR)
        if collector is not None and _is_benchmark(item):
            collector.take(session_of(item.config).interrupted(item))
        raise


@contextmanager
def _skipping_unsupported() -> Iterator[None]:
    try:
        yield
    except Unsupported as why:
        pytest.skip(str(why))


def _is_benchmark(item: pytest.Item) -> bool:
    return "aibench_device" in getattr(item, "fixturenames", ())
