"""The marks of benchmarks: their arguments, and those that scenarios bring."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    import pytest

    from pytest_aibench.scenarios import Scenario

_FIXES = {
    "single_stream": "give settings to the scenario, like SingleStream(latency_bound='10 ms')",
    "multi_stream": "give settings to the scenario, like MultiStream(samples_per_query=8)",
    "server": "give settings to the scenario, like Server(target_qps=50, latency_bound='100 ms')",
    "offline": "give settings to the scenario, like Offline(samples=1000)",
    "users": "give settings to the scenario, like Users(count=8, think_time='100 ms')",
    "train": "give settings to trainer.run",
    "micro": "give settings to the measurement",
}
"""What to do instead of giving a mark arguments."""


def scenario_id(value: object) -> str | None:
    """The short id of a scenario; None for other values."""
    kind = _scenario_type()
    return value.id if kind is not None and isinstance(value, kind) else None


def mark_scenario(item: pytest.Function) -> None:
    """Give an item the mark of the scenario among its parameters."""
    kind = _scenario_type()
    if kind is None or not hasattr(item, "callspec"):
        return
    for value in item.callspec.params.values():
        if isinstance(value, kind):
            item.add_marker(value.name)


def check_marks(benchmark: pytest.Metafunc) -> None:
    """Check the arguments of our marks on a benchmark.

    Raises:
        UserError: A mark has arguments that it does not know.
    """
    item = benchmark.definition
    for mark in item.iter_markers():
        if mark.name == "dataset" and "aibench_dataset" in benchmark.fixturenames:
            _check_dataset(item, mark)
        elif mark.name in _FIXES:
            _check_bare(item, mark)


def _check_dataset(item: pytest.Item, mark: pytest.Mark) -> None:
    unknown = sorted(set(mark.kwargs) - {"split"})
    if unknown:
        raise UserError(
            f"{item.nodeid}: mark dataset has no argument {unknown[0]!r}: it takes a name and split"
        )
    if len(mark.args) != 1 or not isinstance(mark.args[0], str):
        raise UserError(
            f"{item.nodeid}: mark dataset needs the data set's name: write dataset('digits')"
        )


def _check_bare(item: pytest.Item, mark: pytest.Mark) -> None:
    if mark.args or mark.kwargs:
        raise UserError(f"{item.nodeid}: mark {mark.name} takes no arguments: {_FIXES[mark.name]}")


def _scenario_type() -> type[Scenario] | None:
    """The type, unless no test module has imported it: then there can be no scenario."""
    module = sys.modules.get("pytest_aibench.scenarios")
    return None if module is None else module.Scenario
