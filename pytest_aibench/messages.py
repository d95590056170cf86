"""How failures and the user's mistakes reach pytest: in words of ours, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from pytest_aibench.errors import UserError

_MACHINERY = {"pytest_aibench", "_pytest", "pluggy", "contextlib"}
"""Packages between the user's code and the place that found a mistake in it."""


_OURS = Path(__file__).parent


class BenchmarkFailed(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """A benchmark that did not pass; the message says it all."""

    def __init__(self, message: str) -> None:
        super().__init__(message, pytrace=False)


@contextmanager
def usage_errors() -> Iterator[None]:
    """End the session with a usage error of one line."""
    try:
        yield
    except UserError as error:
        raise pytest.UsageError(str(error)) from None


def without_our_frames(excinfo: pytest.ExceptionInfo[Any]) -> pytest.ExceptionInfo[Any]:
    """An error that was raised elsewhere, with our code left out of its traceback."""
    if _package(excinfo.traceback[-1].frame.f_globals) in _MACHINERY:
        return excinfo
    kept: TracebackType | None = None
    for entry in reversed(excinfo.traceback):
        if _package(entry.frame.f_globals) != "pytest_aibench":
            raw = entry._rawentry
            kept = TracebackType(kept, raw.tb_frame, raw.tb_lasti, raw.tb_lineno)
    return pytest.ExceptionInfo.from_exception(excinfo.value.with_traceback(kept))


def shorten(
    report: pytest.CollectReport | pytest.TestReport,
    excinfo: pytest.ExceptionInfo[Any],
    item: pytest.Item | None = None,
) -> None:
    """Reduce what a report shows of a failed benchmark, or of a user's mistake, to its message."""
    if isinstance(excinfo.value, BenchmarkFailed):
        report.longrepr = str(excinfo.value)
    elif isinstance(excinfo.value, UserError):
        report.longrepr = f"{_place(excinfo, item)}{excinfo.value}"


def skip_at_test(
    report: pytest.TestReport, excinfo: pytest.ExceptionInfo[Any], item: pytest.Item
) -> None:
    """Have a skip of ours told with the place of the test; absent data are a skip of ours, too."""
    if not isinstance(report.longrepr, tuple):
        return
    place, _, why = report.longrepr
    if isinstance(excinfo.value, UserError) or _OURS in Path(place).parents:
        path, line, _ = item.reportinfo()
        report.longrepr = (str(path), (line or 0) + 1, why)


def evidence(excinfo: pytest.ExceptionInfo[Any], item: pytest.Item) -> str:
    """An error in one line, with its place and what was noted about it, for the record."""
    error = excinfo.value
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    summary = next(iter(str(error).splitlines()), "")
    notes = getattr(error, "__notes__", ())
    return "; ".join([f"{_place(excinfo, item)}{kind}{summary}", *notes])


def _place(excinfo: pytest.ExceptionInfo[Any], item: pytest.Item | None) -> str:
    """``test_model.py:12: ``: the last line of the user's code; the item if there is none."""
    for entry in reversed(excinfo.traceback):
        if _package(entry.frame.f_globals) not in _MACHINERY:
            return f"{Path(entry.path).name}:{entry.lineno + 1}: "
    if item is None or item.location[1] is None:
        return ""
    return f"{Path(item.location[0]).name}:{item.location[1] + 1}: "


def _package(module: Mapping[str, Any]) -> str:
    return str(module.get("__name__", "")).partition(".")[0]
