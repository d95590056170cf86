"""The number formats a model can run in."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from pytest_aibench.devices import Device, check_precision
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn


def dtype(precision: str) -> torch.dtype:
    """The type of weights and inputs in ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        UserError: No type stands for the precision.
    """
    import torch

    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision not in dtypes:
        raise UserError(f"no model can be cast to precision {precision!r}: use {', '.join(dtypes)}")
    return dtypes[precision]


def cast(model: nn.Module, device: Device, precision: str) -> nn.Module:
    """Bring a model to a device and a precision; a reduced precision works on a copy.

    Raises:
        UserError: No type stands for the precision, or the device does not have it.
    """
    target = dtype(precision)
    check_precision(device, precision)
    mine = model if precision == "fp32" else copy.deepcopy(model)
    return mine.to(device.torch_device(), target)
