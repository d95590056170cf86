"""What the plugin keeps on pytest's config: the settings, and the benchmarks' session."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_aibench.options import Settings
    from pytest_aibench.session import BenchmarkSession

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
_SESSION: pytest.StashKey[BenchmarkSession] = pytest.StashKey()


def session_of(config: pytest.Config) -> BenchmarkSession:
    """The benchmarks' session of this process, made when the first benchmark needs it."""
    if _SESSION not in config.stash:
        from pytest_aibench.report.progress import show_line
        from pytest_aibench.session import BenchmarkSession

        say = partial(show_line, config)
        session = BenchmarkSession(config.stash[SETTINGS], config.rootpath, say)
        config.add_cleanup(session.close)
        config.stash[_SESSION] = session
    return config.stash[_SESSION]
