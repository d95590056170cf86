"""What a data set is, and which there are by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets.carriers import Carrier, DataAbsent
from pytest_aibench.errors import UserError


@dataclass(frozen=True)
class Dataset:
    """One split of a data set.

    Samples and references are arrays, or *lazy*: sequences of arrays that are made when they are
    asked for, like files that are read. They have a ``fingerprint``, a text that tells them from
    others.

    Attributes:
        name: Name in the registry.
        split: ``train`` or ``test``.
        samples: Inputs, shape (n_samples, ...).
        references: What the right answers are, shape (n_samples, ...).
        licence: Licence of the data.
        source: Where the data come from, with the version.
    """

    name: str
    split: str
    samples: npt.NDArray[Any]
    references: npt.NDArray[Any]
    licence: str
    source: str

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over shapes, types and bytes of samples and references, or their fingerprints."""
        digest = hashlib.sha256()
        for values in (self.samples, self.references):
            if is_lazy(values):
                digest.update(values.fingerprint.encode())
            else:
                digest.update(f"{values.dtype.str}{values.shape}".encode())
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


class Lazy(Protocol):
    """Samples or references that are made when they are asked for."""

    fingerprint: str

    def __len__(self) -> int:
        """How many there are."""

    def __getitem__(self, index: int) -> Any:
        """One of them, an array."""


def is_lazy(values: object) -> TypeGuard[Lazy]:
    """Whether samples or references are made when they are asked for."""
    return hasattr(values, "fingerprint")


Loader = Callable[[str], Dataset]

SPLITS = ("train", "test")


@dataclass(frozen=True, slots=True)
class _Registered:
    load: Loader
    carriers: tuple[Carrier, ...]
    folder: str


_LOADERS: dict[str, _Registered] = {}
_MOUNTED: ContextVar[Path | None] = ContextVar("mounted", default=None)


def register(
    name: str, *, carriers: Sequence[Carrier] = (), folder: str = ""
) -> Callable[[Loader], Loader]:
    """Decorate a loader, ``split -> Dataset``, to make its data set known by name.

    The loader is called with ``train`` or ``test``, once for each in a process. A later loader of
    the same name takes the place of the earlier one, as a later fixture does.

    Args:
        name: Name of the data set.
        carriers: The archives that the loader reads, so that they can be fetched beforehand.
        folder: What the loader reads below `mounted`, for ``aibench data list``.
    """

    def add(loader: Loader) -> Loader:
        _LOADERS[name] = _Registered(lru_cache(maxsize=None)(loader), tuple(carriers), folder)
        return loader

    return add


def registered() -> dict[str, tuple[Carrier, ...]]:
    """The names of all data sets, sorted, with the carriers that each needs."""
    return {name: _LOADERS[name].carriers for name in sorted(_LOADERS)}


def folder_of(name: str) -> str:
    """The folder below `mounted` that a data set is read from; empty where it needs none."""
    return _LOADERS[name].folder


@contextmanager
def mounting(folder: Path | None) -> Iterator[None]:
    """Have data sets read from below a folder; None takes it away."""
    token = _MOUNTED.set(folder)
    try:
        yield
    finally:
        _MOUNTED.reset(token)


def mounted() -> Path | None:
    """The folder of original data sets, which ``--aibench-data`` names; None if it names none."""
    return _MOUNTED.get()


def get(name: str, split: str = "test") -> Dataset:
    """Load a split of a data set, from memory when this process has loaded it before.

    Raises:
        DataAbsent: A carrier of it is not there and cannot be fetched, or its folder is not there.
        UserError: There is no such data set or split, or a package it needs is not installed.
    """
    if name not in _LOADERS:
        known = ", ".join(sorted(_LOADERS))
        raise UserError(f"unknown data set {name!r}: use one of {known}, or register your own")
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of data set {name!r}: use train or test")
    try:
        return _LOADERS[name].load(split)
    except DataAbsent as absent:
        if not _LOADERS[name].carriers:
            raise
        raise DataAbsent(
            f"data of {name!r} is absent: run `aibench data fetch {name}` ({absent})"
        ) from None


@register("digits")
def _digits(split: str) -> Dataset:
    from pytest_aibench.datasets import digits

    return digits.load(split)
