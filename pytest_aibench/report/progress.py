"""One line that shows how far a long benchmark is, on a terminal only."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import pytest

UPDATE_INTERVAL_S = 0.2


def open_terminal(config: pytest.Config) -> TextIO | None:
    """The terminal behind pytest's capture; None where output does not go to one."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not reporter.isatty:
        return None
    try:
        return open("CONOUT$" if os.name == "nt" else "/dev/tty", "w", encoding="utf-8")
    except OSError:
        return None


def show_line(config: pytest.Config, text: str) -> None:
    """Show a line at once, past pytest's capture, where this process shows anything."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is not None:
        with nullcontext() if capture is None else capture.global_and_fixture_disabled():
            reporter.write_line(text)


class Progress:
    """Rewrites one line at most five times a second, and erases it at the end.

    It writes nothing to a stream that is no terminal.
    """

    def __init__(
        self,
        stream: TextIO,
        label: str,
        budget_s: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a line for one benchmark.

        Args:
            stream: Where to write, usually the terminal behind pytest's capture.
            label: What runs where, like ``server-50qps on cpu``.
            budget_s: The longest the load may take; None when nobody knows.
            clock: Time in seconds.
        """
        self._stream = stream
        self._label = label
        self._budget_s = budget_s
        self._clock = clock
        self._shows = stream.isatty()
        self._next_s = clock()
        self._length = 0

    def update(self, n_queries: int, elapsed_s: float) -> None:
        """Show the state of the load, unless the line is younger than a fifth of a second."""
        if self._is_due():
            self._write(progress_text(self._label, n_queries, elapsed_s, self._budget_s))

    def show(self, text: str) -> None:
        """Show a line, like that of a training's epoch, likewise."""
        if self._is_due():
            self._write(text)

    def close(self) -> None:
        """Erase the line."""
        if self._length:
            self._write("")

    def _is_due(self) -> bool:
        now_s = self._clock()
        if not self._shows or now_s < self._next_s:
            return False
        self._next_s = now_s + UPDATE_INTERVAL_S
        return True

    def _write(self, text: str) -> None:
        # A line as wide as the terminal would wrap, and \r would no longer reach its start.
        text = text[: shutil.get_terminal_size().columns - 1]
        if self._length:
            self._stream.write(f"\r{' ' * self._length}\r")
        self._stream.write(text)
        self._stream.flush()
        self._length = len(text)


def progress_text(label: str, n_queries: int, elapsed_s: float, budget_s: float | None) -> str:
    """``server-50qps on cpu: 312 queries, 6.2 s of 10 s``."""
    budget = "" if budget_s is None else f" of {budget_s:g} s"
    return f"{label}: {n_queries} queries, {elapsed_s:.1f} s{budget}"
