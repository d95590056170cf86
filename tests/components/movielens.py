"""A small table of ratings in place of MovieLens-100k."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import numpy as np

from benchmarks.components import _movielens
from pytest_aibench.datasets import Carrier

MEMBER = "recbole/dataset_example/ml-100k/ml-100k.inter"
FILMS_OF_A_USER = 25


@contextmanager
def small_movielens() -> Iterator[None]:
    """Have all 943 users rate 25 films each, at times that differ, in a file without order."""
    random = np.random.default_rng(0)
    rows = [
        f"{user + 1}\t{film + 1}\t3\t{time}"
        for user in range(_movielens.USERS)
        for time, film in enumerate(random.permutation(_movielens.ITEMS)[:FILMS_OF_A_USER])
    ]
    table = "\n".join(["user_id:token\titem_id:token", *random.permutation(rows)])

    def read(_: Carrier, member: str) -> bytes:
        assert member == MEMBER
        return table.encode()

    _movielens.ratings.cache_clear()
    with patch.object(Carrier, "read", read):
        yield
    _movielens.ratings.cache_clear()
