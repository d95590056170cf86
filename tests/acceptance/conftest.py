"""A project of its own for each test, with a data set on which benchmarks take milliseconds."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from importlib import import_module

import pytest

from pytest_aibench import session
from pytest_aibench.datasets import base
from pytest_aibench.devices.cpu import CpuDevice
from pytest_aibench.results.schema import Metric
from pytest_aibench.telemetry.canary import measure_canaries

TINY = """
import numpy as np
from pytest_aibench.datasets import Dataset, register

@register("tiny")
def tiny(split):
    samples = np.arange(50)
    return Dataset("tiny", split, samples, samples % 10, "CC0-1.0", "counted")

def right(samples):
    return [sample % 10 for sample in samples]
"""

_WITHOUT = ("randomly", "cacheprovider", "benchmark", "hypothesispytest", "anyio")
"""Plugins that would shuffle the project's tests, leave files, or take their time."""

# Projects run in this process, and pytester forgets what they import; these cannot be imported
# twice.
for module in ("psutil", "pynvml", "scipy.special", "scipy.stats"):
    import_module(module)
with suppress(ImportError):
    import_module("torch")


@pytest.fixture(scope="session")
def canaries() -> dict[str, Metric]:
    """Those of this process; they take longer than what most of its sessions measure."""
    return measure_canaries(CpuDevice())


@pytest.fixture
def project(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
    canaries: dict[str, Metric],
) -> pytest.Pytester:
    """A folder whose tests can use the data set ``tiny`` and the model ``tiny.right``.

    Loads are quick and on the processor, unless a test says something else. Locks of devices are
    its own, so that it need not wait for other sessions on this machine; sessions in this process
    have its canaries.
    """
    monkeypatch.setattr(session, "measure_canaries", lambda _: canaries)
    temporary = str(tmp_path_factory.mktemp("temporary"))
    monkeypatch.setenv("TMPDIR", temporary)
    monkeypatch.setattr(tempfile, "tempdir", temporary)
    monkeypatch.setenv("XDG_DATA_HOME", temporary)
    for name in [name for name in os.environ if name.startswith("AIBENCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AIBENCH_DEVICE", "cpu")
    monkeypatch.setenv("AIBENCH_EFFORT", "quick")
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f"-p no:{name}" for name in _WITHOUT))
    monkeypatch.setattr(base, "_LOADERS", {"digits": base._LOADERS["digits"]})
    pytester.makepyfile(tiny=TINY)
    pytester.makeconftest("import tiny")
    return pytester
