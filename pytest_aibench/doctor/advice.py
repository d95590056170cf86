"""What could disturb a measurement on this machine, and what to do about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeVar

from pytest_aibench.doctor.readings import GpuReading, Moment, Readings
from pytest_aibench.loadgen.clock import SPIN_NS
from pytest_aibench.units import TIME, format_quantity

WARNING = "warning"
NOTE = "note"

# Half a CPU that works for others is noise that no benchmark averages away.
_MOST_LOAD = 0.5
# From here on stolen time moves a 99th percentile: it hits one query in a hundred.
_MOST_STEAL_SHARE = 0.01
# The kernel's default for threads without a real-time priority (prctl(2), PR_SET_TIMERSLACK).
_USUAL_TIMER_SLACK_NS = 50_000
# Several times what bare machines take; 64 MiB of fresh activations then cost over 16 ms.
_DEAR_PAGE_NS = 1_000
_LOW_CLOCK_SHARE = 0.8

_SLOWED_DOWN = {
    "sw_power_cap",
    "hw_slowdown",
    "sw_thermal_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "board_limit",
    "reliability",
}
_SET_BY_SOMEBODY = {"applications_clocks_setting", "sync_boost", "display_clock_setting"}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that could disturb a measurement.

    Attributes:
        severity: ``warning`` for what moves figures now, ``note`` for what may.
        what: The source of trouble.
        seen: The figure that shows it.
        advice: What to do, in one line.
    """

    severity: str
    what: str
    seen: str
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotAvailable:
    """Something that this machine does not show, so that nothing is said about it."""

    what: str
    reason: str


class _Hidden(Exception):
    """The system does not show a reading."""


class Opinion(NamedTuple):
    """A finding whose source is known from where it comes."""

    severity: str
    seen: str
    advice: str


def examine(readings: Readings) -> tuple[list[Finding], list[NotAvailable]]:
    """Judge readings: what was found, warnings first, and what could not be judged."""
    findings: list[Finding] = []
    hidden: list[NotAvailable] = []
    if not readings.gpus:
        hidden.append(NotAvailable(what="GPUs", reason=readings.why_no_gpus))
    for what, judge in _judges(readings):
        try:
            opinion = judge()
        except _Hidden:
            hidden.append(NotAvailable(what=what, reason="this system does not show it"))
            continue
        if opinion is not None:
            findings.append(Finding(what=what, **opinion._asdict()))
    return sorted(findings, key=lambda finding: finding.severity != WARNING), hidden


def _judges(readings: Readings) -> Iterator[tuple[str, Callable[[], Opinion | None]]]:
    for what, judge in _MACHINE.items():
        yield what, partial(judge, readings)
    for gpu in readings.gpus:
        for what, judge_gpu in _GPU.items():
            yield f"{gpu.name} {what}", partial(judge_gpu, gpu)


def _governor(readings: Readings) -> Opinion | None:
    governor = _known(readings.governor)
    if governor == "performance":
        return None
    advice = "set it: sudo cpupower frequency-set -g performance"
    return Opinion(WARNING, f"{governor}, not performance", advice)


def _turbo(readings: Readings) -> Opinion | None:
    switch = _known(readings.turbo)
    if switch.value == switch.off:
        return None
    advice = (
        "clocks follow heat and neighbours; for steady figures: "
        f"echo {switch.off} | sudo tee {switch.path}"
    )
    return Opinion(NOTE, "on", advice)


def _load(readings: Readings) -> Opinion | None:
    load, cpus = _known(readings.before.load_1min), readings.cpus_usable
    if load < _MOST_LOAD:
        return None
    severity = WARNING if load > cpus - 1 else NOTE
    advice = f"stop other work and wait until it is below {_MOST_LOAD}: see uptime and top"
    return Opinion(severity, f"{load:.2f} over the last minute, on {_cpus(cpus)}", advice)


def _others(readings: Readings) -> Opinion | None:
    before, after = readings.before, readings.after
    own_s = after.own_cpu_s - before.own_cpu_s
    others_s = after.cpu_busy_s - before.cpu_busy_s - own_s
    others = others_s / (after.at_s - before.at_s)
    if others < _MOST_LOAD:
        return None
    advice = "see top for who they are; benchmark when they have ended"
    return Opinion(WARNING, f"{others:.2f} CPUs busy with others during the measurement", advice)


def _few_cpus(readings: Readings) -> Opinion | None:
    cpus = readings.cpus_usable
    if cpus > 2:
        return None
    advice = "a batching server, its generator and a model's threads need CPUs of their own"
    return Opinion(WARNING if cpus == 1 else NOTE, f"{_cpus(cpus)} usable", advice)


def _quota(readings: Readings) -> Opinion | None:
    quota = _known(readings.cpu_quota)
    throttled = 0 if math.isinf(quota) else _grown(readings, lambda now: now.quota_throttles)
    if throttled:
        seen = f"{quota:g} CPUs, used up in {throttled:g} periods during the measurement"
        advice = "raise the container's CPU limit, or use fewer threads: OMP_NUM_THREADS"
        return Opinion(WARNING, seen, advice)
    if quota >= readings.cpus_usable:
        return None
    advice = "a model with more threads than that is stopped until the next period"
    return Opinion(NOTE, f"{quota:g} CPUs of {readings.cpus_usable}", advice)


def _steal(readings: Readings) -> Opinion | None:
    stolen_s = _grown(readings, lambda now: now.cpu_steal_s)
    all_s = readings.after.cpu_all_s - readings.before.cpu_all_s
    if stolen_s <= _MOST_STEAL_SHARE * all_s:
        return None
    advice = "the host gives these CPUs to others: use a dedicated machine, or repeat and compare"
    return Opinion(
        WARNING, f"{stolen_s / all_s:.1%} of the CPU time during the measurement", advice
    )


def _heat(readings: Readings) -> Opinion | None:
    events = _grown(readings, lambda now: now.thermal_throttles)
    if not events:
        return None
    seen = f"throttled {events:g} times during the measurement"
    return Opinion(WARNING, seen, "let the machine cool, and see to its fans")


def _swap(readings: Readings) -> Opinion | None:
    used, moved = readings.swap_used_bytes, _grown(readings, lambda now: now.swapped_bytes)
    if not used and not moved:
        return None
    seen = f"{format_quantity(used, 'B')} in swap"
    if moved:
        seen += f", {format_quantity(moved, 'B')} moved during the measurement"
    advice = "free memory, then bring the rest back: sudo swapoff -a && sudo swapon -a"
    return Opinion(WARNING if moved else NOTE, seen, advice)


def _battery(readings: Readings) -> Opinion | None:
    if not _known(readings.on_battery):
        return None
    return Opinion(
        WARNING, "the machine runs on its battery", "plug it in: clocks are lower on battery"
    )


def _timer_slack(readings: Readings) -> Opinion | None:
    slack_ns = _known(readings.timer_slack_ns)
    if slack_ns <= _USUAL_TIMER_SLACK_NS:
        return None
    seen = f"{_time(slack_ns)}, usual is {_time(_USUAL_TIMER_SLACK_NS)}"
    advice = "start from a normal shell: a service manager or power saver has raised it"
    return Opinion(WARNING if slack_ns > SPIN_NS else NOTE, seen, advice)


def _page_faults(readings: Readings) -> Opinion | None:
    if not _known(readings.malloc_returns_memory) or readings.page_fault_ns < _DEAR_PAGE_NS:
        return None
    advice = (
        "keep freed memory; before Python starts, set MALLOC_MMAP_MAX_=0 "
        "MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=67108864"
    )
    return Opinion(NOTE, f"{_time(readings.page_fault_ns)} for the first touch of a page", advice)


def _threads(readings: Readings) -> Opinion | None:
    cpus = int(max(min(readings.cpus_usable, readings.cpu_quota or math.inf), 1))
    given = readings.omp_num_threads
    threads = given or readings.cpus_usable
    if threads <= cpus:
        return None
    seen = f"OMP_NUM_THREADS={given}" if given else f"OMP_NUM_THREADS unset, {_cpus(threads)} seen"
    return Opinion(WARNING, f"{seen}, but time for {_cpus(cpus)}", f"set OMP_NUM_THREADS={cpus}")


def _gpu_work(gpu: GpuReading) -> Opinion | None:
    advice = "stop them, or choose another device with --device"
    if gpu.other_processes:
        seen = f"processes {', '.join(map(str, gpu.other_processes))} compute on it"
        return Opinion(WARNING, seen, advice)
    if gpu.other_processes is None:
        _known(gpu.busy_percent)
    if gpu.busy_percent:
        return Opinion(WARNING, f"{gpu.busy_percent} % busy with processes out of sight", advice)
    return None


def _gpu_clock_events(gpu: GpuReading) -> Opinion | None:
    events = _known(gpu.clock_events)
    slowed = sorted(_SLOWED_DOWN.intersection(events))
    if slowed:
        advice = "let it cool, see its power limit and neighbours: nvidia-smi -q -d PERFORMANCE"
        return Opinion(WARNING, ", ".join(slowed), advice)
    set_by = sorted(_SET_BY_SOMEBODY.intersection(events))
    if set_by:
        advice = "fixed clocks are steady but not the fastest; to reset: nvidia-smi -rgc and -rac"
        return Opinion(NOTE, ", ".join(set_by), advice)
    return None


def _gpu_clock(gpu: GpuReading) -> Opinion | None:
    clock, highest = _known(gpu.sm_clock_mhz), _known(gpu.max_sm_clock_mhz)
    # An idle GPU rests at a low clock; that says nothing about how it will work.
    if "gpu_idle" in _known(gpu.clock_events) or clock >= _LOW_CLOCK_SHARE * highest:
        return None
    advice = "find out what holds it down: nvidia-smi -q -d CLOCK,PERFORMANCE"
    return Opinion(WARNING, f"{clock} MHz of {highest} MHz", advice)


def _gpu_persistence(gpu: GpuReading) -> Opinion | None:
    if _known(gpu.persistence):
        return None
    advice = "the driver is loaded anew for each process; keep it: sudo nvidia-smi -pm 1"
    return Opinion(NOTE, "off", advice)


_MACHINE: dict[str, Callable[[Readings], Opinion | None]] = {
    "load average": _load,
    "other processes": _others,
    "hypervisor steal": _steal,
    "CPUs": _few_cpus,
    "CPU quota": _quota,
    "threads": _threads,
    "CPU governor": _governor,
    "CPU turbo": _turbo,
    "CPU heat": _heat,
    "battery": _battery,
    "swap": _swap,
    "timer slack": _timer_slack,
    "page faults": _page_faults,
}

_GPU: dict[str, Callable[[GpuReading], Opinion | None]] = {
    "other work": _gpu_work,
    "throttling": _gpu_clock_events,
    "clock": _gpu_clock,
    "persistence mode": _gpu_persistence,
}


def _known(reading: _T | None) -> _T:
    if reading is None:
        raise _Hidden
    return reading


def _grown(readings: Readings, counter: Callable[[Moment], float | None]) -> float:
    """By how much a counter has grown during the measurement."""
    return _known(counter(readings.after)) - _known(counter(readings.before))


def _cpus(n: int) -> str:
    return "1 CPU" if n == 1 else f"{n} CPUs"


def _time(ns: float) -> str:
    return format_quantity(ns / 1e9, TIME)
