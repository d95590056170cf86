"""Exports and imports: golden files, what each format asks for, and what is left out."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_aibench.bounds import Estimate, Violation, at_least, at_most, judge
from pytest_aibench.results.formats import (
    EXPORTS,
    Exported,
    exporter,
    figures,
    file_word,
    importer_of,
    pytest_benchmark,
    split_node_id,
)
from pytest_aibench.results.identity import series_keys
from pytest_aibench.results.schema import (
    BenchmarkEntry,
    DeviceEntry,
    Json,
    Metric,
    Run,
    TrainingEntry,
)
from pytest_aibench.results.store import read_run
from tests.records import RUNS, benchmark, run_of

GOLDEN = Path(__file__).parent / "golden" / "exports"
DIRTY = read_run(GOLDEN.parent / "run_v2.json")
H200 = DeviceEntry(
    id="cuda:1", kind="cuda", name="NVIDIA H200", memory_bytes=None, hardware={"gpu_pci_device": 1}
)
BERT = "tests/test_bert.py::TestIt::test_bert"


def with_subject(run: Run, **facts: Json) -> Run:
    subject = {**run.environment.subject, **facts}
    return replace(run, environment=replace(run.environment, subject=subject))


RUN = with_subject(DIRTY, dirty=False)


def bert(verdict: str = "passed", /, **values: float | None) -> BenchmarkEntry:
    """A benchmark with figures that are better when lower."""
    metrics = {name: Metric(value=v, better="lower", n=9) for name, v in values.items()}
    entry = benchmark(f"{BERT}[cuda:1-fp16]", verdict)
    return replace(entry, device=H200, metrics=metrics)


def exported(name: str, *runs: Run) -> Exported:
    return exporter(name)(runs)


def only_json(export: Exported) -> Any:
    (text,) = export.files.values()
    return json.loads(text)


@pytest.mark.parametrize("name", EXPORTS)
def test_golden_files(name: str) -> None:
    folder = GOLDEN / name
    paths = [path for path in folder.rglob("*") if path.is_file()]
    golden = {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in paths}
    assert exported(name, RUN).files == golden


@settings(max_examples=15)
@given(run=RUNS)
def test_any_record_can_be_exported(run: Run) -> None:
    clean = with_subject(run, commit="a" * 40, dirty=False)
    for file, text in (item for name in EXPORTS for item in exported(name, clean).files.items()):
        assert ".." not in file.split("/")
        if file.endswith(".json"):
            json.loads(text, parse_constant=pytest.fail)
        if file.endswith(".xml"):
            ElementTree.fromstring(text)


def test_names_hold_the_benchmark_the_figure_and_the_hardware() -> None:
    values = {"p99_ms": 1.0, "tokens_per_s": 2.0, "goodput_qps": 3.0, "goodput": 0.5}
    rates = {"throughput_samples_per_s": 4.0, "s_per_step": 5.0, "energy_j_per_sample": 6.0}
    named = {
        figure.name.removeprefix(f"{BERT}[cuda-fp16] ").removesuffix(" @ NVIDIA-H200-pci1"): (
            figure.unit
        )
        for figure in figures([run_of(bert("passed", **values, **rates))])
    }
    assert named == {
        "p99": "ms",
        "tokens_per_s": "tokens/s",
        "goodput_qps": "queries/s",
        "goodput": "",
        "throughput": "samples/s",
        "s_per_step": "s/step",
        "energy_j_per_sample": "J/sample",
    }


@pytest.mark.parametrize(
    ("node_id", "parts", "dotted"),
    [
        ("a/b.py::test", ("a/b.py", "test", ""), "a.b"),
        ("a.py::A::test[x::y-[1]]", ("a.py::A", "test", "x::y-[1]"), "a.A"),
        ("canary", ("", "canary", ""), ""),
    ],
)
def test_split_node_id(node_id: str, parts: tuple[str, str, str], dotted: str) -> None:
    node = split_node_id(node_id)
    assert tuple(node) == parts
    assert node.dotted_scope == dotted
    assert node_id.endswith(node.name)


@pytest.mark.parametrize(
    ("text", "word"),
    [("../../etc", "etc"), ("a/b\\c", "a-b-c"), ("..", "unknown"), ("py3.11", "py3.11")],
)
def test_file_word(text: str, word: str) -> None:
    assert file_word(text) == word


@pytest.mark.parametrize("name", ["github-action-benchmark", "bencher"])
def test_formats_with_one_figure_to_a_name(name: str) -> None:
    lost = Violation(rule="lost completion", evidence="query 7")
    invalid = replace(bert("invalid", p50_ms=9.0), violations=[lost])
    runs = [
        run_of(bert(p99_ms=1.0, p50_ms=None), run_id="A"),
        run_of(bert(p99_ms=2.0), run_id="B"),
        run_of(invalid, run_id="C"),
    ]
    export = exported(name, *runs)
    figure = f"{BERT}[cuda-fp16] {{}} @ NVIDIA-H200-pci1"
    assert export.left_out == [
        f"invalid: {figure.format('p50')}: lost completion: query 7",
        f"measured again in a later run: {figure.format('p99')}",
        f"not measured: {BERT}[cuda:1-fp16] p50_ms",
    ]
    (text,) = export.files.values()
    assert '"value": 2.0' in text
    assert '"value": 1.0' not in text


def test_github_action_benchmark_has_a_file_for_each_direction() -> None:
    files = exported("github-action-benchmark", RUN).files
    smaller, bigger = (json.loads(files[f"aibench-{size}.json"]) for size in ("smaller", "bigger"))
    for entry in (*smaller, *bigger):
        kinds = {field: type(value) for field, value in entry.items()}
        kinds.pop("range", None)
        assert kinds == {"name": str, "unit": str, "value": float, "extra": str}
    names = [entry["name"] for entry in (*smaller, *bigger)]
    assert len(set(names)) == len(names) == len(series_keys(RUN))
    assert all(
        re.search(r" p\d+ @ cpu-| (mean|s_per|time|epo|ste|host)", e["name"]) for e in smaller
    )
    assert all(re.search(" (top1|throughput|memcpy|gemm)", entry["name"]) for entry in bigger)


def test_a_direction_without_figures_has_no_file() -> None:
    files = exported("github-action-benchmark", run_of(bert(p99_ms=1.0))).files
    assert list(files) == ["aibench-smaller.json"]


def test_bencher_measures_are_slugs_and_its_own_are_in_its_units() -> None:
    document = only_json(exported("bencher", RUN))
    assert all(name.endswith(" @ cpu-AMD-EPYC-2c-24GiB") for name in document)
    for measures in document.values():
        assert all(re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in measures)
        for figure in measures.values():
            assert figure.keys() <= {"value", "lower_value", "upper_value"}
            low, high = figure.get("lower_value", 0), figure.get("upper_value", float("inf"))
            assert low <= figure["value"] <= high
    inference = next(iter(document.values()))
    assert inference["latency"] == {"value": pytest.approx(4745543.3296)}
    assert inference["throughput"]["value"] == pytest.approx(50.81, abs=0.01)
    assert inference["p99-ms"]["lower_value"] == 13.039224


def test_csv_has_a_row_for_each_figure_with_the_reason_why_it_is_invalid() -> None:
    entry = replace(bert("interrupted", p99_ms=1.5), params={"x": 'a,"b"\n'})
    run = run_of(entry, bert(p50_ms=None))
    export = exported("csv", RUN, run)
    (text,) = export.files.values()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == len(series_keys(RUN)) + 1
    assert rows[-1]["invalid"] == "the benchmark was interrupted"
    assert [float(rows[-1]["value"]), rows[-1]["low"], rows[-1]["device"]] == [1.5, "", "cuda:1"]
    assert export.left_out == [f"not measured: {BERT}[cuda:1-fp16] p50_ms"]


SLOW = judge("p99", Estimate(value=0.02, low=0.019, high=0.021, unit="s", n=9), at_most("15 ms"))
UNKNOWN = judge("top1", Estimate(value=None, why_open="no answers"), at_least(0.9))


@pytest.mark.parametrize(
    ("verdict", "inconclusive", "tag", "message"),
    [
        ("passed", "fail", None, ""),
        ("failed", "fail", "failure", "p99 20 ms, bound ≤ 15 ms: failed"),
        ("inconclusive", "fail", "failure", "p99 20 ms, bound ≤ 15 ms: failed"),
        ("inconclusive", "skip", "skipped", "p99 20 ms, bound ≤ 15 ms: failed"),
        ("inconclusive", "pass", None, ""),
        ("invalid", "fail", "error", "p99 20 ms, bound ≤ 15 ms: failed"),
        ("interrupted", "fail", "error", "p99 20 ms, bound ≤ 15 ms: failed"),
    ],
)
def test_junit_outcomes(verdict: str, inconclusive: str, tag: str | None, message: str) -> None:
    run = run_of(benchmark("a.py::test[x]", verdict, SLOW, UNKNOWN))
    run.environment.harness["inconclusive"] = inconclusive
    (text,) = exported("junit", run).files.values()
    (case,) = ElementTree.fromstring(text).iter("testcase")
    assert (case.get("classname"), case.get("name")) == ("a", "test[x]")
    outcomes = [element for element in case if element.tag != "properties"]
    assert [element.tag for element in outcomes] == ([tag] if tag else [])
    for element in outcomes:
        assert element.get("message") == message
        assert "top1, bound ≥ 0.9: failed (not measured: no answers)" in str(element.text)
    suite = next(ElementTree.fromstring(text).iter("testsuite"))
    counts = {name: suite.get(name) for name in ("failures", "errors", "skipped")}
    assert sum(int(count or 0) for count in counts.values()) == (tag is not None)


def test_junit_names_violations_and_survives_what_xml_forbids() -> None:
    lost = Violation(rule="lost completion", evidence="query \x00 <7>")
    run = run_of(replace(bert("invalid", p99_ms=1.5), violations=[lost]))
    (text,) = exported("junit", run).files.values()
    (error,) = ElementTree.fromstring(text).iter("error")
    assert error.get("message") == "lost completion: query ? <7>"
    properties = {
        p.get("name"): p.get("value") for p in ElementTree.fromstring(text).iter("property")
    }
    assert properties["p99_ms"] == "1.5"
    assert properties["verdict"] == "invalid"
    assert properties["hardware"] == "NVIDIA-H200-pci1"


def test_junit_time_is_that_of_all_seeds() -> None:
    first, second = (
        TrainingEntry(
            seed=seed,
            epochs=3,
            duration_s=1.5 + seed,
            samples_per_s=1.0,
            quality_trace=[],
            seconds_trace=[],
            reached_target=True,
        )
        for seed in (0, 1)
    )
    run = run_of(replace(bert(), training=first, other_seeds=[second]), bert())
    (text,) = exported("junit", run).files.values()
    times = [case.get("time") for case in ElementTree.fromstring(text).iter("testcase")]
    assert list(map(float, map(str, times))) == [4.0, 0.0]


def test_asv_files_fit_each_other() -> None:
    files = {name: json.loads(text) for name, text in exported("asv", RUN).files.items()}
    machine = "cpu-AMD-EPYC-2c-24GiB"
    results = files[f"{machine}/7d3434b4-py3.11-embedded-standard.json"]
    described = files["benchmarks.json"]
    assert described.pop("version") == results["version"] == 2
    assert files[f"{machine}/machine.json"]["machine"] == machine
    assert set(results["results"]) == set(described)
    for name, row in results["results"].items():
        columns = dict(zip(results["result_columns"], row, strict=True))
        assert columns["params"] == described[name]["params"]
        assert len(columns["result"]) == len(columns["params"][0])
    p99 = described["benchmarks.test_components.test_inference.p99_ms"]
    assert (p99["type"], p99["unit"]) == ("time", "seconds")


def test_asv_leaves_out_what_has_no_commit_or_is_better_when_higher() -> None:
    nowhere = with_subject(RUN, commit="unversioned")
    export = exported("asv", DIRTY, nowhere)
    assert export == Exported(
        {},
        [
            f"not of a commit: run {DIRTY.run_id} had changes that were not committed and 1 more",
        ],
    )
    assert exported("asv", nowhere).left_out[0].endswith("knows no commit")
    (note,) = exported("asv", RUN).left_out
    assert re.fullmatch(r"better when higher: .* throughput @ .* and \d+ more", note)


def test_asv_figures_of_invalid_benchmarks_failed_and_the_last_of_a_commit_counts() -> None:
    clean = {"commit": "c" * 40, "dirty": False}
    runs = [
        with_subject(run_of(bert(p99_ms=1.0, p50_ms=1.0)), **clean),
        with_subject(run_of(bert("invalid", p99_ms=3.0), bert("passed", p50_ms=2.0)), **clean),
    ]
    results = json.loads(exported("asv", *runs).files["NVIDIA-H200-pci1/cccccccc-py.json"])
    values = {name: row[0] for name, row in results["results"].items()}
    where = "tests.test_bert.TestIt.test_bert"
    assert values == {f"{where}.p99_ms": [None], f"{where}.p50_ms": [0.002]}


def test_pytest_benchmark_compares_our_files(tmp_path: Path) -> None:
    pytest.importorskip("pytest_benchmark")
    other = replace(RUN, run_id="01M82JFGBSJS9FQS5Q2FPJNDPZ")
    files = exported("pytest-benchmark", RUN, other).files
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    command = "import sys; from pytest_benchmark.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", command, "compare", *files, "--columns=min,mean,median,outliers"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "benchmark 'inference': 4 tests" in done.stdout
    assert "benchmark 'training': 2 tests" in done.stdout
    assert "3,591.3110 (1.0)" in done.stdout  # the mean of the record, in µs
    assert "Failed" not in done.stdout + done.stderr


def test_pytest_benchmark_has_all_fields() -> None:
    document = only_json(exported("pytest-benchmark", RUN))
    assert set(document) == {"machine_info", "commit_info", "benchmarks", "datetime", "version"}
    from_file = only_json(exported("pytest-benchmark", pytest_benchmark.imported(measured())))
    for group in ("machine_info", "commit_info"):
        assert set(document[group]) == set(from_file[group]) == set(measured()[group])
    theirs = measured()["benchmarks"][0]
    for entry in document["benchmarks"]:
        assert set(entry) == set(theirs)
        assert set(entry["options"]) == set(theirs["options"])
        assert set(entry["stats"]) == set(theirs["stats"]) - {"data"}
        assert entry["extra_info"]["aibench"]["run_id"] == RUN.run_id


def test_pytest_benchmark_leaves_out_what_it_cannot_say() -> None:
    run = replace(
        run_of(replace(bert("interrupted", p99_ms=1.0), id="a.py::b"), bert(p50_ms=None)),
        canaries={"host_loop_ms": Metric(value=1.0, better="lower", n=3)},
    )
    assert exported("pytest-benchmark", run) == Exported(
        {},
        [
            "invalid: a.py::b: the benchmark was interrupted",
            f"without a time: {BERT}[cuda:1-fp16]",
            "canary: host_loop_ms",
            f"not measured: {BERT}[cuda:1-fp16] p50_ms",
        ],
    )


@given(times=st.lists(st.integers(1, 9), min_size=1, max_size=40))
def test_statistics_of_buckets_are_those_of_their_times(times: list[int]) -> None:
    buckets = [(float(time), times.count(time)) for time in sorted(set(times))]
    stats = pytest_benchmark._statistics(buckets, {})
    mean, deviation = statistics.mean(times), statistics.stdev(times) if len(times) > 1 else 0
    assert stats["mean"] == pytest.approx(mean)
    assert stats["stddev"] == pytest.approx(deviation)
    assert stats["total"] == pytest.approx(sum(times))
    assert (stats["min"], stats["max"], stats["rounds"]) == (min(times), max(times), len(times))
    assert stats["median"] == statistics.median_low(times)
    fence = 1.5 * stats["iqr"]
    outside = [t for t in times if not stats["q1"] - fence <= t <= stats["q3"] + fence]
    assert stats["iqr_outliers"] == len(outside)
    assert stats["outliers"] == f"{stats['stddev_outliers']};{len(outside)}"
    assert stats["ld15iqr"] <= stats["q1"] <= stats["q3"] <= stats["hd15iqr"]


def measured(**changes: Json) -> Json:
    """A file as pytest-benchmark 5.3.1 writes it with ``--benchmark-save-data``."""
    document = json.loads((GOLDEN.parent / "exports" / "imported.json").read_text("utf-8"))
    return {**document, **changes}


def test_import_reads_the_environment_and_marks_it() -> None:
    run = pytest_benchmark.imported(measured())
    environment = run.environment
    assert environment.hw == {"cpu_model": "AMD EPYC", "architecture": "x86_64", "cpu_threads": 2}
    assert environment.unit == {"hostname": "bench-1"}
    assert environment.sw == {
        "python": "CPython 3.11.7",
        "kernel": "Linux 6.1.0",
        "pytest_benchmark": "5.3.1",
    }
    assert environment.subject == {"commit": "1" * 40, "branch": "main", "dirty": False}
    assert environment.harness == {
        "pytest_aibench": "imported",
        "imported_from": "pytest-benchmark 5.3.1",
    }
    assert run.started_at == "2026-11-20T08:30:00.250000+00:00"


def test_import_takes_percentiles_from_the_data() -> None:
    (entry,) = pytest_benchmark.imported(measured()).benchmarks
    assert (entry.id, entry.kind) == ("tests/test_sort.py::test_sort[10]", "micro")
    assert entry.params == {"n": "10"}
    assert list(entry.metrics) == ["min_ms", "p25_ms", "p50_ms", "p75_ms", "mean_ms"]
    median = entry.metrics["p50_ms"]
    data = sorted(measured()["benchmarks"][0]["stats"]["data"])
    assert median.value == pytest.approx(1e3 * data[len(data) // 2])
    assert median.n == len(data) == 12
    assert median.low is not None
    assert median.low < data[5] * 1e3 < (median.high or 0)
    assert "more" in entry.metrics["p75_ms"].why_open


@pytest.mark.parametrize(
    ("n", "tails"), [(43, []), (44, ["p90_ms"]), (458, ["p90_ms"]), (459, ["p90_ms", "p99_ms"])]
)
def test_import_takes_higher_percentiles_of_enough_rounds(n: int, tails: list[str]) -> None:
    document = measured()
    document["benchmarks"][0]["stats"]["data"] = [(k + 1) / 1e3 for k in range(n)]
    (entry,) = pytest_benchmark.imported(document).benchmarks
    assert list(entry.metrics)[4:-1] == tails
    assert all(entry.metrics[name].high is not None for name in tails)


def test_import_takes_quartiles_without_data() -> None:
    document = measured()
    stats = document["benchmarks"][0]["stats"]
    del stats["data"]
    (entry,) = pytest_benchmark.imported(document).benchmarks
    values = {name: metric.value for name, metric in entry.metrics.items()}
    stat_of = {
        "min_ms": "min",
        "p25_ms": "q1",
        "p50_ms": "median",
        "p75_ms": "q3",
        "mean_ms": "mean",
    }
    assert values == {name: stats[stat] * 1e3 for name, stat in stat_of.items()}
    assert entry.metrics["p50_ms"].why_open.endswith("write it with --benchmark-save-data")


def test_imported_and_measured_figures_never_share_a_series() -> None:
    run = pytest_benchmark.imported(measured())
    harness = {"pytest_aibench": "0.1.0"}
    ours = replace(run, environment=replace(run.environment, harness=harness))
    assert not set(series_keys(run)) & set(series_keys(ours))


def test_series_of_imported_files_continue() -> None:
    later = pytest_benchmark.imported(measured(datetime="2026-11-21T08:30:00Z", version="5.4.0"))
    first = pytest_benchmark.imported(measured())
    assert set(series_keys(first)) == set(series_keys(later))
    assert first.run_id < later.run_id


def test_the_same_file_is_the_same_record() -> None:
    first, again = (pytest_benchmark.imported(measured()) for _ in range(2))
    assert first == again
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", first.run_id)
    assert pytest_benchmark.imported(measured(version="5.0")).run_id != first.run_id


def test_times_without_an_offset_are_utc() -> None:
    run = pytest_benchmark.imported(measured(datetime="2016-11-20T08:30:00.5"))
    assert run.started_at == "2016-11-20T08:30:00.500000+00:00"


def test_words_for_an_unknown_commit_are_no_commit() -> None:
    info = {"id": "unversioned", "dirty": False, "branch": "(detached head)"}
    run = pytest_benchmark.imported(measured(commit_info=info))
    assert run.environment.subject == {"dirty": False}


def test_an_imported_file_is_exported_with_its_own_statistics() -> None:
    (back,) = only_json(exported("pytest-benchmark", pytest_benchmark.imported(measured())))[
        "benchmarks"
    ]
    (original,) = measured()["benchmarks"]
    del original["stats"]["data"]
    back["extra_info"].pop("aibench")
    assert back == original


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"benchmarks": [{}]}, r"not built as pytest-benchmark does: KeyError\('stats'\)"),
        ({"benchmarks": 1}, "not built as pytest-benchmark does: TypeError"),
        ({"machine_info": None}, "not built as pytest-benchmark does: AttributeError"),
        ({"datetime": "yesterday"}, "Invalid isoformat string: 'yesterday'"),
        ({"datetime": 7}, "not built as pytest-benchmark does: AttributeError"),
    ],
)
def test_damaged_files(changes: dict[str, Json], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pytest_benchmark.imported(measured(**changes))


@pytest.mark.parametrize("document", [None, [], {}, {"benchmarks": []}, {"schema": "x"}])
def test_other_documents_are_not_recognised(document: Json) -> None:
    assert importer_of(document) is None
    assert importer_of(measured()) is not None
