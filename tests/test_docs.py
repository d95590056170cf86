"""The documentation says what the code says: options, fixtures, marks, fields, links."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from pytest_aibench import fixtures, plugin
from pytest_aibench.cli import COMMANDS
from pytest_aibench.names import HOMES
from pytest_aibench.options import FLAGS, OPTIONS, Option
from pytest_aibench.results.schema import (
    BenchmarkEntry,
    DatasetEntry,
    DeviceEntry,
    Environment,
    LoadEntry,
    Metric,
    Run,
    TrainingEntry,
)

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *(ROOT / "docs").glob("*.md")]
)
RECORDS = (
    Run,
    Environment,
    BenchmarkEntry,
    DeviceEntry,
    DatasetEntry,
    LoadEntry,
    TrainingEntry,
    Metric,
)

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def read(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_options_are_documented(option: Option) -> None:
    value = f"[={option.metavar}]" if option.bare else f" {option.metavar}"
    usage = f"`{option.flag}{value}`"
    (row,) = [line for line in read("options.md").splitlines() if line.startswith(f"| {usage} ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    twins = [usage, f"`{option.key.upper()}`", f"`{option.key}`"]
    assert cells[:4] == [*twins, f"`{option.default or 'none'}`"]
    assert all(f"`{choice}`" in cells[4] for choice in option.choices)


@pytest.mark.parametrize("key", FLAGS)
def test_switches_are_documented(key: str) -> None:
    row = f"| `--{key.replace('_', '-')}` | `{key.upper()}` | `{key}` | off |"
    assert row in read("options.md")


@every_page
def test_no_page_names_an_option_that_does_not_exist(page: Path) -> None:
    known = {option.flag for option in OPTIONS} | {f"--{key.replace('_', '-')}" for key in FLAGS}
    named = set(re.findall(r"--aibench-[a-z-]+", page.read_text(encoding="utf-8")))
    assert named <= known


@every_page
def test_no_page_names_a_command_that_does_not_exist(page: Path) -> None:
    named = set(re.findall(r"`aibench ([a-z-]+)", page.read_text(encoding="utf-8")))
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("name", fixtures._SHORT)
def test_fixtures_are_documented(name: str) -> None:
    assert f"\n| `{name}` | `aibench_{name}` | " in read("fixtures-and-marks.md")


@pytest.mark.parametrize("line", plugin.MARKS)
def test_marks_are_documented(line: str) -> None:
    name = re.split(r"[:(]", line)[0]
    _, _, section = read("fixtures-and-marks.md").partition("\n## Marks\n")
    assert re.search(rf"\|.*`{name}[`(]", section)


@pytest.mark.parametrize(
    "name", [f"{record.__name__}.{field.name}" for record in RECORDS for field in fields(record)]
)
def test_fields_of_records_are_documented(name: str) -> None:
    assert f"`{name.partition('.')[2]}`" in read("records.md")


@every_page
def test_relative_links_resolve(page: Path) -> None:
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    paths = [link.partition("#")[0] for link in links if "://" not in link]
    assert [path for path in paths if not (page.parent / path).exists()] == []


@every_page
def test_examples_compile_and_import_public_names(page: Path) -> None:
    for example in _PYTHON.findall(page.read_text(encoding="utf-8")):
        compile(example, page.name, "exec")
        for names in re.findall(r"^from pytest_aibench import (.+)$", example, re.MULTILINE):
            assert set(names.split(", ")) <= set(HOMES)
