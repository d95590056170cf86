"""Telemetry: what the machine and its GPUs are, their state, and what they did in between."""

from __future__ import annotations

from pytest_aibench.telemetry.sampler import Sampler, sampling

__all__ = ["Sampler", "sampling"]
