"""What a session ran on and with: the environment of a record.

Each fact comes from a small provider. A provider that fails leaves a reason, not a gap in the
record, and one that is slow is named.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from pytest_aibench.results import git
from pytest_aibench.results.schema import Environment
from pytest_aibench.telemetry import machine, nvml

BUDGET_S = 0.05
"""What a provider may take. A longer one is reported; its facts are kept, since a series must not
change its key because a machine was slow once."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PACKAGES = ("pytest", "numpy", "scipy", "torch")

Provider = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Facts of a chain of providers.

    Attributes:
        facts: By name; of two providers with the same fact the later one wins.
        unavailable: By provider, why it failed.
        slow_ms: By provider, how long it took, where that is over the budget.
    """

    facts: dict[str, Any]
    unavailable: dict[str, str]
    slow_ms: dict[str, float]


def gather(
    providers: Mapping[str, Provider], clock: Callable[[], float] = time.perf_counter
) -> Gathered:
    """Ask providers one after the other; never raises."""
    gathered = Gathered(facts={}, unavailable={}, slow_ms={})
    for name, provider in providers.items():
        began = clock()
        try:
            gathered.facts.update(provider())
        except Exception as error:  # Facts are a courtesy: a broken one must not cost the record.
            gathered.unavailable[name] = _one_line(error)
        took = clock() - began
        if took > BUDGET_S:
            gathered.slow_ms[name] = round(took * 1e3, 1)
    return gathered


def collect(
    rootdir: Path, harness: Mapping[str, str], state_before: Mapping[str, Any]
) -> Environment:
    """Build the environment of a record, when the benchmarks are done.

    Args:
        rootdir: A folder of the project under test.
        harness: The plugin's settings, as given.
        state_before: `machine_state` from before the benchmarks.
    """
    with nvml.opened() as driver:
        groups = {
            name: gather(providers) for name, providers in _groups(rootdir, harness, driver).items()
        }
        after = gather(_state_providers(driver))
    facts = {name: group.facts for name, group in groups.items()}
    state = {"before": dict(state_before), "after": after.facts}
    return Environment(**facts, state=state | _troubles((*groups.values(), after)))


def machine_state() -> dict[str, Any]:
    """Load, memory, clocks, temperatures, throttling and other GPU processes at this moment."""
    with nvml.opened() as driver:
        return gather(_state_providers(driver)).facts


def _groups(
    rootdir: Path, harness: Mapping[str, str], driver: nvml.Nvml
) -> dict[str, dict[str, Provider]]:
    return {
        "hw": {"cpu": machine.cpu, "memory": machine.memory, "gpu": partial(_gpu_products, driver)},
        "unit": {"host": machine.host, "gpu_uuids": partial(_gpu_uuids, driver)},
        "sw": {
            "python": _python,
            "packages": partial(_versions, _PACKAGES),
            "torch_build": _torch_build,
            "threads": partial(_threads, os.environ),
            "driver": partial(_driver, driver),
            "system": machine.system,
        },
        "subject": {
            "ci": partial(git.ci_facts, os.environ),
            "git_status": partial(_git_status, rootdir),
            "git": partial(_git_files, rootdir),
        },
        "harness": {
            "plugin": partial(_versions, ("pytest-aibench",)),
            "settings": partial(dict, harness),
        },
    }


def _state_providers(driver: nvml.Nvml) -> dict[str, Provider]:
    return {
        "load": machine.load,
        "frequency": machine.frequency,
        "gpus": partial(_gpu_states, driver),
    }


def _troubles(groups: Iterable[Gathered]) -> dict[str, dict[str, Any]]:
    unavailable: dict[str, Any] = {}
    slow_ms: dict[str, Any] = {}
    for group in groups:
        unavailable |= group.unavailable
        slow_ms |= group.slow_ms
    found = {"unavailable": unavailable, "slow_ms": slow_ms}
    return {name: entries for name, entries in found.items() if entries}


def _gpu_products(driver: nvml.Nvml) -> dict[str, Any]:
    """Count of GPUs, and what they are: one value each where all are alike, else a list."""
    if driver.why_none:
        raise LookupError(driver.why_none)
    products = [gpu.product() for gpu in driver.gpus]
    names = {name: None for product in products for name in product}
    folded = {name: _fold([product.get(name) for product in products]) for name in names}
    return {"gpu_count": len(products), **folded}


def _fold(values: list[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else values


def _gpu_uuids(driver: nvml.Nvml) -> dict[str, Any]:
    uuids = [uuid for uuid in (gpu.uuid() for gpu in driver.gpus) if uuid]
    return {"gpu_uuids": uuids} if uuids else {}


def _gpu_states(driver: nvml.Nvml) -> dict[str, Any]:
    return {"gpus": [gpu.state() for gpu in driver.gpus]} if driver.gpus else {}


def _driver(driver: nvml.Nvml) -> dict[str, str]:
    return {"driver": driver.driver} if driver.driver else {}


def _python() -> dict[str, str]:
    return {"python": f"{platform.python_implementation()} {platform.python_version()}"}


def _versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed, from their metadata, without importing."""
    found = {}
    for package in packages:
        try:
            found[package.replace("-", "_")] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _threads(environ: Mapping[str, str]) -> dict[str, str]:
    """How many threads the numerical libraries were told to use."""
    return {name.lower(): environ.get(name, "unset") for name in _THREADS}


def _torch_build() -> dict[str, Any]:
    """What torch was built with and how many threads it uses, if a benchmark has imported it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    facts = {
        "cuda": torch.version.cuda,
        "rocm": torch.version.hip,
        "cudnn": torch.backends.cudnn.version(),
        "torch_threads": torch.get_num_threads(),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def _git_files(rootdir: Path) -> dict[str, Any]:
    repository = git.find_repository(rootdir)
    if repository is None:
        raise LookupError("not in a git repository")
    return repository.facts()


def _git_status(rootdir: Path) -> dict[str, Any]:
    return {} if git.find_repository(rootdir) is None else git.status(rootdir)


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
