"""Devices: the words of --device, the kinds, precisions."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pytest_aibench.devices import Device, check_precision, cpu, discovery, resolve
from pytest_aibench.devices.base import Found
from pytest_aibench.devices.cpu import CpuDevice
from pytest_aibench.devices.cuda import CudaDevice
from pytest_aibench.devices.mps import MpsDevice
from pytest_aibench.devices.xpu import XpuDevice
from pytest_aibench.errors import UserError
from tests.fakes import FakeClock, FakeDevice


def gpus(count: int, why_none: str = "") -> Callable[[], Found]:
    devices = tuple(FakeDevice(id=f"cuda:{index}", kind="cuda") for index in range(count))
    return lambda: Found(devices, why_none)


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(discovery._FINDERS, "cuda", gpus(2))
    monkeypatch.setitem(discovery._FINDERS, "xpu", gpus(0, "no xpu here"))
    monkeypatch.setitem(discovery._FINDERS, "mps", gpus(0, "no mps here"))


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("cpu", ["cpu"]),
        ("cpu:0", ["cpu"]),
        ("cuda", ["cuda:0"]),
        ("cuda:1", ["cuda:1"]),
        ("auto", ["cuda:0"]),
        ("all", ["cuda:0", "cuda:1", "cpu"]),
        ("cpu, cuda:1", ["cpu", "cuda:1"]),
        ("cuda,cuda:0,auto", ["cuda:0"]),
        ("cpu,all", ["cpu", "cuda:0", "cuda:1"]),
    ],
)
def test_a_spec_names_devices_in_order_and_once(spec: str, expected: list[str]) -> None:
    assert [device.id for device in resolve(spec)] == expected


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "gpu",
            "device 'gpu' is unknown: use auto, all, cuda, xpu, mps, cpu or cuda:N; "
            "available: cuda:0, cuda:1, cpu",
        ),
        (
            "cpu,",
            "device '' is unknown: use auto, all, cuda, xpu, mps, cpu or cuda:N; "
            "available: cuda:0, cuda:1, cpu",
        ),
        (
            "cuda:2",
            "device 'cuda:2' is not available: the last one is cuda:1; "
            "available: cuda:0, cuda:1, cpu",
        ),
        (
            "cpu,mps",
            "device 'mps' is not available: no mps here; available: cuda:0, cuda:1, cpu",
        ),
    ],
)
def test_a_device_that_is_not_there_is_a_one_line_error(spec: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        resolve(spec)
    assert str(raised.value) == message


def test_auto_passes_over_a_gpu_that_does_not_compute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(discovery._FINDERS, "cuda", gpus(1))
    faults = iter(["no kernel image is available for execution on the device"])
    monkeypatch.setattr(discovery, "_why_broken", lambda device: next(faults))
    with pytest.warns(UserWarning, match=r"^device 'cuda:0' is there but does not work: no kernel"):
        assert [device.id for device in resolve("auto")] == ["cpu"]


def test_a_broken_device_says_the_first_line_of_its_fault() -> None:
    class Broken(FakeDevice):
        def torch_device(self) -> Any:
            raise RuntimeError("CUDA error: out of memory\nfor debugging ...")

    assert discovery._why_broken(Broken()) == "CUDA error: out of memory"
    assert discovery._why_broken(FakeDevice()) == ""


def test_the_cpu_works_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (device,) = resolve("auto")
    assert (device.id, device.kind, device.uuid) == ("cpu", "cpu", None)
    assert device.name
    assert (device.memory_bytes or 0) > 0
    assert device.precisions == ("fp32",)
    assert device.time(lambda: None).device_s >= 0
    with pytest.raises(UserError) as raised:
        device.torch_device()
    assert str(raised.value) == (
        "a torch model needs torch, and torch is not installed "
        "(pip install 'pytest-aibench[torch]')"
    )


@pytest.mark.parametrize("kind", ["cuda", "xpu", "mps"])
def test_without_torch_an_accelerator_names_the_extra(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError) as raised:
        resolve(kind)
    assert str(raised.value) == (
        f"device '{kind}' is not available: torch is not installed "
        "(pip install 'pytest-aibench[torch]'); available: cpu"
    )


def test_a_torch_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr("pytest_aibench.devices.base.import_module", fail)
    with pytest.raises(UserError, match=r"torch cannot be imported \(libcudart.so.12: cannot open"):
        resolve("cuda")


def test_resolving_the_cpu_leaves_torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    check_precision(resolve("cpu")[0], "fp32")
    assert "torch" not in sys.modules


def test_torch_brings_bf16_and_int8_to_the_cpu() -> None:
    import torch

    assert CpuDevice().torch_device() == torch.device("cpu")
    assert CpuDevice().precisions == ("fp32", "bf16", "int8")


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_precision_that_a_device_lacks_is_refused(precision: str) -> None:
    device = FakeDevice(id="cuda:0", name="Tesla T4", precisions=("fp32", "fp16"))
    check_precision(device, "fp16")
    with pytest.raises(UserError) as raised:
        check_precision(device, precision)
    assert str(raised.value) == (
        f"precision '{precision}' is not available on cuda:0 (Tesla T4); available: fp32, fp16"
    )


def test_the_cpu_peak_is_the_high_water_mark_since_the_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_PROCESS", tmp_path)
    (tmp_path / "status").write_text("VmPeak:\t 9 kB\nVmHWM:\t  2048 kB\nVmRSS:\t 7 kB\n")
    device = CpuDevice()
    assert device.peak_memory_bytes() is None
    device.reset_peak_memory()
    assert (tmp_path / "clear_refs").read_text() == "5"
    assert device.peak_memory_bytes() == 2048 * 1024


def test_the_cpu_peak_is_unknown_where_it_cannot_be_reset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_PROCESS", tmp_path)
    (tmp_path / "status").write_text("VmHWM:\t  2048 kB\n")
    device = CpuDevice()
    device.reset_peak_memory()
    assert device.peak_memory_bytes() == 2048 * 1024
    (tmp_path / "clear_refs").unlink()
    (tmp_path / "clear_refs").mkdir()
    device.reset_peak_memory()
    assert device.peak_memory_bytes() is None


class _FakeEvent:
    """An event that remembers when the fake GPU passed it."""

    def __init__(self, cuda: _FakeCuda, enable_timing: bool) -> None:
        assert enable_timing
        self.cuda = cuda

    def record(self) -> None:
        self.cuda.calls.append(f"record on {self.cuda.current}")
        self.ms = self.cuda.clock.now_ns / 1e6

    def elapsed_time(self, end: _FakeEvent) -> float:
        return end.ms - self.ms


class _FakeCuda:
    """The part of ``torch.cuda`` (and ``torch.xpu``) that devices use, writing down its calls."""

    def __init__(self, *, count: int = 2, warning: str = "", capability: tuple[int, int] = (8, 0)):
        self.count = count
        self.warning = warning
        self.capability = capability
        self.calls: list[str] = []
        self.current = 0
        self.clock = FakeClock()
        self.peak = 0
        self.properties = SimpleNamespace(total_memory=16 * 2**30, uuid="1-2-3")

    def is_available(self) -> bool:
        if self.warning:
            warnings.warn(self.warning, stacklevel=2)
        return self.count > 0

    def device_count(self) -> int:
        return self.count

    def get_device_name(self, index: int) -> str:
        return f"GPU number {index}"

    def get_device_properties(self, index: int) -> SimpleNamespace:
        return self.properties

    def get_device_capability(self, index: int) -> tuple[int, int]:
        return self.capability

    @contextmanager
    def device(self, index: int) -> Iterator[None]:
        before, self.current = self.current, index
        yield
        self.current = before

    def Event(self, *, enable_timing: bool) -> _FakeEvent:  # noqa: N802
        return _FakeEvent(self, enable_timing)

    def synchronize(self, index: int | None = None) -> None:
        self.calls.append(f"synchronize {self.current if index is None else index}")

    def reset_peak_memory_stats(self, index: int) -> None:
        self.calls.append(f"reset {index}")

    def max_memory_allocated(self, index: int) -> int:
        return self.peak


def install_torch(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> None:
    torch = ModuleType("torch")
    absent = _FakeCuda(count=0)
    mps = SimpleNamespace(is_built=lambda: False, is_available=lambda: False)
    vars(torch).update(
        {
            "__version__": "2.9.0+fake",
            "version": SimpleNamespace(cuda="12.8", hip=None),
            "backends": SimpleNamespace(mps=mps),
            "cuda": absent,
            "xpu": absent,
            **parts,
        }
    )
    monkeypatch.setitem(sys.modules, "torch", torch)


def reason(spec: str) -> str:
    with pytest.raises(UserError) as raised:
        resolve(spec)
    return str(raised.value)


def test_a_cpu_build_of_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install_torch(monkeypatch, version=SimpleNamespace(cuda=None, hip=None))
    assert reason("cuda") == (
        "device 'cuda' is not available: this torch (2.9.0+fake) has no CUDA; available: cpu"
    )
    assert reason("mps") == (
        "device 'mps' is not available: this torch (2.9.0+fake) has no MPS; available: cpu"
    )
    assert reason("xpu") == (
        "device 'xpu' is not available: this torch (2.9.0+fake) sees no Intel GPU; available: cpu"
    )


def test_the_reason_that_torch_only_warns_of_reaches_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "CUDA initialization: The NVIDIA driver on your system is too old. Please update\n..."
    install_torch(monkeypatch, cuda=_FakeCuda(count=0, warning=text))
    assert reason("cuda") == (
        "device 'cuda' is not available: CUDA initialization: The NVIDIA driver on your system "
        "is too old; available: cpu"
    )


def test_no_visible_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    install_torch(monkeypatch)
    assert reason("cuda:0") == (
        "device 'cuda:0' is not available: no CUDA GPU is visible to this process; available: cpu"
    )


def test_an_old_torch_has_no_intel_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    install_torch(monkeypatch, xpu=SimpleNamespace(is_available=lambda: True))
    assert "this torch (2.9.0+fake) is too old for Intel GPUs; available: cpu" in reason("xpu")


def test_cuda_devices_are_found_without_starting_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = _FakeCuda(count=2)
    install_torch(monkeypatch, cuda=cuda)
    devices: tuple[Device, ...] = resolve("all")
    assert [device.id for device in devices] == ["cuda:0", "cuda:1", "cpu"]
    assert cuda.calls == []
    assert devices[1].name == "GPU number 1"
    assert devices[1].memory_bytes == 16 * 2**30
    assert devices[1].uuid == "1-2-3"


def test_cuda_times_between_events_on_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = _FakeCuda()
    install_torch(monkeypatch, cuda=cuda)

    def call() -> None:
        cuda.calls.append("call")
        cuda.clock.advance(0.25)

    timing = CudaDevice(1).time(call)
    assert timing.device_s == 0.25
    assert timing.host_s > 0
    assert cuda.calls == ["synchronize 1", "record on 1", "call", "record on 1", "synchronize 1"]
    assert cuda.current == 0


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((7, 5), ("fp32", "fp16")),
        ((8, 0), ("fp32", "fp16", "bf16")),
        ((12, 0), ("fp32", "fp16", "bf16")),
    ],
)
def test_cuda_has_bf16_from_ampere_on(
    capability: tuple[int, int], expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    install_torch(monkeypatch, cuda=_FakeCuda(capability=capability))
    assert CudaDevice(0).precisions == expected


def test_a_torch_without_uuids_gives_none(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = _FakeCuda()
    del cuda.properties.uuid
    install_torch(monkeypatch, cuda=cuda)
    assert CudaDevice(0).uuid is None


@pytest.mark.parametrize("kind", [CudaDevice, XpuDevice])
def test_the_peak_of_a_gpu_is_torchs_or_unknown(
    kind: type[CudaDevice | XpuDevice], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = _FakeCuda()
    install_torch(monkeypatch, cuda=backend, xpu=backend)
    device = kind(1)
    device.reset_peak_memory()
    assert backend.calls == ["synchronize 1", "reset 1"]
    assert device.peak_memory_bytes() is None
    backend.peak = 4096
    assert device.peak_memory_bytes() == 4096


def test_xpu_is_timed_by_the_host_from_idle_to_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = _FakeCuda(count=1)
    install_torch(monkeypatch, xpu=backend)
    (device,) = resolve("xpu")
    timing = device.time(lambda: backend.calls.append("call"))
    assert backend.calls == ["synchronize 0", "call", "synchronize 0"]
    assert timing.device_s == timing.host_s
    assert (device.id, device.name, device.uuid) == ("xpu:0", "GPU number 0", None)
    assert device.memory_bytes == 16 * 2**30


def test_mps_is_one_device_without_a_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    synchronised: list[str] = []
    present = SimpleNamespace(is_built=lambda: True, is_available=lambda: True)
    install_torch(
        monkeypatch,
        backends=SimpleNamespace(mps=present),
        mps=SimpleNamespace(synchronize=lambda: synchronised.append("synchronize")),
    )
    (device,) = resolve("mps:0")
    assert (device.id, device.kind, device.name) == ("mps", "mps", "Apple GPU")
    assert device.memory_bytes == CpuDevice().memory_bytes
    device.time(lambda: synchronised.append("call"))
    assert synchronised == ["synchronize", "call", "synchronize"]
    device.reset_peak_memory()
    assert device.peak_memory_bytes() is None


def test_mps_needs_a_system_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(is_built=lambda: True, is_available=lambda: False)
    install_torch(monkeypatch, backends=SimpleNamespace(mps=old))
    assert "this machine or its macOS has no MPS; available: cpu" in reason("mps")


def test_precisions_of_other_accelerators_are_tried_out(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    class OnCpu(MpsDevice):
        @property
        def id(self) -> str:
            return "cpu"

    real = torch.full

    def without_bf16(*arguments: Any, dtype: torch.dtype, **options: Any) -> torch.Tensor:
        if dtype == torch.bfloat16:
            raise TypeError("BFloat16 is not supported on MPS")
        return real(*arguments, dtype=dtype, **options)

    assert OnCpu(0).precisions == ("fp32", "fp16", "bf16")
    monkeypatch.setattr(torch, "full", without_bf16)
    assert OnCpu(0).precisions == ("fp32", "fp16")
    assert OnCpu(0).torch_device() == torch.device("cpu")


def test_the_fake_device_times_with_its_clock() -> None:
    device = FakeDevice()
    timing = device.time(lambda: device.clock.sleep(0.5))
    assert timing.device_s == 0.5
    assert device.clock.sleep_until(400_000_000) == 500_000_000
