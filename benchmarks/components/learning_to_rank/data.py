"""MovieLens-100k as sequences: which films come next, given the last five."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.components._movielens import ITEMS, MOVIELENS_100K, USERS, ratings
from pytest_aibench.datasets import Dataset, register

NAME = "movielens_100k_sequences"
HISTORY = 5
TARGETS = 3
TEST_SHARE = 0.2

Items = npt.NDArray[np.int64]


@register(NAME, carriers=(MOVIELENS_100K,))
def load(split: str) -> Dataset:
    """Load windows from the first 80 % of each user's films, or what follows them.

    A sample has the fields ``user``, int64 from 0 to 942, and ``history``, five films, int64 from 0
    to 1681, in order of time. A reference of the train split is the three films that came next
    (Tang and Wang, Caser, 2018, section 3.1), one sample for each place in the sequence; of the
    test split all films of the user's last 20 %, padded with -1, one sample for each user. What
    grade a film got does not count.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    first = first_films()
    samples, references = (
        train_samples(first) if split == "train" else test_samples(first, _last_films())
    )
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=references,
        licence=MOVIELENS_100K.licence,
        source=MOVIELENS_100K.source,
    )


def seen() -> npt.NDArray[np.bool_]:
    """Which films each user has in the train split, shape (users, items)."""
    table = np.zeros((USERS, ITEMS), np.bool_)
    for user, items in enumerate(first_films()):
        table[user, items] = True
    return table


def first_films() -> list[Items]:
    """The films of each user that belong to the train split, in order of time."""
    return [items[: -_n_test(items)] for items in ratings().by_user()]


def _last_films() -> list[Items]:
    return [items[-_n_test(items) :] for items in ratings().by_user()]


def _n_test(items: Items) -> int:
    return round(TEST_SHARE * len(items))


def train_samples(first: list[Items]) -> tuple[npt.NDArray[np.void], Items]:
    """Every window of what each user had first, and the items that followed it."""
    windows = [sliding_window_view(items, HISTORY + TARGETS) for items in first]
    users = np.repeat(np.arange(len(first)), list(map(len, windows)))
    items = np.concatenate(windows)
    return _samples(users, items[:, :HISTORY]), items[:, HISTORY:]


def test_samples(first: list[Items], last: list[Items]) -> tuple[npt.NDArray[np.void], Items]:
    """The end of what each user had first, and all that the user had last."""
    references = np.full((len(last), max(map(len, last))), -1, np.int64)
    for row, items in zip(references, last, strict=True):
        row[: len(items)] = items
    histories = np.stack([items[-HISTORY:] for items in first])
    return _samples(np.arange(len(first)), histories), references


def _samples(users: Items, histories: Items) -> npt.NDArray[np.void]:
    samples = np.empty(len(users), [("user", np.int64), ("history", np.int64, (HISTORY,))])
    samples["user"], samples["history"] = users, histories
    return samples
