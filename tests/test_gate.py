"""A session against its history: the gate, its report, and the commands that print it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pytest_aibench.bounds import Violation
from pytest_aibench.cli import main
from pytest_aibench.regression.acceptance import accept, read_acceptances
from pytest_aibench.regression.baseline import Policy
from pytest_aibench.regression.comparison import Change
from pytest_aibench.regression.gate import GateReport, gate, is_gated
from pytest_aibench.report.comparison import gate_lines, gate_markdown
from pytest_aibench.results.identity import DEFAULT_VARY
from pytest_aibench.results.index import Index
from pytest_aibench.results.locations import LocalStore
from pytest_aibench.results.schema import DatasetEntry, DeviceEntry, LoadEntry, Metric, Run
from pytest_aibench.results.store import new_run_id, write_run
from tests.records import benchmark, run_of

H200 = {"gpu_memory_gib": 140.0, "gpu_power_limit_w": 700.0}
SXM = {"gpu_product": "NVIDIA H200", **H200}
NVL = {"gpu_product": "NVIDIA H200 NVL", "gpu_memory_gib": 140.0, "gpu_power_limit_w": 600.0}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / ".aibench")


def run_with(
    p50_ms: float,
    number: int = 0,
    *,
    names: Sequence[str] = ("test",),
    gpu: dict[str, Any] | None = None,
    uuid: str = "",
    sw: dict[str, Any] | None = None,
    subject: dict[str, Any] | None = None,
    **changes: Any,
) -> Run:
    """A run of server loads with that median latency."""
    device = DeviceEntry(id="cpu", kind="cpu", name="x", memory_bytes=None)
    if gpu is not None:
        device = DeviceEntry(
            id="cuda:0", kind="cuda", name="x", memory_bytes=None, uuid=uuid, hardware=gpu
        )
    load = LoadEntry(
        scenario="server", settings={}, stopped="", n_queries=1000, n_samples=1000, duration_s=1.0
    )
    figure = Metric(value=p50_ms, n=1000, better="lower")
    entries = [
        replace(benchmark(f"a.py::{name}"), device=device, load=load, metrics={"p50_ms": figure})
        for name in names
    ]
    run = run_of(*entries, run_id=new_run_id())
    environment = replace(run.environment, sw=sw or {}, subject=subject or {})
    started_at = f"2026-03-{1 + number // 24:02}T{number % 24:02}:00:00+00:00"
    return replace(run, **{"started_at": started_at, "environment": environment, **changes})


def fill(store: LocalStore, runs: int = 20, level: float = 10.0, **facts: Any) -> None:
    """Runs with little noise."""
    noise = np.random.default_rng(0).normal(0, 0.004, runs)
    for number, deviation in enumerate(noise):
        write_run(store, run_with(level * (1 + deviation), number, **facts))


def judged(store: LocalStore, *runs: Run, vary: Sequence[str] = ()) -> GateReport:
    policy = Policy(vary=(*DEFAULT_VARY, *vary))
    with Index.opened(store) as index:
        return gate(runs, index, policy)


def verdict(report: GateReport) -> tuple[Change, str]:
    (row,) = report.rows
    return row.comparison.change, row.comparison.reason


@pytest.mark.parametrize(
    ("p50_ms", "change"),
    [
        (12.0, Change.REGRESSED),
        (10.0, Change.NOT_WORSE),
        (8.0, Change.IMPROVED),
    ],
)
def test_a_session_against_a_quiet_history(
    store: LocalStore, p50_ms: float, change: Change
) -> None:
    fill(store)
    report = judged(store, run_with(p50_ms, 30))
    assert verdict(report)[0] is change
    assert report.regressed is (change is Change.REGRESSED)


def test_a_second_run_that_does_not_confirm_acquits(store: LocalStore) -> None:
    fill(store)
    run = run_with(11.0, 30)
    (entry,) = run.benchmarks
    again = {"p50_ms": Metric(value=10.0, n=1000, better="lower")}
    run = replace(run, benchmarks=[replace(entry, confirmation=again)])
    change, reason = verdict(judged(store, run))
    assert change is not Change.REGRESSED
    assert reason == "a re-run does not confirm it"


def test_the_session_itself_is_no_baseline(store: LocalStore) -> None:
    run = run_with(10.0)
    write_run(store, run)
    assert verdict(judged(store, run)) == (
        Change.INCONCLUSIVE,
        "no earlier run to compare with",
    )


def test_two_shards_are_one_session(store: LocalStore) -> None:
    fill(store, names=("test_a", "test_b"))
    shards = [
        run_with(10.0, 30, names=("test_a",), group_id="g"),
        run_with(12.0, 31, names=("test_b",), group_id="g"),
    ]
    for shard in shards:
        write_run(store, shard)
    report = judged(store, *shards)
    changes = {row.key.benchmark: row.comparison.change for row in report.rows}
    assert changes == {"a.py::test_a": Change.NOT_WORSE, "a.py::test_b": Change.REGRESSED}
    assert all(len(row.baseline.points) == 20 for row in report.rows)


def test_the_same_commit_with_another_driver_is_confounded(store: LocalStore) -> None:
    fill(store, sw={"driver": "550.1"})
    run = run_with(12.0, 30, sw={"driver": "560.2"})
    assert verdict(judged(store, run)) == (
        Change.CONFOUNDED,
        "confounded by sw.driver: 550.1 → 560.2",
    )
    assert verdict(judged(store, run, vary=["sw.driver"]))[0] is Change.REGRESSED


def test_another_gpu_of_the_class_is_the_same_series(store: LocalStore) -> None:
    fill(store, gpu=SXM, uuid="GPU-1")
    assert verdict(judged(store, run_with(10.0, 30, gpu=SXM, uuid="GPU-2")))[0] is Change.NOT_WORSE


def test_another_form_factor_has_no_history(store: LocalStore) -> None:
    fill(store, gpu=SXM)
    assert verdict(judged(store, run_with(12.0, 30, gpu=NVL))) == (
        Change.INCONCLUSIVE,
        "no earlier run to compare with",
    )


def test_a_throttled_run_is_invalid(store: LocalStore) -> None:
    fill(store)
    run = run_with(12.0, 30)
    throttled = Violation(rule="device not throttled", evidence="hw_slowdown in half the readings")
    (entry,) = run.benchmarks
    run = replace(run, benchmarks=[replace(entry, violations=[throttled], verdict="invalid")])
    assert verdict(judged(store, run)) == (
        Change.INVALID,
        "device not throttled: hw_slowdown in half the readings",
    )


def test_a_dirty_tree_is_judged_but_is_no_baseline(store: LocalStore) -> None:
    fill(store, subject={"dirty": True})
    report = judged(store, run_with(12.0, 30, subject={"dirty": True}))
    assert verdict(report)[0] is Change.INCONCLUSIVE
    assert "(earlier runs left out: 20 uncommitted changes)" in "\n".join(gate_lines(report, 200))


def with_answers(right: int, number: int) -> Run:
    """A run whose model answers the first so many of 400 samples right."""
    run = run_with(10.0, number)
    (entry,) = run.benchmarks
    bits = base64.b64encode(np.packbits(np.arange(400) < right).tobytes()).decode()
    dataset = DatasetEntry(
        name="x", fingerprint="f", split="test", n_samples=400, licence="", source=""
    )
    top1 = Metric(value=right / 400, n=400, better="higher")
    entry = replace(entry, dataset=dataset, metrics={"top1": top1}, correct={"top1": bits})
    return replace(run, benchmarks=[entry])


@pytest.mark.parametrize(
    ("right", "change", "reason"),
    [
        (388, Change.REGRESSED, "12 of 400 answers broken, 0 mended, p = 0.0002"),
        (398, Change.INCONCLUSIVE, "2 of 400 answers broken, 0 mended, p = 0.2"),
        (400, Change.NOT_WORSE, "the same on every sample"),
    ],
)
def test_a_model_that_always_answers_alike_is_compared_sample_by_sample(
    store: LocalStore, right: int, change: Change, reason: str
) -> None:
    for number in range(3):
        write_run(store, with_answers(400, number))
    assert verdict(judged(store, with_answers(right, 30))) == (change, reason)


def with_scores(
    scores: npt.NDArray[np.float64],
    number: int,
    figure: float | None = None,
    better: str = "higher",
) -> Run:
    """A run whose model's answers have these scores; the figure is their mean, or another."""
    run = with_answers(400, number)
    (entry,) = run.benchmarks
    text = base64.b64encode(scores.astype("<f4").tobytes()).decode()
    iou = Metric(value=figure or float(scores.mean()), n=len(scores), better=better)
    assert entry.dataset is not None
    entry = replace(entry, dataset=replace(entry.dataset, n_samples=len(scores)))
    return replace(
        run,
        benchmarks=[
            replace(entry, metrics={"voxel_iou": iou}, correct={}, scores={"voxel_iou": text})
        ],
    )


SCORES = np.random.default_rng(4).uniform(0.5, 0.9, 400)


@pytest.mark.parametrize(
    ("now", "change", "reason"),
    [
        (SCORES - 0.01, Change.REGRESSED, "400 of 400 scores changed, p = 0.0005"),
        (np.r_[SCORES[:399], 0.4], Change.INCONCLUSIVE, "1 of 400 scores changed, p = 0.5"),
        (SCORES, Change.NOT_WORSE, "the same on every sample"),
    ],
)
def test_scores_that_are_not_right_or_wrong_are_compared_sample_by_sample(
    store: LocalStore, now: npt.NDArray[np.float64], change: Change, reason: str
) -> None:
    for number in range(3):
        write_run(store, with_scores(SCORES, number))
    assert verdict(judged(store, with_scores(now, 30))) == (change, reason)


def test_higher_scores_are_worse_where_less_is_better(store: LocalStore) -> None:
    for number in range(3):
        write_run(store, with_scores(SCORES, number, better="lower"))
    report = judged(store, with_scores(SCORES + 0.01, 30, better="lower"))
    assert verdict(report)[0] is Change.REGRESSED


def test_scores_of_fewer_samples_are_not_paired(store: LocalStore) -> None:
    for number in range(3):
        write_run(store, with_scores(SCORES, number))
    _, reason = verdict(judged(store, with_scores(SCORES[:399], 30)))
    assert "scores changed" not in reason


def test_a_figure_that_is_no_mean_is_not_compared_sample_by_sample(store: LocalStore) -> None:
    for number in range(3):
        write_run(store, with_scores(SCORES, number, figure=0.3))
    change, reason = verdict(judged(store, with_scores(SCORES, 30, figure=0.3)))
    assert "scores changed" not in reason
    assert reason != "the same on every sample"
    assert change is not Change.REGRESSED


@pytest.mark.parametrize(
    ("scenario", "metric", "gated"),
    [
        ("server", "p99_ms", True),
        ("server", "throughput_samples_per_s", False),
        ("offline", "throughput_samples_per_s", True),
        ("offline", "p99_ms", False),
        ("single_stream", "p90_ms", False),
        ("server", "top1", True),
    ],
)
def test_what_gates(scenario: str, metric: str, gated: bool) -> None:
    (entry,) = run_with(1.0).benchmarks
    assert entry.load is not None
    entry = replace(entry, load=replace(entry.load, scenario=scenario))
    assert is_gated(entry, metric) is gated


def test_the_terminal_report(store: LocalStore) -> None:
    fill(store, names=("test_a", "test_b"))
    lines = list(gate_lines(judged(store, run_with(12.0, 30, names=("test_a",))), 120))
    assert lines[0] == "1 regressed; compared with all earlier runs"
    assert "test_a" in lines[1]
    assert "p50_ms" in lines[1]
    assert lines[-1] == (
        "if this is intended: aibench accept 'a.py::test_a' --metric p50_ms --reason '…'"
    )


def test_the_markdown_folds_away_what_is_fine(store: LocalStore) -> None:
    fill(store, names=("test_a", "test_b"))
    run = run_with(12.0, 30, names=("test_a",))
    fine = run_with(10.0, 30, names=("test_b",)).benchmarks
    report = judged(store, replace(run, benchmarks=[*run.benchmarks, *fine]))
    text = gate_markdown(report)
    assert text.startswith(
        "<!-- pytest-aibench -->\n\n"
        "### AI benchmarks: 1 regressed, 1 not worse; compared with all earlier runs\n"
    )
    news, folded = text.split("<details><summary>1 not worse</summary>")
    assert "| `test_a` " in news
    assert "❌ regressed" in news
    assert "✅ not worse" in folded


@pytest.mark.parametrize(
    ("p50_ms", "arguments", "status"),
    [
        (10.0, [], 0),
        (12.0, [], 1),
        (12.0, ["--vary", "sw.python"], 1),
        (10.15, ["--strict"], 3),
        (10.15, [], 0),
    ],
)
def test_the_exit_status_of_the_gate(
    store: LocalStore, p50_ms: float, arguments: list[str], status: int
) -> None:
    fill(store)
    write_run(store, run_with(p50_ms, 30))
    assert main(["gate", *arguments]) == status


def test_confounded_runs_exit_with_4(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, sw={"driver": "550.1"})
    write_run(store, run_with(12.0, 30, sw={"driver": "560.2"}))
    assert main(["gate"]) == 4
    assert "1 confounded; compared with all earlier runs" in capsys.readouterr().out
    assert main(["gate", "--allow-confounded"]) == 1


def test_two_named_runs_are_compared(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store)
    for number, p50_ms in enumerate((10.0, 12.0)):
        write_run(
            store, run_with(p50_ms, 30 + number, subject={"branch": "ab"[number], "dirty": True})
        )
    assert main(["compare", "a", "b"]) == 1
    assert "+20.0 %" in capsys.readouterr().out
    assert main(["compare", "b", "a"]) == 0


def test_named_runs_of_one_ci_run_are_compared(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    for number, p50_ms in enumerate((10.0, 12.0)):
        branch = {"branch": "ab"[number]}
        write_run(store, run_with(p50_ms, 30 + number, group_id="g", subject=branch))
    assert main(["compare", "a", "b"]) == 1
    assert "+20.0 %" in capsys.readouterr().out


def test_an_unknown_run_is_named(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, runs=1)
    assert main(["compare", "nonsense"]) == 2
    assert capsys.readouterr().err.startswith(
        f"aibench: no records in {store.location} are called 'nonsense': "
    )


def test_history_tells_when_and_what_else_changed(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store, sw={"torch": "2.12"})
    noise = np.random.default_rng(1).normal(0, 0.004, 12)
    for number, deviation in enumerate(noise):
        write_run(store, run_with(12 * (1 + deviation), 20 + number, sw={"torch": "2.13"}))
    assert main(["history"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a.py::test p50_ms on cpu")
    assert "32 runs, now " in lines[0]
    assert lines[1].startswith("  2026-03-01T20:00:00+00:00  ")
    assert lines[1].endswith(" %), worse")
    assert lines[2:] == ["      sw.torch: 2.12 → 2.13"]


def test_history_names_the_commits(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store, subject={"commit": "a" * 40, "branch": "main"})
    for number in range(12):
        commit = {"commit": "b" * 40, "branch": "main"}
        write_run(store, run_with(12 + number % 3 / 50, 20 + number, subject=commit))
    assert main(["history", "--branch", "main"]) == 0
    assert "      commits: git log aaaaaaaaaa..bbbbbbbbbb" in capsys.readouterr().out
    assert main(["history", "--branch", "other"]) == 0
    assert "git log" not in capsys.readouterr().out


def test_an_empty_store_has_no_history(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["history"]) == 2
    assert capsys.readouterr().err == (
        "aibench: no records in .aibench: run benchmarks first, or name --store\n"
    )


def test_a_quiet_history_is_counted(store: LocalStore, capsys: pytest.CaptureFixture[str]) -> None:
    fill(store)
    assert main(["history"]) == 0
    assert capsys.readouterr().out == ("1 of 1 series without a change: list them with --all\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["history", "nonsense"],
            "no series of benchmark 'nonsense' and metric '*' among 1 benchmarks, "
            "like 'a.py::test': use * for any text",
        ),
        (["history", "--last", "0"], "--last 0: give 1 or more runs"),
        (["accept", "*", "--reason", " "], "--reason is empty: say why the change is right"),
    ],
)
def test_mistakes_are_named(
    store: LocalStore, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    fill(store, runs=1)
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"aibench: {message}\n"


def test_an_accepted_level_is_as_good_as_the_old_one(
    store: LocalStore, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(store)
    write_run(store, run_with(12.0, 30))
    assert main(["gate"]) == 1
    assert main(["accept", "a.py::*", "--reason", "a larger model"]) == 0
    assert "from run " in capsys.readouterr().out
    assert main(["gate"]) == 0
    for number, p50_ms in enumerate((12.05, 10.0)):
        write_run(store, run_with(p50_ms, 31 + number))
        assert main(["gate"]) == 0
    write_run(store, run_with(14.0, 40))
    assert main(["gate"]) == 1


def test_a_figure_at_an_accepted_level_says_why(store: LocalStore) -> None:
    fill(store)
    accepted = run_with(12.0, 30)
    write_run(store, accepted)
    accept(store, accepted, benchmark="*", metric="p50_ms", reason="a larger model")
    with Index.opened(store) as index:
        (found,), _ = read_acceptances(store)
        report = gate([run_with(12.05, 31)], index, Policy(acceptances=(found,)))
    change, reason = verdict(report)
    assert change is Change.NOT_WORSE
    assert reason.startswith("at the level that was accepted on 20")
    assert reason.endswith(": a larger model")
