"""Devices: find one, time on it, ask for its memory and precisions, and have it alone."""

from __future__ import annotations

from pytest_aibench.devices.base import Device, Timing, check_precision
from pytest_aibench.devices.discovery import resolve
from pytest_aibench.devices.lock import exclusive

__all__ = ["Device", "Timing", "check_precision", "exclusive", "resolve"]
