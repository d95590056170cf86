"""What the terminal shows, word for word."""

from __future__ import annotations

import re
from dataclasses import replace
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.bounds import Check, Estimate, Violation, at_least, at_most, judge
from pytest_aibench.report.terminal import (
    check_table,
    not_judged_lines,
    problem_lines,
    short_names,
    summary_table,
)
from pytest_aibench.results.schema import (
    BaselineEntry,
    BenchmarkEntry,
    Metric,
    NotJudged,
    TrainingEntry,
)
from tests.records import benchmark

NODE = "benchmarks/components/test_inference.py::test_inference[image_classification-{}-cpu-fp32]"
TOP1 = Estimate(value=0.98332, low=0.9741, high=0.9892, n=1000, by_value=True)
SLOW = Estimate(
    value=0.0121, low=0.0110, unit="s", n=312, why_open="312 queries, and 350 more are needed"
)

NAMES = {"s": "time_to_quality", "samples/s": "throughput", "": "variation"}

GOOD = judge("top1", TOP1, at_least(0.975))
AS_GOOD = judge("top1", TOP1, at_least("99% of fp32"), reference=0.99)
BAD = judge("top1", TOP1, at_least(0.99))
NONE = judge("top1", Estimate(value=None, why_open="no outputs"), at_least(0.9))
FAST = judge("p99", Estimate(value=0.00321, low=0.003, high=0.00345, unit="s"), at_most("100 ms"))
OPEN = judge("p99", SLOW, at_most("15 ms"))
RATE = judge(
    "throughput",
    Estimate(value=54321.9, low=53000, high=55000, unit="samples/s"),
    at_least("50 samples/s"),
)


def entries() -> list[BenchmarkEntry]:
    return [
        benchmark(NODE.format("single_stream"), "passed", GOOD, FAST),
        benchmark(NODE.format("server-50qps"), "inconclusive", GOOD, OPEN),
        benchmark(NODE.format("offline"), "failed", BAD, AS_GOOD, RATE),
        benchmark(NODE.format("multi_stream"), "interrupted"),
    ]


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def cells(line: str) -> str:
    return re.sub(r"\s{2,}", " | ", line.strip())


def golden(text: str) -> list[str]:
    return lines(dedent(text).strip("\n"))


def test_wide_summary() -> None:
    header, _, *rows = summary_table(entries(), 200).splitlines()
    rate = "throughput 54320 samples/s [53000, 55000] ≥ 50 samples/s"
    start = "image_classification-"
    assert cells(header) == "benchmark | device | precision | quality | speed | verdict"
    assert list(map(cells, rows)) == [
        f"{start}single_stream | cpu | fp32 | top1 0.9833 ≥ 0.975 | "
        "p99 3.21 ms [3, 3.45] ≤ 100 ms | passed",
        f"{start}server-50qps | cpu | fp32 | top1 0.9833 ≥ 0.975 | "
        "p99 12.1 ms [11, ?] ≤ 15 ms | inconclusive",
        f"{start}offline | cpu | fp32 | top1 0.9833 ≥ 0.99 | {rate} | failed",
        f"{start}multi_stream | cpu | fp32 | - | - | interrupted",
    ]


def test_narrow_summary() -> None:
    assert lines(summary_table(entries(), 80)) == golden("""
        benchmark              quality      speed                       verdict
        ---------------------  -----------  --------------------------  ------------
        image_classification-  top1 0.9833  p99 3.21 ms                 passed
        single_stream          ≥ 0.975      [3, 3.45]
        cpu fp32                            ≤ 100 ms
        image_classification-  top1 0.9833  p99 12.1 ms                 inconclusive
        server-50qps           ≥ 0.975      [11, ?]
        cpu fp32                            ≤ 15 ms
        image_classification-  top1 0.9833  throughput 54320 samples/s  failed
        offline                ≥ 0.99       [53000, 55000]
        cpu fp32                            ≥ 50 samples/s
        image_classification-  -            -                           interrupted
        multi_stream
        cpu fp32
    """)


def test_a_long_name_breaks_where_its_words_end() -> None:
    names = "image_classification-server", "neural_architecture_search-offline"
    node = "a.py::test_inference[{}]"
    slow = judge("p99", replace(SLOW, value=12345.6789), at_most("100 ms"))
    entries = [benchmark(node.format(name), "passed", GOOD, slow) for name in names]
    first = [line.split("  ")[0] for line in summary_table(entries, 20).splitlines()[2:]]
    assert [line for line in first if line and line != "cpu fp32"] == [
        "image_",
        "classification-",
        "server",
        "neural_",
        "architecture_",
        "search-",
        "offline",
    ]


def test_decibels_are_quality() -> None:
    psnr = judge("psnr", Estimate(value=31.25, unit="dB", by_value=True), at_least("30 dB"))
    row = summary_table([benchmark("a.py::test_x", "passed", psnr, FAST)], 200).splitlines()[-1]
    assert cells(row).split(" | ")[3:5] == [
        "psnr 31.25 dB ≥ 30 dB",
        "p99 3.21 ms [3, 3.45] ≤ 100 ms",
    ]


def test_the_layout_follows_the_width() -> None:
    wide = max(map(len, summary_table(entries(), 1000).splitlines()))
    assert len(summary_table(entries(), wide).splitlines()) == 2 + 4
    assert len(summary_table(entries(), wide - 1).splitlines()) > 2 + 4


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_summaries_fit(width: int) -> None:
    table = summary_table(entries(), width)
    assert max(map(len, table.splitlines())) <= width


def test_a_summary_needs_neither_device_nor_checks() -> None:
    entry = replace(benchmark("a.py::test_it", "invalid"), device=None, precision="")
    assert lines(summary_table([entry], 80))[-1].split() == ["test_it", *"----", "invalid"]


def test_the_summary_shows_the_worst_check_of_a_kind() -> None:
    entry = benchmark("a.py::test_it", "inconclusive", FAST, OPEN, GOOD, BAD)
    row = summary_table([entry], 200).splitlines()[-1]
    assert "p99 12.1 ms [11, ?] ≤ 15 ms" in row
    assert "top1 0.9833 ≥ 0.99" in row
    assert "3.21" not in row


def training(metric: str, trivial: float | None) -> BenchmarkEntry:
    ran = TrainingEntry(
        seed=0,
        epochs=1,
        duration_s=1.0,
        samples_per_s=1.0,
        quality_trace=[0.98],
        seconds_trace=[1.0],
        reached_target=True,
        baseline=BaselineEntry(name="most frequent class", metric=metric, value=trivial),
    )
    return replace(benchmark("a.py::test_it", "passed", GOOD), kind="training", training=ran)


def test_the_trivial_answer_stands_beside_the_quality_of_a_training() -> None:
    (row,) = summary_table([training("top1", 0.10028)], 200).splitlines()[2:]
    assert " top1 0.9833 ≥ 0.975 (trivial 0.1003)  " in row
    narrow = summary_table([training("top1", 0.10028)], 20).splitlines()[2:]
    assert list(map(cells, narrow)) == [
        "test_it | top1 0.9833 | - | passed",
        "cpu fp32 | ≥ 0.975",
        "(trivial 0.1003)",
    ]
    for other in (training("top5", 0.1), training("top1", None)):
        assert "trivial" not in summary_table([other], 200)


def on_seeds(cv: float | None, *reached: bool) -> BenchmarkEntry:
    entry = training("top1", 0.1)
    assert entry.training is not None
    first, *others = (
        replace(entry.training, seed=seed, reached_target=each) for seed, each in enumerate(reached)
    )
    measured = {"variation": Metric(value=cv, better="lower", n=5)}
    return replace(entry, training=first, other_seeds=others, metrics=measured)


@pytest.mark.parametrize(
    ("cv", "reached", "text"),
    [
        (0.1234, [True] * 5, "(5 seeds, CV 12 %)"),
        (0.01249, [True] * 5, "(5 seeds, CV 1.2 %)"),
        (1.2345, [True] * 2, "(2 seeds, CV 120 %)"),
        (0.0, [True] * 3, "(3 seeds, CV 0 %)"),
        (None, [True, False, True], "(3 seeds, 1 missed the target)"),
        (None, [False, False], "(2 seeds, 2 missed the target)"),
    ],
)
def test_a_training_tells_how_its_seeds_vary(
    cv: float | None, reached: list[bool], text: str
) -> None:
    entry = on_seeds(cv, *reached)
    speed = judge("time_to_quality", Estimate(value=2, unit="s", by_value=True), at_most("9 s"))
    timed = replace(entry, checks=[*entry.checks, *benchmark("a", "passed", speed).checks])
    assert f"  {text}  " in summary_table([entry], 200)
    assert f"  time_to_quality 2 s ≤ 9 s {text}  " in summary_table([timed], 200)
    narrow = summary_table([timed], 20).splitlines()[2:]
    assert [cells(line).split(" | ")[-1] for line in narrow][1:] == ["≤ 9 s", text]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"processes": 2}, "(2 processes)"),
        ({"compiled": True}, "(compiled)"),
        ({"resumed_after": [2, 5]}, "(resumed)"),
        ({"processes": 4, "compiled": True}, "(4 processes) (compiled)"),
    ],
)
def test_a_training_tells_what_its_times_depend_on(changes: dict[str, Any], text: str) -> None:
    entry = training("top1", 0.1)
    assert entry.training is not None
    told = replace(entry, training=replace(entry.training, **changes))
    assert f"  {text}  " in summary_table([told], 200)
    assert "(trivial 0.1)  -  " in summary_table([entry], 200)


def test_a_training_that_was_resumed_on_another_seed_tells_so() -> None:
    entry = on_seeds(0.1, True, True)
    (other,) = entry.other_seeds
    resumed = replace(entry, other_seeds=[replace(other, resumed_after=[3])])
    assert "  (2 seeds, CV 10 %) (resumed)  " in summary_table([resumed], 200)


def test_a_training_held_against_a_reference_tells_its_factor() -> None:
    factor = {"convergence_factor": Metric(value=1.23456, better="lower", n=5)}
    entry = replace(training("top1", 0.1), metrics=factor)
    assert "  (convergence factor 1.235)  " in summary_table([entry], 200)


def test_one_seed_is_not_mentioned() -> None:
    assert "seed" not in summary_table([on_seeds(None, True)], 200)


def test_a_summary_of_nothing_is_its_header() -> None:
    assert len(summary_table([], 80).splitlines()) == 2


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (["a/b.py::test_x"], ["test_x"]),
        (["a/b.py::test_x[server-50qps-cpu-fp32]"], ["server-50qps"]),
        (["a/b.py::test_x[cpu-fp32]"], ["test_x"]),
        (
            ["a/b.py::test_x[server-50qps-fp32]", "a/b.py::test_x[server-100qps-fp32]"],
            ["server-50qps", "server-100qps"],
        ),
        (
            ["a/b.py::test_x[digits-cpu]", "a/c.py::test_y[cpu-digits]", "a/c.py::test_z"],
            ["x digits", "y digits", "test_z"],
        ),
        (
            ["a/b.py::test_x[digits]", "a/c.py::test_x[digits]"],
            ["a/b.py::test_x digits", "a/c.py::test_x digits"],
        ),
        (["a/b.py::test_x[[a]-b/c::d]"], ["[a]-b/c::d"]),
        ([], []),
    ],
)
def test_short_names(ids: list[str], names: list[str]) -> None:
    assert short_names([benchmark(node) for node in ids]) == names


def test_what_was_not_judged_is_grouped_by_reason() -> None:
    rate = NotJudged(name="throughput", reason="target_qps sets the rate")
    latency = NotJudged(name="p99", reason="offline is one query")
    nodes = [f"server-{rate}qps" for rate in (10, 20, 30, 40, 50)]
    judged = [replace(benchmark(NODE.format(node)), not_judged=[rate]) for node in nodes]
    judged.append(replace(benchmark(NODE.format("offline")), not_judged=[latency]))
    several = [f"image_classification-{node}" for node in nodes[:3]]
    assert not_judged_lines(judged) == [
        f"throughput not judged: target_qps sets the rate ({', '.join(several)} and 2 more)",
        "p99 not judged: offline is one query (image_classification-offline)",
    ]
    assert not_judged_lines(entries()) == []


def test_problems() -> None:
    lost = Violation(rule="lost completion", evidence="query 7 never came back")
    invalid = replace(benchmark(NODE.format("x"), "invalid", GOOD), violations=[lost])
    assert problem_lines([*entries(), invalid]) == [
        "image_classification-server-50qps inconclusive: p99 ≤ 15 ms: "
        "312 queries, and 350 more are needed",
        "image_classification-multi_stream interrupted: "
        "it was not judged, and the record only marks it",
        "image_classification-x invalid: lost completion: query 7 never came back",
    ]


def test_check_table() -> None:
    table = check_table([BAD, AS_GOOD, FAST, OPEN, RATE, NONE])
    assert lines(table) == golden("""
        check       value            interval          bound           margin       verdict
        ----------  ---------------  ----------------  --------------  -----------  ------------
        top1        0.9833           [0.9741, 0.9892]  ≥ 0.99          -0.7 %       failed
        top1        0.9833           [0.9741, 0.9892]  ≥ 99% of fp32   +0.3 %       passed
                                                       = 0.9801
        p99         3.21 ms          [3, 3.45]         ≤ 100 ms        +96.8 %      passed
        p99         12.1 ms          [11, ?]           ≤ 15 ms         +19.3 %      inconclusive
        throughput  54320 samples/s  [53000, 55000]    ≥ 50 samples/s  +108543.8 %  passed
        top1        not measured     -                 ≥ 0.9           -            failed
        p99: 312 queries, and 350 more are needed
        top1: not measured: no outputs
    """)


def test_long_reasons_are_wrapped_below_the_table() -> None:
    few = Estimate(value=1.0, unit="s", why_open="more " * 40)
    table = check_table([judge("p99", few, at_most("2 s"))])
    assert max(map(len, table.splitlines())) <= 100
    assert table.count("more") == 40


@given(st.floats(1e-3, 1e7), st.floats(0.1, 10), st.sampled_from(list(NAMES)))
def test_check_tables_fit_100_columns(value: float, spread: float, unit: str) -> None:
    estimate = Estimate(value=value, low=value / spread, high=value * spread, unit=unit)
    check = judge(NAMES[unit], estimate, at_least("99.5% of fp32"), reference=value * spread)
    assert max(map(len, check_table([check]).splitlines())) <= 100


@pytest.mark.parametrize("check", [GOOD, BAD, FAST, OPEN, RATE])
def test_check_rows_say_it_all(check: Check) -> None:
    row = check_table([check]).splitlines()[2]
    assert str(check.bound) in row
    assert check.verdict.value in row
    assert " %" in row
