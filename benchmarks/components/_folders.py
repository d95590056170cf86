"""Original data sets: folders that a user mounts, looked through before they are read."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets import DataAbsent, Dataset, mounted, register
from pytest_aibench.errors import UserError

PAGE = "docs/original-data.md"

FolderLoader = TypeVar("FolderLoader", bound=Callable[..., Dataset])


def original(name: str, title: str, folder: str = "") -> Callable[[FolderLoader], FolderLoader]:
    """Decorate a loader, ``(folder, split) -> Dataset``, to make its data set known by name.

    What it cannot read is a mistake of the user, not of the loader.

    Args:
        name: Name of the data set.
        title: Name for people, with the year or the version.
        folder: Name of its folder, below the one that ``--aibench-data`` names; by default that of
            the data set.
    """
    below = folder or name

    def add(loader: FolderLoader) -> FolderLoader:
        @register(name, folder=below)
        def of_mounted(split: str) -> Dataset:
            place = mounted_at(below, title)
            try:
                return loader(place, split)
            except UserError:
                raise
            except (EOFError, OSError, ValueError) as error:
                raise UserError(
                    f"cannot read {title} in {place} ({type(error).__name__}: {error}): "
                    f"put its files there again as {PAGE} describes"
                ) from error

        return loader

    return add


def mounted_at(name: str, title: str) -> Path:
    """What has this name below the mounted folder.

    Raises:
        DataAbsent: There is nothing, or no folder is mounted.
    """
    root = mounted()
    path = Path("DIR" if root is None else root) / name
    if root is None or not path.exists():
        named = "" if root else "name a folder with --aibench-data DIR, and "
        raise DataAbsent(f"{named}put {title} under {path} as {PAGE} describes")
    return path


def expect(found: int, expected: int, what: str, place: Path) -> None:
    """Check that a data set is whole.

    Raises:
        UserError: There are not as many as there should be.
    """
    if found != expected:
        raise UserError(
            f"{place} has {found} {what} and should have {expected}: complete it as {PAGE} "
            "describes"
        )


def needed(path: Path) -> Path:
    """The path.

    Raises:
        UserError: There is nothing.
    """
    if not path.exists():
        raise UserError(f"{path} is missing: put it there as {PAGE} describes")
    return path


def files(folder: Path, *suffixes: str) -> list[Path]:
    """The files of a folder that end so, whatever the case of letters, by name.

    Raises:
        UserError: The folder is missing.
    """
    return sorted(path for path in needed(folder).iterdir() if path.suffix.lower() in suffixes)


def stored(path: Path, names: Iterable[str]) -> dict[str, npt.NDArray[Any]]:
    """Those of the arrays in an NPZ file that have one of the names.

    Raises:
        UserError: It is no such file, or a damaged one.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:  # it leaves damaged ones open
            return {name: arrays[name] for name in names if name in arrays}
    except (
        AttributeError,
        BadZipFile,
        EOFError,
        OSError,
        TypeError,
        ValueError,
        zlib.error,
    ) as why:
        raise UserError(f"{path} is no NPZ file, or damaged ({why}): put it there again") from None


def nested(folder: Path, *suffixes: str) -> npt.NDArray[np.bytes_]:
    """The names, with all folders, of the files at any depth that end so, sorted.

    There may be millions: as paths they would take four times the memory.

    Raises:
        UserError: The folder is missing.
    """
    found = (
        os.fsencode(os.path.join(place, name))
        for place, _, names in os.walk(needed(folder))
        for name in names
        if name.lower().endswith(suffixes)
    )
    return np.array(sorted(found), np.bytes_)


def by_class(folder: Path, *suffixes: str) -> tuple[list[Path], npt.NDArray[np.int64]]:
    """The files in all folders of a folder, and the rank of each one's folder among all.

    Raises:
        UserError: The folder is missing.
    """
    classes = sorted(path for path in needed(folder).iterdir() if path.is_dir())
    members = [files(path, *suffixes) for path in classes]
    numbers = np.repeat(np.arange(len(classes)), list(map(len, members)))
    return [path for paths in members for path in paths], numbers


def fingerprint(root: Path, paths: Iterable[Path]) -> str:
    """sha256 over the names of files below a folder, and their sizes."""
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(root).as_posix()
        digest.update(f"{name}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Lazy(Sequence[Any]):
    """Samples that are made when they are asked for; it can be sent to other processes.

    Attributes:
        items: What each is made of, like a path.
        read: Makes an array of an item; where it draws, it draws from Python's ``random``, which a
            training seeds.
        fingerprint: Tells data from others, without reading them.
    """

    items: Sequence[Any] | npt.NDArray[Any]
    read: Callable[[Any], npt.NDArray[Any]]
    fingerprint: str

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self.read(item) for item in self.items[index]]
        return self.read(self.items[index])


def lazy(
    items: Sequence[Any] | npt.NDArray[Any],
    read: Callable[[Any], npt.NDArray[Any]],
    fingerprint: str,
) -> npt.NDArray[Any]:
    """Samples of a data set that are made when they are asked for, see `Lazy`."""
    return cast("npt.NDArray[Any]", Lazy(items, read, fingerprint))
