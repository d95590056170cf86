"""Configuration files of LoadGen: read as it reads them, and mistakes named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import oracle
from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.mlperf_conf import apply_overrides, read_conf
from pytest_aibench.scenarios import (
    MultiStream,
    Offline,
    Scenario,
    Seeds,
    Server,
    SingleStream,
)
from tests.official_conf import ask_loadgen

SERVER = Server(target_qps=1, latency_bound="1 s")


def overrides(
    folder: Path, text: str, scenario: str = "Server", model: str | None = None
) -> dict[str, Any]:
    path = folder / "user.conf"
    path.write_text(text)
    return read_conf(path).overrides(scenario, model)


@pytest.mark.parametrize(
    "line",
    [
        "*.Server.target_qps = 50",
        "*.Server.target_qps=50",
        "  *.Server.target_qps\t=  50.0  ",
        "*.Server.target_qps = 5e1",
        "*.Server.target_qps = 50 # a comment",
        "# a comment\n\n*.Server.target_qps = 50\r\n",
        "*.Server.target_qps = 40\n*.Server.target_qps = 50",
        "\ufeff*.Server.target_qps = 50",
    ],
)
def test_ways_to_write_a_line(tmp_path: Path, line: str) -> None:
    assert overrides(tmp_path, line) == {"server_target_qps": 50}


@pytest.mark.parametrize(
    ("setting", "scenario", "field", "value"),
    [
        ("min_duration = 600000", "Offline", "min_duration_ms", 600_000),
        ("target_latency = 0.5", "SingleStream", "single_stream_expected_latency_ns", 500_000.0),
        ("target_latency = 8", "MultiStream", "multi_stream_expected_latency_ns", 8e6),
        ("target_latency = 0.5", "Server", "server_target_latency_ns", 500_000),
        ("target_latency_percentile = 99.9", "Server", "server_target_latency_percentile", 0.999),
        ("target_qps = 7.5", "Offline", "offline_expected_qps", 7.5),
        ("samples_per_query = 4", "MultiStream", "multi_stream_samples_per_query", 4),
        ("coalesce_queries = 1", "Server", "server_coalesce_queries", True),
        ("ttft_latency = 2000", "Server", "ttft_latency", 2_000_000_000),
        ("accuracy_log_probability = 10", "Server", "accuracy_log_probability", 0.1),
        ("qsl_rng_seed = 16159082839903944937", "Server", "qsl_rng_seed", 16159082839903944937),
    ],
)
def test_units(tmp_path: Path, setting: str, scenario: str, field: str, value: Any) -> None:
    read = overrides(tmp_path, f"*.{scenario}.{setting}", scenario)
    assert read == {field: pytest.approx(value, rel=1e-15) if value == 0.999 else value}
    assert type(read[field]) is type(value)


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        ("resnet50.Server", "*.Server", 1),
        ("resnet50.Server", "resnet50.*", 1),
        ("resnet50.*", "*.Server", 2),
        ("resnet50.*", "*.*", 1),
        ("*.Server", "*.*", 1),
        ("bert.Server", "*.*", 2),
        ("*.Offline", "*.*", 2),
        ("wan-2.2.Server", "*.*", 2),
    ],
)
def test_the_closest_line_counts(tmp_path: Path, first: str, second: str, winner: int) -> None:
    text = f"{first}.min_query_count = 1\n{second}.min_query_count = 2"
    assert overrides(tmp_path, text, "Server", "resnet50") == {"min_query_count": winner}


def test_without_a_model_only_lines_for_all_count(tmp_path: Path) -> None:
    assert overrides(tmp_path, "resnet50.*.min_query_count = 1") == {}


def test_dots_in_names_of_models(tmp_path: Path) -> None:
    text = "wan-2.2-t2v-a14b.Server.target_qps = 3"
    assert overrides(tmp_path, text, "Server", "wan-2.2-t2v-a14b") == {"server_target_qps": 3}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("*.*.min_durations = 4", "unknown key 'min_durations': did you mean 'min_duration'?"),
        ("*.Sever.target_qps = 3", "unknown scenario 'Sever': did you mean 'Server'?"),
        (
            "*.Offline.samples_per_query = 3",
            "'samples_per_query' is no setting of Offline: it belongs to MultiStream",
        ),
        (
            "min_duration = 4",
            "cannot read 'min_duration = 4': write it like '*.Server.target_qps = 5'",
        ),
        (
            "*.*.min_duration 4",
            "cannot read '*.*.min_duration 4': write it like '*.Server.target_qps = 5'",
        ),
        ("*.*.min_duration =", "min_duration = '' is no number: write one"),
        ("*.*.min_duration = 1_000", "min_duration = '1_000' is no number: write one"),
        ("*.*.min_duration = 1e400", "min_duration = '1e400' is no number: write one"),
        ("*.*.min_duration = 1.5", "min_duration = 1.5 must be a whole number"),
        (
            "*.*.min_duration = -5",
            "min_duration = -5 is out of range: give a number of 1 or more",
        ),
        (
            "*.*.print_timestamps = 2",
            "print_timestamps = 2 is out of range: give a number of 0 to 1",
        ),
        (
            "*.Server.target_latency_percentile = 100",
            "target_latency_percentile = 100 is out of range: give a number of 0.001 to 99.9999",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        overrides(tmp_path, f"# first\n{line}")
    assert str(error.value) == f"user.conf, line 2: {message}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    missing, binary = tmp_path / "nowhere.conf", tmp_path / "model.onnx"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, why in ((missing, "No such file or directory"), (binary, "it is not text")):
        with pytest.raises(UserError) as error:
            read_conf(path)
        assert str(error.value) == (f"cannot read {path}: {why}: name a LoadGen configuration file")


@pytest.mark.parametrize(
    ("scenario", "settings", "changed"),
    [
        (SERVER, {"server_target_qps": 5.0}, {"target_qps": 5.0}),
        (SERVER, {"server_target_latency_ns": 500_000}, {"latency_bound": "500000 ns"}),
        (SERVER, {"server_target_latency_ns": 0}, {}),
        (SERVER, {"server_target_latency_percentile": 0.9}, {"percentile": 0.9}),
        (SERVER, {"server_coalesce_queries": True}, {"coalesce": True}),
        (SERVER, {"server_max_async_queries": 3}, {"max_async": 3}),
        (SERVER, {"server_max_async_queries": 0}, {"max_async": None}),
        (SingleStream(), {"min_duration_ms": 5}, {"min_duration": "5 ms"}),
        (SingleStream(max_duration="9 s"), {"max_duration_ms": 0}, {"max_duration": None}),
        (SingleStream(), {"max_duration_ms": 7}, {"max_duration": "7 ms"}),
        (SingleStream(), {"min_query_count": 7}, {"min_queries": 7}),
        (
            SingleStream(),
            {"single_stream_target_latency_percentile": 0.999},
            {"percentile": 0.999},
        ),
        (MultiStream(), {"multi_stream_samples_per_query": 4}, {"samples_per_query": 4}),
        (Offline(), {"qsl_rng_seed": 3}, {"seeds": replace(Seeds(), qsl=3)}),
        (Offline(), {"performance_issue_unique": True}, {"selection": "unique"}),
        (Offline(), {"performance_issue_same": True}, {"selection": "same"}),
        (Offline(), {"sample_concatenate_permutation": True}, {"selection": "equal_issue"}),
        (
            Offline(selection="unique"),
            {"performance_issue_unique": False},
            {"selection": "random"},
        ),
    ],
)
def test_settings_change_a_scenario(
    scenario: Scenario, settings: dict[str, Any], changed: dict[str, Any]
) -> None:
    applied = apply_overrides(settings, scenario)
    assert applied.scenario == replace(scenario, **changed)
    assert set(applied.without_effect) == (set() if changed else set(settings))


def test_settings_beside_the_scenario() -> None:
    settings = {
        "performance_sample_count_override": 64,
        "accuracy_sample_count_override": 0,
        "offline_expected_qps": 5.0,
        "print_timestamps": True,
    }
    applied = apply_overrides(settings, Offline())
    assert applied.scenario == Offline()
    assert applied.performance_samples == 64
    assert applied.without_effect == (
        "accuracy_sample_count_override",
        "offline_expected_qps",
        "print_timestamps",
    )


def test_keys_without_effect_are_named_as_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "user.conf"
    path.write_text(
        "*.*.mode = 2\n*.Server.target_qps = 3\n*.SingleStream.target_latency = 1\n"
        "bert.*.print_timestamps = 1\n"
    )
    unused = {"single_stream_expected_latency_ns", "print_timestamps"}
    conf = read_conf(path)
    assert conf.keys_without(unused, "Server") == ["mode"]
    assert conf.keys_without(unused, "SingleStream") == ["mode", "target_latency"]
    assert conf.keys_without(unused, "Server", "bert") == ["mode", "print_timestamps"]


def test_settings_that_do_not_fit() -> None:
    with pytest.raises(UserError) as error:
        apply_overrides({"sample_concatenate_permutation": True}, MultiStream())
    assert "equal_issue" in str(error.value)


CONF = """
*.*.min_duration = 7000
*.SingleStream.min_duration = 8000
resnet50.*.min_duration = 9000
*.*.max_duration = 12000
*.*.max_query_count = 77
resnet50.Server.target_qps = 12.5
*.Server.target_latency = 20
*.Server.target_latency_percentile = 97
*.Server.coalesce_queries = 1
*.Server.max_async_queries = 9
*.SingleStream.target_latency = 0.25
*.SingleStream.target_latency_percentile = 95
*.MultiStream.target_latency = 3
*.MultiStream.target_latency_percentile = 99.9
*.MultiStream.samples_per_query = 4
*.Offline.target_qps = 1e3
*.Offline.min_query_count = 24576
*.*.performance_issue_same = 1
*.*.performance_issue_same_index = 3
*.*.sample_concatenate_permutation = 1
*.*.performance_sample_count_override = 33
*.*.accuracy_sample_count_override = 44
*.*.accuracy_log_rng_seed = 720381539243781796
*.*.accuracy_log_sampling_target = 4096
*.*.print_timestamps = 1
"""


@pytest.mark.oracle
@pytest.mark.skipif(not oracle.is_installed(), reason="needs the official LoadGen (extra `oracle`)")
def test_loadgen_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "user.conf"
    path.write_text(CONF)
    scenarios = ("SingleStream", "MultiStream", "Server", "Offline")
    cases = [(model, name) for model in ("resnet50", "bert") for name in scenarios]
    ours = [read_conf(path).overrides(scenario, model) for model, scenario in cases]
    asked = [(*case, list(read)) for case, read in zip(cases, ours, strict=True)]
    assert all(len(read) > 10 for read in ours)
    for case, read, official in zip(cases, ours, ask_loadgen(asked, path), strict=True):
        assert read == pytest.approx(official, rel=1e-15), case
