"""Ctrl-C in the middle of a load: what is finished is kept, and the rest is marked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_aibench.datasets import mounted
from tests.records import stored_files

BENCHMARK = """
from pathlib import Path

import pytest
from pytest_aibench import Server, SingleStream, at_least
from tiny import right

@pytest.mark.dataset("tiny")
def test_finished(loadgen, dataset):
    scenario = SingleStream(min_duration="1 ms")
    loadgen.run(right, dataset, scenario).require(top1=at_least(0.97))

@pytest.mark.dataset("tiny")
def test_long(loadgen, dataset):
    calls = []
    def model(samples):
        calls.append(samples)
        if len(calls) == 100:
            Path("under-load").touch()
        return right(samples)
    scenario = Server(target_qps=200, latency_bound="1 s", min_duration="60 s")
    loadgen.run(model, dataset, scenario).require(top1=at_least(0.97))

def test_never():
    Path("ran-on").touch()
"""
ENDS_WITHIN_S = 60


def interrupt(project: pytest.Pytester, marker: str, *arguments: str) -> tuple[int, str]:
    """Press Ctrl-C once the marker file is there; exit status and output."""
    command = [sys.executable, "-m", "pytest", *arguments]
    process = project.popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_hear_interrupts,
    )
    try:
        _wait_for(project.path / marker)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, the workers of xdist included
        output, _ = process.communicate(timeout=ENDS_WITHIN_S)
    finally:
        process.kill()
    return process.returncode, output.decode()


def _hear_interrupts() -> None:
    """Undo what a shell does to jobs in its background, where these tests may run."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.01)


def record(project: pytest.Pytester) -> Any:
    (path,) = stored_files(project.path / ".aibench")
    return json.loads(path.read_text())


def test_interrupting_a_server_run(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK)
    status, output = interrupt(project, "under-load")

    assert status == pytest.ExitCode.INTERRUPTED
    assert not (project.path / "ran-on").exists()
    run = record(project)
    assert run["interrupted"]
    assert [entry["verdict"] for entry in run["benchmarks"]] == ["passed", "interrupted"]
    assert [entry["id"].partition("::")[2] for entry in run["benchmarks"]] == [
        "test_finished[cpu]",
        "test_long[cpu]",
    ]
    assert "test_long interrupted: it was not judged, and the record only marks it" in output
    assert "record: .aibench/runs/" in output


def test_interrupting_a_fixture(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def weights():
            raise KeyboardInterrupt

        def test_trained(loadgen, weights):
            pass
        """
    )
    options = ("-p", "no:terminalreporter", "--aibench-data=.")
    project.runpytest(*options, no_reraise_ctrlc=True)
    assert mounted() is None, "what the benchmark held is let go"
    assert [entry["verdict"] for entry in record(project)["benchmarks"]] == ["interrupted"]


def test_interrupting_two_workers(project: pytest.Pytester) -> None:
    project.makepyfile(BENCHMARK)
    status, _ = interrupt(project, "under-load", "-n2", "--dist=loadfile")

    assert status == pytest.ExitCode.INTERRUPTED
    run = record(project)
    assert run["interrupted"]
    assert [entry["id"].partition("::")[2] for entry in run["benchmarks"]] == ["test_finished[cpu]"]
