"""The record's schema: JSON and back, its JSON Schema, and what a damaged record says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings

from pytest_aibench.results.schema import (
    SCHEMA,
    BenchmarkEntry,
    LoadEntry,
    Metric,
    Run,
    from_json,
    json_schema,
    to_json,
)
from tests.records import RUNS, benchmark, run_of

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
ANY_RUN = settings(max_examples=40)


@ANY_RUN
@given(RUNS)
def test_json_and_back(run: Run) -> None:
    assert from_json(Run, to_json(run)) == run
    assert from_json(Run, json.loads(json.dumps(to_json(run), allow_nan=False))) == run


@ANY_RUN
@given(RUNS)
def test_runs_are_valid_under_the_json_schema(run: Run) -> None:
    VALIDATOR.validate(to_json(run))


def test_the_json_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "changed",
    [
        {"schema": "aibench.run/1"},
        {"benchmarks": {}},
        {"interrupted": 1},
        {"environment": {"hw": {}}},
    ],
)
def test_the_json_schema_refuses(changed: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(to_json(run_of()) | changed)


def test_every_figure_may_be_null() -> None:
    """A figure that turns out not to be finite can then be stored without breaking the schema."""
    numbers = [path for path, kind in _types(json_schema(), "") if kind == {"type": "number"}]
    assert numbers
    assert all("anyOf" in path for path in numbers)


def _types(schema: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, schema
    inner = dict(enumerate(schema)) if isinstance(schema, list) else schema
    for key in inner if isinstance(inner, dict) else ():
        yield from _types(inner[key], f"{path}/{key}")


def test_numpy_values_become_plain() -> None:
    load = LoadEntry(
        scenario="server",
        settings={"rate": np.float32(0.5), "counts": np.arange(3)},
        stopped="decided",
        n_queries=np.int64(7),
        n_samples=7,
        duration_s=np.float64(1.5),
    )
    plain = to_json(load)
    assert plain["settings"] == {"rate": 0.5, "counts": [0, 1, 2]}
    assert type(plain["n_queries"]) is int
    assert type(plain["duration_s"]) is float


def test_unknown_keys_are_left_out_and_missing_ones_take_defaults() -> None:
    run = run_of(benchmark("a.py::test"))
    document = to_json(run) | {"added_later": 1}
    del document["notes"], document["benchmarks"][0]["metrics"]
    assert from_json(Run, document) == run


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"benchmarks": 3}, "run.benchmarks should be of type list, not int"),
        ({"benchmarks": [3]}, "run.benchmarks[0] should be of type dict, not int"),
        ({"benchmarks": [{}]}, "run.benchmarks[0].id is missing"),
        ({"run_id": None}, "run.run_id should be of type str, not NoneType"),
        ({"interrupted": 0}, "run.interrupted should be of type bool, not int"),
        ({"environment": {"hw": {}}}, "run.environment.unit is missing"),
    ],
)
def test_damaged_records_say_where(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        from_json(Run, to_json(run_of()) | changed)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "kind"), [(True, "bool"), ("7", "str"), ([], "list"), (1.5, "float")]
)
def test_counts_are_whole_numbers(value: Any, kind: str) -> None:
    metric = to_json(Metric(value=1.0, better="lower", n=3)) | {"n": value}
    document = to_json(replace(benchmark("a.py::test"), metrics={})) | {"metrics": {"p": metric}}
    with pytest.raises(ValueError, match=rf"run\.metrics\.p\.n should be of type int, not {kind}"):
        from_json(BenchmarkEntry, document)


def test_tuples_of_any_length() -> None:
    assert from_json(tuple[tuple[float, float], ...], [[1.0, 2], [3.0, 4.0]]) == ((1, 2), (3, 4))
    with pytest.raises(ValueError, match=r"^run\[1\] should be of type int, not str$"):
        from_json(tuple[int, ...], [1, "2"])


def test_schema_name() -> None:
    assert (
        json_schema()["$defs"]["Run"]["properties"]["schema"]
        == {"const": SCHEMA}
        == {"const": "aibench.run/2"}
    )
