"""Scenario values: ids, defaults, and one-line mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream

RATE = "must be a number of queries per second above zero"
PERCENTILE = "must lie between 0 and 1: write 0.99 for the 99th percentile"
COUNT = "must be a whole number of at least 1"
TIME = "needs a time unit: write it like '15 ms' or '2 s'"


def server(**changed: Any) -> Server:
    options: dict[str, Any] = {"target_qps": 50, "latency_bound": "100 ms"}
    return Server(**options | changed)


@pytest.mark.parametrize(
    ("scenario", "name", "short_id", "percentile"),
    [
        (SingleStream(), "single_stream", "single_stream", 0.90),
        (MultiStream(), "multi_stream", "multi_stream", 0.99),
        (MultiStream(samples_per_query=4), "multi_stream", "multi_stream-4", 0.99),
        (server(), "server", "server-50qps", 0.99),
        (server(target_qps=0.5), "server", "server-0.5qps", 0.99),
        (server(target_qps=1234567.0), "server", "server-1234567qps", 0.99),
        (server(percentile=0.95), "server", "server-50qps", 0.95),
        (Offline(), "offline", "offline", 0.99),
    ],
)
def test_names(scenario: Scenario, name: str, short_id: str, percentile: float) -> None:
    assert scenario.name == name
    assert scenario.id == short_id
    assert scenario.judged_percentile == percentile


def test_latency_bounds_in_seconds() -> None:
    assert server().latency_bound_s == pytest.approx(0.1)
    assert SingleStream(latency_bound="2 ms").latency_bound_s == pytest.approx(0.002)
    assert SingleStream().latency_bound_s is None
    assert Offline().latency_bound_s is None


def test_scenarios_are_values() -> None:
    assert {server(), server(), server(target_qps=51)} == {server(), server(target_qps=51)}
    assert len({SingleStream(), MultiStream(), Offline()}) == 3


def test_default_seeds_are_those_of_mlperf_v6_1() -> None:
    seeds = SingleStream().seeds
    assert (seeds.qsl, seeds.sample_index, seeds.schedule) == (
        2085463073848966840,
        2747215439041700203,
        16159082839903944936,
    )


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (server, {"target_qps": -5}, f"target_qps=-5 {RATE}"),
        (server, {"target_qps": 0}, f"target_qps=0 {RATE}"),
        (server, {"target_qps": "50"}, f"target_qps='50' {RATE}"),
        (server, {"target_qps": float("inf")}, f"target_qps=inf {RATE}"),
        (server, {"target_qps": float("nan")}, f"target_qps=nan {RATE}"),
        (server, {"percentile": 990}, f"percentile=990 {PERCENTILE}"),
        (SingleStream, {"percentile": 1}, f"percentile=1 {PERCENTILE}"),
        (MultiStream, {"percentile": "0.99"}, f"percentile='0.99' {PERCENTILE}"),
        (server, {"latency_bound": 0.1}, f"latency_bound=0.1 {TIME}"),
        (server, {"latency_bound": "5 B"}, f"latency_bound='5 B' {TIME}"),
        (Offline, {"min_duration": "10"}, f"min_duration='10' {TIME}"),
        (Offline, {"max_duration": "0 s"}, "max_duration='0 s' must be above zero"),
        (
            Offline,
            {"min_duration": "1 min", "max_duration": "10 s"},
            "min_duration='1 min' must not exceed max_duration='10 s'",
        ),
        (SingleStream, {"min_queries": 0}, f"min_queries=0 {COUNT}"),
        (SingleStream, {"min_queries": 2.5}, f"min_queries=2.5 {COUNT}"),
        (MultiStream, {"samples_per_query": -1}, f"samples_per_query=-1 {COUNT}"),
        (Offline, {"samples": "8"}, f"samples='8' {COUNT}"),
    ],
)
def test_mistakes(make: Callable[..., Scenario], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make(**options)
    assert str(caught.value) == message


@given(st.floats(1e-3, 1e6))
def test_rates_survive_in_ids(rate: float) -> None:
    shown = server(target_qps=rate).id.removeprefix("server-").removesuffix("qps")
    assert float(shown) == pytest.approx(rate)
    assert "+" not in shown


def test_what_scenarios_do_not_judge() -> None:
    assert Server.not_judged == {
        "throughput": "in the server scenario target_qps sets the rate; judge a latency percentile"
    }
    assert Offline.not_judged == {
        "latency": "offline is one query: its latency is the length of the run; judge throughput"
    }
