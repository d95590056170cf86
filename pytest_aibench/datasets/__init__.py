"""Data sets by name: ``get("digits")``; ``register`` adds your own."""

from __future__ import annotations

from pytest_aibench.datasets.base import Dataset, get, register

__all__ = ["Dataset", "get", "register"]
