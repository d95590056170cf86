"""NVIDIA GPUs, as far as they can disturb a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pytest_aibench.telemetry import nvml

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
        gpus = (_read(f"GPU {index}", gpu) for index, gpu in enumerate(driver.gpus))
        return tuple(gpus), driver.why_none


def _read(name: str, gpu: nvml.Gpu) -> GpuReading:
    state = gpu.state()
    utilization = _ask("nvmlDeviceGetUtilizationRates", gpu.handle)
    persistence = _ask("nvmlDeviceGetPersistenceMode", gpu.handle)
    return GpuReading(
        name=name,
        other_processes=state.get("other_processes"),
        busy_percent=None if utilization is None else utilization.gpu,
        clock_events=state.get("clock_events"),
        sm_clock_mhz=state.get("sm_clock_mhz"),
        max_sm_clock_mhz=_ask("nvmlDeviceGetMaxClockInfo", gpu.handle, _CLOCK_SM),
        persistence=None if persistence is None else bool(persistence),
    )


def _ask(query: str, *arguments: Any) -> Any:
    """The answer of an NVML function; None when this GPU, driver or binding has none."""
    try:
        return getattr(import_module("pynvml"), query)(*arguments)
    except Exception:  # As in `nvml`: not supported, no permission, too old, lost.
        return None
