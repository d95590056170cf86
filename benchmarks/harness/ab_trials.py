"""Whether ``aibench ab`` is right: real sessions of two sides that are alike, or differ by a tenth.

Each trial is one command, with sessions of a small benchmark whose model is a busy loop. Where it
cannot decide within its sessions, it has to say how many pairs it needs.

Run it from the repository with ``python -m benchmarks.harness.ab_trials``; it takes half an hour.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.harness._rows import Row, run

TRIALS = 20
MOST_PAIRS = 8
SLOWER = 0.1
ENOUGH = 16

NOT_WORSE, REGRESSED, INCONCLUSIVE = 0, 1, 3
"""Exit statuses of ``aibench ab``."""

BENCHMARK = """
import os
import time

import numpy as np
import pytest
from pytest_aibench import SingleStream, at_least
from pytest_aibench.datasets import Dataset, register

LOOP_S = 0.004 * (1 + float(os.environ["SLOWER"]))

@register("counted")
def counted(split):
    samples = np.arange(20)
    return Dataset("counted", split, samples, samples, "CC0-1.0", "counted")

def model(samples):
    end = time.perf_counter() + LOOP_S * len(samples)
    while time.perf_counter() < end:
        pass
    return samples

@pytest.mark.dataset("counted")
@pytest.mark.parametrize("scenario", [SingleStream(min_duration="800 ms", min_queries=150)])
def test_model(loadgen, scenario, dataset):
    loadgen.run(model, dataset, scenario, max_batch=1).require(top1=at_least(1))
"""


def measure() -> list[Row]:
    """The rows of both kinds of trials."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "test_model.py").write_text(BENCHMARK, encoding="utf-8")
        alike = _trials(project, 0.0)
        slower = _trials(project, SLOWER)
    decided = slower[REGRESSED] + slower[INCONCLUSIVE]
    return [
        _row("sides alike: regressed", alike[REGRESSED], "0", alike[REGRESSED] == 0),
        _row("sides alike: not worse", alike[NOT_WORSE]),
        _row("sides alike: inconclusive, with the pairs it needs", alike[INCONCLUSIVE]),
        _row("a tenth slower: regressed", slower[REGRESSED]),
        _row("a tenth slower: inconclusive, with the pairs it needs", slower[INCONCLUSIVE]),
        _row("a tenth slower: one of these", decided, f"at least {ENOUGH}", decided >= ENOUGH),
    ]


def _row(measure: str, trials: int, goal: str = "none", met: bool = True) -> Row:
    return Row(f"{measure}, of {TRIALS}", trials, None, None, goal, met)


def _trials(project: Path, slower: float) -> Counter[int]:
    found: Counter[int] = Counter()
    for trial in range(TRIALS):
        status = _ab(project, slower)
        found[status] += 1
        print(f"slower by {slower:.0%}, trial {trial + 1}: exit {status}", file=sys.stderr)
    return found


def _ab(project: Path, slower: float) -> int:
    """The exit status of one trial; an undecided one without a number of pairs is a fault."""
    sides = ["--a", "env=SLOWER=0", "--b", f"env=SLOWER={slower}"]
    limits = [f"--max-pairs={MOST_PAIRS}", "--budget=5 min"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest_aibench.cli", "ab", *sides, *limits, "--", "-q"],
        cwd=project,
        env={**os.environ, "AIBENCH_EFFORT": "quick"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == INCONCLUSIVE and "pairs" not in done.stdout:
        raise SystemExit(f"undecided, without saying what is needed:\n{done.stdout}")
    if done.returncode not in (NOT_WORSE, REGRESSED, INCONCLUSIVE):
        raise SystemExit(f"exit {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(run(__doc__.splitlines()[0], measure))
