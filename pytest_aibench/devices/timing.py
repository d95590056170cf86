"""Timing with the host's clock, for devices without a timer of their own."""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_aibench.devices.base import Timing


def time_on_host(call: Callable[[], object], synchronize: Callable[[], None]) -> Timing:
    """Time one call from an idle device to an idle device; device and host time are the same."""
    synchronize()
    began = time.perf_counter()
    call()
    synchronize()
    elapsed_s = time.perf_counter() - began
    return Timing(device_s=elapsed_s, host_s=elapsed_s)
