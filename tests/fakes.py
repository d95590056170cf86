"""Stand-ins for what a test must control: time, a device, NVIDIA's driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from pytest_aibench.devices.base import Timing


@dataclass(slots=True)
class FakeClock:
    """A clock that moves only when told to."""

    now_ns: int = 0

    def now(self) -> int:
        """The time in ns."""
        return self.now_ns

    def seconds(self) -> float:
        """The time in s."""
        return self.now_ns / 1e9

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ns += round(seconds * 1e9)

    def sleep(self, seconds: float) -> None:
        """Sleep, which takes exactly the time asked for."""
        self.advance(seconds)

    def sleep_until(self, due: int) -> int:
        """Move to ``due``, unless it has passed; the value is the time then."""
        self.now_ns = max(self.now_ns, due)
        return self.now_ns


@dataclass(slots=True, kw_only=True)
class FakeDevice:
    """A device on which calls take the time by which they move the clock."""

    clock: FakeClock = field(default_factory=FakeClock)
    id: str = "fake:0"
    kind: str = "cpu"
    name: str = "Fake Device"
    memory_bytes: int | None = 2**30
    precisions: tuple[str, ...] = ("fp32",)
    uuid: str | None = None
    peak_bytes: int | None = None

    def synchronize(self) -> None:
        """Nothing to do."""

    def time(self, call: Callable[[], object]) -> Timing:
        """Run ``call`` and time it with the fake clock."""
        began = self.clock.seconds()
        call()
        elapsed_s = self.clock.seconds() - began
        return Timing(device_s=elapsed_s, host_s=elapsed_s)

    def reset_peak_memory(self) -> None:
        """Start at no memory."""
        self.peak_bytes = 0

    def peak_memory_bytes(self) -> int | None:
        """What the test has set since the last reset."""
        return self.peak_bytes

    def torch_device(self) -> Any:
        """The processor."""
        import torch

        return torch.device("cpu")


class FakeNvmlError(Exception):
    """What every unsupported query raises."""


A100: dict[str, Any] = {
    "nvmlSystemGetDriverVersion": "570.86.15",
    "nvmlDeviceGetName": "NVIDIA A100-SXM4-40GB",
    "nvmlDeviceGetUUID": "GPU-11111111-2222-3333-4444-555555555555",
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=40 * 2**30),
    "nvmlDeviceGetPowerManagementLimit": 400_000,
    "nvmlDeviceGetPowerUsage": 61_500,
    "nvmlDeviceGetTotalEnergyConsumption": 5_000_000,
    "nvmlDeviceGetEccMode": [1, 1],
    "nvmlDeviceGetMigMode": [0, 0],
    "nvmlDeviceGetTemperature": 41,
    "nvmlDeviceGetClockInfo": {1: 1410, 2: 1215},
    "nvmlDeviceGetCurrentClocksEventReasons": 0x24,
    "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=1)],
}
"""Answers of a GPU that supports every query; a dict is looked up by the last argument."""


def fake_pynvml(answers: Mapping[str, Any], *, gpus: int = 1, fault: str = "") -> ModuleType:
    """A ``pynvml`` that knows only these answers; every other query fails.

    Args:
        answers: Value by the function's name.
        gpus: Number of GPUs.
        fault: Why the driver cannot be opened.
    """
    module = ModuleType("pynvml")
    opened: list[str] = []

    def start() -> None:
        if fault:
            raise FakeNvmlError(fault)
        opened.append("nvmlInit")

    def query(name: str) -> Callable[..., Any]:
        def answer(*arguments: Any) -> Any:
            if name not in answers or not opened:
                raise FakeNvmlError(f"{name}: Not Supported")
            value = answers[name]
            return value[arguments[-1]] if isinstance(value, dict) else value

        return answer

    vars(module).update(
        nvmlInit=start,
        nvmlShutdown=opened.pop,
        nvmlDeviceGetCount=lambda: gpus,
        nvmlDeviceGetHandleByIndex=lambda index: f"handle {index}",
        opened=opened,
        __getattr__=query,
    )
    return module
