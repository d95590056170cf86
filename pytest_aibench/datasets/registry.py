"""Which data sets there are, and how each is loaded."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from pytest_aibench.datasets.base import Dataset
from pytest_aibench.errors import UserError

Loader = Callable[[str], Dataset]

SPLITS = ("train", "test")

_LOADERS: dict[str, Loader] = {}


def register(name: str) -> Callable[[Loader], Loader]:
    """Decorate a loader, ``split -> Dataset``, to make its data set known by name.

    The loader is called with ``train`` or ``test``, once for each in a process. A later loader of
    the same name takes the place of the earlier one, as a later fixture does.
    """

    def add(loader: Loader) -> Loader:
        _LOADERS[name] = lru_cache(maxsize=None)(loader)
        return loader

    return add


def get(name: str, split: str = "test") -> Dataset:
    """Load a split of a data set, from memory when this process has loaded it before.

    Raises:
        UserError: There is no such data set or split, or a package it needs is not installed.
    """
    if name not in _LOADERS:
        known = ", ".join(sorted(_LOADERS))
        raise UserError(f"unknown data set {name!r}: use one of {known}, or register your own")
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r} of data set {name!r}: use train or test")
    return _LOADERS[name](split)


@register("digits")
def _digits(split: str) -> Dataset:
    from pytest_aibench.datasets import digits

    return digits.load(split)
