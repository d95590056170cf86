"""What a training sets for itself, and puts back: random streams and torch's threads."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pytest_aibench.devices.base import Device


@contextmanager
def seeded(seed: int, device: Device) -> Iterator[None]:
    """Seed Python, numpy and torch; on leaving, their streams go on as if nothing had happened."""
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()
    index = device.torch_device().index or 0
    devices = [index] if device.kind in ("cuda", "xpu") else []
    with torch.random.fork_rng(devices, device_type=device.kind if devices else "cuda"):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Compute with so many threads, and go back to the former number on leaving; None changes none.

    Threads that share an operation wait for each other in a busy loop. A small model gains little
    from them, and loses seconds whenever another process takes a core.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
