"""The command ``aibench env``: what a record would say about this machine, now."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_aibench.results.schema import Environment


SETUP = [
    *("scale", "effort", "precision", "harness", "dataset", "scenario", "target", "seeds"),
    "training",
]
"""What, beside benchmark, figure and hardware, two figures must share to be of one series."""

_VALUE_WIDTH = 41  # a commit fits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(parsed: argparse.Namespace) -> int:
    """Gather the environment of the working directory, and print it."""
    from pathlib import Path

    from pytest_aibench.results.environment import collect
    from pytest_aibench.results.identity import hardware_classes
    from pytest_aibench.results.schema import to_json

    environment = collect(Path.cwd(), harness={}, state_before={})
    series = {"hardware": hardware_classes(environment), "setup": SETUP}
    groups = {**to_json(_at_one_moment(environment)), "series": series}
    if parsed.json:
        import json

        print(json.dumps(groups, indent=2, allow_nan=False))
    else:
        print(_table(groups))
    return 0


def _at_one_moment(environment: Environment) -> Environment:
    """Without the difference of before and after, since nothing was run in between."""
    from dataclasses import replace

    state = dict(environment.state)
    del state["before"]
    return replace(environment, state=state.pop("after") | state)


def _table(groups: Mapping[str, Mapping[str, Any]]) -> str:
    from tabulate import tabulate

    from pytest_aibench.results.identity import role

    rows: list[tuple[str, str, str, str]] = []
    for group, facts in groups.items():
        flat = [
            (path, value, "identity" if group == "series" else role(group, name))
            for name, fact in facts.items()
            for path, value in _flat(name, fact)
        ]
        rows += [("" if position else group, *row) for position, row in enumerate(flat)]
    return tabulate(
        rows,
        ("group", "fact", "value", "role"),
        "simple",
        disable_numparse=True,
        maxcolwidths=[None, None, _VALUE_WIDTH, None],
    )


def _flat(name: str, fact: Any) -> Iterator[tuple[str, str]]:
    """A fact as rows: the parts of nested ones under their path, like ``gpus.0.power_w``."""
    if isinstance(fact, Mapping):
        parts: Iterable[tuple[object, Any]] = fact.items()
    elif isinstance(fact, list) and any(isinstance(item, Mapping) for item in fact):
        parts = enumerate(fact)
    else:
        yield name, _text(fact)
        return
    for part, value in parts:
        yield from _flat(f"{name}.{part}", value)


def _text(fact: Any) -> str:
    if isinstance(fact, list):
        return ", ".join(map(_text, fact)) or "none"
    if isinstance(fact, bool):
        return "yes" if fact else "no"
    return f"{fact:.4g}" if isinstance(fact, float) else str(fact)
