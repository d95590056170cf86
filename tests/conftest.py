"""What all tests share: settings of hypothesis, and what keeps them fast."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, settings

# A busy machine must not fail a test, so no example is timed.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Python's default: without it each of the many processes that tests start would compile us anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(scope="session", autouse=True)
def _no_collections() -> Iterator[None]:
    """Let loads begin and end without the garbage collector.

    It walked over torch and all test modules for 0.15 s: most of the time of many a test.
    """
    idle = SimpleNamespace(collect=int, freeze=int, unfreeze=int, get_freeze_count=int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytest_aibench.inference.punctuality.gc", idle)
        yield
