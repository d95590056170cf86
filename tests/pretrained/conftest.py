"""One thread: models as small as these spend more on waiting for a second than on their work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_aibench.training import cpu_threads


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield
