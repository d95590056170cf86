"""NVIDIA GPUs as their driver sees them (NVML).

Any query may be unsupported on a GPU, in a container or by an old driver: its figure is then left
out, never zero, and nothing here raises.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from pytest_aibench.telemetry.reading import Reading, without_none

_EVENTS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
    0x200: "board_limit",
    0x400: "reliability",
}
"""NVML's bits for why a clock is not at its highest (nvml.h, nvmlClocksEventReason*)."""

# Values of nvmlClockType_t and nvmlTemperatureSensors_t (nvml.h).
_CLOCK_SM, _CLOCK_MEMORY, _TEMPERATURE_GPU = 1, 2, 0

# The kernel gives the first namespace of process numbers this fixed inode (PROC_PID_INIT_INO).
_FIRST_PID_NAMESPACE = "pid:[4026531836]"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU or MIG slice, usable while NVML is open."""

    handle: Any

    def product(self) -> dict[str, Any]:
        """What kind of GPU it is: name, memory, power limit, board, ECC, MIG slices.

        PCI device and board tell form factors apart. Those and the power limit of a MIG slice are
        its GPU's.
        """
        board = _ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", self.handle) or self.handle
        memory = _ask("nvmlDeviceGetMemoryInfo", self.handle)
        power_limit_mw = _ask("nvmlDeviceGetPowerManagementLimit", board)
        pci = _ask("nvmlDeviceGetPciInfo", board)
        ecc = _ask("nvmlDeviceGetEccMode", board)
        return without_none(
            gpu_product=_ask("nvmlDeviceGetName", self.handle),
            gpu_memory_gib=None if memory is None else round(memory.total / 2**30, 1),
            gpu_power_limit_w=None if power_limit_mw is None else power_limit_mw / 1e3,
            gpu_pci_device=None if pci is None else f"{pci.pciDeviceId >> 16:04x}",
            gpu_board=_ask("nvmlDeviceGetBoardPartNumber", board),
            gpu_ecc=None if ecc is None else bool(ecc[0]),
            gpu_mig=self._mig_slices(),
        )

    def uuid(self) -> str | None:
        """The identifier of this exemplar, with NVML's prefix ``GPU-`` or ``MIG-``."""
        uuid: str | None = _ask("nvmlDeviceGetUUID", self.handle)
        return uuid

    def state(self) -> dict[str, Any]:
        """Clocks, temperature, power, what holds the clocks down, who else computes."""
        reading = self.read()
        return without_none(
            **reading.figures,
            clock_events=reading.conditions,
            other_processes=self.other_processes(),
        )

    def other_processes(self) -> list[int] | None:
        """Processes that have the GPU open to compute, this one's own apart; None if unknown."""
        processes = _ask("nvmlDeviceGetComputeRunningProcesses", self.handle)
        if processes is None or not _sees_all_processes():
            return None
        return sorted({process.pid for process in processes} - _own_processes())

    def read(self) -> Reading:
        """One reading for the sampler; since Ampere most drivers average power over 1 s."""
        power_mw = _ask("nvmlDeviceGetPowerUsage", self.handle)
        energy_mj = _ask("nvmlDeviceGetTotalEnergyConsumption", self.handle)
        figures = without_none(
            power_w=None if power_mw is None else power_mw / 1e3,
            temperature_c=_ask("nvmlDeviceGetTemperature", self.handle, _TEMPERATURE_GPU),
            sm_clock_mhz=_ask("nvmlDeviceGetClockInfo", self.handle, _CLOCK_SM),
            memory_clock_mhz=_ask("nvmlDeviceGetClockInfo", self.handle, _CLOCK_MEMORY),
        )
        return Reading(
            figures=figures,
            conditions=self._clock_events(),
            energy_j=None if energy_mj is None else energy_mj / 1e3,
        )

    def _clock_events(self) -> tuple[str, ...] | None:
        bits = _ask("nvmlDeviceGetCurrentClocksEventReasons", self.handle)
        if bits is None:
            # The name before driver 535.
            bits = _ask("nvmlDeviceGetCurrentClocksThrottleReasons", self.handle)
        return None if bits is None else clock_events(bits)

    def _mig_slices(self) -> list[str] | bool | None:
        """Product names of the slices in MIG mode; False outside of it."""
        mode = _ask("nvmlDeviceGetMigMode", self.handle)
        if mode is None or not mode[0]:
            return None if mode is None else False
        count = _ask("nvmlDeviceGetMaxMigDeviceCount", self.handle) or 0
        slices = (
            _ask("nvmlDeviceGetMigDeviceHandleByIndex", self.handle, index)
            for index in range(count)
        )
        names = (_ask("nvmlDeviceGetName", found) for found in slices if found is not None)
        return sorted(filter(None, names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Nvml:
    """The open NVML.

    Attributes:
        gpus: All GPUs, in the order of the PCI bus.
        driver: The driver's version.
        why_none: Why there are no GPUs.
    """

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    why_none: str = ""

    def find(self, uuid: str | None) -> Gpu | None:
        """The GPU or MIG slice with the UUID, given with or without NVML's prefix."""
        if uuid is None or self.why_none:
            return None
        for prefix in ("", "GPU-", "MIG-"):
            handle = _ask("nvmlDeviceGetHandleByUUID", f"{prefix}{uuid}")
            if handle is not None:
                return Gpu(handle)
        return None


@contextmanager
def opened() -> Iterator[Nvml]:
    """Open NVML for the block; without a driver there are no GPUs, and a reason."""
    why_none = _start()
    if why_none:
        yield Nvml(why_none=why_none)
        return
    try:
        indices = range(_ask("nvmlDeviceGetCount") or 0)
        handles = (_ask("nvmlDeviceGetHandleByIndex", index) for index in indices)
        gpus = tuple(Gpu(handle) for handle in handles if handle is not None)
        why_none = "" if gpus else "the driver shows no GPU"
        yield Nvml(gpus=gpus, driver=_ask("nvmlSystemGetDriverVersion"), why_none=why_none)
    finally:
        _ask("nvmlShutdown")


def clock_events(bits: int) -> tuple[str, ...]:
    """Names of the bits of NVML's clock event reasons; unknown ones as ``bit_0x800``."""
    present = (1 << place for place in range(bits.bit_length()) if bits >> place & 1)
    return tuple(_EVENTS.get(bit, f"bit_{bit:#x}") for bit in present)


def _start() -> str:
    try:
        _library().nvmlInit()
    except Exception as error:  # A broken driver fails in many ways; none may stop a benchmark.
        return str(error) or type(error).__name__
    return ""


def _ask(query: str, *arguments: Any) -> Any:
    """The answer of an NVML function; None when it has none here."""
    try:
        return getattr(_library(), query)(*arguments)
    except Exception:  # Not supported, no permission, too old a driver or binding, lost GPU.
        return None


def _library() -> Any:
    return import_module("pynvml")


def _sees_all_processes() -> bool:
    """Whether NVML's process numbers mean the same here; in a container they may be the host's."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        return os.readlink(Path("/proc/self/ns/pid")) == _FIRST_PID_NAMESPACE
    except OSError:
        return False


def _own_processes() -> set[int]:
    """Numbers of this process and all it started; of a worker of xdist, of the whole session."""
    import psutil

    own = psutil.Process(os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else None)
    return {own.pid, *(child.pid for child in own.children(recursive=True))}
