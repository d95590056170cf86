"""Intel GPUs, through ``torch.xpu``."""

from __future__ import annotations

from typing import ClassVar

from pytest_aibench.devices.accelerator import Accelerator
from pytest_aibench.devices.base import Found, why_no_torch


def find() -> Found:
    """The GPUs that ``torch.xpu`` can use, in its numbering."""
    why_none = why_no_torch()
    if why_none:
        return Found(why_none=why_none)
    import torch

    if not hasattr(torch.xpu, "max_memory_allocated"):
        return Found(why_none=f"this torch ({torch.__version__}) is too old for Intel GPUs")
    if not torch.xpu.is_available():
        return Found(why_none=f"this torch ({torch.__version__}) sees no Intel GPU")
    return Found(tuple(XpuDevice(index) for index in range(torch.xpu.device_count())))


class XpuDevice(Accelerator):
    """One GPU; timed by the host, because its events measure time only with a recent oneAPI."""

    kind: ClassVar[str] = "xpu"

    @property
    def name(self) -> str:
        """The product name."""
        import torch

        return torch.xpu.get_device_name(self.index)

    @property
    def memory_bytes(self) -> int | None:
        """All memory of the GPU."""
        import torch

        return int(torch.xpu.get_device_properties(self.index).total_memory)

    def synchronize(self) -> None:
        """Wait for all queues of the GPU."""
        import torch

        torch.xpu.synchronize(self.index)

    def reset_peak_memory(self) -> None:
        """Start a new peak at what torch has allocated now."""
        import torch

        # Before the driver is started there are no statistics to reset; synchronising starts it.
        self.synchronize()
        torch.xpu.reset_peak_memory_stats(self.index)

    def peak_memory_bytes(self) -> int | None:
        """Peak of torch's tensors since the last reset; None when torch has allocated nothing."""
        import torch

        return torch.xpu.max_memory_allocated(self.index) or None
