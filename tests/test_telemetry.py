"""NVML, facts about the machine, and the sampler."""

from __future__ import annotations

import os
import platform
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pytest_aibench.bounds import Estimate
from pytest_aibench.results.schema import DeviceEntry
from pytest_aibench.telemetry import Sampler, machine, nvml, sampling
from pytest_aibench.telemetry.reading import Reading
from pytest_aibench.telemetry.sampler import Totals
from pytest_aibench.telemetry.watch import Watch, unfit
from pytest_aibench.telemetry.watch import energy as spent_energy
from tests.fakes import A100, FakeClock, FakeDevice, fake_pynvml


def install(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], **options: Any) -> ModuleType:
    module = fake_pynvml(answers, **options)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setattr(nvml, "_sees_all_processes", lambda: True)
    return module


def without(*names: str) -> dict[str, Any]:
    return {name: answer for name, answer in A100.items() if name not in names}


def test_a_gpu_that_answers_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    module = install(monkeypatch, A100)
    with nvml.opened() as driver:
        (gpu,) = driver.gpus
        assert (driver.driver, driver.why_none) == ("570.86.15", "")
        assert gpu.uuid() == "GPU-11111111-2222-3333-4444-555555555555"
        assert gpu.product() == {
            "gpu_product": "NVIDIA A100-SXM4-40GB",
            "gpu_memory_gib": 40.0,
            "gpu_power_limit_w": 400.0,
            "gpu_ecc": True,
            "gpu_mig": False,
        }
        assert gpu.state() == {
            "power_w": 61.5,
            "temperature_c": 41,
            "sm_clock_mhz": 1410,
            "memory_clock_mhz": 1215,
            "clock_events": ("sw_power_cap", "sw_thermal_slowdown"),
            "other_processes": [1],
        }
        assert gpu.read().energy_j == 5000.0
    assert vars(module)["opened"] == []


def test_what_a_gpu_does_not_support_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {})
    with nvml.opened() as driver:
        (gpu,) = driver.gpus
        assert driver.driver is None
        assert gpu.uuid() is None
        assert gpu.product() == {}
        assert gpu.state() == {}
        assert gpu.read() == Reading()


@pytest.mark.parametrize(
    ("fault", "why_none"),
    [
        ("NVML Shared Library Not Found", "NVML Shared Library Not Found"),
        ("Driver/library version mismatch", "Driver/library version mismatch"),
    ],
)
def test_a_driver_that_does_not_open_gives_a_reason(
    fault: str, why_none: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, A100, fault=fault)
    with nvml.opened() as driver:
        assert (driver.gpus, driver.why_none) == ((), why_none)
        assert driver.find("11111111") is None


def test_a_silent_fault_still_counts_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module = install(monkeypatch, A100)

    def fail() -> None:
        raise OSError

    vars(module)["nvmlInit"] = fail
    with nvml.opened() as driver:
        assert driver.why_none == "OSError"


def test_a_missing_binding_gives_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with nvml.opened() as driver:
        assert "pynvml" in driver.why_none


def test_a_driver_without_gpus_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, A100, gpus=0)
    with nvml.opened() as driver:
        assert driver.why_none == "the driver shows no GPU"


def test_nvml_is_closed_after_a_fault_in_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    module = install(monkeypatch, A100)
    with pytest.raises(KeyError), nvml.opened():
        raise KeyError
    assert vars(module)["opened"] == []


def test_mig_slices_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"slice 1": "NVIDIA A100-SXM4-40GB MIG 3g.20gb", "slice 0": "NVIDIA A100 MIG 1g.5gb"}
    mig = {
        "nvmlDeviceGetMigMode": [1, 1],
        "nvmlDeviceGetMaxMigDeviceCount": 7,
        "nvmlDeviceGetName": {"handle 0": "NVIDIA A100-SXM4-40GB", **names},
        "nvmlDeviceGetMigDeviceHandleByIndex": {0: "slice 1", 1: "slice 0"},
    }
    install(monkeypatch, A100 | mig)
    with nvml.opened() as driver:
        assert driver.gpus[0].product()["gpu_mig"] == sorted(names.values())


@pytest.mark.parametrize("known", ["GPU-1-2-3", "MIG-1-2-3"])
@pytest.mark.parametrize("asked", ["1-2-3", "full"])
def test_a_gpu_is_found_with_or_without_prefix(
    known: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, A100 | {"nvmlDeviceGetHandleByUUID": {known: "handle 7"}})
    with nvml.opened() as driver:
        found = driver.find(known if asked == "full" else asked)
        assert found == nvml.Gpu("handle 7")
        assert driver.find("9-9-9") is None
        assert driver.find(None) is None


def test_a_mode_that_waits_for_a_restart_is_not_on(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, A100 | {"nvmlDeviceGetEccMode": [0, 1], "nvmlDeviceGetMigMode": [0, 1]})
    with nvml.opened() as driver:
        product = driver.gpus[0].product()
        assert (product["gpu_ecc"], product["gpu_mig"]) == (False, False)


def test_old_drivers_have_the_old_name_of_clock_events(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = without("nvmlDeviceGetCurrentClocksEventReasons")
    install(monkeypatch, answers | {"nvmlDeviceGetCurrentClocksThrottleReasons": 0x40})
    with nvml.opened() as driver:
        assert driver.gpus[0].state()["clock_events"] == ("hw_thermal_slowdown",)


@pytest.mark.parametrize(
    ("bits", "names"),
    [
        (0, ()),
        (0x1, ("gpu_idle",)),
        (0x8C, ("sw_power_cap", "hw_slowdown", "hw_power_brake_slowdown")),
        (0x1800, ("bit_0x800", "bit_0x1000")),
    ],
)
def test_clock_events_have_names(bits: int, names: tuple[str, ...]) -> None:
    assert nvml.clock_events(bits) == names


def test_names_and_numbers_agree_with_the_binding() -> None:
    constants = vars(pytest.importorskip("pynvml"))
    prefix = "nvmlClocksThrottleReason"
    names = {bit: prefix + name.title().replace("_", "") for bit, name in nvml._EVENTS.items()}
    agreeing = [bit for bit, name in names.items() if constants.get(name) == bit]
    # The last two names are younger than the oldest binding allowed.
    assert len(agreeing) >= len(names) - 2
    assert constants["NVML_CLOCK_SM"] == nvml._CLOCK_SM
    assert constants["NVML_CLOCK_MEM"] == nvml._CLOCK_MEMORY
    assert constants["NVML_TEMPERATURE_GPU"] == nvml._TEMPERATURE_GPU


def test_this_process_is_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    pids = [SimpleNamespace(pid=1), SimpleNamespace(pid=os.getpid())]
    install(monkeypatch, A100 | {"nvmlDeviceGetComputeRunningProcesses": pids})
    with nvml.opened() as driver:
        assert driver.gpus[0].state()["other_processes"] == [1]


@pytest.mark.parametrize(
    ("namespace", "known"), [("pid:[4026531836]", True), ("pid:[4026532281]", False)]
)
def test_in_a_container_other_processes_are_unknown(
    namespace: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml(A100))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("os.readlink", lambda path: namespace)
    with nvml.opened() as driver:
        assert ("other_processes" in driver.gpus[0].state()) is known


def test_ranges_and_shares() -> None:
    totals = Totals()
    totals.add(0.0, Reading(figures={"temperature_c": 75}))
    totals.add(1.0, Reading(figures={"temperature_c": 40}, conditions=("gpu_idle",)))
    totals.add(2.0, Reading(figures={"temperature_c": 50, "power_w": 100.0}, conditions=()))
    assert totals.summary() == {
        "n_readings": 3,
        "temperature_c": {"min": 40, "mean": 55, "max": 75},
        "power_w": {"min": 100, "mean": 100, "max": 100},
        "conditions": {"gpu_idle": 0.5},
    }


def energy(*readings: tuple[float, float | None, float | None]) -> dict[str, Any]:
    totals = Totals()
    for now_s, power_w, energy_j in readings:
        figures = {} if power_w is None else {"power_w": power_w}
        totals.add(now_s, Reading(figures=figures, energy_j=energy_j))
    summary = totals.summary()
    return {name: summary[name] for name in ("energy_j", "energy_source") if name in summary}


def test_energy_comes_from_the_counter_before_power() -> None:
    counted = energy((0, 100, 5000.0), (1, 100, None), (2, 100, 5230.0))
    assert counted == {"energy_j": 230.0, "energy_source": "counter"}


@pytest.mark.parametrize("counter", [(None, None, None), (7.0, 7.0, 7.0), (9.0, 8.0, 0.5)])
def test_energy_is_the_integral_of_power_without_a_good_counter(
    counter: tuple[float | None, ...],
) -> None:
    powers = [(0.0, 100.0), (1.0, 200.0), (3.0, 50.0)]
    readings = [(*power, count) for power, count in zip(powers, counter, strict=True)]
    assert energy(*readings) == {"energy_j": 150.0 + 250.0, "energy_source": "power"}


@pytest.mark.parametrize("readings", [[], [(0, 100, None)], [(0, None, None), (1, None, None)]])
def test_energy_is_left_out_when_nothing_tells_it(readings: list[tuple[float, Any, Any]]) -> None:
    assert energy(*readings) == {}


def test_the_totals_do_not_grow() -> None:
    totals = Totals()
    for second in range(1000):
        totals.add(second, Reading(figures={"power_w": 1.0}, conditions=("gpu_idle",)))
    assert (len(totals.ranges), len(totals.conditions)) == (1, 1)
    assert totals.summary()["energy_j"] == 999.0


def test_a_sampler_reads_first_last_and_in_between() -> None:
    clock, enough = FakeClock(), threading.Event()
    values = iter(range(10_000))

    def read() -> Reading:
        clock.advance(1)
        value = next(values)
        if value == 3:
            enough.set()
        return Reading(figures={"power_w": float(value)})

    with Sampler(read, interval_s=1e-4, clock=clock.seconds) as sampler:
        assert enough.wait(10)
    summary = sampler.summary()
    last = summary["n_readings"] - 1
    assert last >= 4
    assert summary["power_w"] == {"min": 0, "mean": last / 2, "max": last}
    assert summary["energy_j"] == pytest.approx(last**2 / 2)
    assert threading.active_count() == len(threading.enumerate())
    assert "aibench-sampler" not in {thread.name for thread in threading.enumerate()}


def test_a_source_that_fails_ends_the_readings_not_the_benchmark() -> None:
    readings = iter([Reading(figures={"power_w": 1.0})])
    with Sampler(lambda: next(readings), interval_s=60) as sampler:
        sampler.take()
        sampler.take()
    assert sampler.summary() == {
        "n_readings": 1,
        "power_w": {"min": 1.0, "mean": 1.0, "max": 1.0},
        "covered_s": 0.0,
        "unavailable": "StopIteration: ",
    }


def test_sampling_watches_the_gpu_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    module = install(monkeypatch, A100 | {"nvmlDeviceGetHandleByUUID": {"GPU-1": "handle 0"}})
    with sampling("1", interval_s=60) as (sampler, gpu):
        pass
    assert gpu == nvml.Gpu("handle 0")
    assert sampler.summary()["temperature_c"] == {"min": 41, "mean": 41, "max": 41}
    assert vars(module)["opened"] == []


def test_sampling_reads_the_machine_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that reads would be seen among the latencies of a load on the processor."""
    install(monkeypatch, {}, fault="NVML Shared Library Not Found")
    with sampling(None) as (sampler, gpu):
        assert gpu is None
        assert "aibench-sampler" not in {thread.name for thread in threading.enumerate()}
        assert sampler.summary()["n_readings"] == 1
    assert sampler.summary()["n_readings"] == 2
    assert sampler.summary()["rss_bytes"]["min"] > 2**20
    assert "energy_j" not in sampler.summary()


def sampled(*powers_w: float) -> Sampler:
    """A sampler that has taken one reading a second, from second 1 on."""
    clock, readings = FakeClock(), iter(powers_w)
    sampler = Sampler(
        lambda: Reading(figures={"power_w": next(readings)}),
        interval_s=None,
        clock=clock.seconds,
    )
    for _ in powers_w:
        clock.advance(1)
        sampler.take()
    return sampler


def test_a_summary_of_the_load_alone() -> None:
    summary = sampled(900, 10, 20, 30, 900).summary(1.5, 4.0)
    assert (summary["n_readings"], summary["covered_s"]) == (3, 2.0)
    assert summary["power_w"] == {"min": 10, "mean": 20, "max": 30}
    assert summary["energy_j"] == 15 + 25


def test_a_summary_of_a_time_without_readings() -> None:
    assert sampled(1, 2).summary(1.1, 1.9) == {"n_readings": 0}


def test_long_benchmarks_are_read_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_aibench.telemetry.sampler._MOST_READINGS", 8)
    clock, enough = FakeClock(), threading.Event()

    def read() -> Reading:
        clock.advance(1)
        if clock.seconds() >= 12:
            enough.set()
        return Reading(figures={"power_w": 5.0})

    with Sampler(read, interval_s=1e-4, clock=clock.seconds) as sampler:
        assert enough.wait(10)
    summary = sampler.summary()
    assert summary["n_readings"] <= 10
    assert sampler._interval_s is not None
    assert sampler._interval_s >= 2e-4
    assert summary["energy_j"] == 5 * summary["covered_s"] == 5 * (clock.seconds() - 1)


def test_heat_on_the_processor_is_a_share_of_the_time() -> None:
    totals = Totals()
    for now_s, throttled_s in ((0.0, 7.0), (3.0, 8.0), (4.0, 9.0)):
        totals.add(now_s, Reading(throttled_s=throttled_s))
    assert totals.summary()["conditions"] == {"cpu_thermal_slowdown": 0.5}
    assert len(totals.throttled) == 2


def test_the_machine_tells_how_long_it_was_too_hot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_CPU", tmp_path)
    assert machine.read_host().throttled_s is None
    file = tmp_path / "cpu0/thermal_throttle/package_throttle_total_time_ms"
    file.parent.mkdir(parents=True)
    file.write_text("2500\n")
    assert machine.read_host().throttled_s == 2.5


BOARD = {
    "nvmlDeviceGetPciInfo": SimpleNamespace(pciDeviceId=0x20B010DE),
    "nvmlDeviceGetBoardPartNumber": "692-2G506-0200-003",
}


def test_the_board_tells_form_factors_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, A100 | BOARD)
    with nvml.opened() as driver:
        product = driver.gpus[0].product()
    assert product["gpu_pci_device"] == "20b0"
    assert product["gpu_board"] == "692-2G506-0200-003"


def test_a_slice_has_the_board_and_power_limit_of_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    slice_of = {"nvmlDeviceGetDeviceHandleFromMigDeviceHandle": {"handle 0": "the gpu"}}
    of_the_gpu = {
        "nvmlDeviceGetPowerManagementLimit": {"the gpu": 400_000},
        "nvmlDeviceGetPciInfo": {"the gpu": SimpleNamespace(pciDeviceId=0x20B010DE)},
        "nvmlDeviceGetName": {"handle 0": "NVIDIA A100-SXM4-40GB MIG 1g.5gb"},
    }
    install(monkeypatch, A100 | slice_of | of_the_gpu)
    with nvml.opened() as driver:
        product = driver.gpus[0].product()
    assert product["gpu_product"] == "NVIDIA A100-SXM4-40GB MIG 1g.5gb"
    assert (product["gpu_power_limit_w"], product["gpu_pci_device"]) == (400.0, "20b0")


def watched(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], *, allocates: bool = True
) -> tuple[dict[str, Any], DeviceEntry]:
    """Telemetry and entry of a GPU with these answers."""
    install(monkeypatch, A100 | {"nvmlDeviceGetHandleByUUID": {"GPU-1": "handle 0"}} | answers)
    peak = 2**20 if allocates else None
    device = FakeDevice(id="cuda:0", kind="cuda", uuid="1", peak_bytes=peak)
    watch = Watch(device)
    with watch.on():
        telemetry = watch.telemetry(None)
        return telemetry, watch.entry(telemetry)


ALONE: dict[str, Any] = {"nvmlDeviceGetComputeRunningProcesses": []}


def test_a_gpu_that_was_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    power_cap = {"nvmlDeviceGetCurrentClocksEventReasons": 0x4}
    telemetry, device = watched(monkeypatch, ALONE | power_cap)
    assert telemetry["conditions"] == {"sw_power_cap": 1.0}
    assert unfit(telemetry) == ()
    assert device.uuid == "1"
    assert device.hardware["gpu_power_limit_w"] == 400.0


def test_a_gpu_that_was_too_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry, _ = watched(monkeypatch, ALONE | {"nvmlDeviceGetCurrentClocksEventReasons": 0x48})
    (violation,) = unfit(telemetry)
    assert violation.rule == "the device is not throttled"
    assert violation.evidence == (
        "hw_thermal_slowdown for 100% of the time under load, allowed 5%; "
        "cool the device, or lower its power limit"
    )


@pytest.mark.parametrize(
    ("conditions", "n_rules"),
    [
        ({}, 0),
        ({"sw_power_cap": 1.0}, 0),
        ({"hw_slowdown": 0.05}, 0),
        ({"hw_slowdown": 0.06}, 1),
        # An idle GPU is not throttled: only the other readings tell.
        ({"hw_slowdown": 0.04, "gpu_idle": 0.5}, 1),
        ({"gpu_idle": 1.0}, 0),
        ({"cpu_thermal_slowdown": 0.5}, 1),
    ],
)
def test_how_much_heat_is_too_much(conditions: dict[str, float], n_rules: int) -> None:
    assert len(unfit({"conditions": conditions})) == n_rules


def test_a_gpu_that_somebody_else_used_too(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry, _ = watched(monkeypatch, {"nvmlDeviceGetCurrentClocksEventReasons": 0})
    assert telemetry["other_processes"] == [1]
    (violation,) = unfit(telemetry)
    assert violation.rule == "the device is not shared"
    assert violation.evidence == (
        "it was also open to process 1; end it, or choose another device with --device"
    )


def test_a_model_served_by_another_process_may_use_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry, _ = watched(monkeypatch, {}, allocates=False)
    assert "other_processes" not in telemetry


def test_other_workers_of_the_session_are_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pids = [SimpleNamespace(pid=os.getppid())]
    install(monkeypatch, A100 | {"nvmlDeviceGetComputeRunningProcesses": pids})
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    with nvml.opened() as driver:
        assert driver.gpus[0].other_processes() == [os.getppid()]
        monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
        assert driver.gpus[0].other_processes() == []


def test_a_fixed_clock_is_part_of_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry, device = watched(
        monkeypatch, ALONE | {"nvmlDeviceGetCurrentClocksEventReasons": 0x2}
    )
    assert unfit(telemetry) == ()
    assert device.hardware["gpu_fixed_clock_mhz"] == 1410


@pytest.mark.parametrize(("share", "n_rules"), [(0.09, 0), (0.11, 1), (0.89, 1), (0.9, 0)])
def test_a_clock_that_was_changed_under_the_load(share: float, n_rules: int) -> None:
    found = unfit({"conditions": {"applications_clocks_setting": share}})
    assert len(found) == n_rules
    for violation in found:
        assert violation.rule == "the device keeps its clock setting"
        assert violation.evidence == (
            f"a setting held the clock for {share:.0%} of the time under load; "
            "fix the clock before the session, or reset it with nvidia-smi -rgc and -rac"
        )


def test_only_readings_under_the_load_count_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, A100 | ALONE | {"nvmlDeviceGetHandleByUUID": {"GPU-1": "handle 0"}})
    watch = Watch(FakeDevice(id="cuda:0", kind="cuda", uuid="1"))
    with watch.on():
        assert watch.telemetry((-2.0, -1.0)) == {"n_readings": 0}
        assert watch.telemetry((0.0, time.perf_counter()))["n_readings"] >= 1


def test_a_watch_that_never_began_knows_nothing() -> None:
    watch = Watch(FakeDevice())
    assert watch.telemetry(None) == {}
    assert watch.entry({}).hardware == {}


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nmodel name\t: AMD  EPYC 9654\n\nmodel name\t: second\n", "AMD EPYC 9654"),
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n",
            "aarch64 implementer 0x41 part 0xd40",
        ),
        ("processor\t: 0\n", "aarch64"),
        (None, "aarch64"),
    ],
)
def test_cpu_model(
    cpuinfo: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_PROC", tmp_path)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.delenv("PROCESSOR_IDENTIFIER", raising=False)
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    assert machine.cpu_model() == expected


@pytest.mark.parametrize(
    ("cpu_max", "expected"), [("max 100000\n", None), ("150000 100000\n", 1.5), (None, None)]
)
def test_cpu_quota_of_a_container(
    cpu_max: str | None, expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    if cpu_max is not None:
        (tmp_path / "cpu.max").write_text(cpu_max)
        (tmp_path / "cpu.stat").write_text("usage_usec 5\nnr_periods 9\nnr_throttled 4\n")
    assert machine.cpu().get("cpu_quota") == expected
    assert machine.frequency().get("cpu_quota_throttles") == (4 if expected else None)


def test_governor_and_throttle_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CPU", tmp_path)
    monkeypatch.setattr("psutil.cpu_freq", lambda: SimpleNamespace(current=3100.0))
    for name, text in {
        "cpufreq/scaling_governor": "powersave\n",
        "thermal_throttle/package_throttle_count": "12\n",
    }.items():
        file = tmp_path / "cpu0" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    facts = machine.frequency()
    assert facts["cpu_mhz"] == 3100.0
    assert facts["cpu_governor"] == "powersave"
    assert facts["cpu_thermal_throttles"] == 12


@pytest.mark.parametrize("clock", [None, SimpleNamespace(current=0.0)])
def test_an_unknown_clock_is_left_out(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_freq", lambda: clock)
    assert "cpu_mhz" not in machine.frequency()


def test_the_machine_id_is_hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "machine-id"
    file.write_text("3d1219c7c4c5404aaa1f6d2a48adfda4\n")
    monkeypatch.setattr(machine, "_MACHINE_IDS", (tmp_path / "missing", file))
    facts = machine.host()
    assert facts["machine_id_sha256"] == "43ea84408fc84a23"
    monkeypatch.setattr(machine, "_MACHINE_IDS", ())
    assert "machine_id_sha256" not in machine.host()


def test_facts_of_this_machine() -> None:
    cpu = machine.cpu()
    assert cpu["cpu_threads"] >= 1
    assert machine.memory()["memory_gib"] >= 1
    assert machine.system()["kernel"].startswith(platform.system())
    assert 0 < machine.load()["memory_available_bytes"] <= (machine.memory_bytes() or 0)


NOTHING_TELLS = (
    "nothing tells how much energy this device spends: it takes an NVIDIA GPU whose driver "
    "answers, see `aibench doctor`"
)
SPENT: dict[str, Any] = {"energy_j": 100.0, "covered_s": 2.0, "n_readings": 21}


def test_energy_is_mean_power_times_duration() -> None:
    expected = Estimate(value=125.0, unit="J", n=21, by_value=True)
    assert spent_energy(SPENT, 2.5) == expected


@pytest.mark.parametrize(
    ("readings", "why"),
    [
        ({}, NOTHING_TELLS),
        (SPENT | {"covered_s": 0.31}, "its energy was read for 0.31 s, it takes 1 s"),
        (SPENT | {"unavailable": "NVMLError: lost"}, "its readings ended early: NVMLError: lost"),
    ],
)
def test_energy_is_never_an_estimate(readings: dict[str, Any], why: str) -> None:
    assert spent_energy(readings, 2.5) == Estimate(
        value=None, unit="J", by_value=True, why_open=why
    )


def test_the_energy_of_a_gpu_in_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, A100 | {"nvmlDeviceGetHandleByUUID": {"GPU-1": "handle 0"}})
    monkeypatch.setattr("pytest_aibench.telemetry.watch.SHORTEST_ENERGY_S", 0.0)
    watch, begin_s = Watch(FakeDevice(id="cuda:0", kind="cuda", uuid="1")), time.perf_counter()
    with watch.on():
        watch.telemetry(None)
        end_s = time.perf_counter()
        assert watch.energy([(begin_s, end_s)]).value == pytest.approx(61.5 * (end_s - begin_s))
        assert watch.energy([(begin_s - 9, begin_s)]).value is None


def test_the_energy_between_windows_does_not_count() -> None:
    watch = Watch(FakeDevice(id="cuda:0", kind="cuda"))
    watch._gpu = nvml.Gpu("handle")
    watch._sampler = sampled(10, 10, 10, 900, 900, 30, 30)
    figure = watch.energy([(1.0, 3.5), (3.9, 4.1), (5.5, 7.0)])
    mean_power_w = (10 + 10 + 30) / 3
    assert figure.value == pytest.approx(mean_power_w * (2.5 + 0.2 + 1.5))
    assert figure.n == 5
    figure = watch.energy([(1.9, 2.1), (6.9, 7.1)])
    assert figure.why_open == "its energy was read for 0 s, it takes 1 s"


def test_the_energy_of_a_processor_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, A100)
    watch = Watch(FakeDevice(id="cpu", kind="cpu"))
    with watch.on():
        figure = watch.energy([(0.0, time.perf_counter())])
    assert figure.why_open == NOTHING_TELLS
