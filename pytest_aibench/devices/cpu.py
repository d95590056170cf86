"""The processor: always there, with or without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from pytest_aibench.devices.base import Found, Timing, time_on_host, why_no_torch
from pytest_aibench.errors import UserError
from pytest_aibench.telemetry.machine import cpu_model, memory_bytes

_PROCESS = Path("/proc/self")


def find() -> Found:
    """The one processor of this machine."""
    return Found((CpuDevice(),))


class CpuDevice:
    """All processors of the machine together."""

    id: ClassVar[str] = "cpu"
    kind: ClassVar[str] = "cpu"
    uuid: ClassVar[str | None] = None

    def __init__(self) -> None:
        self._has_new_peak = False

    @property
    def name(self) -> str:
        """The product name."""
        return cpu_model()

    @property
    def memory_bytes(self) -> int | None:
        """The machine's memory."""
        return memory_bytes()

    @property
    def precisions(self) -> tuple[str, ...]:
        """``fp32``; with torch also ``bf16``, and ``int8`` by dynamic quantisation."""
        return ("fp32",) if why_no_torch() else ("fp32", "bf16", "int8")

    def synchronize(self) -> None:
        """Nothing to do: a call returns when its work is done."""

    def time(self, call: Callable[[], object]) -> Timing:
        """Time one call with the host's clock."""
        return time_on_host(call, self.synchronize)

    def reset_peak_memory(self) -> None:
        """Start a new peak at the present resident memory, where Linux allows it (proc(5))."""
        try:
            (_PROCESS / "clear_refs").write_text("5")
        except OSError:
            self._has_new_peak = False
        else:
            self._has_new_peak = True

    def peak_memory_bytes(self) -> int | None:
        """High-water mark of the whole process's resident memory since the last reset.

        It contains interpreter, libraries, model and data. None where the mark cannot be reset,
        since it would then tell of something that ran before.
        """
        if not self._has_new_peak:
            return None
        lines = (_PROCESS / "status").read_text().splitlines()
        peaks_kib = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        return peaks_kib[0] * 1024 if peaks_kib else None

    def torch_device(self) -> Any:
        """The ``torch.device``, for models.

        Raises:
            UserError: torch is not installed.
        """
        why_none = why_no_torch()
        if why_none:
            raise UserError(f"a torch model needs torch, and {why_none}")
        import torch

        return torch.device("cpu")
