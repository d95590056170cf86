"""What may be compared: the series of a figure, the factors of a run, and what makes it invalid.

A figure belongs to a *series*: one benchmark, one metric, one class of hardware, one set-up. What
may differ inside a series is a *factor*. Which machine of its class it was (``unit``) and in what
condition (``state``) is neither: the one is chance, the other decides whether a figure is valid.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pytest_aibench.results.schema import (
    BenchmarkEntry,
    DeviceEntry,
    Environment,
    Json,
    Metric,
    Run,
    TrainingEntry,
)
from pytest_aibench.scenarios import Scenario

CANARY = "canary"
"""Benchmark id of the canaries' series."""

DEVICE_CANARY = "device_"
"""What the names of those canaries begin with that measure the accelerator."""

DEFAULT_VARY = ("subject.commit", "subject.dirty", "subject.branch", "subject.parents")
"""Factors in which runs differ whose comparison is about the code."""

NEVER_CONFOUND = ("unit", "state")

_LENGTHS = ("min_queries", "min_duration", "max_duration", "samples")
_JUDGEMENT = ("latency_bound", "percentile")
_WITH_EVERY_LOAD = ("arrivals", "max_batch", "performance_samples")
_OWN_VERSION = "harness.pytest_aibench"
_NOTED = ("shallow",)
_IDENTITY = (
    *("hw.cpu_model", "hw.cpu_usable", "hw.cpu_quota", "hw.memory_gib"),
    *("hw.gpu_product", "hw.gpu_memory_gib", "hw.gpu_power_limit_w", "hw.gpu_pci_device"),
    *("hw.gpu_ecc", "harness.scale", "harness.effort"),
)
_TRADE_MARKS = re.compile(r"\((R|TM)\)|@.*|\b(CPU|Processor|\d+-Core)\b")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SeriesKey:
    """What two figures must share to be of one series.

    Attributes:
        benchmark: See `benchmark_id`; or ``canary``.
        metric: The figure's name, its unit in it.
        hardware: See `hardware_class`.
        setup: Hash of `setup`.
    """

    benchmark: str
    metric: str
    hardware: str
    setup: str


def series_keys(run: Run) -> dict[SeriesKey, tuple[BenchmarkEntry | None, Metric]]:
    """Every measured figure of a run by its series; canaries stand without a benchmark.

    Of a benchmark that ran again in the same session the last figure counts.
    """
    return dict((*_benchmark_figures(run), *_canary_figures(run)))


def _benchmark_figures(run: Run) -> Iterator[tuple[SeriesKey, tuple[BenchmarkEntry, Metric]]]:
    for entry in run.benchmarks:
        benchmark = benchmark_id(entry)
        hardware = hardware_class(run.environment, entry.device)
        hashed = _hash(setup(run.environment, entry))
        for name, metric in entry.metrics.items():
            if metric.value is not None:
                key = SeriesKey(benchmark=benchmark, metric=name, hardware=hardware, setup=hashed)
                yield key, (entry, metric)


def _canary_figures(run: Run) -> Iterator[tuple[SeriesKey, tuple[None, Metric]]]:
    devices = (entry.device for entry in run.benchmarks)
    accelerator = next((device for device in devices if device and device.kind != "cpu"), None)
    hashed = _hash(setup(run.environment, None))
    for name, metric in run.canaries.items():
        place = accelerator if name.startswith(DEVICE_CANARY) else None
        hardware = hardware_class(run.environment, place)
        if metric.value is not None:
            yield (
                SeriesKey(benchmark=CANARY, metric=name, hardware=hardware, setup=hashed),
                (None, metric),
            )


def benchmark_id(entry: BenchmarkEntry) -> str:
    """The node id with the device named by its kind: which of several it was is chance."""
    device = entry.device
    if device is None:
        return entry.id
    function, bracket, parameters = entry.id.partition("[")
    named, kind = re.escape(device.id), device.kind
    known = re.sub(rf"(?<![\w:]){named}(?![\w:])", lambda _: kind, parameters)
    return function + bracket + known


def hardware_class(environment: Environment, device: DeviceEntry | None) -> str:
    """The readable class of what did the work, like ``NVIDIA-H200-NVL-140GiB-600W``.

    For the processor: model, the cores that the process may use, memory. For an accelerator:
    product, memory, power limit, PCI device (which tells form factors apart that share a name),
    and whether error correction is off or the clock is fixed. Other devices of the machine do not
    count, and neither does the processor beside an accelerator: that is the factor ``hw.machine``.
    """
    if device is None or device.kind == "cpu":
        return _host_class(environment.hw)
    facts = device.hardware
    gib = facts.get("gpu_memory_gib") or (device.memory_bytes or 0) / 2**30
    parts = [
        _slug(facts.get("gpu_product") or device.name),
        f"{gib:.0f}GiB" if gib else "",
        _with_unit(facts.get("gpu_power_limit_w"), "W"),
        _with_unit(facts.get("gpu_pci_device"), "", "pci"),
        "no-ecc" if facts.get("gpu_ecc") is False else "",
        _with_unit(facts.get("gpu_fixed_clock_mhz"), "MHz"),
    ]
    return "-".join(filter(None, parts))


def gpu_products(hw: Mapping[str, Json]) -> list[dict[str, Json]]:
    """Facts of each GPU of the machine; where all are alike, a fact is written once."""
    count: int = hw.get("gpu_count", 0)
    facts = {name: fact for name, fact in hw.items() if name.startswith("gpu_")}
    facts.pop("gpu_count", None)
    each = [
        {name: _fact_of(fact, index, count) for name, fact in facts.items()}
        for index in range(count)
    ]
    return [{name: fact for name, fact in gpu.items() if fact is not None} for gpu in each]


def _fact_of(fact: Json, index: int, count: int) -> Json:
    return fact[index] if isinstance(fact, list) and len(fact) == count else fact


def _host_class(hw: Mapping[str, Json]) -> str:
    usable = hw.get("cpu_usable") or hw.get("cpu_threads") or 0
    cores = min(usable, hw.get("cpu_quota") or usable)
    gib = hw.get("memory_gib")
    parts = [
        "cpu",
        _slug(_TRADE_MARKS.sub(" ", hw.get("cpu_model") or hw.get("architecture") or "")),
        f"{cores:g}c" if cores else "",
        f"{installed_gib(gib)}GiB" if gib else "",
    ]
    return "-".join(filter(None, parts))


def installed_gib(visible_gib: float) -> int:
    """The memory that was probably installed: the next size of 4, 5, 6 or 7 times a power of two.

    Firmware and kernel keep up to a few per cent, differently from boot to boot.

    Raises:
        ValueError: There is no such memory.
        OverflowError: Likewise.
    """
    step = 1 << max(0, math.ceil(math.log2(visible_gib / 8)))
    return -int(-visible_gib // step) * step


def _with_unit(number: Any, unit: str, before: str = "") -> str:
    if number is None:
        return ""
    return f"{before}{number:g}{unit}" if isinstance(number, (int, float)) else f"{before}{number}"


def _slug(text: str) -> str:
    return re.sub(r"[^\w.+]+", "-", text).strip("-")


def setup(environment: Environment, entry: BenchmarkEntry | None) -> dict[str, Json]:
    """What else than the code decides what a figure means; its hash is part of the series' key.

    Which seeds, the length of the load and limits that only judge are left out; in a search for a
    peak the limits shape the answer. For no benchmark: what all of a session share.
    """
    harness = environment.harness
    shared = {"harness": str(harness.get("pytest_aibench", "")).partition(".")[0]}
    if entry is None:
        return shared
    facts = {
        **shared,
        "scale": harness.get("scale"),
        "effort": harness.get("effort"),
        "precision": entry.precision or None,
        "dataset": None if entry.dataset is None else entry.dataset.fingerprint,
        "scenario": _scenario(entry),
        "target": None if entry.training is None else entry.training.target,
        "training": _training(entry),
        "seeds": len(entry.other_seeds) + 1 if entry.other_seeds else None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _training(entry: BenchmarkEntry) -> dict[str, Json] | None:
    """How it was trained, as far as that is not by default."""
    if entry.training is None:
        return None
    defaults = {option.name: option.default for option in fields(TrainingEntry)}
    names = ("processes", "precision", "compiled")
    facts = {name: getattr(entry.training, name) for name in names}
    return {name: fact for name, fact in facts.items() if fact != defaults[name]} or None


def _scenario(entry: BenchmarkEntry) -> dict[str, Json] | None:
    """The scenario with those of its settings that shape the figures, in its own words."""
    if entry.peak is not None:
        settings = entry.peak.settings.get("scenario", {})
        return {"peak": entry.peak.scenario, **_chosen(entry.peak.scenario, settings)}
    if entry.load is None:
        return None
    settings = entry.load.settings
    chosen = _chosen(entry.load.scenario, settings)
    always = {name: settings[name] for name in _WITH_EVERY_LOAD if name in settings}
    shaping = {name: value for name, value in chosen.items() if name not in _JUDGEMENT}
    return {"load": entry.load.scenario, **shaping, **always}


def _chosen(scenario: str, settings: Mapping[str, Json]) -> dict[str, Json]:
    """Settings of a scenario other than by default, so that a new one does not end every series."""
    kind = next((kind for kind in Scenario.__subclasses__() if kind.name == scenario), Scenario)
    defaults = {option.name: option.default for option in fields(kind)}
    left_out = ("seeds", *_LENGTHS)
    return {
        name: settings[name]
        for name, default in defaults.items()
        if name in settings and settings[name] != default and name not in left_out
    }


def _hash(facts: Mapping[str, Json]) -> str:
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def hardware_classes(environment: Environment) -> dict[str, str]:
    """The classes that benchmarks on this machine can have: ``cpu``, and ``gpu 0`` and so on."""
    gpus = {
        f"gpu {index}": DeviceEntry(
            id=f"cuda:{index}", kind="cuda", name="", memory_bytes=None, hardware=facts
        )
        for index, facts in enumerate(gpu_products(environment.hw))
    }
    found = {name: hardware_class(environment, gpu) for name, gpu in gpus.items()}
    return {"cpu": hardware_class(environment, None), **found}


def role(group: str, fact: str) -> str:
    """What a fact of the environment is to a comparison, in one word.

    ``identity`` decides the series, a ``factor`` may differ inside it when declared, a ``unit``
    is one machine of a class, ``state`` decides whether a figure is valid, and the rest is only
    ``noted``.
    """
    if f"{group}.{fact}" in _IDENTITY:
        return "identity"
    if group in NEVER_CONFOUND:
        return group
    is_factor = group in ("sw", "subject") and fact not in _NOTED
    return "factor" if is_factor or f"{group}.{fact}" == _OWN_VERSION else "noted"


def factors(run: Run) -> dict[str, str]:
    """What may differ between runs of one series, as text by name: ``sw.torch``, ``unit.hostname``.

    Of the hardware only the machine's class: what counts of an accelerator is in the series.
    """
    environment = run.environment
    groups = {
        "hw": {"machine": hardware_class(environment, None)},
        "unit": environment.unit,
        "sw": environment.sw,
        "subject": environment.subject,
        "harness": environment.harness,
    }
    return {
        f"{group}.{name}": _text(fact)
        for group, facts in groups.items()
        for name, fact in facts.items()
        if group == "hw" or role(group, name) in ("factor", "unit")
    }


def _text(fact: Json) -> str:
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    return ", ".join(map(_text, fact)) if isinstance(fact, list) else str(fact)


def confounders(
    a: Mapping[str, str], b: Mapping[str, str], vary: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Factors that differ between two runs though nobody declared that they do.

    A factor that only one side knows does not count: an older record may not have asked.

    Args:
        a: `factors` of the one.
        b: Of the other.
        vary: Factors that may differ, or whole groups: ``sw`` covers ``sw.driver``.
    """
    declared = (*vary, *NEVER_CONFOUND)
    return {
        name: (a[name], b[name])
        for name in a
        if name in b and a[name] != b[name] and not _is_declared(name, declared)
    }


def _is_declared(name: str, declared: Sequence[str]) -> bool:
    return any(name == word or name.startswith(f"{word}.") for word in declared)


def invalid_reason(run: Run, entry: BenchmarkEntry | None) -> str:
    """Why a figure may not serve as a baseline; empty when it may.

    A benchmark that failed was measured all the same, and so were those that had ended when the
    session was interrupted.

    Args:
        run: The session.
        entry: The benchmark; None for a canary.
    """
    if entry is None:
        return ""
    if entry.violations:
        first = entry.violations[0]
        return f"{first.rule}: {first.evidence}"
    if entry.verdict == "interrupted":
        return "the benchmark was interrupted"
    return "the benchmark was invalid" if entry.verdict == "invalid" else ""
