"""What a device offers to a benchmark, and what every kind of device is built with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from pytest_aibench.errors import UserError


@dataclass(frozen=True, slots=True)
class Timing:
    """Time of one timed call: on the device, and on the host beside it, in seconds."""

    device_s: float
    host_s: float


class Device(Protocol):
    """A place where a model runs."""

    @property
    def id(self) -> str:
        """What the user asks for and node ids show: ``cpu``, ``cuda:0``."""

    @property
    def kind(self) -> str:
        """``cpu``, ``cuda``, ``mps`` or ``xpu``."""

    @property
    def name(self) -> str:
        """The product name."""

    @property
    def memory_bytes(self) -> int | None:
        """Memory of the device; None when unknown."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Supported precisions, ``fp32`` first."""

    @property
    def uuid(self) -> str | None:
        """The driver's identifier of the physical unit; None where it gives none."""

    def synchronize(self) -> None:
        """Wait until all work given to the device is done."""

    def time(self, call: Callable[[], object]) -> Timing:
        """Run ``call`` once and time it with the timer that is right for the device."""

    def reset_peak_memory(self) -> None:
        """Start a new peak-memory measurement."""

    def peak_memory_bytes(self) -> int | None:
        """Peak memory since the last reset; None where the device cannot tell."""

    def torch_device(self) -> Any:
        """The ``torch.device``, for models.

        Raises:
            UserError: torch is not installed.
        """


@dataclass(frozen=True, slots=True)
class Found:
    """The devices of one kind, and why there are none."""

    devices: tuple[Device, ...] = ()
    why_none: str = ""


def check_precision(device: Device, precision: str) -> None:
    """Pass when the device computes in the precision.

    Raises:
        UserError: It does not; the message lists those that it has.
    """
    # Every device has fp32; asking one for the others may import torch and start a driver.
    if precision == "fp32" or precision in device.precisions:
        return
    available = ", ".join(device.precisions)
    raise UserError(
        f"precision {precision!r} is not available on {device.id} ({device.name}); "
        f"available: {available}"
    )


def time_on_host(call: Callable[[], object], synchronize: Callable[[], None]) -> Timing:
    """Time one call from an idle device to an idle device; device and host time are the same."""
    synchronize()
    began = time.perf_counter()
    call()
    synchronize()
    elapsed_s = time.perf_counter() - began
    return Timing(device_s=elapsed_s, host_s=elapsed_s)


def why_no_torch() -> str:
    """The reason why torch cannot be imported; empty when it can."""
    try:
        import_module("torch")
    except ImportError as error:
        if error.name == "torch":
            return "torch is not installed (pip install 'pytest-aibench[torch]')"
        return f"torch cannot be imported ({error})"
    except OSError as error:
        # A shared library of torch that does not load, as with a half-removed CUDA package.
        return f"torch cannot be imported ({error})"
    return ""
