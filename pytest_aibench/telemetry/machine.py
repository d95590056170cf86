"""Facts about the machine: processor, memory, identity, load.

None of them starts a process: a benchmark may be about to run.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Any

from pytest_aibench.telemetry.reading import Reading, without_none

_PROC = Path("/proc")
_CPU = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")
_MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


def cpu_model() -> str:
    """The processor's name, as good as the system tells it."""
    # `platform.processor` would start `uname`.
    return _model_from_cpuinfo() or os.environ.get("PROCESSOR_IDENTIFIER", "") or platform.machine()


def _model_from_cpuinfo() -> str:
    lines = (_read(_PROC / "cpuinfo") or "").splitlines()
    entries = dict(_split(line) for line in reversed(lines))
    if "model name" in entries:
        return " ".join(entries["model name"].split())
    if "CPU part" in entries:
        # Arm gives numbers only: implementer and part are listed in the Main ID Register's manual.
        implementer = entries.get("CPU implementer", "?")
        return f"{platform.machine()} implementer {implementer} part {entries['CPU part']}"
    return ""


def _split(line: str) -> tuple[str, str]:
    key, _, value = line.partition(":")
    return key.strip(), value.strip()


def memory_bytes() -> int | None:
    """Memory of the machine, not of a container on it."""
    import psutil

    return int(psutil.virtual_memory().total)


def cpu() -> dict[str, Any]:
    """Model, architecture, and how many cores there are and this process may use."""
    import psutil

    return without_none(
        cpu_model=cpu_model(),
        architecture=platform.machine(),
        cpu_cores=psutil.cpu_count(logical=False),
        cpu_threads=os.cpu_count(),
        cpu_usable=_usable_cpus(),
        cpu_quota=_cpu_quota(),
    )


def _usable_cpus() -> int | None:
    if not hasattr(os, "sched_getaffinity"):
        return None
    return len(os.sched_getaffinity(0))


def _cpu_quota() -> float | None:
    """CPUs that a container may use at a time (cgroup v2); None without a limit."""
    quota, _, period = (_read(_CGROUP / "cpu.max") or "max").partition(" ")
    return None if quota == "max" else int(quota) / int(period)


def memory() -> dict[str, Any]:
    """Memory, rounded to GiB: firmware takes a little of it, differently from boot to boot."""
    total = memory_bytes()
    return without_none(memory_gib=None if total is None else round(total / 2**30))


def host() -> dict[str, Any]:
    """Name of the machine, and a hash of the number that its installation drew."""
    number = next(filter(None, map(_read, _MACHINE_IDS)), None)
    hashed = None if number is None else hashlib.sha256(f"aibench {number}".encode()).hexdigest()
    return without_none(hostname=platform.node(), machine_id_sha256=hashed and hashed[:16])


def system() -> dict[str, Any]:
    """Operating system and kernel."""
    return {"os": _os_name(), "kernel": f"{platform.system()} {platform.release()}"}


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.mac_ver()[0] or platform.version()}"


def load() -> dict[str, Any]:
    """How busy the machine is: load average over 1 min, memory left."""
    import psutil

    return without_none(
        load_1min=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        memory_available_bytes=int(psutil.virtual_memory().available),
    )


def frequency() -> dict[str, Any]:
    """Clock and governor of the processor, and how often it was too hot or out of quota so far."""
    return without_none(
        cpu_mhz=_cpu_mhz(),
        cpu_governor=_read(_CPU / "cpu0/cpufreq/scaling_governor"),
        cpu_thermal_throttles=_count(_CPU / "cpu0/thermal_throttle/package_throttle_count"),
        cpu_quota_throttles=_quota_throttles(),
    )


def _cpu_mhz() -> float | None:
    import psutil

    # Containers and some virtual machines show no clock; psutil then says None or zero.
    clock = psutil.cpu_freq()
    return clock.current or None if clock else None


def _count(path: Path) -> int | None:
    text = _read(path)
    return None if text is None else int(text)


def _quota_throttles() -> int | None:
    if _cpu_quota() is None:
        return None
    entries = dict(line.split() for line in (_read(_CGROUP / "cpu.stat") or "").splitlines())
    return int(entries["nr_throttled"]) if "nr_throttled" in entries else None


def read_host() -> Reading:
    """One reading of clock, load and this process's memory, for the sampler."""
    import psutil

    figures = without_none(
        cpu_mhz=_cpu_mhz(), rss_bytes=float(psutil.Process().memory_info().rss), **load()
    )
    throttled_ms = _count(_CPU / "cpu0/thermal_throttle/package_throttle_total_time_ms")
    return Reading(
        figures=figures, throttled_s=None if throttled_ms is None else throttled_ms / 1e3
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None
