"""AI benchmarks as tests: quality and speed asserted together, under MLPerf's load scenarios."""


def __getattr__(name: str) -> object:
    """Import public names on first use: every pytest session imports this package."""
    from importlib import import_module

    from pytest_aibench.names import HOMES

    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
