"""AI benchmarks as tests: quality and speed asserted together, under MLPerf's load scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_aibench.bounds import at_least, at_most
    from pytest_aibench.errors import UserError
    from pytest_aibench.loadgen.systems import BatchingServer
    from pytest_aibench.scenarios import (
        MultiStream,
        Offline,
        Scenario,
        Seeds,
        Server,
        SingleStream,
    )

__all__ = [
    "BatchingServer",
    "MultiStream",
    "Offline",
    "Scenario",
    "Seeds",
    "Server",
    "SingleStream",
    "UserError",
    "at_least",
    "at_most",
]

_HOMES = {
    "BatchingServer": "loadgen.systems",
    "UserError": "errors",
    "at_least": "bounds",
    "at_most": "bounds",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: every pytest session imports this package."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'scenarios')}"), name)
