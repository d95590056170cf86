"""This user's folders, outside of any project: what can be made again, and what cannot."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_NAME = "pytest-aibench"


def cache_dir() -> Path:
    """The user's folder for what can be made again: weights, indexes, copies of remote records.

    It is not created. ``AIBENCH_CACHE`` names it outright; else it is ``pytest-aibench`` in
    ``XDG_CACHE_HOME`` or in the platform's place for caches.
    """
    if chosen := os.environ.get("AIBENCH_CACHE"):
        return Path(chosen)
    return _users_folder("XDG_CACHE_HOME", mac="Caches", other=".cache") / _NAME


def spool_dir() -> Path:
    """The user's folder for records that their store did not take; it is not created.

    It is ``pytest-aibench/spool`` in ``XDG_DATA_HOME`` or in the platform's place for data, where
    nothing that cleans caches looks.
    """
    data = _users_folder("XDG_DATA_HOME", mac="Application Support", other=".local/share")
    return data / _NAME / "spool"


def _users_folder(xdg: str, mac: str, other: str) -> Path:
    if chosen := os.environ.get(xdg):
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / mac
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    return Path.home() / other
