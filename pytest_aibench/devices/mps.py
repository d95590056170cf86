"""The GPU of Apple silicon, through ``torch.mps``."""

from __future__ import annotations

from typing import ClassVar

from pytest_aibench.devices.accelerator import Accelerator
from pytest_aibench.devices.base import Found, why_no_torch
from pytest_aibench.telemetry.machine import memory_bytes


def find() -> Found:
    """The one GPU of a Mac, if torch can use it."""
    why_none = why_no_torch()
    if why_none:
        return Found(why_none=why_none)
    import torch

    if not torch.backends.mps.is_built():
        return Found(why_none=f"this torch ({torch.__version__}) has no MPS")
    if not torch.backends.mps.is_available():
        return Found(why_none="this machine or its macOS has no MPS")
    return Found((MpsDevice(0),))


class MpsDevice(Accelerator):
    """The GPU that shares the machine's memory."""

    kind: ClassVar[str] = "mps"

    @property
    def id(self) -> str:
        """``mps``: there is only one."""
        return "mps"

    @property
    def name(self) -> str:
        """The Metal device's name, where torch tells it."""
        import torch

        return str(getattr(torch.backends.mps, "get_name", lambda: "Apple GPU")())

    @property
    def memory_bytes(self) -> int | None:
        """The machine's memory."""
        return memory_bytes()

    def synchronize(self) -> None:
        """Wait for all work of the GPU."""
        import torch

        torch.mps.synchronize()

    def reset_peak_memory(self) -> None:
        """Nothing to do: Metal keeps no peak."""

    def peak_memory_bytes(self) -> int | None:
        """None: Metal tells the memory in use, not its peak."""
        return None
