"""Series, factors, confounders and invalid figures: was it the code or the machine?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_aibench.bounds import Violation
from pytest_aibench.commands.environment import SETUP
from pytest_aibench.results.identity import (
    DEFAULT_VARY,
    SeriesKey,
    benchmark_id,
    confounders,
    factors,
    hardware_class,
    hardware_classes,
    installed_gib,
    invalid_reason,
    role,
    series_keys,
    setup,
)
from pytest_aibench.results.schema import (
    BenchmarkEntry,
    DatasetEntry,
    DeviceEntry,
    Environment,
    LoadEntry,
    Metric,
    PeakEntry,
    Run,
    TrainingEntry,
)
from pytest_aibench.telemetry.watch import unfit
from tests.records import CPU, benchmark, run_of

EPYC = {"cpu_model": "AMD EPYC 9B14 96-Core Processor", "cpu_usable": 2, "memory_gib": 24}
H200_SXM = {
    "gpu_product": "NVIDIA H200",
    "gpu_memory_gib": 140.4,
    "gpu_power_limit_w": 700.0,
    "gpu_pci_device": "2335",
    "gpu_ecc": True,
    "gpu_mig": False,
}
H200_NVL = H200_SXM | {
    "gpu_product": "NVIDIA H200 NVL",
    "gpu_power_limit_w": 600.0,
    "gpu_pci_device": "233b",
}
P99 = Metric(value=3.0, better="lower", n=100)
DIGITS = DatasetEntry(
    name="digits", fingerprint="abc", split="test", n_samples=359, licence="", source=""
)


def environment(**groups: dict[str, Any]) -> Environment:
    empty: dict[str, dict[str, Any]] = {
        name: {} for name in ("hw", "unit", "sw", "subject", "harness", "state")
    }
    shared = {"pytest_aibench": "1.4.0", "scale": "embedded", "effort": "standard"}
    return Environment(**(empty | {"hw": EPYC, "harness": shared} | groups))


def gpu(hardware: dict[str, Any] = H200_SXM, number: int = 0, uuid: str = "a") -> DeviceEntry:
    return DeviceEntry(
        id=f"cuda:{number}",
        kind="cuda",
        name=hardware.get("gpu_product", "AMD Instinct MI300X"),
        memory_bytes=150 * 10**9,
        uuid=uuid,
        hardware=hardware,
    )


def load(scenario: str = "server", **settings: Any) -> LoadEntry:
    return LoadEntry(
        scenario=scenario, settings=settings, stopped="", n_queries=1, n_samples=1, duration_s=1.0
    )


def entry(node: str = "b.py::test[cpu]", **changed: Any) -> BenchmarkEntry:
    measured = replace(benchmark(node), metrics={"p99_ms": P99}, dataset=DIGITS)
    return replace(measured, **changed)


def run(*entries: BenchmarkEntry, **groups: dict[str, Any]) -> Run:
    return replace(run_of(*entries), environment=environment(**groups))


def only_key(one: Run) -> SeriesKey:
    (key,) = series_keys(one)
    return key


def test_a_series_of_the_processor() -> None:
    key = only_key(run(entry()))
    assert (key.benchmark, key.metric) == ("b.py::test[cpu]", "p99_ms")
    assert key.hardware == "cpu-AMD-EPYC-9B14-2c-24GiB"
    assert len(key.setup) == 10


def test_every_measured_figure_has_a_series() -> None:
    unknown = Metric(value=None, better="lower", n=0, why_open="too few")
    both = replace(entry(), metrics={"p99_ms": P99, "p999_ms": unknown, "top1": P99})
    one = replace(run(both, benchmark("c.py::empty")), canaries={"host_loop_ms": P99})
    found = series_keys(one)
    assert [(key.benchmark, key.metric) for key in found] == [
        ("b.py::test[cpu]", "p99_ms"),
        ("b.py::test[cpu]", "top1"),
        ("canary", "host_loop_ms"),
    ]
    assert [of is None for of, _ in found.values()] == [False, False, True]


def test_of_a_benchmark_that_ran_again_the_last_figure_counts() -> None:
    again = Metric(value=4.0, better="lower", n=100)
    ((_, metric),) = series_keys(run(entry(), replace(entry(), metrics={"p99_ms": again}))).values()
    assert metric == again


@pytest.mark.parametrize(
    ("node", "device", "expected"),
    [
        ("b.py::t[cuda:1-fp32]", "cuda:1", "b.py::t[cuda-fp32]"),
        ("b.py::t[fp32-cuda:1]", "cuda:1", "b.py::t[fp32-cuda]"),
        ("b.py::t[cuda:11-fp32]", "cuda:1", "b.py::t[cuda:11-fp32]"),
        ("cuda:1.py::t", "cuda:1", "cuda:1.py::t"),
        ("b.py::t[xpu:0]", "cuda:0", "b.py::t[xpu:0]"),
    ],
)
def test_the_number_of_the_device_is_no_part_of_the_series(
    node: str, device: str, expected: str
) -> None:
    one = entry(node, device=replace(gpu(), id=device))
    assert only_key(run(one)).benchmark == expected


def test_a_kind_is_taken_as_it_stands() -> None:
    one = entry("b.py::t[odd:0]", device=replace(gpu(), id="odd:0", kind="\\1"))
    assert benchmark_id(one) == "b.py::t[\\1]"


def test_another_gpu_of_the_same_class_is_the_same_series() -> None:
    a = run(entry("b.py::t[cuda:0]", device=gpu()), unit={"hostname": "a"})
    b = run(entry("b.py::t[cuda:1]", device=gpu(number=1, uuid="b")), unit={"hostname": "b"})
    assert only_key(a) == only_key(b)
    assert confounders(factors(a), factors(b), ()) == {}
    assert (factors(a)["unit.hostname"], factors(b)["unit.hostname"]) == ("a", "b")


def test_sxm_and_nvl_are_different_hardware() -> None:
    sxm, nvl = (hardware_class(environment(), gpu(facts)) for facts in (H200_SXM, H200_NVL))
    assert sxm == "NVIDIA-H200-140GiB-700W-pci2335"
    assert nvl == "NVIDIA-H200-NVL-140GiB-600W-pci233b"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"gpu_pci_device": "2331"}, "NVIDIA-H200-140GiB-700W-pci2331"),
        ({"gpu_power_limit_w": 500.0}, "NVIDIA-H200-140GiB-500W-pci2335"),
        ({"gpu_ecc": False}, "NVIDIA-H200-140GiB-700W-pci2335-no-ecc"),
        ({"gpu_fixed_clock_mhz": 1200}, "NVIDIA-H200-140GiB-700W-pci2335-1200MHz"),
        (
            {"gpu_product": "NVIDIA H200 MIG 1g.18gb", "gpu_memory_gib": 16.1},
            "NVIDIA-H200-MIG-1g.18gb-16GiB-700W-pci2335",
        ),
    ],
)
def test_what_makes_another_class(changed: dict[str, Any], expected: str) -> None:
    assert hardware_class(environment(), gpu(H200_SXM | changed)) == expected


def test_an_accelerator_of_which_the_driver_tells_nothing() -> None:
    assert hardware_class(environment(), gpu({})) == "AMD-Instinct-MI300X-140GiB"


@pytest.mark.parametrize(
    ("hw", "expected"),
    [
        ({"cpu_model": "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz"}, "cpu-Intel-Xeon-E5-2680-v4"),
        ({"cpu_model": "Intel(R) Xeon(R) Platinum 8480+"}, "cpu-Intel-Xeon-Platinum-8480+"),
        (EPYC | {"cpu_quota": 1.5}, "cpu-AMD-EPYC-9B14-1.5c-24GiB"),
        (EPYC | {"cpu_quota": 8.0}, "cpu-AMD-EPYC-9B14-2c-24GiB"),
        ({"cpu_model": "Apple M2", "cpu_threads": 8, "memory_gib": 16}, "cpu-Apple-M2-8c-16GiB"),
        ({"architecture": "riscv64"}, "cpu-riscv64"),
        ({}, "cpu"),
    ],
)
def test_classes_of_processors(hw: dict[str, Any], expected: str) -> None:
    assert hardware_class(environment(hw=hw), CPU) == expected
    assert hardware_class(environment(hw=hw), None) == expected


@pytest.mark.parametrize(
    ("visible", "installed"),
    [(1, 1), (3, 3), (7.6, 8), (15, 16), (23, 24), (24, 24), (63, 64), (251, 256), (1007, 1024)],
)
def test_memory_is_what_was_installed(visible: float, installed: int) -> None:
    assert installed_gib(visible) == installed


def test_a_gpu_more_in_the_machine_changes_no_series() -> None:
    """Neither that of the processor nor that of the GPU that was used."""
    more = EPYC | {"gpu_count": 2, "gpu_product": ["NVIDIA H200", "NVIDIA L4"]}
    for device in (CPU, gpu()):
        a, b = run(entry(device=device)), run(entry(device=device), hw=more)
        assert only_key(a) == only_key(b)
        assert confounders(factors(a), factors(b), ()) == {}


def test_the_host_of_a_gpu_is_a_factor() -> None:
    a = run(entry(device=gpu()))
    b = run(entry(device=gpu()), hw=EPYC | {"cpu_model": "Intel Xeon"})
    assert only_key(a) == only_key(b)
    found = {"hw.machine": ("cpu-AMD-EPYC-9B14-2c-24GiB", "cpu-Intel-Xeon-2c-24GiB")}
    assert confounders(factors(a), factors(b), DEFAULT_VARY) == found
    assert confounders(factors(a), factors(b), ["hw"]) == {}


def test_classes_of_a_machine() -> None:
    two = {"gpu_count": 2} | {
        name: [value, H200_NVL[name]] if value != H200_NVL[name] else value
        for name, value in H200_SXM.items()
    }
    assert hardware_classes(environment(hw=EPYC | two)) == {
        "cpu": "cpu-AMD-EPYC-9B14-2c-24GiB",
        "gpu 0": "NVIDIA-H200-140GiB-700W-pci2335",
        "gpu 1": "NVIDIA-H200-NVL-140GiB-600W-pci233b",
    }


def test_canaries_of_the_accelerator_have_its_class() -> None:
    canaries = {"gemm_gflop_per_s": P99, "device_gemm_gflop_per_s": P99}
    cpu, sxm = entry(metrics={}), entry(metrics={}, device=gpu())
    found = series_keys(replace(run(cpu, sxm), canaries=canaries))
    assert {key.metric: key.hardware for key in found} == {
        "gemm_gflop_per_s": "cpu-AMD-EPYC-9B14-2c-24GiB",
        "device_gemm_gflop_per_s": "NVIDIA-H200-140GiB-700W-pci2335",
    }


SERVER = load(target_qps=50, max_batch=32, seeds={"qsl": 1}, min_queries=459, selection="random")


@pytest.mark.parametrize(
    "changed",
    [
        {"load": replace(SERVER, settings=SERVER.settings | {"seeds": {"qsl": 2}})},
        {"load": replace(SERVER, settings=SERVER.settings | {"min_queries": 9, "budget_s": 3.0})},
        {"load": replace(SERVER, settings=SERVER.settings | {"latency_bound": "9 ms"})},
        # An option that a later version of the plugin adds, at its default.
        {"load": replace(SERVER, settings=SERVER.settings | {"coalesce": False, "later": 1})},
        {"load": replace(SERVER, n_queries=7, duration_s=9.0)},
        {"verdict": "failed"},
        {"provenance": {"weights": "others"}},
    ],
)
def test_the_same_set_up(changed: dict[str, Any]) -> None:
    before = entry(load=SERVER)
    assert only_key(run(before)) == only_key(run(replace(before, **changed)))


@pytest.mark.parametrize(
    ("changed", "groups"),
    [
        ({"load": replace(SERVER, settings=SERVER.settings | {"target_qps": 60})}, {}),
        ({"load": replace(SERVER, settings=SERVER.settings | {"max_batch": 1})}, {}),
        ({"load": replace(SERVER, settings=SERVER.settings | {"selection": "same"})}, {}),
        ({"load": replace(SERVER, scenario="single_stream")}, {}),
        ({"dataset": replace(DIGITS, fingerprint="abd")}, {}),
        ({"precision": "bf16"}, {}),
        ({}, {"harness": {"pytest_aibench": "1.4.0", "scale": "embedded", "effort": "quick"}}),
        ({}, {"harness": {"pytest_aibench": "1.4.0", "scale": "full", "effort": "standard"}}),
        ({}, {"harness": {"pytest_aibench": "2.0.0", "scale": "embedded", "effort": "standard"}}),
    ],
)
def test_another_set_up(changed: dict[str, Any], groups: dict[str, dict[str, Any]]) -> None:
    before = entry(load=SERVER)
    assert only_key(run(before)) != only_key(run(replace(before, **changed), **groups))


def test_an_offline_query_may_grow_with_the_speed() -> None:
    a, b = (entry(load=load("offline", samples_per_query=n, samples=None)) for n in (900, 950))
    assert only_key(run(a)) == only_key(run(b))


def test_the_limits_of_a_search_shape_its_answer() -> None:
    def search(bound: str, seed: int, most: int) -> Run:
        scenario = {"latency_bound": bound, "seeds": {"qsl": seed}, "target_qps": 5.0}
        peak = PeakEntry(
            scenario="server",
            settings={"scenario": scenario, "max_queries": most},
            unit="queries/s",
            percentile=0.99,
            bound_ms=9.0,
            stopped="",
            curve=[],
        )
        return run(entry(peak=peak))

    assert only_key(search("9 ms", 1, 10)) == only_key(search("9 ms", 2, 20))
    assert only_key(search("9 ms", 1, 10)) != only_key(search("8 ms", 1, 10))


def test_how_it_was_trained_is_part_of_the_set_up() -> None:
    def training(target: float, *seeds: int, **how: Any) -> BenchmarkEntry:
        first, *others = (trained(target, seed, how) for seed in seeds)
        return entry(training=first, other_seeds=others)

    def trained(target: float, seed: int, how: Any) -> TrainingEntry:
        return TrainingEntry(
            seed=seed,
            epochs=3,
            duration_s=1.0,
            samples_per_s=1.0,
            quality_trace=[],
            seconds_trace=[],
            reached_target=True,
            target=target,
            **how,
        )

    assert only_key(run(training(0.9, 0))) == only_key(run(training(0.9, 1)))
    ways: list[dict[str, Any]] = [
        {},
        {"processes": 2},
        {"processes": 3},
        {"precision": "bf16"},
        {"compiled": True},
    ]
    assert len({only_key(run(training(0.9, 0, **how))) for how in ways}) == len(ways)
    assert only_key(run(training(0.9, 0))) != only_key(run(training(0.8, 0)))
    assert only_key(run(training(0.9, 0, 1))) == only_key(run(training(0.9, 5, 6)))
    assert only_key(run(training(0.9, 0, 1))) != only_key(run(training(0.9, 0)))
    assert only_key(run(training(0.9, 0, 1))) != only_key(run(training(0.9, 0, 1, 2)))
    spread = training(0.9, 0, 1, processes=2)
    names = {*setup(environment(), spread), *setup(environment(), entry(load=SERVER))}
    assert names == set(SETUP)


def test_another_driver_is_a_factor_of_the_same_series() -> None:
    a, b = (
        run(entry(device=gpu()), sw={"driver": driver, "torch": "2.9"})
        for driver in ("570.86.15", "580.10.01")
    )
    assert only_key(a) == only_key(b)
    found = {"sw.driver": ("570.86.15", "580.10.01")}
    assert confounders(factors(a), factors(b), DEFAULT_VARY) == found
    assert confounders(factors(a), factors(b), ["sw.driver"]) == {}
    assert confounders(factors(a), factors(b), ["sw"]) == {}
    assert confounders(factors(a), factors(b), ["sw.drive"]) == found


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ({"commit": "b" * 40, "dirty": True}, "subject.dirty no yes"),
        ({"commit": "b" * 40, "dirty": False, "shallow": True}, ""),
        ({}, ""),
        ({"commit": "b" * 40, "dirty": False, "branch": "fix"}, ""),
    ],
    ids=["dirty tree", "shallow clone", "no git", "another branch"],
)
def test_code_may_differ_by_default_and_nothing_of_it_is_hidden(
    subject: dict[str, Any], text: str
) -> None:
    clean = {"commit": "a" * 40, "dirty": False, "shallow": False}
    a, b = (factors(run(entry(), subject=facts)) for facts in (clean, subject))
    assert confounders(a, b, DEFAULT_VARY) == {}
    undeclared = confounders(a, b, ["subject.commit"])
    assert " ".join(" ".join((name, *both)) for name, both in undeclared.items()) == text


def test_factors_as_text() -> None:
    found = factors(
        run(
            entry(),
            unit={"gpu_uuids": ["a", "b"]},
            subject={"parents": [], "dirty": False, "shallow": True},
            state={"before": {"load_1min": 3.0}},
        )
    )
    assert found == {
        "hw.machine": "cpu-AMD-EPYC-9B14-2c-24GiB",
        "unit.gpu_uuids": "a, b",
        "subject.parents": "",
        "subject.dirty": "no",
        "harness.pytest_aibench": "1.4.0",
    }


def test_a_fact_that_only_one_side_knows_does_not_confound() -> None:
    """A record of an older version of the plugin may lack it."""
    assert confounders({"sw.torch": "2.9"}, {"sw.torch": "2.9", "sw.cudnn": "9"}, ()) == {}


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        ("hw.cpu_model", "identity"),
        ("hw.cpu_threads", "noted"),
        ("unit.hostname", "unit"),
        ("sw.kernel", "factor"),
        ("subject.dirty", "factor"),
        ("subject.shallow", "noted"),
        ("harness.effort", "identity"),
        ("harness.pytest_aibench", "factor"),
        ("harness.inconclusive", "noted"),
        ("state.load_1min", "state"),
    ],
)
def test_roles(fact: str, expected: str) -> None:
    group, _, name = fact.partition(".")
    assert role(group, name) == expected


@pytest.mark.parametrize("verdict", ["passed", "failed", "inconclusive"])
def test_what_was_measured_may_be_a_baseline(verdict: str) -> None:
    one = entry(verdict=verdict)
    assert invalid_reason(replace(run(one), interrupted=True), one) == ""
    assert invalid_reason(run(one), None) == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"verdict": "interrupted"}, "the benchmark was interrupted"),
        ({"verdict": "invalid"}, "the benchmark was invalid"),
        (
            {"verdict": "invalid", "violations": [Violation(rule="a rule", evidence="why")]},
            "a rule: why",
        ),
    ],
)
def test_what_may_never_be_a_baseline(changed: dict[str, Any], reason: str) -> None:
    one = entry(**changed)
    assert invalid_reason(run(one), one) == reason


def test_a_half_throttled_session_is_invalid() -> None:
    telemetry = {"conditions": {"sw_thermal_slowdown": 0.5, "sw_power_cap": 1.0}}
    one = entry(verdict="invalid", telemetry=telemetry, violations=list(unfit(telemetry)))
    assert invalid_reason(run(one), one) == (
        "the device is not throttled: sw_thermal_slowdown for 50% of the time under load, "
        "allowed 5%; cool the device, or lower its power limit"
    )
