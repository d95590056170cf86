"""``aibench doctor``: the noise floor, each finding's text, and what is not available."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import psutil
import pytest

from pytest_aibench.cli import main
from pytest_aibench.commands.doctor import report_lines
from pytest_aibench.doctor import readings as readings_module
from pytest_aibench.doctor.advice import NOTE, WARNING, Finding, NotAvailable, examine
from pytest_aibench.doctor.noise import Lateness, NoiseFloor, measure
from pytest_aibench.doctor.readings import (
    GpuReading,
    Moment,
    Readings,
    TurboSwitch,
    _malloc_returns_memory,
    _omp_num_threads,
    read_gpus,
)
from tests.fakes import A100, FakeClock, fake_pynvml

UNKNOWN = "this system does not show it"

BEGIN = Moment(
    at_s=100.0,
    load_1min=0.1,
    cpu_busy_s=50.0,
    cpu_all_s=800.0,
    cpu_steal_s=1.0,
    own_cpu_s=2.0,
    quota_throttles=0,
    thermal_throttles=3,
    swapped_bytes=0,
)
END = replace(BEGIN, at_s=105.0, cpu_busy_s=54.0, cpu_all_s=840.0, own_cpu_s=6.0)
CALM = Readings(
    before=BEGIN,
    after=END,
    cpus_usable=8,
    cpu_quota=float("inf"),
    governor="performance",
    turbo=TurboSwitch(path="/sys/boost", value="0", off="0"),
    timer_slack_ns=50_000,
    swap_used_bytes=0,
    on_battery=False,
    omp_num_threads=None,
    page_fault_ns=250.0,
    malloc_returns_memory=True,
    gpus=(),
    why_no_gpus="no driver",
)
CALM_GPU = GpuReading(
    name="GPU 0",
    other_processes=[],
    busy_percent=0,
    clock_events=(),
    sm_clock_mhz=1900,
    max_sm_clock_mhz=1980,
    persistence=True,
)
FLOOR = NoiseFloor(
    overhead_ns=840.9,
    latency_p50_ns=91,
    n_queries=1000,
    clock_resolution_ns=70,
    clock_read_ns=116.4,
    lateness=(Lateness(rate_qps=100.0, n_queries=297, p50_us=0.443, p99_us=61.0, max_us=113.0),),
    smallest_latency_bound_ms=0.61,
)


class CpuTimes(NamedTuple):
    """What psutil gives on Linux; guests are counted as user or nice, too."""

    user: float = 10.0
    nice: float = 1.0
    system: float = 4.0
    idle: float = 80.0
    iowait: float = 3.0
    steal: float = 2.0
    guest: float = 5.0
    guest_nice: float = 1.0


@dataclass(slots=True)
class TickingClock(FakeClock):
    """A clock whose every reading takes the same time."""

    tick_ns: int = 100

    def now(self) -> int:
        """The time in ns, after one tick."""
        self.now_ns += self.tick_ns
        return self.now_ns


def test_noise_on_a_clock_whose_readings_are_all_that_takes_time() -> None:
    noise = measure(0.05, TickingClock())
    assert (noise.clock_resolution_ns, noise.clock_read_ns) == (100, 100.0)
    # Two readings a query make its time; latencies lie between two readings.
    assert noise.latency_p50_ns == 100
    assert 200 <= noise.overhead_ns < 300
    assert noise.n_queries * noise.overhead_ns == pytest.approx(0.1 * 0.05e9, rel=0.2)


def test_noise_at_the_server_rates() -> None:
    noise = measure(0.5, TickingClock())
    rates = [at_rate.rate_qps for at_rate in noise.lateness]
    assert rates == [100.0, 1_000.0, 10_000.0]
    for at_rate, seconds in zip(noise.lateness, (0.3, 0.1, 0.05), strict=True):
        expected = at_rate.rate_qps * seconds
        assert abs(at_rate.n_queries - expected) < 4 * expected**0.5
        assert 0 <= at_rate.p50_us <= at_rate.p99_us <= at_rate.max_us < 1


def test_noise_of_a_clock_that_is_late_limits_the_latency_bounds() -> None:
    @dataclass(slots=True)
    class Oversleeping(TickingClock):
        def sleep_until(self, due: int) -> int:
            self.now_ns = max(self.now_ns, due) + 50_000
            return self.now_ns

    noise = measure(0.5, Oversleeping())
    assert {at_rate.p50_us for at_rate in noise.lateness} == {50.0}
    assert noise.smallest_latency_bound_ms == pytest.approx(0.5)


def test_noise_of_a_coarse_clock() -> None:
    @dataclass(slots=True)
    class Coarse(TickingClock):
        def now(self) -> int:
            self.now_ns += 100
            return self.now_ns // 16_000 * 16_000

    noise = measure(0.05, Coarse())
    assert noise.clock_resolution_ns == 16_000
    assert noise.clock_read_ns == pytest.approx(100, rel=0.02)
    assert noise.latency_p50_ns == 0


@pytest.mark.parametrize(
    ("changes", "what", "severity", "seen", "advice"),
    [
        (
            {"before": replace(BEGIN, load_1min=2.84)},
            "load average",
            NOTE,
            "2.84 over the last minute, on 8 CPUs",
            "stop other work and wait until it is below 0.5: see uptime and top",
        ),
        (
            {"before": replace(BEGIN, load_1min=7.5)},
            "load average",
            WARNING,
            "7.50 over the last minute, on 8 CPUs",
            "stop other work and wait until it is below 0.5: see uptime and top",
        ),
        (
            {"after": replace(END, cpu_busy_s=59.0)},
            "other processes",
            WARNING,
            "1.00 CPUs busy with others during the measurement",
            "see top for who they are; benchmark when they have ended",
        ),
        (
            {"after": replace(END, cpu_steal_s=2.0)},
            "hypervisor steal",
            WARNING,
            "2.5% of the CPU time during the measurement",
            "the host gives these CPUs to others: use a dedicated machine, or repeat and compare",
        ),
        (
            {"cpus_usable": 1},
            "CPUs",
            WARNING,
            "1 CPU usable",
            "a batching server, its generator and a model's threads need CPUs of their own",
        ),
        (
            {"cpus_usable": 2},
            "CPUs",
            NOTE,
            "2 CPUs usable",
            "a batching server, its generator and a model's threads need CPUs of their own",
        ),
        (
            {"cpu_quota": 2.5, "omp_num_threads": 2},
            "CPU quota",
            NOTE,
            "2.5 CPUs of 8",
            "a model with more threads than that is stopped until the next period",
        ),
        (
            {"cpu_quota": 8.0, "after": replace(END, quota_throttles=7)},
            "CPU quota",
            WARNING,
            "8 CPUs, used up in 7 periods during the measurement",
            "raise the container's CPU limit, or use fewer threads: OMP_NUM_THREADS",
        ),
        (
            {"omp_num_threads": 16},
            "threads",
            WARNING,
            "OMP_NUM_THREADS=16, but time for 8 CPUs",
            "set OMP_NUM_THREADS=8",
        ),
        (
            {"governor": "powersave"},
            "CPU governor",
            WARNING,
            "powersave, not performance",
            "set it: sudo cpupower frequency-set -g performance",
        ),
        (
            {"turbo": TurboSwitch(path="/sys/no_turbo", value="0", off="1")},
            "CPU turbo",
            NOTE,
            "on",
            "clocks follow heat and neighbours; for steady figures: "
            "echo 1 | sudo tee /sys/no_turbo",
        ),
        (
            {"after": replace(END, thermal_throttles=5)},
            "CPU heat",
            WARNING,
            "throttled 2 times during the measurement",
            "let the machine cool, and see to its fans",
        ),
        (
            {"on_battery": True},
            "battery",
            WARNING,
            "the machine runs on its battery",
            "plug it in: clocks are lower on battery",
        ),
        (
            {"swap_used_bytes": 3 * 2**30},
            "swap",
            NOTE,
            "3 GiB in swap",
            "free memory, then bring the rest back: sudo swapoff -a && sudo swapon -a",
        ),
        (
            {"swap_used_bytes": 2**30, "after": replace(END, swapped_bytes=2**20)},
            "swap",
            WARNING,
            "1 GiB in swap, 1 MiB moved during the measurement",
            "free memory, then bring the rest back: sudo swapoff -a && sudo swapon -a",
        ),
        (
            {"timer_slack_ns": 100_000},
            "timer slack",
            NOTE,
            "100 µs, usual is 50 µs",
            "start from a normal shell: a service manager or power saver has raised it",
        ),
        (
            {"timer_slack_ns": 4_000_000},
            "timer slack",
            WARNING,
            "4 ms, usual is 50 µs",
            "start from a normal shell: a service manager or power saver has raised it",
        ),
        (
            {"page_fault_ns": 3433.0},
            "page faults",
            NOTE,
            "3.433 µs for the first touch of a page",
            "keep freed memory; before Python starts, set MALLOC_MMAP_MAX_=0 "
            "MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=67108864",
        ),
    ],
)
def test_findings(
    changes: dict[str, Any], what: str, severity: str, seen: str, advice: str
) -> None:
    findings, hidden = examine(replace(CALM, **changes))
    assert findings == [Finding(severity=severity, what=what, seen=seen, advice=advice)]
    assert hidden == [NotAvailable(what="GPUs", reason="no driver")]


def test_threads_that_nobody_limits_to_the_quota() -> None:
    findings, _ = examine(replace(CALM, cpu_quota=2.5))
    assert findings[0] == Finding(
        severity=WARNING,
        what="threads",
        seen="OMP_NUM_THREADS unset, 8 CPUs seen, but time for 2 CPUs",
        advice="set OMP_NUM_THREADS=2",
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"before": replace(BEGIN, load_1min=0.49)},
        {"after": replace(END, cpu_busy_s=56.0)},
        {"after": replace(END, cpu_steal_s=1.3)},
        {"after": replace(END, cpu_all_s=BEGIN.cpu_all_s)},
        {"cpu_quota": 8.0},
        {"omp_num_threads": 8},
        {"page_fault_ns": 3433.0, "malloc_returns_memory": False},
    ],
)
def test_what_is_no_finding(changes: dict[str, Any]) -> None:
    assert examine(replace(CALM, **changes))[0] == []


def test_warnings_come_first() -> None:
    findings, _ = examine(replace(CALM, cpus_usable=2, on_battery=True))
    assert [finding.severity for finding in findings] == [WARNING, NOTE]


NOTHING_SHOWN = replace(
    CALM,
    before=replace(BEGIN, load_1min=None, cpu_steal_s=None, thermal_throttles=None),
    cpu_quota=None,
    governor=None,
    turbo=None,
    timer_slack_ns=None,
    on_battery=None,
    malloc_returns_memory=None,
    gpus=(GpuReading(name="GPU 0"),),
    why_no_gpus="",
)


def test_what_a_system_does_not_show_is_not_guessed() -> None:
    findings, hidden = examine(NOTHING_SHOWN)
    assert findings == []
    assert {item.reason for item in hidden} == {UNKNOWN}
    assert [item.what for item in hidden] == [
        "load average",
        "hypervisor steal",
        "CPU quota",
        "CPU governor",
        "CPU turbo",
        "CPU heat",
        "battery",
        "timer slack",
        "page faults",
        "GPU 0 other work",
        "GPU 0 throttling",
        "GPU 0 clock",
        "GPU 0 persistence mode",
    ]


@pytest.mark.parametrize(
    ("changes", "what", "severity", "seen", "advice"),
    [
        (
            {"other_processes": [12, 34]},
            "GPU 0 other work",
            WARNING,
            "processes 12, 34 compute on it",
            "stop them, or choose another device with --device",
        ),
        (
            {"other_processes": None, "busy_percent": 37},
            "GPU 0 other work",
            WARNING,
            "37 % busy with processes out of sight",
            "stop them, or choose another device with --device",
        ),
        (
            {"clock_events": ("sw_power_cap", "hw_thermal_slowdown")},
            "GPU 0 throttling",
            WARNING,
            "hw_thermal_slowdown, sw_power_cap",
            "let it cool, see its power limit and neighbours: nvidia-smi -q -d PERFORMANCE",
        ),
        (
            {"clock_events": ("applications_clocks_setting",)},
            "GPU 0 throttling",
            NOTE,
            "applications_clocks_setting",
            "fixed clocks are steady but not the fastest; to reset: nvidia-smi -rgc and -rac",
        ),
        (
            {"sm_clock_mhz": 1200},
            "GPU 0 clock",
            WARNING,
            "1200 MHz of 1980 MHz",
            "find out what holds it down: nvidia-smi -q -d CLOCK,PERFORMANCE",
        ),
        (
            {"persistence": False},
            "GPU 0 persistence mode",
            NOTE,
            "off",
            "the driver is loaded anew for each process; keep it: sudo nvidia-smi -pm 1",
        ),
    ],
)
def test_findings_of_gpus(
    changes: dict[str, Any], what: str, severity: str, seen: str, advice: str
) -> None:
    gpus = (replace(CALM_GPU, **changes),)
    findings, hidden = examine(replace(CALM, gpus=gpus, why_no_gpus=""))
    assert findings == [Finding(severity=severity, what=what, seen=seen, advice=advice)]
    assert hidden == []


@pytest.mark.parametrize(
    "changes", [{}, {"sm_clock_mhz": 345, "clock_events": ("gpu_idle",)}, {"busy_percent": None}]
)
def test_a_calm_gpu(changes: dict[str, Any]) -> None:
    gpus = (replace(CALM_GPU, **changes),)
    assert examine(replace(CALM, gpus=gpus, why_no_gpus="")) == ([], [])


def test_gpus_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        **A100,
        "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=12, memory=3),
        "nvmlDeviceGetMaxClockInfo": {1: 1410},
        "nvmlDeviceGetPersistenceMode": 0,
    }
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml(answers))
    monkeypatch.setattr("pytest_aibench.telemetry.nvml._sees_all_processes", lambda: True)
    gpus, why_none = read_gpus()
    assert why_none == ""
    assert gpus == (
        GpuReading(
            name="GPU 0",
            other_processes=[1],
            busy_percent=12,
            clock_events=("sw_power_cap", "sw_thermal_slowdown"),
            sm_clock_mhz=1410,
            max_sm_clock_mhz=1410,
            persistence=False,
        ),
    )


def test_a_gpu_that_supports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml({}))
    assert read_gpus() == ((GpuReading(name="GPU 0"),), "")


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml({}, fault="no such library"))
    assert read_gpus() == ((), "no such library")


def test_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", CpuTimes)
    swap = SimpleNamespace(sin=7, sout=5, used=0)
    monkeypatch.setattr(psutil, "swap_memory", lambda: swap)
    now = readings_module.moment()
    assert (now.cpu_all_s, now.cpu_busy_s, now.cpu_steal_s) == (100.0, 15.0, 2.0)
    assert now.swapped_bytes == 12


@pytest.mark.parametrize(("file", "off"), [("intel_pstate/no_turbo", "1"), ("cpufreq/boost", "0")])
def test_turbo_switches(
    file: str, off: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings_module, "_CPU", tmp_path)
    path = tmp_path / file
    assert readings_module._turbo() is None
    path.parent.mkdir()
    path.write_text("1\n")
    assert readings_module._turbo() == TurboSwitch(path=str(path), value="1", off=off)


def test_timer_slack_and_quota_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings_module, "_TIMER_SLACK", tmp_path / "slack")
    monkeypatch.setattr(readings_module, "_CGROUP", tmp_path)
    assert readings_module._timer_slack_ns() is None
    assert readings_module._no_quota() is None
    (tmp_path / "slack").write_text("50000\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert readings_module._timer_slack_ns() == 50_000
    assert readings_module._no_quota() == float("inf")


@pytest.mark.parametrize(
    ("battery", "expected"),
    [
        (None, False),
        (SimpleNamespace(power_plugged=True), False),
        (SimpleNamespace(power_plugged=False), True),
    ],
)
def test_battery(battery: object, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert readings_module._on_battery() is expected


def test_a_system_without_battery_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(psutil, "sensors_battery", raising=False)
    assert readings_module._on_battery() is None


@pytest.mark.parametrize(("text", "threads"), [("4", 4), (" 8,2", 8), ("", None), ("many", None)])
def test_omp_num_threads(text: str, threads: int | None) -> None:
    assert _omp_num_threads({"OMP_NUM_THREADS": text}) == threads


@pytest.mark.parametrize(
    ("libc", "environment", "expected"),
    [
        ("glibc", {}, True),
        ("glibc", {"MALLOC_TRIM_THRESHOLD_": "1"}, False),
        ("glibc", {"MALLOC_MMAP_MAX_": "0"}, False),
        ("glibc", {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=0"}, False),
        ("glibc", {"LD_PRELOAD": "libjemalloc.so"}, None),
        ("", {}, None),
    ],
)
def test_malloc_settings(libc: str, environment: dict[str, str], expected: bool | None) -> None:
    assert _malloc_returns_memory(libc, environment) is expected


def test_the_report() -> None:
    findings = [Finding(severity=NOTE, what="CPUs", seen="2 CPUs usable", advice="use more")]
    hidden = [
        NotAvailable(what="GPUs", reason="no driver"),
        NotAvailable(what="battery", reason=UNKNOWN),
        NotAvailable(what="CPU heat", reason=UNKNOWN),
    ]
    assert list(report_lines(FLOOR, findings, hidden)) == [
        "The load generator alone, with a model that does nothing:",
        "  overhead  840.9 ns a query in single stream, of which 91 ns are in each latency",
        "  clock     resolution 70 ns or better, 116.4 ns a reading",
        "",
        "  server rate      queries    lateness p50    p99     max",
        "  -------------  ---------  --------------  -----  ------",
        "  100 queries/s        297          443 ns  61 µs  113 µs",
        "  A server's latency bound must be at least 610 µs here: the generator is too late",
        "  for a tighter one, and its runs would be invalid.",
        "",
        "What could disturb a measurement:",
        "  note     CPUs: 2 CPUs usable",
        "           use more",
        "Not available: GPUs (no driver).",
        "Not available: battery, CPU heat (this system does not show it).",
    ]


def test_a_report_with_nothing_found() -> None:
    still = replace(FLOOR, clock_resolution_ns=None)
    lines = list(report_lines(still, [], []))
    assert lines[-1] == "What could disturb a measurement: nothing found."
    assert "  clock     not seen to move, 116.4 ns a reading" in lines


def test_the_command_prints_strict_json(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    assert main(["doctor", "--seconds", "0.05", "--json"]) == 0
    report = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert set(report) == {"noise", "findings", "not_available"}
    assert [at["rate_qps"] for at in report["noise"]["lateness"]] == [100, 1_000, 10_000]
    for finding in report["findings"]:
        assert set(finding) == {"severity", "what", "seen", "advice"}


def test_the_command_prints_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--seconds", "0.05"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "The load generator alone, with a model that does nothing:"
    assert any(line.startswith("What could disturb a measurement:") for line in lines)


@pytest.mark.parametrize("seconds", ["0", "-1", "inf", "nan", "five"])
def test_seconds_that_are_none(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["doctor", f"--seconds={seconds}"])
    assert stopped.value.code == 2
    message = f"argument --seconds: '{seconds}' is no number of seconds above zero, like 5"
    assert message in capsys.readouterr().err
