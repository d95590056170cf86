"""MovieLens-100k for recommendation: each user's last film is to be found among a hundred."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.components._movielens import ITEMS, MOVIELENS_100K, ratings
from pytest_aibench.datasets import Dataset, register

NAME = "movielens_100k"
CANDIDATES = 100
SEED = 1000


@register(NAME, carriers=(MOVIELENS_100K,))
def load(split: str) -> Dataset:
    """Load 99 057 training ratings, or the 943 users' last ones among films that they never rated.

    A sample has the fields ``user``, int64 from 0 to 942, and ``items``, int64 from 0 to 1681:
    the one film that was rated (train), or 100 candidates (test). A reference, int64, is the place
    of the film that was rated among them: 0 in the train split. What grade a film got does not
    count. The 99 others are drawn with a fixed seed (He et al., 2017, section 4.1, with 99 as
    there, and all users).

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    by_user = ratings().by_user()
    samples, references = _train(by_user) if split == "train" else _test(by_user)
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=references,
        licence=MOVIELENS_100K.licence,
        source=MOVIELENS_100K.source,
    )


Items = npt.NDArray[np.int64]


def _train(by_user: list[Items]) -> tuple[npt.NDArray[np.void], Items]:
    users = np.repeat(np.arange(len(by_user)), [len(items) - 1 for items in by_user])
    items = np.concatenate([items[:-1] for items in by_user])
    return _samples(users, items[:, np.newaxis]), np.zeros(len(users), np.int64)


def _test(by_user: list[Items]) -> tuple[npt.NDArray[np.void], Items]:
    random = np.random.Generator(np.random.PCG64(SEED))
    places = random.integers(CANDIDATES, size=len(by_user))
    candidates = [
        _candidates(items, place, random) for items, place in zip(by_user, places, strict=True)
    ]
    return _samples(np.arange(len(by_user)), np.stack(candidates)), places


def _candidates(items: Items, place: int, random: np.random.Generator) -> Items:
    """The last of a user's films, at a place among films that the user never rated."""
    never = np.setdiff1d(np.arange(ITEMS), items)
    others = random.choice(never, CANDIDATES - 1, replace=False)
    return np.insert(others, place, items[-1])


def _samples(users: Items, items: Items) -> npt.NDArray[np.void]:
    samples = np.empty(len(users), [("user", np.int64), ("items", np.int64, items.shape[1:])])
    samples["user"], samples["items"] = users, items
    return samples
