"""A scenario in LoadGen's own words: the settings asked for, and those that take effect.

Names and units are those of LoadGen 6.0's ``TestSettings``, so that they can be given to it, read
from its configuration files, and found in its logs.
"""

from __future__ import annotations

import difflib
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.mlperf_round import (
    MIN_DURATION_MS,
    MIN_QUERIES,
    MODELS,
    MULTI_STREAM_MIN_QUERIES,
    ROUND,
    SINGLE_STREAM_EXPECTED_MS,
    ModelFacts,
)
from pytest_aibench.loadgen.order import equal_issue_min_queries
from pytest_aibench.scenarios import (
    MultiStream,
    Offline,
    Scenario,
    Seeds,
    Server,
    SingleStream,
)
from pytest_aibench.units import parse_duration_s

_NS_PER_MS = 1_000_000
_OFFLINE_MARGIN = 1.1
_NO_BOUND_NS = 100 * _NS_PER_MS
_UNKNOWN_MODEL = ModelFacts()

_PREFIXES = {
    "SingleStream": "single_stream_",
    "MultiStream": "multi_stream_",
    "Server": "server_",
    "Offline": "offline_",
}
"""By the scenario's name: how names of settings begin that are for it alone."""

AnyScenario = TypeVar("AnyScenario", bound=Scenario)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonSettings:
    """Settings that LoadGen takes as they are; 0 means none, or all."""

    min_duration_ms: int = MIN_DURATION_MS
    max_duration_ms: int = 0
    min_query_count: int = MIN_QUERIES
    max_query_count: int = 0
    qsl_rng_seed: int = 0
    sample_index_rng_seed: int = 0
    schedule_rng_seed: int = 0
    accuracy_log_rng_seed: int = 0
    accuracy_log_probability: float = 0.0
    accuracy_log_sampling_target: int = 0
    print_timestamps: bool = False
    performance_issue_unique: bool = False
    performance_issue_same: bool = False
    performance_issue_same_index: int = 0
    sample_concatenate_permutation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedSettings(CommonSettings):
    """What was asked of LoadGen; of the settings named after a scenario only its own matter."""

    scenario: str
    single_stream_expected_latency_ns: float = SINGLE_STREAM_EXPECTED_MS * _NS_PER_MS
    single_stream_target_latency_percentile: float = 0.90
    multi_stream_expected_latency_ns: float = _UNKNOWN_MODEL.multi_stream_expected_ms * _NS_PER_MS
    multi_stream_target_latency_percentile: float = 0.99
    multi_stream_samples_per_query: int = 8
    server_target_qps: float = 1.0
    server_target_latency_ns: int = _UNKNOWN_MODEL.server_ms * _NS_PER_MS
    server_target_latency_percentile: float = 0.99
    server_coalesce_queries: bool = False
    server_max_async_queries: int = 0
    offline_expected_qps: float = 1.0
    performance_sample_count_override: int = 0
    accuracy_sample_count_override: int = 0
    use_token_latencies: bool = False
    ttft_latency: int = _NO_BOUND_NS
    tpot_latency: int = _NO_BOUND_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveSettings(CommonSettings):
    """What LoadGen makes of the settings.

    Attributes:
        performance_sample_count: Samples loaded together; None for a library of unknown size.
        accuracy_sample_count: Samples of the accuracy run; likewise.
    """

    samples_per_query: int
    target_qps: float
    target_latency_ns: int
    target_latency_percentile: float
    max_async_queries: int
    target_duration_ms: int
    min_sample_count: int
    performance_sample_count: int | None
    accuracy_sample_count: int | None


def model_facts(model: str | None) -> ModelFacts:
    """What the round asks of a model; without a name, of one that it does not know.

    Raises:
        UserError: The round has no model of that name.
    """
    if model is None:
        return _UNKNOWN_MODEL
    if model not in MODELS:
        near = difflib.get_close_matches(model, MODELS, n=1, cutoff=0.5) or MODELS
        raise UserError(f"MLPerf {ROUND} has no model {model!r}: use {', '.join(near)} or none")
    return MODELS[model]


def official_scenario(scenario: AnyScenario, model: str | None = None) -> AnyScenario:
    """The scenario as the round's rules want it, which go before what it says itself.

    These are the shortest duration, the fewest queries (it may ask for more of either), no
    budget, the round's seeds, the percentile, the samples of a multi-stream query, and how
    queries pick samples. Rate and latency bound stay: they are for the submitter to say.

    Raises:
        UserError: The round has no model of that name, or LoadGen no such scenario.
    """
    loadgen_name(scenario)
    facts = model_facts(model)
    equal_issue = facts.equal_issue and not isinstance(scenario, MultiStream)
    return replace(
        scenario,
        min_duration=f"{max(_ms(scenario.min_duration, 0), MIN_DURATION_MS)} ms",
        max_duration=None,
        min_queries=max(_asked_queries(scenario), _fewest_queries(scenario, facts)),
        seeds=Seeds(),
        selection="equal_issue" if equal_issue else "random",
        **_official_settings(scenario, facts),
    )


def requested_settings(scenario: Scenario, model: str | None = None) -> RequestedSettings:
    """The scenario in LoadGen's words; what it leaves open is as the round has it for the model.

    Raises:
        UserError: The round has no model of that name, or LoadGen no such scenario.
    """
    facts = model_facts(model)
    selection = scenario.selection
    multi_stream = isinstance(scenario, MultiStream)
    equal_issue = facts.equal_issue and selection == "random" and not multi_stream
    return RequestedSettings(
        scenario=loadgen_name(scenario),
        min_duration_ms=_ms(scenario.min_duration, MIN_DURATION_MS),
        max_duration_ms=_ms(scenario.max_duration, 0),
        min_query_count=_asked_queries(scenario) or _fewest_queries(scenario, facts),
        qsl_rng_seed=scenario.seeds.qsl,
        sample_index_rng_seed=scenario.seeds.sample_index,
        schedule_rng_seed=scenario.seeds.schedule,
        performance_issue_unique=selection == "unique",
        performance_issue_same=selection == "same",
        sample_concatenate_permutation=equal_issue or selection == "equal_issue",
        performance_sample_count_override=facts.performance_samples or 0,
        accuracy_sample_count_override=facts.accuracy_samples or 0,
        **_scenario_settings(scenario, facts),
        **_token_settings(facts),
    )


def loadgen_name(scenario: Scenario) -> str:
    """LoadGen's name of the scenario, like ``SingleStream``.

    Raises:
        UserError: It has none.
    """
    if not has_loadgen_name(scenario):
        raise UserError(f"the scenario {scenario.id} is not MLPerf's: it has no LoadGen settings")
    return scenario.name.title().replace("_", "")


def has_loadgen_name(scenario: Scenario) -> bool:
    """Whether LoadGen 6.0 has the scenario: one of the four, and as they are today."""
    if isinstance(scenario, MultiStream):
        return scenario.interval is None
    if isinstance(scenario, Server):
        return scenario.arrivals is None
    return isinstance(scenario, (SingleStream, Offline))


def relevant_settings(requested: RequestedSettings) -> dict[str, Any]:
    """The settings by name, without those of other scenarios."""
    others = tuple(prefix for name, prefix in _PREFIXES.items() if name != requested.scenario)
    return {name: v for name, v in asdict(requested).items() if not name.startswith(others)}


def effective_name(name: str) -> str:
    """The name under which a requested setting takes effect, where it does: that of the field."""
    for prefix in _PREFIXES.values():
        name = name.removeprefix(prefix)
    return name.removesuffix("_override")


def effective_settings(
    requested: RequestedSettings, total: int | None = None, performance_count: int | None = None
) -> EffectiveSettings:
    """What LoadGen makes of the settings for a library of ``total`` samples.

    Args:
        requested: The settings.
        total: Samples in the library; None where they do not matter.
        performance_count: Samples of it that fit in memory; all by default.

    Raises:
        UserError: Single stream under equal issue needs to know the size of the library.
    """
    common = {field.name: getattr(requested, field.name) for field in fields(CommonSettings)}
    reported = performance_count or total
    own = _effective(requested, reported)
    queries = own.get("min_query_count", requested.min_query_count)
    return EffectiveSettings(
        **{
            "target_duration_ms": requested.min_duration_ms,
            "min_sample_count": queries * own["samples_per_query"],
            "performance_sample_count": requested.performance_sample_count_override or reported,
            "accuracy_sample_count": requested.accuracy_sample_count_override or total,
            **common,
            **own,
        }
    )


def _ms(duration: str | None, default: int) -> int:
    """In LoadGen's whole milliseconds, of which a duration has at least one."""
    if duration is None:
        return default
    return max(1, round(parse_duration_s(duration, "duration") * 1e3))


def _asked_queries(scenario: Scenario) -> int:
    """Fewest queries that the scenario itself asks for, samples offline; 0 for none."""
    samples = scenario.samples if isinstance(scenario, Offline) else None
    return samples or scenario.min_queries or 0


def _fewest_queries(scenario: Scenario, facts: ModelFacts) -> int:
    """Fewest queries by the round's rules, samples offline."""
    if isinstance(scenario, Offline):
        return facts.offline_samples
    return MULTI_STREAM_MIN_QUERIES if isinstance(scenario, MultiStream) else MIN_QUERIES


def _official_settings(scenario: Scenario, facts: ModelFacts) -> dict[str, Any]:
    """What the rules say of this scenario alone, in its own words."""
    if isinstance(scenario, Offline):
        return {"samples": None}
    if isinstance(scenario, SingleStream):
        return {"percentile": facts.single_stream_percentile}
    multi_stream = {"samples_per_query": 8} if isinstance(scenario, MultiStream) else {}
    return {"percentile": 0.99, **multi_stream}


def _scenario_settings(scenario: Scenario, facts: ModelFacts) -> dict[str, Any]:
    """The settings that LoadGen has for this scenario alone."""
    if isinstance(scenario, SingleStream):
        return {"single_stream_target_latency_percentile": scenario.percentile}
    if isinstance(scenario, MultiStream):
        return {
            "multi_stream_expected_latency_ns": facts.multi_stream_expected_ms * _NS_PER_MS,
            "multi_stream_target_latency_percentile": scenario.percentile,
            "multi_stream_samples_per_query": scenario.samples_per_query,
        }
    if isinstance(scenario, Server):
        return {
            "server_target_qps": scenario.target_qps,
            "server_target_latency_ns": round(
                parse_duration_s(scenario.latency_bound, "latency_bound") * 1e9
            ),
            "server_target_latency_percentile": scenario.percentile,
            "server_coalesce_queries": scenario.coalesce,
            "server_max_async_queries": scenario.max_async or 0,
        }
    return _offline_settings(scenario) if isinstance(scenario, Offline) else {}


def _offline_settings(scenario: Offline) -> dict[str, Any]:
    """A rate that makes LoadGen generate exactly the samples asked for."""
    if scenario.samples is None:
        return {}
    seconds = _ms(scenario.min_duration, MIN_DURATION_MS) / 1e3
    return {"offline_expected_qps": scenario.samples / (_OFFLINE_MARGIN * seconds)}


def _token_settings(facts: ModelFacts) -> dict[str, Any]:
    bounds = {"ttft_latency": facts.ttft_ms, "tpot_latency": facts.tpot_ms}
    known = {name: ms * _NS_PER_MS for name, ms in bounds.items() if ms is not None}
    return {"use_token_latencies": facts.token_latencies, **known}


def _effective(requested: RequestedSettings, reported: int | None) -> dict[str, Any]:
    if requested.scenario == "Server":
        return {
            "samples_per_query": 1,
            "target_qps": requested.server_target_qps,
            "target_latency_ns": requested.server_target_latency_ns,
            "target_latency_percentile": requested.server_target_latency_percentile,
            "max_async_queries": requested.server_max_async_queries,
        }
    closed_loop = {"target_latency_ns": 0, "max_async_queries": 1}
    if requested.scenario == "Offline":
        return {**closed_loop, **_effective_offline(requested)}
    if requested.scenario == "MultiStream":
        return {
            **closed_loop,
            "samples_per_query": requested.multi_stream_samples_per_query,
            "target_qps": 1e9 / requested.multi_stream_expected_latency_ns,
            "target_latency_percentile": requested.multi_stream_target_latency_percentile,
        }
    return {**closed_loop, **_effective_single_stream(requested, reported)}


def _effective_offline(requested: RequestedSettings) -> dict[str, Any]:
    expected = _OFFLINE_MARGIN * (requested.min_duration_ms / 1e3) * requested.offline_expected_qps
    samples = max(requested.min_query_count, int(expected))
    return {
        "samples_per_query": samples,
        "target_qps": requested.offline_expected_qps,
        "target_latency_percentile": 0.99,
        "target_duration_ms": 0,
        "min_query_count": 1,
        "min_sample_count": samples,
    }


def _effective_single_stream(requested: RequestedSettings, reported: int | None) -> dict[str, Any]:
    target_qps = 1e9 / requested.single_stream_expected_latency_ns
    queries = requested.min_query_count
    if requested.sample_concatenate_permutation:
        expected = int(2 * (requested.min_duration_ms / 1e3) * target_qps)
        if reported is None:
            raise UserError("equal issue needs the size of the library: say how many samples")
        # Not the samples loaded, which an override may change: LoadGen counts in the library's own.
        queries = equal_issue_min_queries(max(queries, expected), reported)
    return {
        "samples_per_query": 1,
        "target_qps": target_qps,
        "target_latency_percentile": requested.single_stream_target_latency_percentile,
        "min_query_count": queries,
    }
