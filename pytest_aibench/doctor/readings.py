"""What this machine shows of itself, read before and after something was measured on it.

Nothing here raises for what a system does not show: it is None.
"""

from __future__ import annotations

import math
import mmap
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from pytest_aibench.telemetry import machine, nvml

_CPU = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")
_TIMER_SLACK = Path("/proc/self/timerslack_ns")
_PAGE_BYTES = mmap.PAGESIZE
_N_PAGES = 2048
_MALLOC_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Load and counters at one moment.

    Attributes:
        at_s: The moment.
        load_1min: Load average.
        cpu_busy_s: CPU time that all processes have used, since the machine started.
        cpu_all_s: CPU time that there was, idle and stolen included.
        cpu_steal_s: CPU time that the hypervisor gave to others.
        own_cpu_s: CPU time of this process.
        quota_throttles: Periods in which this container ran out of its quota.
        thermal_throttles: How often the processor was too hot.
        swapped_bytes: Memory moved to and from swap.
    """

    at_s: float
    load_1min: float | None
    cpu_busy_s: float
    cpu_all_s: float
    cpu_steal_s: float | None
    own_cpu_s: float
    quota_throttles: int | None
    thermal_throttles: int | None
    swapped_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TurboSwitch:
    """The file that switches clocks above the nominal one, and the value for off."""

    path: str
    value: str
    off: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """One look at the machine.

    Attributes:
        before: The moment before the measurement.
        after: The moment after it.
        cpus_usable: CPUs that this process may run on.
        cpu_quota: CPUs' worth of time that the container may use; infinite without a limit.
        governor: Of the processor's clock.
        turbo: Whether the processor may exceed its nominal clock.
        timer_slack_ns: By how much the kernel may delay the wake-up of a sleeping thread.
        swap_used_bytes: Memory that lies in swap.
        on_battery: Whether the machine runs on its battery.
        omp_num_threads: Threads that the environment variable asks for; None when it is not set.
        page_fault_ns: Cost of the first touch of a page of memory.
        malloc_returns_memory: Whether the C library gives large blocks back to the system, so
            that each use is a first touch.
        gpus: NVIDIA GPUs.
        why_no_gpus: Why there are none.
    """

    before: Moment
    after: Moment
    cpus_usable: int
    cpu_quota: float | None
    governor: str | None
    turbo: TurboSwitch | None
    timer_slack_ns: int | None
    swap_used_bytes: int
    on_battery: bool | None
    omp_num_threads: int | None
    page_fault_ns: float
    malloc_returns_memory: bool | None
    gpus: tuple[GpuReading, ...]
    why_no_gpus: str


def moment() -> Moment:
    """Read load and counters now."""
    times = psutil.cpu_times()._asdict()
    # The kernel counts the time of guests as the time of the processes that run them, too.
    all_s = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
    idle_s = sum(times.get(state, 0.0) for state in ("idle", "iowait", "steal"))
    frequency = machine.frequency()
    swap = psutil.swap_memory()
    return Moment(
        at_s=time.monotonic(),
        load_1min=machine.load().get("load_1min"),
        cpu_busy_s=all_s - idle_s,
        cpu_all_s=all_s,
        cpu_steal_s=times.get("steal"),
        own_cpu_s=time.process_time(),
        quota_throttles=frequency.get("cpu_quota_throttles"),
        thermal_throttles=frequency.get("cpu_thermal_throttles"),
        swapped_bytes=swap.sin + swap.sout,
    )


def read(before: Moment) -> Readings:
    """Look at the machine, after a measurement that began at ``before``."""
    after = moment()
    gpus, why_no_gpus = read_gpus()
    facts = machine.cpu()
    return Readings(
        before=before,
        after=after,
        cpus_usable=facts.get("cpu_usable") or facts["cpu_threads"],
        cpu_quota=facts.get("cpu_quota", _no_quota()),
        governor=machine.frequency().get("cpu_governor"),
        turbo=_turbo(),
        timer_slack_ns=_timer_slack_ns(),
        swap_used_bytes=psutil.swap_memory().used,
        on_battery=_on_battery(),
        omp_num_threads=_omp_num_threads(os.environ),
        page_fault_ns=_page_fault_ns(),
        malloc_returns_memory=_malloc_returns_memory(platform.libc_ver()[0], os.environ),
        gpus=gpus,
        why_no_gpus=why_no_gpus,
    )


def _no_quota() -> float | None:
    """Infinite where the container's file says that there is none; None where there is no file."""
    return math.inf if (_CGROUP / "cpu.max").exists() else None


def _turbo() -> TurboSwitch | None:
    switches = ((_CPU / "intel_pstate/no_turbo", "1"), (_CPU / "cpufreq/boost", "0"))
    for path, off in switches:
        value = _read(path)
        if value is not None:
            return TurboSwitch(path=str(path), value=value, off=off)
    return None


def _timer_slack_ns() -> int | None:
    text = _read(_TIMER_SLACK)
    return None if text is None else int(text)


def _on_battery() -> bool | None:
    if not hasattr(psutil, "sensors_battery"):
        return None
    battery = psutil.sensors_battery()
    return battery is not None and battery.power_plugged is False


def _omp_num_threads(environment: Mapping[str, str]) -> int | None:
    """The outermost level of the list; OpenMP ignores what is no number, and so does this."""
    outermost = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(outermost) if outermost.isdecimal() else None


def _page_fault_ns() -> float:
    """Time of the first touch of a page beyond that of the second."""
    memory = mmap.mmap(-1, _N_PAGES * _PAGE_BYTES)
    pages = np.ndarray(_N_PAGES, np.uint8, memory, strides=(_PAGE_BYTES,))
    began = time.perf_counter_ns()
    pages[:] = 1
    touched = time.perf_counter_ns()
    pages[:] = 1
    again = time.perf_counter_ns()
    return max((touched - began) - (again - touched), 0) / _N_PAGES


def _malloc_returns_memory(libc: str, environment: Mapping[str, str]) -> bool | None:
    """Whether glibc runs as it comes (mallopt(3)); other allocators are not known to us."""
    if libc != "glibc" or environment.get("LD_PRELOAD"):
        return None
    tuned = "glibc.malloc." in environment.get("GLIBC_TUNABLES", "")
    return not tuned and not any(name in environment for name in _MALLOC_VARIABLES)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


_CLOCK_SM = 1  # nvmlClockType_t


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReading:
    """A GPU as its driver shows it; None for what it does not show.

    Attributes:
        name: ``GPU 0``.
        other_processes: Numbers of the processes that compute on it.
        busy_percent: Share of the last moments in which it worked.
        clock_events: What holds its clocks down, in NVML's words.
        persistence: Whether the driver stays loaded between processes.
    """

    name: str
    other_processes: list[int] | None = None
    busy_percent: int | None = None
    clock_events: tuple[str, ...] | None = None
    sm_clock_mhz: int | None = None
    max_sm_clock_mhz: int | None = None
    persistence: bool | None = None


def read_gpus() -> tuple[tuple[GpuReading, ...], str]:
    """All GPUs, and why there are none."""
    with nvml.opened() as driver:
        gpus = (_read_gpu(f"GPU {index}", gpu) for index, gpu in enumerate(driver.gpus))
        return tuple(gpus), driver.why_none


def _read_gpu(name: str, gpu: nvml.Gpu) -> GpuReading:
    state = gpu.state()
    utilization = _ask_nvml("nvmlDeviceGetUtilizationRates", gpu.handle)
    persistence = _ask_nvml("nvmlDeviceGetPersistenceMode", gpu.handle)
    return GpuReading(
        name=name,
        other_processes=state.get("other_processes"),
        busy_percent=None if utilization is None else utilization.gpu,
        clock_events=state.get("clock_events"),
        sm_clock_mhz=state.get("sm_clock_mhz"),
        max_sm_clock_mhz=_ask_nvml("nvmlDeviceGetMaxClockInfo", gpu.handle, _CLOCK_SM),
        persistence=None if persistence is None else bool(persistence),
    )


def _ask_nvml(query: str, *arguments: Any) -> Any:
    """The answer of an NVML function; None when this GPU, driver or binding has none."""
    try:
        return getattr(import_module("pynvml"), query)(*arguments)
    except Exception:  # As in `nvml`: not supported, no permission, too old, lost.
        return None
