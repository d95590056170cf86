"""The sample library: what LoadGen calls the query sample library (QSL)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets.base import Dataset
from pytest_aibench.errors import UserError


class SampleLibrary:
    """Loads samples of a data set into memory and gives them out by index.

    Attributes:
        dataset: Where the samples come from.
        total_count: Number of samples in the data set.
        performance_count: Number of samples that are in memory together during a load.

    Raises:
        UserError: ``performance_count`` is no number of samples of the data set.
    """

    def __init__(self, dataset: Dataset, performance_count: int | None = None) -> None:
        self.dataset = dataset
        self.total_count = len(dataset)
        self.performance_count = (
            self.total_count if performance_count is None else performance_count
        )
        if not 1 <= self.performance_count <= self.total_count:
            raise UserError(
                f"performance_count={self.performance_count}: the data set {dataset.name!r} has "
                f"{self.total_count} samples, choose from 1 to as many"
            )
        self._loaded: dict[int, npt.NDArray[Any]] = {}

    def load(self, indices: Iterable[int]) -> None:
        """Copy samples into memory, each into its own array.

        Raises:
            UserError: The data set has no sample of such an index.
        """
        for index in map(int, indices):
            if not 0 <= index < self.total_count:
                raise UserError(
                    f"data set {self.dataset.name!r} has no sample {index}: "
                    f"its {self.total_count} samples are numbered from 0"
                )
            self._loaded[index] = np.array(self.dataset.samples[index])

    def unload(self, indices: Iterable[int]) -> None:
        """Forget samples; those that are not loaded are passed over."""
        for index in map(int, indices):
            self._loaded.pop(index, None)

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        """The loaded sample.

        Raises:
            UserError: The sample is not loaded.
        """
        return self.take([index])[0]

    def take(self, indices: Iterable[int]) -> list[npt.NDArray[Any]]:
        """The loaded samples with these indices, in one call: a load asks for millions.

        Raises:
            UserError: A sample is not loaded.
        """
        try:
            return list(map(self._loaded.__getitem__, indices))
        except KeyError as missing:
            raise UserError(
                f"sample {missing} of data set {self.dataset.name!r} is not loaded: "
                f"call load([{missing}]) first"
            ) from None
