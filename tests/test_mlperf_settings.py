"""Scenarios in LoadGen's words: the round's facts, and what LoadGen makes of the settings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.harness import oracle
from benchmarks.harness.oracle import OfficialRun, run_official
from pytest_aibench.cli import main
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.arrivals import Constant
from pytest_aibench.loadgen.mlperf_round import MODELS
from pytest_aibench.loadgen.mlperf_settings import (
    RequestedSettings,
    effective_settings,
    has_loadgen_name,
    model_facts,
    official_scenario,
    relevant_settings,
    requested_settings,
)
from pytest_aibench.scenarios import (
    MultiStream,
    Offline,
    Scenario,
    Seeds,
    Server,
    SingleStream,
    Users,
)
from tests.official_conf import ask_loadgen

needs_official = pytest.mark.skipif(
    not oracle.is_installed(), reason="needs the official LoadGen (extra `oracle`)"
)

SERVER = Server(target_qps=50, latency_bound="15 ms")

BY_THE_RULES = {
    "ssd-mobilenet",
    "yolo",
    "pointpainting",
    "dlrm",
    "dlrm-v3",
    "llama2-70b-interactive",
    "llama3_1-405b-interactive",
    "llama3_1-8b-interactive",
    "deepseek-r1-interactive",
    "gpt-oss-120b",
    "gpt-oss-120b-interactive",
}
"""Models without a number of offline samples in LoadGen, for which the rules' own stands here."""


def of_the_round(model: str) -> list[Scenario]:
    """Scenarios that leave open, or say as the round does, all that it settles for a model."""
    facts = MODELS[model]
    bound = f"{facts.server_ms or 1} ms"
    streams: list[Scenario] = [SingleStream(percentile=facts.single_stream_percentile)]
    if not facts.equal_issue:
        streams.append(MultiStream())
    return [*streams, Server(target_qps=1.0, latency_bound=bound), Offline()]


@pytest.mark.oracle
@needs_official
def test_the_facts_are_those_built_into_loadgen() -> None:
    cases = [(model, scenario) for model in MODELS for scenario in of_the_round(model)]
    ours = [relevant_settings(requested_settings(scenario, model)) for model, scenario in cases]
    names = [read.pop("scenario") for read in ours]
    asked = [
        (model, name, list(read)) for (model, _), name, read in zip(cases, names, ours, strict=True)
    ]
    official_answers = ask_loadgen(asked)
    for (model, name, _), read, official in zip(asked, ours, official_answers, strict=True):
        if name == "Offline" and model in BY_THE_RULES:
            assert official.pop("min_query_count") == 100
            assert read.pop("min_query_count") in (24_576, MODELS[model].performance_samples)
        if name == "Server" and not MODELS[model].server_ms:
            assert official.pop("server_target_latency_ns") == 0
            del read["server_target_latency_ns"]
        assert read == pytest.approx(official, rel=1e-15), (model, name)


@dataclass(frozen=True, kw_only=True)
class _Other(Scenario):
    name: ClassVar[str] = "other"


@dataclass(frozen=True)
class Case:
    """Settings, and a library for them."""

    requested: RequestedSettings
    total: int
    performance_count: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    scenario = draw(st.sampled_from(["SingleStream", "MultiStream", "Server", "Offline"]))
    total = draw(st.integers(1, 60))
    rates = st.floats(2_000, 90_000)
    requested = RequestedSettings(
        scenario=scenario,
        min_duration_ms=draw(st.integers(0, 3)),
        min_query_count=draw(st.integers(1, 90)),
        max_query_count=draw(st.sampled_from([0, 200])),
        sample_concatenate_permutation=scenario != "MultiStream" and draw(st.booleans()),
        performance_sample_count_override=draw(st.integers(0, total)),
        accuracy_sample_count_override=draw(st.integers(0, 80)),
        single_stream_expected_latency_ns=1e9 / draw(rates),
        multi_stream_expected_latency_ns=1e9 / draw(rates),
        multi_stream_samples_per_query=draw(st.integers(1, 9)),
        server_target_qps=draw(rates),
        server_target_latency_ns=draw(st.integers(1, 10**9)),
        server_max_async_queries=draw(st.sampled_from([0, 100_000])),
        offline_expected_qps=draw(rates),
    )
    return Case(requested, total, draw(st.integers(1, total)))


@pytest.mark.oracle
@needs_official
@settings(
    max_examples=4,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(cases(), min_size=40, max_size=40))
def test_the_settings_in_effect_are_the_official_ones(drawn: list[Case]) -> None:
    runs = []
    for case in drawn:
        values: dict[str, Any] = asdict(case.requested)
        runs.append(
            OfficialRun(
                scenario=values.pop("scenario"),
                total=case.total,
                performance_count=case.performance_count,
                settings=values,
                trace=False,
            )
        )
    for case, result in zip(drawn, run_official(runs), strict=True):
        effective = asdict(effective_settings(case.requested, case.total, case.performance_count))
        official = {name: result.log[f"effective_{name}"] for name in effective}
        # The log prints six digits.
        assert effective == pytest.approx(official, rel=1e-5), case


@pytest.mark.parametrize(
    ("scenario", "model", "expected"),
    [
        (SingleStream(), None, {"min_duration": "600000 ms", "min_queries": 100}),
        (MultiStream(), "resnet50", {"min_duration": "600000 ms", "min_queries": 662}),
        (Offline(), None, {"min_duration": "600000 ms", "min_queries": 24_576}),
        (
            Offline(),
            "3d-unet",
            {"min_duration": "600000 ms", "min_queries": 43, "selection": "equal_issue"},
        ),
        (SERVER, "bert", {"min_duration": "600000 ms", "min_queries": 100}),
        (
            SingleStream(percentile=0.5),
            "pointpainting",
            {"min_duration": "600000 ms", "min_queries": 100, "percentile": 0.999},
        ),
        (
            MultiStream(samples_per_query=2, percentile=0.9),
            "3d-unet",
            {
                "min_duration": "600000 ms",
                "min_queries": 662,
                "samples_per_query": 8,
                "percentile": 0.99,
            },
        ),
        (
            replace(SERVER, min_duration="2 s", max_duration="3 s", min_queries=7, percentile=0.5),
            None,
            {
                "min_duration": "600000 ms",
                "max_duration": None,
                "min_queries": 100,
                "percentile": 0.99,
            },
        ),
        (
            SingleStream(selection="same", seeds=Seeds(1, 2, 3)),
            None,
            {
                "min_duration": "600000 ms",
                "min_queries": 100,
                "selection": "random",
                "seeds": Seeds(),
            },
        ),
        (
            SingleStream(min_duration="60 min", min_queries=5000),
            None,
            {"min_duration": "3600000 ms", "min_queries": 5000},
        ),
        (
            Offline(samples=50),
            None,
            {"min_duration": "600000 ms", "min_queries": 24_576, "samples": None},
        ),
        (
            Offline(samples=50),
            "3d-unet",
            {
                "min_duration": "600000 ms",
                "min_queries": 50,
                "samples": None,
                "selection": "equal_issue",
            },
        ),
    ],
)
def test_the_rounds_rules_go_before_the_scenario(
    scenario: Scenario, model: str | None, expected: dict[str, Any]
) -> None:
    assert official_scenario(scenario, model) == replace(scenario, **expected)


@pytest.mark.parametrize(
    "scenario",
    [
        Users(count=3),
        MultiStream(interval="50 ms"),
        Server(arrivals=Constant(qps=5), latency_bound="1 s"),
    ],
)
def test_the_round_has_no_rules_for_other_scenarios(scenario: Scenario) -> None:
    assert not has_loadgen_name(scenario)
    with pytest.raises(UserError) as error:
        official_scenario(scenario)
    assert str(error.value) == (
        f"the scenario {scenario.id} is not MLPerf's: it has no LoadGen settings"
    )


def test_offline_samples_are_what_loadgen_would_generate() -> None:
    for samples in (1, 49, 50, 997, 24_576, 10**7):
        requested = requested_settings(Offline(samples=samples, min_duration="7 s"))
        assert effective_settings(requested).samples_per_query == samples


def test_unknown_names() -> None:
    with pytest.raises(UserError) as error:
        model_facts("resnet-50")
    assert str(error.value) == "MLPerf v6.1 has no model 'resnet-50': use resnet50 or none"
    with pytest.raises(UserError) as error:
        requested_settings(_Other())
    assert str(error.value) == "the scenario other is not MLPerf's: it has no LoadGen settings"


def test_equal_issue_needs_the_size_of_the_library() -> None:
    requested = requested_settings(SingleStream(), "3d-unet")
    with pytest.raises(UserError) as error:
        effective_settings(requested)
    assert "needs the size of the library" in str(error.value)
    # 2 x 600 s at the hint of 100 queries per second, up to the next multiple of 42.
    assert effective_settings(requested, 42).min_query_count == 120_036


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[str]]:
    assert main(["mlperf-settings", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines[3:]}


def test_the_command_shows_requested_and_effective(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["server", "--target-qps", "50", "--latency-bound", "20 ms", "--model", "resnet50"]
    assert main(["mlperf-settings", *arguments]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "MLPerf Inference v6.1, Server, resnet50"
    assert lines[1].split() == ["setting", "requested", "effective"]
    assert "target_qps                      50                    50" in lines
    rows = shown(capsys, *arguments, "--library", "50000", "--coalesce", "--max-async", "9")
    assert rows["target_latency_ns"] == ["20000000", "20000000"]
    assert rows["performance_sample_count"] == ["1024", "1024"]
    assert rows["accuracy_sample_count"] == ["0", "50000"]
    assert rows["coalesce_queries"] == ["yes"]
    assert rows["max_async_queries"] == ["9", "9"]


def test_the_command_takes_what_is_not_given_from_the_round(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown(capsys, "server", "--model", "bert")["target_latency_ns"][0] == "130000000"
    rows = shown(capsys, "server", "--model", "llama2-70b")
    assert rows["target_latency_ns"] == ["0", "0"]
    assert rows["ttft_latency"] == ["2000000000"]
    rows = shown(capsys, "single_stream", "--model", "pointpainting")
    assert rows["target_latency_percentile"] == ["0.999", "0.999"]
    rows = shown(capsys, "offline", "--samples", "300", "--selection", "unique")
    assert rows["samples_per_query"] == ["300"]
    assert rows["performance_issue_unique"] == ["yes", "yes"]
    assert rows["accuracy_sample_count"] == ["0", "all"]


def test_the_command_reads_a_user_conf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = tmp_path / "user.conf"
    conf.write_text("resnet50.Offline.target_qps = 1000 # measured\n")
    arguments = ["offline", "--model", "resnet50", "--user-conf", str(conf)]
    assert shown(capsys, *arguments)["samples_per_query"] == ["660000"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["offline", "--coalesce"], "aibench: offline has no --coalesce\n"),
        (["offline", "--model", "resnet"], "aibench: MLPerf v6.1 has no model 'resnet': "),
        (["server", "--latency-bound", "5"], "aibench: latency_bound='5' needs a time unit"),
        (["server", "--user-conf", "no.conf"], "aibench: cannot read no.conf: "),
    ],
)
def test_mistakes_of_the_command_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mlperf-settings", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(message)
    assert captured.err.count("\n") == 1
