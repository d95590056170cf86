"""The command ``aibench mlperf-settings``: a scenario in LoadGen's words, asked for and in effect.

It runs nothing. Settings come from the round's rules, then the command line, then ``user.conf``;
the later go before the earlier, as in LoadGen.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_aibench.errors import UserError
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream

if TYPE_CHECKING:
    from pytest_aibench.loadgen.mlperf_round import ModelFacts
    from pytest_aibench.loadgen.mlperf_settings import EffectiveSettings, RequestedSettings

_SCENARIOS = {kind.name: kind for kind in (SingleStream, MultiStream, Server, Offline)}
_TIMES = ("min_duration", "max_duration", "latency_bound")
_COUNTS = ("min_queries", "max_async", "samples_per_query", "samples")
_NUMBERS = ("target_qps", "percentile")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("scenario", choices=_SCENARIOS)
    parser.add_argument("--model", metavar="NAME", help="a model of the round, like resnet50")
    parser.add_argument("--user-conf", type=Path, metavar="FILE", help="LoadGen's user.conf")
    parser.add_argument("--library", type=int, metavar="N", help="samples in the data set")
    for field in _TIMES:
        parser.add_argument(_option(field), metavar="TIME", help="like '15 ms'")
    for field in _COUNTS:
        parser.add_argument(_option(field), type=int, metavar="N")
    for field in _NUMBERS:
        parser.add_argument(_option(field), type=float, metavar="X")
    parser.add_argument("--selection", metavar="HOW", help="random, unique, equal_issue or same")
    parser.add_argument("--coalesce", action="store_true", default=None)


def run(parsed: argparse.Namespace) -> int:
    """Print the settings."""
    from pytest_aibench.loadgen.mlperf_round import ROUND
    from pytest_aibench.loadgen.mlperf_settings import effective_settings, model_facts

    facts = model_facts(parsed.model)
    requested = _requested(_scenario(parsed, facts), facts, parsed)
    effective = effective_settings(requested, parsed.library, facts.performance_samples)
    model = parsed.model or "a model that the round does not have"
    print(f"MLPerf Inference {ROUND}, {requested.scenario}, {model}")
    print(_table(requested, effective))
    return 0


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"


def _scenario(parsed: argparse.Namespace, facts: ModelFacts) -> Scenario:
    """The scenario of the command line; what it must have is as the round has it."""
    kind = _SCENARIOS[parsed.scenario]
    known = {field.name for field in fields(kind)}
    options = (*_TIMES, *_COUNTS, *_NUMBERS, "selection", "coalesce")
    given = {name: value for name in options if (value := getattr(parsed, name)) is not None}
    for name in given.keys() - known:
        raise UserError(f"{parsed.scenario} has no {_option(name)}")
    defaults: dict[str, Any] = {}
    if kind is Server:
        # A bound of 0, where tokens are bounded instead, would be no scenario: see `_requested`.
        defaults = {"target_qps": 1.0, "latency_bound": f"{facts.server_ms or facts.ttft_ms} ms"}
    if kind is SingleStream:
        defaults = {"percentile": facts.single_stream_percentile}
    return kind(**{**defaults, **given})


def _requested(
    scenario: Scenario, facts: ModelFacts, parsed: argparse.Namespace
) -> RequestedSettings:
    from pytest_aibench.loadgen.mlperf_conf import read_conf
    from pytest_aibench.loadgen.mlperf_settings import requested_settings

    requested = requested_settings(scenario, parsed.model)
    if parsed.latency_bound is None:
        requested = replace(requested, server_target_latency_ns=facts.server_ms * 1_000_000)
    if parsed.user_conf is None:
        return requested
    conf = read_conf(parsed.user_conf)
    return replace(requested, **conf.overrides(requested.scenario, parsed.model))


def _table(requested: RequestedSettings, effective: EffectiveSettings) -> str:
    from tabulate import tabulate

    from pytest_aibench.loadgen.mlperf_settings import effective_name, relevant_settings

    asked = {effective_name(name): v for name, v in relevant_settings(requested).items()}
    made = asdict(effective)
    rows = [
        (name, _text(asked.get(name, "")), _text(made.get(name, "")))
        for name in {**asked, **made}
        if name != "scenario"
    ]
    return tabulate(rows, ("setting", "requested", "effective"), "simple", disable_numparse=True)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "all"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
