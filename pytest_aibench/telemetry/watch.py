"""Watches a benchmark's device: what it did under the load, and whether it was fit for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pytest_aibench.bounds import Estimate, Violation
from pytest_aibench.devices.base import Device
from pytest_aibench.results.schema import DeviceEntry
from pytest_aibench.telemetry.nvml import Gpu
from pytest_aibench.telemetry.sampler import Sampler, sampling
from pytest_aibench.units import ENERGY

MOST_THROTTLED = 0.05
"""Share of the readings under load in which heat or a fault may hold the device's clock down."""

SHORTEST_ENERGY_S = 1.0
"""Drivers average power over as long (NVML since Ampere)."""

_THROTTLED = (
    "hw_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
    "sw_thermal_slowdown",
    "cpu_thermal_slowdown",
)
_SET_BY_SOMEBODY = ("applications_clocks_setting", "display_clock_setting", "sync_boost")
_NEARLY_ALWAYS = 0.9

Window = tuple[float, float]


class Watch:
    """One device under observation.

    Args:
        device: The device.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._sampler: Sampler | None = None
        self._gpu: Gpu | None = None
        self._others: set[int] = set()

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch for the block."""
        with sampling(self._device.uuid) as (self._sampler, self._gpu):
            self._note_others()
            yield

    def telemetry(self, window: Window | None) -> dict[str, Any]:
        """What the device did.

        Args:
            window: Begin and end of the load on ``time.perf_counter``, in s; None for all the time
                since the watch began, as it is for a processor.
        """
        if self._sampler is None:
            return {}
        if self._gpu is None or window is None:
            self._sampler.take()
            window = (-math.inf, math.inf)
        seen = self._sampler.summary(*window)
        self._note_others()
        # Others may have the GPU open to wait for their turn, or to serve the model. That they
        # share it is only known where the benchmark itself computes there.
        if self._others and self._device.peak_memory_bytes() is not None:
            seen["other_processes"] = sorted(self._others)
        return seen

    def energy(self, windows: Sequence[Window]) -> Estimate:
        """What a GPU spent in them all, in J; a processor's energy is not read.

        Args:
            windows: Begin and end of each on ``time.perf_counter``, in s; at least one.
        """
        if self._sampler is None or self._gpu is None:
            return energy({}, 0.0)
        seen = [self._sampler.summary(*window) for window in windows]
        return energy(_added_up(seen), math.fsum(end_s - begin_s for begin_s, end_s in windows))

    def entry(self, telemetry: Mapping[str, Any]) -> DeviceEntry:
        """The device for the record; a clock that was fixed all the time is part of its kind."""
        device = self._device
        hardware = {} if self._gpu is None else self._gpu.product()
        if _share_of_busy(telemetry, _SET_BY_SOMEBODY) >= _NEARLY_ALWAYS:
            hardware["gpu_fixed_clock_mhz"] = telemetry["sm_clock_mhz"]["max"]
        return DeviceEntry(
            id=device.id,
            kind=device.kind,
            name=device.name,
            memory_bytes=device.memory_bytes,
            peak_memory_bytes=device.peak_memory_bytes(),
            uuid=device.uuid or "",
            hardware=hardware,
        )

    def _note_others(self) -> None:
        if self._gpu is not None:
            self._others.update(self._gpu.other_processes() or ())


def _added_up(seen: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The energy in several windows, and for how long it was read, without what lies in between."""
    read = [one for one in seen if "energy_j" in one]
    tells = any(one.keys() & {"energy_j", "power_w"} for one in seen)
    names = ("energy_j", "covered_s", "n_readings") if tells else ()
    return {**seen[-1], **{name: sum(one[name] for one in read) for name in names}}


def energy(telemetry: Mapping[str, Any], duration_s: float) -> Estimate:
    """What the device spent in so long, in J, by the readings of that time.

    They cover a little less than it, so this is their mean power times the duration.
    """
    covered_s = telemetry.get("covered_s", 0.0)
    if "energy_j" not in telemetry:
        why = (
            "nothing tells how much energy this device spends: it takes an NVIDIA GPU whose driver "
            "answers, see `aibench doctor`"
        )
    elif "unavailable" in telemetry:
        why = f"its readings ended early: {telemetry['unavailable']}"
    elif covered_s < SHORTEST_ENERGY_S:
        why = f"its energy was read for {covered_s:.2g} s, it takes {SHORTEST_ENERGY_S:g} s"
    else:
        value = telemetry["energy_j"] / covered_s * duration_s
        return Estimate(value=value, unit=ENERGY, n=telemetry["n_readings"], by_value=True)
    return Estimate(value=None, unit=ENERGY, by_value=True, why_open=why)


def unfit(telemetry: Mapping[str, Any]) -> tuple[Violation, ...]:
    """Rules that the device broke under the load; a power cap is normal and breaks none."""
    return (*_throttled(telemetry), *_shared(telemetry), *_wrong_clock(telemetry))


def _throttled(telemetry: Mapping[str, Any]) -> Iterator[Violation]:
    share, condition = max((_share_of_busy(telemetry, (name,)), name) for name in _THROTTLED)
    if share > MOST_THROTTLED:
        evidence = (
            f"{condition} for {share:.0%} of the time under load, allowed {MOST_THROTTLED:.0%}; "
            "cool the device, or lower its power limit"
        )
        yield Violation(rule="the device is not throttled", evidence=evidence)


def _shared(telemetry: Mapping[str, Any]) -> Iterator[Violation]:
    others = telemetry.get("other_processes")
    if others:
        evidence = (
            f"it was also open to process {', '.join(map(str, others))}; "
            "end it, or choose another device with --device"
        )
        yield Violation(rule="the device is not shared", evidence=evidence)


def _wrong_clock(telemetry: Mapping[str, Any]) -> Iterator[Violation]:
    share = _share_of_busy(telemetry, _SET_BY_SOMEBODY)
    if 1 - _NEARLY_ALWAYS < share < _NEARLY_ALWAYS:
        evidence = (
            f"a setting held the clock for {share:.0%} of the time under load; "
            "fix the clock before the session, or reset it with nvidia-smi -rgc and -rac"
        )
        yield Violation(rule="the device keeps its clock setting", evidence=evidence)


def _share_of_busy(telemetry: Mapping[str, Any], conditions: tuple[str, ...]) -> float:
    """Share of the readings with the most frequent of the conditions; an idle GPU shows none."""
    shares = telemetry.get("conditions", {})
    busy = 1 - shares.get("gpu_idle", 0.0)
    share = max(shares.get(name, 0.0) for name in conditions)
    return min(share / busy, 1.0) if busy else 0.0
