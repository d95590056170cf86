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
    in_train = split == "train"
    samples, references = (
        train_samples(by_user) if in_train else test_samples(by_user, ITEMS, CANDIDATES)
    )
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=references,
        licence=MOVIELENS_100K.licence,
        source=MOVIELENS_100K.source,
    )


Items = npt.NDArray[np.int64]


def train_samples(by_user: list[Items]) -> tuple[npt.NDArray[np.void], Items]:
    """Samples and references of all but the last of each user's films, which are in order."""
    users = np.repeat(np.arange(len(by_user)), [len(items) - 1 for items in by_user])
    items = np.concatenate([items[:-1] for items in by_user])
    return _samples(users, items[:, np.newaxis]), np.zeros(len(users), np.int64)


def test_samples(
    by_user: list[Items], items: int, candidates: int
) -> tuple[npt.NDArray[np.void], Items]:
    """Samples and references of the last of each user's films, each among others of all.

    Args:
        by_user: The films of each user, in order of time.
        items: How many films there are.
        candidates: Films in a sample.
    """
    random = np.random.Generator(np.random.PCG64(SEED))
    places = random.integers(candidates, size=len(by_user))
    samples = _samples(np.arange(len(by_user)), np.empty((len(by_user), candidates), np.int64))
    for sample, rated, place in zip(samples["items"], by_user, places, strict=True):
        is_new = np.ones(items, np.bool_)
        is_new[rated] = False
        others = random.choice(np.flatnonzero(is_new), candidates - 1, replace=False)
        sample[:] = np.insert(others, place, rated[-1])
    return samples, places


def _samples(users: Items, items: Items) -> npt.NDArray[np.void]:
    samples = np.empty(len(users), [("user", np.int64), ("items", np.int64, items.shape[1:])])
    samples["user"], samples["items"] = users, items
    return samples
