"""What a data set is: samples, references, and where they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Dataset:
    """One split of a data set, held as arrays.

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
        """sha256 over shapes, types and bytes of samples and references."""
        digest = hashlib.sha256()
        for array in (self.samples, self.references):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
