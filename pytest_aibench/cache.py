"""Where things that can be made again are kept between sessions."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """The user's cache folder for this plugin; it is not created.

    ``AIBENCH_CACHE`` names it outright; else it is ``pytest-aibench`` in ``XDG_CACHE_HOME`` or in
    the platform's place for caches.
    """
    if chosen := os.environ.get("AIBENCH_CACHE"):
        return Path(chosen)
    return _users_caches() / "pytest-aibench"


def _users_caches() -> Path:
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    return Path.home() / ".cache"
