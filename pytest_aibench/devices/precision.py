"""Refuse a precision that a device does not have."""

from __future__ import annotations

from pytest_aibench.devices.base import Device
from pytest_aibench.errors import UserError


def check_precision(device: Device, precision: str) -> None:
    """Pass when the device computes in the precision.

    Raises:
        UserError: It does not; the message lists those that it has.
    """
    # Every device has fp32; asking one for the others may import torch and start a driver.
    if precision == "fp32" or precision in device.precisions:
        return
    available = ", ".join(device.precisions)
    raise UserError(
        f"precision {precision!r} is not available on {device.id} ({device.name}); "
        f"available: {available}"
    )
