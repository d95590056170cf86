"""Trained weights, kept by what they were made of, so that inference does not train again."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from sysconfig import get_path
from typing import Any, NamedTuple

from pytest_aibench import datasets
from pytest_aibench.cache import cache_dir as default_cache_dir
from pytest_aibench.devices.base import Device
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from pytest_aibench.results.schema import from_json, to_json
from pytest_aibench.training.result import TrainingResult
from pytest_aibench.training.task import Task
from pytest_aibench.training.trainer import PLAIN, Progress, Way, train

_INSTALLED = {"site-packages", "dist-packages"}
_DIGEST_BYTES = hashlib.sha256().digest_size

_STALE_S = 30 * 86_400.0
"""States that old are of code or data that have changed since, or of no more interest."""


class Checkpoint(NamedTuple):
    """Weights on the CPU, and plain facts about how they came about, for the record."""

    state_dict: dict[str, Any]
    provenance: dict[str, Any]


@dataclass(frozen=True, slots=True)
class StateFile:
    """Where a training leaves its state after each epoch, and finds it when it is resumed.

    In the end it may leave its result there.
    """

    path: Path

    def read(self) -> dict[str, Any] | None:
        """The state; None where there is none, a damaged one, or a result."""
        state = _read(self.path)
        return None if state is None or "result" in state else state

    def write(self, state: dict[str, Any]) -> None:
        """Put the state in place of the former one, at once.

        Raises:
            UserError: The cache folder cannot be written.
        """
        _write(self.path, state)

    def remove(self) -> None:
        """Forget the state: the training has ended."""
        self.path.unlink(missing_ok=True)

    def result(self) -> TrainingResult | None:
        """What the training came to; None where it has not ended."""
        found = _read(self.path)
        if found is None or "result" not in found:
            return None
        result: TrainingResult = from_json(TrainingResult, found["result"])
        return replace(result, state_dict=found["state_dict"])

    def end(self, result: TrainingResult) -> None:
        """Put the result in place of the state.

        Raises:
            UserError: The cache folder cannot be written.
        """
        rest = to_json(replace(result, state_dict={}))
        _write(self.path, {"result": rest, "state_dict": result.state_dict})


class States:
    """The states of a session's trainings, which goes on where an interrupted one stopped.

    Attributes:
        ended: The files that are of no more use when the session ends by itself.
    """

    def __init__(self) -> None:
        self.ended: list[str] = []
        self._asked: set[Path] = set()

    def file(
        self,
        task: Task,
        device: Device,
        *,
        seed: int,
        scale: str,
        way: Way = PLAIN,
        cache_dir: Path | None = None,
    ) -> StateFile:
        """See `state_file`; what the session trains again, it measures again from the beginning."""
        file = state_file(task, device, seed=seed, scale=scale, way=way, cache_dir=cache_dir)
        _remove_stale(file.path.parent)
        if file.path in self._asked:
            file.remove()
        self._asked.add(file.path)
        return file


def state_file(
    task: Task,
    device: Device,
    *,
    seed: int,
    scale: str,
    way: Way = PLAIN,
    cache_dir: Path | None = None,
) -> StateFile:
    """The file for the state of a training, beside the weights that it will come to.

    Args:
        task: What is trained.
        device: Where.
        seed: The training's seed.
        scale: ``embedded`` or ``full``.
        way: How, beside what the task says.
        cache_dir: Where it is kept, instead of the user's cache folder.
    """
    key = checkpoint_key(task, device, seed=seed, scale=scale)
    compiled = "-compiled" if way.compiled else ""
    return StateFile(_path(task, key, cache_dir).with_suffix(f".{way.precision}{compiled}.state"))


def trained(
    task: Task,
    device: Device,
    *,
    seed: int,
    scale: str,
    cache_dir: Path | None = None,
    progress: Progress | None = None,
    states: States | None = None,
) -> Checkpoint:
    """Weights of a task: from the cache where they lie, else trained now and put there.

    Weights that missed the task's target are given back but not kept; ``reached_target`` in the
    provenance tells. A file that is damaged counts as absent.

    Args:
        task: What to train.
        device: Where; weights trained on another kind of device are others.
        seed: The training's seed.
        scale: ``embedded`` or ``full``.
        cache_dir: Where the weights are kept, instead of the user's cache folder.
        progress: Gets one line of text after each epoch, when it trains.
        states: Where a training that was interrupted goes on from; None keeps no state.

    Raises:
        UserError: The cache folder cannot be written.
    """
    key = checkpoint_key(task, device, seed=seed, scale=scale)
    found = _read(_path(task, key, cache_dir))
    if found is not None:
        kept = Checkpoint(**found)
        return kept._replace(provenance={**kept.provenance, "from_cache": True})
    file = None
    if states is not None:
        file = states.file(task, device, seed=seed, scale=scale, cache_dir=cache_dir)
    result = train(task, device, seed=seed, progress=progress, state_file=file)
    return keep(task, result, device, scale=scale, cache_dir=cache_dir)


def keep(
    task: Task,
    result: TrainingResult,
    device: Device,
    *,
    scale: str,
    cache_dir: Path | None = None,
) -> Checkpoint:
    """Put the weights of a training with the task's own settings into the cache.

    Those that missed the task's target are left out.

    Raises:
        UserError: The cache folder cannot be written.
    """
    key = checkpoint_key(task, device, seed=result.seed, scale=scale)
    checkpoint = Checkpoint(result.state_dict, _provenance(result, key))
    if result.reached_target:
        _write(_path(task, key, cache_dir), checkpoint._asdict())
    return checkpoint._replace(provenance={**checkpoint.provenance, "from_cache": False})


def checkpoint_key(task: Task, device: Device, *, seed: int, scale: str) -> str:
    """sha256 over all that decides the weights: settings, code, data, torch, kind of device.

    Code is every Python file in the folders of the model, the learner, the predictor, the trainer
    and the metric, and in those of the project's modules that they use. Installed packages are not
    looked at, but for torch's version.
    """
    import torch

    facts = {
        "task": task.name,
        "scale": scale,
        "seed": seed,
        "settings": [
            task.metric,
            task.target,
            task.max_epochs,
            task.batch_size,
            task.cpu_threads,
        ],
        "code": [
            _identity(part)
            for part in (task.build, task.learner, task.predictor, train, metric(task.metric))
        ],
        "data": [datasets.get(task.dataset, split).fingerprint for split in ("train", "test")],
        "torch": torch.__version__,
        "device": device.kind,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _identity(part: Any) -> Any:
    """What decides how a part of a task behaves: names, code by folder, and its own settings."""
    if hasattr(part, "__qualname__"):
        return [part.__qualname__, _code(part)]
    pieces = _pieces(part)
    return [_identity(piece) for piece in pieces] if pieces else repr(part)


def _pieces(part: Any) -> tuple[Any, ...]:
    """What a tuple, a partial, a dataclass or another callable object is made of."""
    if isinstance(part, tuple):
        return part
    if isinstance(part, partial):
        return part.func, *part.args, *part.keywords.items()
    if is_dataclass(part):
        return type(part), *(getattr(part, field.name) for field in fields(part))
    return (type(part), *vars(part).items()) if callable(part) else ()


def _code(owner: Callable[..., Any]) -> str:
    """Digest of all Python files in the folders of a function or class and of what it uses.

    What is not written in Python belongs to torch, whose version counts as it is.
    """
    digest = hashlib.sha256()
    owner = inspect.unwrap(owner)
    try:
        own = Path(inspect.getfile(owner)).parent
    except TypeError:
        return "built in"
    for folder in sorted({own, *_folders_used(owner.__module__)}):
        for source in sorted(folder.glob("*.py")):
            digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()


def _folders_used(name: str) -> set[Path]:
    """Folders of the project's modules that a module takes names from, itself or through others.

    What ``torch.compile`` puts among them on its way, as ``__import_…``, is not the module's.
    """
    found: dict[str, Path] = {}
    todo = [name]
    while todo:
        for taken, value in getattr(sys.modules.get(todo.pop()), "__dict__", {}).items():
            if taken.startswith("__import_"):
                continue
            home = (
                value.__name__ if inspect.ismodule(value) else str(getattr(value, "__module__", ""))
            )
            if home not in found and (file := _own_file(home)) is not None:
                found[home] = file.parent
                todo.append(home)
    return set(found.values())


def _own_file(module: str) -> Path | None:
    """The file of a module of the project; None for one of a package, of Python or of ours."""
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or module.partition(".")[0] == __name__.partition(".")[0]:
        return None
    path = Path(file)
    installed = _INSTALLED & set(path.parts) or path.is_relative_to(get_path("stdlib"))
    return None if installed else path


def _path(task: Task, key: str, cache_dir: Path | None) -> Path:
    folder = default_cache_dir() if cache_dir is None else cache_dir
    return folder / "weights" / f"{task.name}-{key[:32]}.pt"


def _provenance(result: TrainingResult, key: str) -> dict[str, Any]:
    return {
        "weights_key": key,
        "seed": result.seed,
        "epochs": len(result.epochs),
        "training_s": result.duration_s,
        result.metric: result.quality.value,
        "target": result.target,
        "reached_target": result.reached_target,
    }


def _write(path: Path, values: dict[str, Any]) -> None:
    """Put a file in place at once: the digest of the rest, then what torch saves."""
    import torch

    body = io.BytesIO()
    torch.save(values, body)
    content = body.getvalue()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(file.name, path)
    except OSError as error:
        raise UserError(
            f"cannot write weights to {path.parent} ({error.strerror}): "
            "set AIBENCH_CACHE to a folder that can be written"
        ) from None


def _remove_stale(folder: Path) -> None:
    """Remove states that nobody goes on from, and what processes left that were killed writing."""
    latest_s = time.time() - _STALE_S
    for path in (*folder.glob("*.state"), *folder.glob("*.tmp")):
        with suppress(FileNotFoundError):  # another process may remove it, or have written it
            if path.stat().st_mtime < latest_s:
                path.unlink()


def _read(path: Path) -> dict[str, Any] | None:
    """What `_write` has put there; None where nothing is, or something damaged."""
    import torch

    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != digest:
        return None
    values: dict[str, Any] = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    return values
