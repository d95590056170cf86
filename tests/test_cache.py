"""Where this user's folders are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_aibench.cache import cache_dir, spool_dir


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIBENCH_CACHE", "XDG_CACHE_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/someone"))


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "/home/someone/.cache/pytest-aibench"),
        ("linux", {"XDG_CACHE_HOME": "/fast"}, "/fast/pytest-aibench"),
        ("darwin", {}, "/home/someone/Library/Caches/pytest-aibench"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/pytest-aibench"),
        ("win32", {}, "/home/someone/AppData/Local/pytest-aibench"),
        ("linux", {"AIBENCH_CACHE": "/mine", "XDG_CACHE_HOME": "/fast"}, "/mine"),
    ],
)
def test_cache_dir(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_dir() == Path(expected)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "/home/someone/.local/share/pytest-aibench/spool"),
        ("linux", {"XDG_DATA_HOME": "/safe"}, "/safe/pytest-aibench/spool"),
        ("linux", {"AIBENCH_CACHE": "/mine"}, "/home/someone/.local/share/pytest-aibench/spool"),
        ("darwin", {}, "/home/someone/Library/Application Support/pytest-aibench/spool"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/pytest-aibench/spool"),
    ],
)
def test_spool_dir(
    monkeypatch: pytest.MonkeyPatch, platform: str, environment: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert spool_dir() == Path(expected)
