"""Random streams of a training: set from its seed, and put back afterwards."""

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
