"""The record: one document per pytest session, one entry per benchmark, and its JSON Schema.

The dataclasses are the only definition; the JSON Schema is derived from them. Units stand in the
names. A figure that could not be measured is ``null`` with a reason, never NaN and never zero.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache, partial
from typing import Any, Union, get_args, get_origin, get_type_hints

from pytest_aibench.bounds import Violation

SCHEMA = "aibench.run/2"

Json = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A figure with its interval.

    Attributes:
        value: The figure in the unit its name carries; null when it was not measured.
        low: Lower end of the interval; null when the sample cannot support one.
        high: Upper end, likewise.
        confidence: Confidence of each end: 0.99 on both sides makes a two-sided 98 % interval.
        n: Number of observations behind it.
        better: ``higher`` or ``lower``.
        why_open: What is missing when a value or an end is null.
    """

    value: float | None
    better: str
    n: int
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    why_open: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckEntry:
    """One bound applied to one figure; limits and values in base units (s, samples/s, B).

    Attributes:
        bound: The bound as the user reads it, like ``≥ 0.97`` or ``≥ 99% of fp32``.
        limit: The limit; null for a share of a reference that was not measured.
        margin: Distance to the limit as a share of it, negative when the bound is missed.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    bound: str
    limit: float | None
    margin: float | None
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotJudged:
    """A bound that was asked for but does not apply, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetEntry:
    """The data a benchmark ran on."""

    name: str
    fingerprint: str
    split: str
    n_samples: int
    licence: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceEntry:
    """The device a benchmark ran on.

    Attributes:
        uuid: The driver's identifier of this exemplar; empty where it gives none.
        hardware: What the driver tells of this kind of device: product, memory, power limit, MIG.
    """

    id: str
    kind: str
    name: str
    memory_bytes: int | None
    peak_memory_bytes: int | None = None
    uuid: str = ""
    hardware: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadEntry:
    """How a load ran.

    Attributes:
        settings: The scenario's effective settings, seeds included.
        stopped: Why the load ended.
        n_queries: Queries issued.
        n_samples: Samples issued.
        duration_s: From the start to the last completion.
        lateness: Percentiles of issued minus scheduled time, in ms, and of the generator's share.
        phases: Mean time per query in each phase of the model, in ms, where it has phases.
        tokens: For token streams: answers, tokens, arrivals, and answers whose pace is unknown.
        histogram: Mergeable latency histogram: bucket lower edges in ns, and counts.
    """

    scenario: str
    settings: dict[str, Json]
    stopped: str
    n_queries: int
    n_samples: int
    duration_s: float | None
    lateness: dict[str, float | None] = field(default_factory=dict)
    phases: dict[str, float | None] = field(default_factory=dict)
    tokens: dict[str, Json] = field(default_factory=dict)
    histogram: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeEntry:
    """One load of a search for a peak, from an idle system.

    Attributes:
        load: Queries/s, or samples per query.
        n_queries: Queries judged.
        n_over: How many of them missed the latency bound.
        percentile_ms: The judged latency percentile.
        verdict: Whether the bound was met, without a confidence: ``passed`` or ``failed``.
        replication: Whether it is one of the full probes at the boundary, behind the answer.
    """

    load: float | None
    n_queries: int
    n_over: int
    percentile_ms: float | None
    duration_s: float | None
    verdict: str
    replication: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakEntry:
    """How the highest load within a latency bound was searched; the answer is in the metrics.

    Attributes:
        settings: The effective settings, the scenario's included.
        unit: Unit of the loads: ``queries/s`` or ``streams``.
        percentile: The judged latency percentile, as a fraction.
        bound_ms: The latency bound.
        stopped: Why the search ended.
        curve: Every probe, in the order of running.
    """

    scenario: str
    settings: dict[str, Json]
    unit: str
    percentile: float | None
    bound_ms: float | None
    stopped: str
    curve: list[ProbeEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineEntry:
    """What a trivial answer is worth where a training aims at a target.

    Attributes:
        name: The answer, like ``most frequent class``.
        metric: The quality metric.
        value: Its quality on the test split; null when it could not be measured.
    """

    name: str
    metric: str
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEntry:
    """How a training ran: one quality value per evaluation, seconds since the start beside it.

    Attributes:
        task: Name of the task; empty in older records.
        n_samples: Training samples, all seen once in an epoch; null in older records.
        batch_size: Samples in one optimiser step, on all devices; null in older records.
        train_seconds_trace: Seconds spent training in each epoch, evaluation apart.
        target: The quality that ended it; null in records of the first schema.
        baseline: The trivial answer that the target must beat; null in older records.
        n_parameters: Learnable parameters of everything that is trained; null when unknown.
        macs_per_sample: Multiply-accumulates of answering the first test sample; null when unknown.
        energy_j: What the device spent on it; null when it was not measured.
        processes: How many trained together, with one batch shared among them.
        resumed_after: Epochs after which it was interrupted, and went on later; the last one where
            it had ended before its session was interrupted.
        precision: What its steps computed in; weights and evaluations are fp32.
        compiled: Whether torch compiled its loss.
        elsewhere: Quality of its weights on other data, by data set; null where that was not there.
    """

    seed: int
    epochs: int
    duration_s: float | None
    samples_per_s: float | None
    quality_trace: list[float | None]
    seconds_trace: list[float | None]
    reached_target: bool
    task: str = ""
    n_samples: int | None = None
    batch_size: int | None = None
    train_seconds_trace: list[float | None] = field(default_factory=list)
    target: float | None = None
    baseline: BaselineEntry | None = None
    n_parameters: int | None = None
    macs_per_sample: int | None = None
    energy_j: float | None = None
    processes: int = 1
    resumed_after: list[int] = field(default_factory=list)
    precision: str = "fp32"
    compiled: bool = False
    elsewhere: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplesFile:
    """A file of raw samples beside the record.

    Attributes:
        name: Its name in the store.
        sha256: Hash of its content, in hex.
    """

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkEntry:
    """One benchmark of the session.

    Attributes:
        id: The pytest node id.
        kind: ``inference``, ``training`` or ``micro``.
        params: The parameters of the test, as text.
        verdict: ``passed``, ``inconclusive``, ``failed``, ``invalid`` or ``interrupted``.
        other_seeds: The same training again, one entry for each further seed.
        metrics: Figures by name, the unit in the name.
        correct: Per-sample correctness of the accuracy pass by quality metric, each a base64 bit
            set with sample 0 first.
        scores: Per-sample scores likewise, where they are not just right or wrong, each list in
            base64 of little-endian float32.
        provenance: Facts about the model: weights, where they come from, evidence for targets.
        telemetry: What the device did under the load: ranges of clock, power and temperature,
            shares of readings by condition, energy.
        samples: Raw samples, where they are kept.
        confirmation: Metrics of a second run, made because the first looked worse than the history.
    """

    id: str
    kind: str
    params: dict[str, str]
    verdict: str
    precision: str = ""
    device: DeviceEntry | None = None
    dataset: DatasetEntry | None = None
    load: LoadEntry | None = None
    peak: PeakEntry | None = None
    training: TrainingEntry | None = None
    other_seeds: list[TrainingEntry] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    correct: dict[str, str] = field(default_factory=dict)
    scores: dict[str, str] = field(default_factory=dict)
    checks: list[CheckEntry] = field(default_factory=list)
    not_judged: list[NotJudged] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    provenance: dict[str, Json] = field(default_factory=dict)
    telemetry: dict[str, Json] = field(default_factory=dict)
    samples: SamplesFile | None = None
    confirmation: dict[str, Metric] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the session ran on and with, in the groups that comparison needs.

    Attributes:
        hw: Kind of hardware: what a comparison must match.
        unit: Which exemplar: host, serial numbers.
        sw: Driver, libraries, interpreter, kernel: factors of an upgrade.
        subject: What is tested: commit, branch, dirty tree.
        harness: This plugin and its settings.
        state: Condition of the machine before and after: load, clocks, temperatures, throttling.
    """

    hw: dict[str, Json]
    unit: dict[str, Json]
    sw: dict[str, Json]
    subject: dict[str, Json]
    harness: dict[str, Json]
    state: dict[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pytest session.

    Attributes:
        run_id: A ULID: unique, and sorted by time.
        started_at: ISO 8601 with the offset from UTC.
        finished_at: Likewise.
        interrupted: The session was stopped before its end.
        notes: What the writer had to change so that the record is strict JSON.
        group_id: What the sessions of one sharded run share; empty for a session of its own.
        canaries: Figures of fixed work that uses no code under test, taken before the benchmarks.
    """

    schema: str
    run_id: str
    started_at: str
    finished_at: str
    interrupted: bool
    environment: Environment
    benchmarks: list[BenchmarkEntry]
    notes: list[str] = field(default_factory=list)
    group_id: str = ""
    canaries: dict[str, Metric] = field(default_factory=dict)


def to_json(value: Any) -> Json:
    """Turn records into JSON values: dataclasses become objects, numpy values plain numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def from_json(kind: Any, value: Json, where: str = "run") -> Any:
    """Build a record from JSON values; unknown keys are left out, missing ones take defaults.

    Raises:
        ValueError: A value is missing or of the wrong type; the message says where.
    """
    try:
        return _reader(kind)(value)
    except _Misfit as misfit:
        raise ValueError(f"{where}{misfit.where} {misfit.problem}") from None


class _Misfit(Exception):
    """A value that does not fit; its place is put together on the way out, being rarely needed."""

    def __init__(self, problem: str, where: str = "") -> None:
        self.problem, self.where = problem, where

    def inside(self, where: str) -> _Misfit:
        return _Misfit(self.problem, where + self.where)


@cache
def _reader(kind: Any) -> Callable[[Json], Any]:
    """What builds values of a type: looked up once, because a history has billions of values."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return _as_it_is
    if origin in (Union, types.UnionType):
        return _optional_reader(next(arg for arg in args if arg is not type(None)))
    if is_dataclass(kind) and isinstance(kind, type):
        return _record_reader(kind)
    if origin is list:
        return _list_reader(args[0])
    if origin is tuple:  # of any length, all of one type
        read_items = _list_reader(args[0])
        return lambda value: tuple(read_items(value))
    if origin is dict:
        return _dict_reader(args[1])
    return partial(_typed, frozenset({int, float} if kind is float else {kind}), kind.__name__)


def _as_it_is(value: Json) -> Json:
    return value


def _typed(accepted: frozenset[type], name: str, value: Json) -> Any:
    if type(value) not in accepted:  # not isinstance: a bool is no int
        raise _Misfit(f"should be of type {name}, not {type(value).__name__}")
    return value


def _optional_reader(kind: Any) -> Callable[[Json], Any]:
    read_item = _reader(kind)
    return lambda value: None if value is None else read_item(value)


def _list_reader(kind: Any) -> Callable[[Json], Any]:
    read_item, check = _reader(kind), _reader(list)

    def read(value: Json) -> list[Any]:
        check(value)
        items: list[Any] = []
        try:
            for item in value:
                items.append(read_item(item))
        except _Misfit as misfit:
            raise misfit.inside(f"[{len(items)}]") from None
        return items

    return read


def _dict_reader(kind: Any) -> Callable[[Json], Any]:
    read_item, check = _reader(kind), _reader(dict)

    def read(value: Json) -> dict[str, Any]:
        check(value)
        items = {}
        for key, item in value.items():
            try:
                items[key] = read_item(item)
            except _Misfit as misfit:
                raise misfit.inside(f".{key}") from None
        return items

    return read


def _record_reader(kind: type) -> Callable[[Json], Any]:
    readers = {name: _reader(hint) for name, hint in _hints(kind).items()}
    required, check = _required(kind), _reader(dict)

    def read(value: Json) -> Any:
        check(value)
        for name in required:
            if name not in value:
                raise _Misfit("is missing", f".{name}")
        known = {}
        try:
            for name, read_field in readers.items():
                if name in value:
                    known[name] = read_field(value[name])
        except _Misfit as misfit:
            raise misfit.inside(f".{name}") from None
        return kind(**known)

    return read


@cache
def _hints(kind: type) -> dict[str, Any]:
    """Types by field name; kept, because a record asks for them thousands of times."""
    return get_type_hints(kind)


@cache
def _required(kind: Any) -> list[str]:
    return [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]


def json_schema() -> dict[str, Json]:
    """The JSON Schema (draft 2020-12) of a record."""
    definitions: dict[str, Json] = {}
    root = _schema_of(Run, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-aibench run",
        **root,
        "$defs": definitions,
    }


_SCALARS: dict[Any, Json] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    Any: {},
}


def _schema_of(kind: Any, definitions: dict[str, Json]) -> dict[str, Json]:
    origin, args = get_origin(kind), get_args(kind)
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema_of(arg, definitions) for arg in args]}
    if kind is type(None):
        return {"type": "null"}
    if origin is list:
        return {"type": "array", "items": _schema_of(args[0], definitions)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of(args[1], definitions)}
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}
        definitions[kind.__name__] = _object_schema(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _object_schema(kind: Any, definitions: dict[str, Json]) -> dict[str, Json]:
    properties = {name: _schema_of(hint, definitions) for name, hint in _hints(kind).items()}
    if "schema" in properties:
        properties["schema"] = {"const": SCHEMA}
    return {"type": "object", "properties": properties, "required": _required(kind)}
