"""AI benchmarks as tests: quality and speed asserted together, under MLPerf's load scenarios."""

_HOMES = {
    "BatchingServer": "loadgen.systems",
    "Constant": "loadgen.arrivals",
    "Gamma": "loadgen.arrivals",
    "HttpEndpoint": "loadgen.http_system",
    "KServeV2": "loadgen.protocols.kserve_v2",
    "MultiStream": "scenarios",
    "Offline": "scenarios",
    "OpenAIChat": "loadgen.protocols.openai",
    "OpenAICompletions": "loadgen.protocols.openai",
    "PlainJson": "loadgen.protocols.base",
    "Ramp": "loadgen.arrivals",
    "Replay": "loadgen.arrivals",
    "Scenario": "scenarios",
    "Seeds": "scenarios",
    "Server": "scenarios",
    "SingleStream": "scenarios",
    "Slo": "loadgen.token_figures",
    "Steps": "loadgen.arrivals",
    "TokenServer": "loadgen.token_systems",
    "UserError": "errors",
    "Users": "scenarios",
    "at_least": "bounds",
    "at_most": "bounds",
    "from_bounds": "bounds",
    "read_settings": "options",
}


def __getattr__(name: str) -> object:
    """Import public names on first use: every pytest session imports this package."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
