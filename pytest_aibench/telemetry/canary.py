"""Canaries: fixed work without code under test, which tells whether the machine itself moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median

from pytest_aibench.devices.base import Device
from pytest_aibench.results.schema import Metric

_BUDGET_S = 0.05
_MOST_REPEATS = 9
_FEWEST_REPEATS = 3

_LOOPS = 100_000
_COPY_BYTES = 2**25
_SIZE = 512
_DEVICE_COPY_BYTES = 2**26
_DEVICE_SIZE = 2048

Work = Callable[[], float]


def measure_canaries(device: Device) -> dict[str, Metric]:
    """Measure the host and, where it is another, the device: each a median of 3 to 9 repeats.

    ``host_loop_ms`` is a loop in Python, ``memcpy_gib_per_s`` a copy of 32 MiB, counted once,
    ``gemm_gflop_per_s`` a product of matrices in float32. The same two of an accelerator have the
    prefix ``device_``.
    """
    figures = {
        "host_loop_ms": _measured(lambda: _timed(_host_loop), "lower", lambda s: s * 1e3),
        "memcpy_gib_per_s": _measured(_host_copy(), "higher", lambda s: _COPY_BYTES / 2**30 / s),
        "gemm_gflop_per_s": _measured(_host_gemm(), "higher", lambda s: 2 * _SIZE**3 / 1e9 / s),
    }
    return figures if device.kind == "cpu" else figures | _device_figures(device)


def _device_figures(device: Device) -> dict[str, Metric]:
    names = ("device_memcpy_gib_per_s", "device_gemm_gflop_per_s")
    try:
        copy, gemm = _device_copy(device), _device_gemm(device)
        gib, gflop = _DEVICE_COPY_BYTES / 2**30, 2 * _DEVICE_SIZE**3 / 1e9
        found = (
            _measured(copy, "higher", lambda s: gib / s),
            _measured(gemm, "higher", lambda s: gflop / s),
        )
    except Exception as error:  # No memory left, no BLAS: the benchmarks may run all the same.
        missing = Metric(value=None, better="higher", n=0, why_open=str(error).partition("\n")[0])
        found = missing, missing
    return dict(zip(names, found, strict=True))


def _measured(work: Work, better: str, figure: Callable[[float], float]) -> Metric:
    """The figure of the median time, the first repeat apart, which starts threads and caches."""
    work()
    times = list(_repeated(work))
    return Metric(value=figure(median(times)), better=better, n=len(times))


def _repeated(work: Work) -> Iterator[float]:
    spent_s = 0.0
    for repeat in range(_MOST_REPEATS):
        if repeat >= _FEWEST_REPEATS and spent_s > _BUDGET_S:
            return
        took_s = work()
        spent_s += took_s
        yield took_s


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _host_loop() -> int:
    total = 0
    for number in range(_LOOPS):
        total += number & 7
    return total


def _host_copy() -> Work:
    import numpy as np

    source = np.ones(_COPY_BYTES, dtype=np.uint8)
    target = np.empty_like(source)
    return lambda: _timed(lambda: np.copyto(target, source))


def _host_gemm() -> Work:
    import numpy as np

    matrix = np.ones((_SIZE, _SIZE), dtype=np.float32)
    product = np.empty_like(matrix)
    return lambda: _timed(lambda: np.matmul(matrix, matrix, out=product))


def _device_copy(device: Device) -> Work:
    import torch

    source = torch.ones(_DEVICE_COPY_BYTES, dtype=torch.uint8, device=device.torch_device())
    target = torch.empty_like(source)
    return lambda: device.time(lambda: target.copy_(source)).device_s


def _device_gemm(device: Device) -> Work:
    import torch

    matrix = torch.ones((_DEVICE_SIZE, _DEVICE_SIZE), device=device.torch_device())
    product = torch.empty_like(matrix)
    return lambda: device.time(lambda: torch.matmul(matrix, matrix, out=product)).device_s
