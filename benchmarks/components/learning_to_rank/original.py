"""Gowalla: which places people checked in at, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import expect, needed, original
from benchmarks.components.learning_to_rank.data import (
    HISTORY,
    TARGETS,
    Items,
    test_samples,
    train_samples,
)
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError

NAME = "gowalla"


class Counts(NamedTuple):
    """How much there is in both parts together."""

    users: int
    items: int


COUNTS = Counts(users=13_149, items=14_009)


@original(NAME, "Gowalla in ranking distillation's two parts")
def load(folder: Path, split: str, *, counts: Counts = COUNTS) -> Dataset:
    """Load windows of the visits in ``train.txt``, or for each user those in ``test.txt``.

    Samples and references are those of MovieLens-100k, but for their numbers.

    Raises:
        UserError: A part is missing, has not as many users or places, or a user has too few visits.
    """
    parts = [_visits(needed(folder / f"{part}.txt")) for part in ("train", "test")]
    both = np.concatenate(parts)
    (_, users), (_, items) = (np.unique(ids, return_inverse=True) for ids in both.T)
    expect(int(users.max()) + 1, counts.users, "users", folder)
    expect(int(items.max()) + 1, counts.items, "places", folder)
    first, last = (
        _by_user(users[chosen], items[chosen], counts.users)
        for chosen in (slice(len(parts[0])), slice(len(parts[0]), None))
    )
    if min(map(len, first)) < HISTORY + TARGETS or min(map(len, last)) < 1:
        raise UserError(
            f"{folder} has users of fewer than {HISTORY + TARGETS} visits in train.txt, or of none "
            "in test.txt: put the files there as they were published"
        )
    samples, references = train_samples(first) if split == "train" else test_samples(first, last)
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=references,
        licence="not stated; the visits are SNAP's (Cho, Myers and Leskovec, 2011)",
        source="Gowalla as in the code of Ranking Distillation (Tang and Wang, KDD 2018)",
    )


def seen(train: Dataset) -> npt.NDArray[np.bool_]:
    """Which places each user visited in the train split, shape (users, places)."""
    users = train.samples["user"][:, np.newaxis]
    table = np.zeros(COUNTS, np.bool_)
    table[users, train.samples["history"]] = True
    table[users, train.references] = True
    return table


def _visits(path: Path) -> Items:
    """Users and places, shape (n, 2)."""
    return np.loadtxt(path, np.int64, usecols=(0, 1), ndmin=2)


def _by_user(users: Items, items: Items, n_users: int) -> list[Items]:
    """The places of each user in the order of the file."""
    order = np.argsort(users, kind="stable")
    n_visits = np.bincount(users, minlength=n_users)
    return np.split(items[order], np.cumsum(n_visits)[:-1])
