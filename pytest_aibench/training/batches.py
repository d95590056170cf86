"""Batches of a data set: taken from the device's memory, or read ahead by other processes."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets.base import Dataset, Lazy, is_lazy
from pytest_aibench.devices.base import Device
from pytest_aibench.devices.cpu import CpuDevice
from pytest_aibench.errors import UserError
from pytest_aibench.training.distributed import Alone, Group, own_seed
from pytest_aibench.training.task import Batch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.utils.data import Dataset as TorchDataset

MOST_READERS = 8
"""Each holds two batches beside the one it reads."""

_LONGEST_FOLDER = 107 - len("/pymp-12345678/listener-12345678")
"""Of sockets through which torch hands tensors over, whose names have a limit (unix(7))."""

T = TypeVar("T")

Samples = Sequence[Any] | npt.NDArray[Any]

Share = tuple[int, Batch, Batch]
"""The size of a whole batch, inputs and references of one process's share."""


class Feed:
    """Gives a training the batches of a split.

    Arrays lie in the device's memory as a whole. Where samples or references are lazy, both are
    read batch by batch, in other processes, while the steps before are taken.

    Args:
        data: The split.
        device: Where the batches are needed.
        group: Those that share each batch.

    Raises:
        UserError: The split holds something else than numbers.
    """

    def __init__(self, data: Dataset, device: Device, group: Alone | Group) -> None:
        self.n_samples = len(data)
        self._device = device
        self._group = group
        self._parts = (data.samples, data.references)
        self._is_lazy = any(map(is_lazy, self._parts))
        in_memory = () if self._is_lazy else self._parts
        self._held = [tensors(part, device) for part in in_memory]

    def batches(self, order: Tensor, batch_size: int) -> Generator[Share, None, None]:
        """The samples in this order; a share is to be learnt from before the next is taken."""
        import torch

        batches = torch.split(order, batch_size)
        return self._read(batches) if self._is_lazy else self._taken(batches)

    def _taken(self, batches: Sequence[Tensor]) -> Generator[Share, None, None]:
        inputs, references = self._held
        for batch in batches:
            samples = self._group.share(batch)
            yield len(batch), _take(inputs, samples), _take(references, samples)

    def _read(self, batches: Sequence[Tensor]) -> Generator[Share, None, None]:
        shares = [self._group.share(batch).cpu().numpy() for batch in batches]
        read = partial(_read_share, self._parts, shares)
        for batch, parts in zip(batches, _ahead(read, len(shares), _next_seed()), strict=True):
            self._group.share(batch)  # again, so that its loss is weighted as this share's
            inputs, references = (_moved(part, self._device) for part in parts)
            yield len(batch), inputs, references


def in_order(samples: Samples, batch_size: int) -> Generator[list[Any], None, None]:
    """All samples in batches; lazy ones are read ahead by other processes."""
    rows = [
        range(first, min(first + batch_size, len(samples)))
        for first in range(0, len(samples), batch_size)
    ]
    if is_lazy(samples):
        return _ahead(partial(_read_samples, samples, rows), len(rows), seed=0)
    return ([samples[row] for row in batch] for batch in rows)


def tensors(values: npt.NDArray[Any], device: Device) -> Batch:
    """Bring an array to the device: one with named fields as a dict of tensors by field.

    Raises:
        UserError: The array holds something else than numbers.
    """
    import torch

    if values.dtype.names is not None:
        return {name: tensors(values[name], device) for name in values.dtype.names}
    if values.dtype.kind not in "biuf":
        raise UserError(
            f"a model cannot take values of type {values.dtype}: give samples, and references of "
            "the train split, as numbers"
        )
    # A field lies apart in memory, in steps that torch may refuse.
    return torch.from_numpy(np.array(values, order="C")).to(device.torch_device())


def seed_streams(seed: int) -> None:
    """Seed Python, numpy and torch."""
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _take(batch: Batch, samples: Tensor) -> Batch:
    return _each(batch, lambda values: values[samples])


def _moved(batch: Batch, device: Device) -> Batch:
    return _each(batch, lambda values: values.to(device.torch_device()))


def _each(batch: Batch, change: Callable[[Tensor], Tensor]) -> Batch:
    if isinstance(batch, dict):
        return {name: change(values) for name, values in batch.items()}
    return change(batch)


def _next_seed() -> int:
    """What torch's stream would draw next; it stays where it is, as with data in memory."""
    import torch

    stream = torch.Generator()
    stream.set_state(torch.get_rng_state())
    return int(torch.randint(2**32, (), generator=stream))


def _read_share(parts: Sequence[Any], shares: Sequence[Any], number: int) -> list[Batch]:
    return [tensors(_rows(part, shares[number]), CpuDevice()) for part in parts]


def _rows(values: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    if is_lazy(values):
        return np.stack([values[row] for row in rows.tolist()])
    taken: npt.NDArray[Any] = values[rows]
    return taken


def _read_samples(samples: Lazy, rows: Sequence[Sequence[int]], number: int) -> list[Any]:
    return [samples[row] for row in rows[number]]


def _ahead(read: Callable[[int], T], count: int, seed: int) -> Generator[T, None, None]:
    """What ``read`` makes of 0, 1, ..., by processes that work ahead.

    Random numbers that it draws depend on the seed and the number, not on who reads.

    Raises:
        UserError: As ``read``, or the temporary folder's name is too long.
    """
    import torch
    from torch.utils.data import DataLoader

    _check_temporary_folder()
    loader = DataLoader(
        cast("TorchDataset[T | UserError]", _Reads(read, count, seed)),
        batch_size=None,
        collate_fn=_as_it_is,
        num_workers=min(count, _readers()),
        generator=torch.Generator(),  # without one it draws from the training's stream
    )
    for found in loader:
        if isinstance(found, UserError):
            raise found
        yield found


def _check_temporary_folder() -> None:
    """Refuse one in which processes could not meet: they would wait for each other for ever."""
    folder = tempfile.gettempdir()
    if sys.platform == "linux" and len(os.fsencode(folder)) > _LONGEST_FOLDER:
        raise UserError(
            f"lazy data are read by processes whose sockets cannot lie in {folder}: set TMPDIR to "
            f"a folder whose name has {_LONGEST_FOLDER} characters at most, like /tmp"
        )


@dataclass(frozen=True, slots=True)
class _Reads:
    """Reads one batch after the other in another process."""

    read: Callable[[int], Any]
    count: int
    seed: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Any:
        """The batch, or the user's mistake, which torch would raise as another text."""
        seed_streams(own_seed(self.seed, number))
        try:
            return self.read(number)
        except UserError as error:
            return error


def _as_it_is(batch: T) -> T:
    return batch


def _readers() -> int:
    """The cores that this process may use, shared with those that torchrun has started here."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(MOST_READERS, max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
