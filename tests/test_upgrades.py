"""Records of every schema so far can be read: each has a golden file from a real session."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_aibench.results.identity import series_keys
from pytest_aibench.results.schema import SCHEMA, Run, from_json, json_schema
from pytest_aibench.results.upgrades import upgraded

GOLDEN = sorted((Path(__file__).parent / "golden").glob("run_v*.json"))


def golden(version: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        (Path(__file__).parent / f"golden/run_v{version}.json").read_text(encoding="utf-8")
    )
    return document


def test_every_schema_has_a_golden_record() -> None:
    present = int(SCHEMA.rpartition("/")[2])
    assert [path.name for path in GOLDEN] == [f"run_v{n}.json" for n in range(1, present + 1)]
    for version in range(1, present + 1):
        assert golden(version)["schema"] == f"aibench.run/{version}"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_records_become_valid_ones(path: Path) -> None:
    document = upgraded(json.loads(path.read_text(encoding="utf-8")))
    jsonschema.Draft202012Validator(json_schema()).validate(document)
    run = from_json(Run, document)
    assert run.schema == SCHEMA
    assert len(run.benchmarks) == 3
    assert len(series_keys(run)) > 20


def test_a_present_record_stays_as_it_is() -> None:
    document = golden(2)
    assert upgraded(document) == document


def test_one_bit_set_gets_its_metrics_name() -> None:
    before = golden(1)
    after = upgraded(before)
    bits = [entry["correct"] for entry in before["benchmarks"]]
    assert [len(text) for text in bits] == [60, 0, 60]
    assert [entry["correct"] for entry in after["benchmarks"]] == [
        {"top1": bits[0]},
        {},
        {"top1": bits[2]},
    ]


def test_a_bit_set_without_a_judged_quality_is_kept() -> None:
    document = golden(1)
    entry = document["benchmarks"][0]
    entry["checks"] = [{"name": "goodput", "unit": ""}]
    entry["metrics"]["goodput"] = entry["metrics"]["top1"]
    assert list(upgraded(document)["benchmarks"][0]["correct"]) == ["unknown"]


def test_the_upgrade_changes_nothing_else_and_not_its_argument() -> None:
    before = golden(1)
    before["added"], before["benchmarks"][0]["device"]["added"] = {"later": 1}, 2
    untouched = copy.deepcopy(before)
    after = upgraded(before)
    assert before == untouched
    for entry in before["benchmarks"]:
        entry["correct"] = {"top1": entry["correct"]} if entry["correct"] else {}
        entry["device"]["hardware"] = {}
    assert after == before | {"schema": "aibench.run/2"}


@pytest.mark.parametrize(
    ("hw", "expected"),
    [
        ({}, {}),
        (
            {"gpu_count": 2, "gpu_product": "NVIDIA L4", "gpu_power_limit_w": 72.0},
            {"gpu_product": "NVIDIA L4", "gpu_power_limit_w": 72.0},
        ),
        (
            {"gpu_count": 2, "gpu_product": ["NVIDIA T4", "NVIDIA L4"], "gpu_ecc": [None, True]},
            {"gpu_product": "NVIDIA L4", "gpu_ecc": True},
        ),
        # Which of two it was cannot be told.
        ({"gpu_count": 2, "gpu_product": "NVIDIA L4", "gpu_power_limit_w": [72.0, 60.0]}, {}),
        ({"gpu_count": 1, "gpu_product": "NVIDIA T4"}, {}),
    ],
)
def test_the_device_gets_its_hardware(hw: dict[str, Any], expected: dict[str, Any]) -> None:
    document = golden(1)
    document["environment"]["hw"] |= hw
    document["benchmarks"][0]["device"] |= {"kind": "cuda", "name": "NVIDIA L4"}
    assert upgraded(document)["benchmarks"][0]["device"]["hardware"] == expected


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"environment": {}}, "not built as aibench.run/1 says: KeyError('hw')"),
        ({"benchmarks": 7}, "not built as aibench.run/1 says: TypeError("),
        ({"benchmarks": ["x"]}, "not built as aibench.run/1 says: AttributeError("),
    ],
)
def test_a_damaged_old_record_says_so(damage: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        upgraded(golden(1) | damage)
    assert str(caught.value).startswith(message)


def test_foreign_and_newer_documents_are_left_to_the_reader() -> None:
    for schema in ("aibench.run/3", "other", None):
        assert upgraded({"schema": schema}) == {"schema": schema}
