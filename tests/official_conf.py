"""Asks the official LoadGen what its configuration files set."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ASK = """
import json, sys
import mlperf_loadgen as mlperf
path, asked = json.load(sys.stdin)
for model, scenario, names in asked:
    settings = mlperf.TestSettings()
    settings.scenario = getattr(mlperf.TestScenario, scenario)
    settings.FromConfig("", model, scenario, 0)
    if path:
        settings.FromConfig(path, model, scenario, 2)
    print(json.dumps({name: getattr(settings, name) for name in names}))
"""


def ask_loadgen(
    asked: Sequence[tuple[str, str, list[str]]], user_conf: Path | None = None
) -> list[dict[str, Any]]:
    """Settings as LoadGen reads them, in a process of its own.

    Args:
        asked: Model, LoadGen's name of the scenario, and the settings wanted.
        user_conf: A file read on top of the one built into LoadGen.
    """
    process = subprocess.run(
        [sys.executable, "-c", _ASK],
        input=json.dumps([str(user_conf or ""), asked]),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return [json.loads(line) for line in process.stdout.splitlines()]
