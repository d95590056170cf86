"""What the devices that torch drives have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from pytest_aibench.devices.base import Timing, time_on_host

_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class Accelerator(ABC):
    """One device of a kind that torch numbers from 0.

    Creating it asks nothing of the device, so that collecting tests starts no driver.
    """

    kind: ClassVar[str]

    def __init__(self, index: int) -> None:
        self.index = index

    @property
    def id(self) -> str:
        """Kind and number, like ``xpu:0``."""
        return f"{self.kind}:{self.index}"

    @property
    def uuid(self) -> str | None:
        """None: torch does not tell for this kind."""
        return None

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those in which the device computes; that depends on chip, system and torch."""
        return tuple(precision for precision in _DTYPES if self._computes(precision))

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until all work given to the device is done."""

    def time(self, call: Callable[[], object]) -> Timing:
        """Run ``call`` once and time it with the host's clock, synchronised on both sides."""
        return time_on_host(call, self.synchronize)

    def torch_device(self) -> Any:
        """The ``torch.device``, for models."""
        import torch

        return torch.device(self.id)

    def _computes(self, precision: str) -> bool:
        import torch

        try:
            two = torch.full((1,), 2, dtype=getattr(torch, _DTYPES[precision]), device=self.id)
            return bool((two * two).item() == 4)
        except (RuntimeError, TypeError):
            return False
