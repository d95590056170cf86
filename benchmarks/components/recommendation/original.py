"""MovieLens-20M: the ratings that recommendation is trained on at the paper's size."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.components._folders import expect, needed, original
from benchmarks.components._movielens import Ratings
from benchmarks.components.recommendation.data import test_samples, train_samples
from pytest_aibench.datasets import Dataset

NAME = "movielens_20m"
CANDIDATES = 1000


class Counts(NamedTuple):
    """How much there is in a table of ratings."""

    ratings: int
    users: int
    items: int


COUNTS = Counts(ratings=20_000_263, users=138_493, items=26_744)


@original(NAME, "MovieLens 20M")
def load(
    folder: Path, split: str, *, counts: Counts = COUNTS, candidates: int = CANDIDATES
) -> Dataset:
    """Load 19 861 770 training ratings, or the last ones of 138 493 users among 1000 films.

    Samples and references are those of MovieLens-100k, but for their numbers.

    Raises:
        UserError: The table is missing, or has not as many ratings, users or films.
    """
    by_user = _ratings(needed(folder / "ratings.csv"), counts).by_user()
    samples, references = (
        train_samples(by_user)
        if split == "train"
        else test_samples(by_user, counts.items, candidates)
    )
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=references,
        licence="GroupLens research licence: no commercial use, no redistribution",
        source="MovieLens 20M (Harper and Konstan, 2015)",
    )


@cache
def _ratings(table: Path, counts: Counts) -> Ratings:
    """Every rating, with users and films numbered from 0, as `Ratings` has them."""
    columns = np.loadtxt(
        table, np.int64, delimiter=",", skiprows=1, usecols=(0, 1, 3), unpack=True, ndmin=2
    )
    (users_there, users), (films_there, films) = (
        np.unique(ids, return_inverse=True) for ids in columns[:2]
    )
    expect(len(users), counts.ratings, "ratings", table)
    expect(len(users_there), counts.users, "users", table)
    expect(len(films_there), counts.items, "films", table)
    order = np.lexsort((columns[2], users))
    return Ratings(users[order], films[order])
