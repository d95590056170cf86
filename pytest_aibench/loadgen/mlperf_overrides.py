"""Applying settings in LoadGen's words, as a configuration file gives them, to a scenario."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from pytest_aibench.loadgen.mlperf_settings import RequestedSettings, requested_settings
from pytest_aibench.scenarios import Scenario, Seeds, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A scenario with settings applied to it.

    Attributes:
        scenario: The scenario, changed.
        performance_samples: Samples in memory under load; None where the settings do not say.
        accuracy_samples: Samples of the accuracy run; likewise.
        without_effect: Names of the settings to which neither has a counterpart, like LoadGen's
            hints of the expected speed, which is measured here.
    """

    scenario: Scenario
    performance_samples: int | None
    accuracy_samples: int | None
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
        accuracy_samples=overrides.get(_ANSWERED) or None,
        without_effect=tuple(sorted(overrides.keys() - used - {_LOADED, _ANSWERED})),
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
_ANSWERED = "accuracy_sample_count_override"
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
