"""The progress line, on a stand-in terminal and a stand-in clock."""

from __future__ import annotations

import io

import pytest

from pytest_aibench.report.progress import Progress, progress_text
from tests.fakes import FakeClock


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True

    def screen(self) -> str:
        """The line as a terminal shows it."""
        cells: list[str] = []
        column = 0
        for character in self.getvalue():
            if character == "\r":
                column = 0
                continue
            cells[column : column + 1] = [character]
            column += 1
        return "".join(cells).rstrip()


@pytest.fixture(autouse=True)
def _columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize(
    ("elapsed_s", "budget_s", "text"),
    [
        (6.2, 10.0, "server-50qps on cpu: 312 queries, 6.2 s of 10 s"),
        (6.26, 2.5, "server-50qps on cpu: 312 queries, 6.3 s of 2.5 s"),
        (61.0, None, "server-50qps on cpu: 312 queries, 61.0 s"),
    ],
)
def test_text(elapsed_s: float, budget_s: float | None, text: str) -> None:
    assert progress_text("server-50qps on cpu", 312, elapsed_s, budget_s) == text


def test_the_line_is_rewritten_and_erased() -> None:
    terminal, clock = Terminal(), FakeClock()
    progress = Progress(terminal, "offline on cpu", 10.0, clock.seconds)
    progress.update(1000, 0.1)
    assert terminal.screen() == "offline on cpu: 1000 queries, 0.1 s of 10 s"
    clock.advance(1)
    progress.update(2, 1.1)
    assert terminal.screen() == "offline on cpu: 2 queries, 1.1 s of 10 s"
    progress.close()
    assert terminal.screen() == ""
    assert terminal.getvalue().endswith("\r")
    assert "\n" not in terminal.getvalue()


def test_any_line_can_be_shown() -> None:
    terminal, clock = Terminal(), FakeClock()
    progress = Progress(terminal, "offline on cpu", 10.0, clock.seconds)
    progress.show("clouds, seed 0: epoch 1 of 8")
    progress.show("clouds, seed 0: epoch 2 of 8")
    assert terminal.screen() == "clouds, seed 0: epoch 1 of 8"
    clock.advance(1)
    progress.show("clouds, seed 0: epoch 3 of 8")
    assert terminal.screen() == "clouds, seed 0: epoch 3 of 8"
    clock.advance(1)
    progress.update(2, 1.1)
    assert terminal.screen() == "offline on cpu: 2 queries, 1.1 s of 10 s"
    progress.close()
    assert terminal.screen() == ""


def test_at_most_five_updates_a_second() -> None:
    terminal, clock = Terminal(), FakeClock()
    progress = Progress(terminal, "offline on cpu", None, clock.seconds)
    for query in range(1000):
        progress.update(query, query / 1000)
        clock.advance(0.001)
    assert 4 <= terminal.getvalue().count("offline") <= 6


def test_nothing_is_written_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(stream, "offline on cpu", None, FakeClock().seconds)
    progress.update(1, 0.1)
    progress.show("epoch 1")
    progress.close()
    assert stream.getvalue() == ""


def test_nothing_is_erased_that_was_not_written() -> None:
    terminal = Terminal()
    Progress(terminal, "offline on cpu", None, FakeClock().seconds).close()
    assert terminal.getvalue() == ""


def test_the_line_never_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    terminal = Terminal()
    Progress(terminal, "a long name of a benchmark on cpu", None, FakeClock().seconds).update(
        1, 0.1
    )
    assert terminal.screen() == "a long name of a be"
