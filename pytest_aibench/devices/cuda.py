"""NVIDIA GPUs, and AMD GPUs under ROCm, through ``torch.cuda``."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from pytest_aibench.devices.accelerator import Accelerator
from pytest_aibench.devices.base import Found, Timing, why_no_torch


def find() -> Found:
    """The GPUs that ``torch.cuda`` can use, in its numbering."""
    why_none = why_no_torch() or _why_unusable()
    if why_none:
        return Found(why_none=why_none)
    import torch

    return Found(tuple(CudaDevice(index) for index in range(torch.cuda.device_count())))


def _why_unusable() -> str:
    import torch

    if torch.version.cuda is None and torch.version.hip is None:
        return f"this torch ({torch.__version__}) has no CUDA"
    # torch tells of a driver that is missing or too old only by a warning.
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            return ""
    texts = [str(warning.message).splitlines()[0].split(". ")[0] for warning in caught]
    return texts[0] if texts else "no CUDA GPU is visible to this process"


class CudaDevice(Accelerator):
    """One GPU."""

    kind: ClassVar[str] = "cuda"

    @property
    def name(self) -> str:
        """The product name."""
        import torch

        return torch.cuda.get_device_name(self.index)

    @property
    def memory_bytes(self) -> int | None:
        """All memory that CUDA shows of the GPU, or of its MIG slice."""
        import torch

        return int(torch.cuda.get_device_properties(self.index).total_memory)

    @property
    def precisions(self) -> tuple[str, ...]:
        """``bf16`` from compute capability 8.0 on, as all GPUs under ROCm have.

        ``torch.cuda.is_bf16_supported`` also counts the emulation on older GPUs, where bf16 has
        no convolutions.
        """
        import torch

        has_bf16 = torch.cuda.get_device_capability(self.index) >= (8, 0)
        return ("fp32", "fp16", "bf16") if has_bf16 else ("fp32", "fp16")

    @property
    def uuid(self) -> str | None:
        """The UUID of the GPU or MIG slice, without NVML's prefix; None when torch is too old."""
        import torch

        uuid = getattr(torch.cuda.get_device_properties(self.index), "uuid", None)
        return None if uuid is None else str(uuid)

    def synchronize(self) -> None:
        """Wait for all streams of the GPU."""
        import torch

        torch.cuda.synchronize(self.index)

    def time(self, call: Callable[[], object]) -> Timing:
        """Time one call with CUDA events, and from idle to idle with the host's clock.

        The events stand on the current stream: gaps in which the GPU waits for the host count,
        work that the call leaves behind on other streams does not; the host's time has it.
        """
        import torch

        cuda: Any = torch.cuda  # Its events have no annotations.
        with cuda.device(self.index):
            start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
            cuda.synchronize()
            began = time.perf_counter()
            start.record()
            call()
            end.record()
            cuda.synchronize()
            host_s = time.perf_counter() - began
        return Timing(device_s=start.elapsed_time(end) / 1e3, host_s=host_s)

    def reset_peak_memory(self) -> None:
        """Start a new peak at what torch has allocated now."""
        import torch

        # Before CUDA is started there are no statistics to reset; synchronising starts it.
        self.synchronize()
        torch.cuda.reset_peak_memory_stats(self.index)

    def peak_memory_bytes(self) -> int | None:
        """Peak of torch's tensors on the GPU since the last reset.

        None when torch has allocated nothing: then another library holds the model, and only it
        could tell.
        """
        import torch

        return torch.cuda.max_memory_allocated(self.index) or None
