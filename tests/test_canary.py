"""Canaries: fixed work that tells whether the machine itself moved."""

from __future__ import annotations

import pytest

from pytest_aibench.devices.base import Timing
from pytest_aibench.telemetry import canary
from pytest_aibench.telemetry.canary import measure_canaries
from tests.fakes import FakeDevice


@pytest.fixture
def half_a_second_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "_timed", lambda call: 0.5)


def test_the_host_on_its_own() -> None:
    figures = measure_canaries(FakeDevice())
    assert {name: metric.better for name, metric in figures.items()} == {
        "host_loop_ms": "lower",
        "memcpy_gib_per_s": "higher",
        "gemm_gflop_per_s": "higher",
    }
    for metric in figures.values():
        assert metric.value is not None
        assert metric.value > 0
        assert 3 <= metric.n <= 9


@pytest.mark.usefixtures("half_a_second_each")
def test_units_and_the_end_of_the_budget() -> None:
    figures = measure_canaries(FakeDevice())
    assert {name: (metric.value, metric.n) for name, metric in figures.items()} == {
        "host_loop_ms": (500.0, 3),
        "memcpy_gib_per_s": (2 * 2**25 / 2**30, 3),
        "gemm_gflop_per_s": (4 * 512**3 / 1e9, 3),
    }


def test_the_first_repeat_does_not_count() -> None:
    times = iter([100.0, 4.0, 2.0, 3.0])
    metric = canary._measured(lambda: next(times), "lower", lambda seconds: seconds)
    assert (metric.value, metric.n) == (3.0, 3)


@pytest.mark.usefixtures("half_a_second_each")
def test_an_accelerator_adds_two(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(canary, "_DEVICE_SIZE", 8)
    monkeypatch.setattr(canary, "_DEVICE_COPY_BYTES", 2**20)
    monkeypatch.setattr(FakeDevice, "time", lambda self, call: Timing(0.5, 0.5))
    figures = measure_canaries(FakeDevice(kind="cuda"))
    assert list(figures)[3:] == ["device_memcpy_gib_per_s", "device_gemm_gflop_per_s"]
    assert figures["device_memcpy_gib_per_s"].value == 2 * 2**20 / 2**30
    assert figures["device_gemm_gflop_per_s"].value == 4 * 8**3 / 1e9


@pytest.mark.usefixtures("half_a_second_each")
def test_an_accelerator_that_cannot_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: FakeDevice) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 64 MiB")

    monkeypatch.setattr(FakeDevice, "torch_device", full)
    figures = measure_canaries(FakeDevice(kind="cuda"))
    assert figures["device_gemm_gflop_per_s"].value is None
    assert figures["device_gemm_gflop_per_s"].why_open == "CUDA out of memory."
    assert figures["host_loop_ms"].value == 500.0
