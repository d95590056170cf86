"""Data sets by name: ``get("digits")``; ``register`` adds your own."""

from __future__ import annotations

from pytest_aibench.datasets.base import Dataset, get, mounted, mounting, register, registered
from pytest_aibench.datasets.carriers import Carrier, DataAbsent, cached_arrays

__all__ = [
    "Carrier",
    "DataAbsent",
    "Dataset",
    "cached_arrays",
    "get",
    "mounted",
    "mounting",
    "register",
    "registered",
]
