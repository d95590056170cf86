"""LoadGen's configuration files, like ``user.conf``, read and applied to a scenario.

A line is ``model.scenario.key = value``.

What LoadGen takes, this takes with the same meaning. What LoadGen drops or cuts without a word
(keys it does not know, lines without spaces around ``=``, fractions of whole numbers) is either
read as it was meant or refused with the file, the line and the fix.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.mlperf_settings import RequestedSettings, requested_settings
from pytest_aibench.scenarios import Scenario, Seeds, Selection

_ANY = "*"
_NS_PER_MS = 1_000_000
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")


@dataclass(frozen=True, slots=True)
class _Key:
    """What a key of the file sets, and which values it takes.

    Attributes:
        sets: Field of `RequestedSettings`; empty for a key that changes nothing here.
        scale: One unit of the file in the field's unit.
        per: Divides the value; 100 for a percentage.
        low: Smallest value.
        high: Largest value.
        whole: Fractions are refused.
    """

    sets: str = ""
    scale: int = 1
    per: float = 1
    low: float = 0
    high: float = math.inf
    whole: bool = True


def _flag(sets: str = "") -> _Key:
    return _Key(sets, high=1)


def _seed(sets: str = "") -> _Key:
    return _Key(sets, high=2**64 - 1)


def _percentile(sets: str = "") -> _Key:
    return _Key(sets, per=100, low=0.001, high=99.9999, whole=False)


def _rate(sets: str) -> _Key:
    return _Key(sets, low=1e-9, whole=False)


def _milliseconds(sets: str) -> _Key:
    return _Key(sets, scale=_NS_PER_MS, low=1e-6, whole=False)


_COMMON = {
    "mode": _Key(high=3),
    "min_duration": _Key("min_duration_ms", low=1),
    "max_duration": _Key("max_duration_ms"),
    "min_query_count": _Key("min_query_count", low=1),
    "max_query_count": _Key("max_query_count"),
    "qsl_rng_seed": _seed("qsl_rng_seed"),
    "sample_index_rng_seed": _seed("sample_index_rng_seed"),
    "schedule_rng_seed": _seed("schedule_rng_seed"),
    "accuracy_log_rng_seed": _seed("accuracy_log_rng_seed"),
    "accuracy_log_probability": _Key("accuracy_log_probability", per=100, high=100, whole=False),
    "accuracy_log_sampling_target": _Key("accuracy_log_sampling_target"),
    "print_timestamps": _flag("print_timestamps"),
    "performance_issue_unique": _flag("performance_issue_unique"),
    "performance_issue_same": _flag("performance_issue_same"),
    "performance_issue_same_index": _Key("performance_issue_same_index"),
    "sample_concatenate_permutation": _flag("sample_concatenate_permutation"),
    "performance_sample_count_override": _Key("performance_sample_count_override"),
    "accuracy_sample_count_override": _Key("accuracy_sample_count_override"),
    "use_token_latencies": _flag("use_token_latencies"),
    "infer_token_latencies": _flag(),
    "token_latency_scaling_factor": _Key(),
    "test05": _flag(),
    "test05_qsl_rng_seed": _seed(),
    "test05_sample_index_rng_seed": _seed(),
    "test05_schedule_rng_seed": _seed(),
}
_OWN = {
    "SingleStream": {
        "target_latency": _milliseconds("single_stream_expected_latency_ns"),
        "target_latency_percentile": _percentile("single_stream_target_latency_percentile"),
    },
    "MultiStream": {
        "target_latency": _milliseconds("multi_stream_expected_latency_ns"),
        "target_latency_percentile": _percentile("multi_stream_target_latency_percentile"),
        "samples_per_query": _Key("multi_stream_samples_per_query", low=1),
    },
    "Server": {
        "target_latency": _Key("server_target_latency_ns", scale=_NS_PER_MS, whole=False),
        "target_latency_percentile": _percentile("server_target_latency_percentile"),
        "target_qps": _rate("server_target_qps"),
        "coalesce_queries": _flag("server_coalesce_queries"),
        "max_async_queries": _Key("server_max_async_queries"),
        "ttft_latency": _milliseconds("ttft_latency"),
        "tpot_latency": _milliseconds("tpot_latency"),
        "target_duration": _Key(),
    },
    "Offline": {
        "target_qps": _rate("offline_expected_qps"),
        "target_latency_percentile": _percentile(),
    },
}
"""Keys of each scenario. Those that set nothing stand in MLPerf's own file, where nobody reads them
either, or belong to what this package does otherwise."""

_TYPES = {field.name: str(field.type) for field in fields(RequestedSettings)}


@dataclass(frozen=True, slots=True)
class Conf:
    """A configuration file.

    Attributes:
        values: Value as written, by model, scenario and key; ``*`` stands for any.
    """

    values: Mapping[tuple[str, str, str], float]

    def overrides(self, scenario: str, model: str | None = None) -> dict[str, Any]:
        """What the file sets for a scenario, by field of `RequestedSettings`.

        Of several lines for a key the first of these counts: of the model and the scenario, of
        the scenario, of the model, of all.

        Args:
            scenario: LoadGen's name of it, like ``SingleStream``.
            model: Name of the model in the file; without one, only lines for all models count.
        """
        return {
            key.sets: _in_field_units(value, key)
            for name, key in {**_COMMON, **_OWN[scenario]}.items()
            if key.sets and (value := self._look_up(model or _ANY, scenario, name)) is not None
        }

    def keys_without(
        self, unused: Collection[str], scenario: str, model: str | None = None
    ) -> list[str]:
        """Keys that the file gives for a scenario and that set nothing, or only ``unused`` fields.

        Args:
            unused: Fields of `RequestedSettings`.
            scenario: See `overrides`.
            model: See `overrides`.
        """
        return [
            name
            for name, key in {**_COMMON, **_OWN[scenario]}.items()
            if self._look_up(model or _ANY, scenario, name) is not None
            and (not key.sets or key.sets in unused)
        ]

    def _look_up(self, model: str, scenario: str, key: str) -> float | None:
        places = ((model, scenario), (_ANY, scenario), (model, _ANY), (_ANY, _ANY))
        found = (self.values.get((at_model, at_scenario, key)) for at_model, at_scenario in places)
        return next((value for value in found if value is not None), None)


def read_conf(path: Path) -> Conf:
    """Read a configuration file.

    Raises:
        UserError: It cannot be read, or a line is not ``model.scenario.key = value`` with a key
            that LoadGen knows and a value in its range.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"cannot read {path}: {why}: name a LoadGen configuration file") from None
    values = {}
    for number, line in enumerate(text.splitlines(), start=1):
        setting = line.partition("#")[0].strip()
        if setting:
            where, value = _parse(setting, f"{path.name}, line {number}")
            values[where] = value
    return Conf(values)


def _parse(setting: str, where: str) -> tuple[tuple[str, str, str], float]:
    name, equals, text = (part.strip() for part in setting.partition("="))
    # Names of models may hold dots, those of scenarios and keys do not.
    model, scenario, key = ([""] * 3 + name.rsplit(".", 2))[-3:]
    if not equals or not model:
        raise UserError(
            f"{where}: cannot read {setting!r}: write it like '*.Server.target_qps = 5'"
        )
    known = _keys_of(scenario, where)
    if key not in known:
        raise UserError(f"{where}: {_why_unknown(key, scenario, known)}")
    return (model, scenario, key), _value(text, known[key], f"{where}: {key}")


def _keys_of(scenario: str, where: str) -> dict[str, _Key]:
    """Keys that may follow a scenario; those of all scenarios after ``*``."""
    if scenario == _ANY:
        return {**_COMMON, **{key: rule for own in _OWN.values() for key, rule in own.items()}}
    if scenario not in _OWN:
        raise UserError(f"{where}: unknown scenario {scenario!r}{_did_you_mean(scenario, _OWN)}")
    return {**_COMMON, **_OWN[scenario]}


def _why_unknown(key: str, scenario: str, known: Iterable[str]) -> str:
    owners = " and ".join(owner for owner, keys in _OWN.items() if key in keys)
    if owners:
        return f"{key!r} is no setting of {scenario}: it belongs to {owners}"
    return f"unknown key {key!r}{_did_you_mean(key, known)}"


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0)
    return f": did you mean {near[0]!r}?"


def _value(text: str, key: _Key, what: str) -> float:
    if not _NUMBER.match(text) or math.isinf(float(text)):
        raise UserError(f"{what} = {text!r} is no number: write one")
    # Seeds have more digits than a float.
    value = int(text) if text.isdigit() else float(text)
    if key.whole and value % 1:
        raise UserError(f"{what} = {text} must be a whole number")
    if not key.low <= value <= key.high:
        limit = f"{key.low:g} or more" if math.isinf(key.high) else f"{key.low:g} to {key.high}"
        raise UserError(f"{what} = {text} is out of range: give a number of {limit}")
    return value


def _in_field_units(value: float, key: _Key) -> Any:
    kind = _TYPES[key.sets]
    if kind == "bool":
        return bool(value)
    scaled = value * key.scale
    return round(scaled) if kind == "int" else scaled / key.per


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A scenario with settings applied to it.

    Attributes:
        scenario: The scenario, changed.
        performance_samples: Samples in memory under load; None where the settings do not say.
        without_effect: Names of the settings to which neither has a counterpart, like LoadGen's
            hints of the expected speed, which is measured here, and the number of samples of the
            accuracy run, which has them all.
    """

    scenario: Scenario
    performance_samples: int | None
    without_effect: tuple[str, ...]


def apply_overrides(overrides: Mapping[str, Any], scenario: Scenario) -> Applied:
    """The scenario as the settings want it; they go before what it says itself, as in LoadGen.

    Args:
        overrides: Settings by field of `RequestedSettings`.
        scenario: The scenario.

    Raises:
        UserError: The settings do not fit the scenario.
    """
    requested = replace(requested_settings(scenario), **overrides)
    # A bound of 0 is LoadGen's way to say that tokens are bounded instead.
    given = {name for name in overrides if name != "server_target_latency_ns" or overrides[name]}
    rules = [rule for rule in _RULES if rule.fits(scenario) and given & {*rule.settings}]
    used = {name for rule in rules for name in rule.settings}
    return Applied(
        scenario=replace(scenario, **{rule.field: rule.make(requested) for rule in rules}),
        performance_samples=overrides.get(_LOADED) or None,
        without_effect=tuple(sorted(overrides.keys() - used - {_LOADED})),
    )


@dataclass(frozen=True, slots=True)
class _Rule:
    """Where a field of a scenario comes from.

    Attributes:
        field: The field.
        settings: The settings that decide it.
        make: Makes its value from all settings.
        of: Name of the only scenario that has the field; empty for a field of all.
    """

    field: str
    settings: tuple[str, ...]
    make: Callable[[RequestedSettings], Any]
    of: str = ""

    def fits(self, scenario: Scenario) -> bool:
        return self.of in ("", scenario.name)


def _copy(field: str, setting: str, of: str) -> _Rule:
    return _Rule(field, (setting,), attrgetter(setting), of)


def _max_duration(requested: RequestedSettings) -> str | None:
    return f"{requested.max_duration_ms} ms" if requested.max_duration_ms else None


def _seeds(requested: RequestedSettings) -> Seeds:
    return Seeds(
        requested.qsl_rng_seed, requested.sample_index_rng_seed, requested.schedule_rng_seed
    )


def _selection(requested: RequestedSettings) -> Selection:
    """LoadGen's flags in the order in which they win."""
    if requested.performance_issue_unique:
        return "unique"
    if requested.performance_issue_same:
        return "same"
    return "equal_issue" if requested.sample_concatenate_permutation else "random"


_LOADED = "performance_sample_count_override"
_SEEDS = ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")
_FLAGS = (
    "performance_issue_unique",
    "performance_issue_same",
    "sample_concatenate_permutation",
)
_RULES = (
    _Rule("min_duration", ("min_duration_ms",), lambda asked: f"{asked.min_duration_ms} ms"),
    _Rule("max_duration", ("max_duration_ms",), _max_duration),
    _Rule("min_queries", ("min_query_count",), attrgetter("min_query_count")),
    _Rule("seeds", _SEEDS, _seeds),
    _Rule("selection", _FLAGS, _selection),
    _copy("percentile", "single_stream_target_latency_percentile", "single_stream"),
    _copy("percentile", "multi_stream_target_latency_percentile", "multi_stream"),
    _copy("samples_per_query", "multi_stream_samples_per_query", "multi_stream"),
    _copy("percentile", "server_target_latency_percentile", "server"),
    _copy("target_qps", "server_target_qps", "server"),
    _copy("coalesce", "server_coalesce_queries", "server"),
    _Rule(
        "max_async",
        ("server_max_async_queries",),
        lambda asked: asked.server_max_async_queries or None,
        "server",
    ),
    _Rule(
        "latency_bound",
        ("server_target_latency_ns",),
        lambda asked: f"{asked.server_target_latency_ns} ns",
        "server",
    ),
)
