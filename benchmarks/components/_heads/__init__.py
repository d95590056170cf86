"""Portraits of generated people, for what recognises faces."""

from __future__ import annotations

from benchmarks.components._heads.model import ANNY
from benchmarks.components._heads.portraits import SIZE, portraits

__all__ = ["ANNY", "SIZE", "portraits"]
