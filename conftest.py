"""Settings for the project's own tests and benchmarks."""

from __future__ import annotations

pytest_plugins = ["pytester"]
