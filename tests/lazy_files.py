"""Data sets that are read from files when they are asked for, and keep count."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Files:
    """Arrays in files; each reading leaves a line, whichever process reads."""

    folder: Path
    count: int
    fingerprint: str = "files"

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        with (self.folder / "reads.txt").open("a") as file:
            file.write(f"{index}\n")
        return np.load(self.folder / f"{index}.npy")


def in_files(values: npt.NDArray[Any], folder: Path) -> npt.NDArray[Any]:
    """The same values, each in a file of its own."""
    folder.mkdir(parents=True)
    (folder / "reads.txt").touch()
    for index, value in enumerate(values):
        np.save(folder / f"{index}.npy", value)
    return cast("npt.NDArray[Any]", Files(folder, len(values)))


def reads(folder: Path) -> Counter[int]:
    """How often each of the files has been read."""
    return Counter(map(int, (folder / "reads.txt").read_text().split()))
