"""What a device offers to a benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


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
