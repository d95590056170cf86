"""The package's public names are the same for the interpreter and for type checkers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pytest_aibench
from pytest_aibench.names import HOMES

STUB = Path(pytest_aibench.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
NAMES = re.findall(r"^from pytest_aibench\.([\w.]+) import (\w+) as \2$", STUB, re.MULTILINE)


def test_the_stub_names_all() -> None:
    assert {name: home for home, name in NAMES} == HOMES


@pytest.mark.parametrize("name", [name for _, name in NAMES])
def test_a_name_is_there(name: str) -> None:
    assert getattr(pytest_aibench, name).__name__ == name


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="module 'pytest_aibench' has no attribute 'Sever'"):
        getattr(pytest_aibench, "Sever")  # noqa: B009
