"""C10 at full size: MovieLens-20M's table, a step and an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.components.recommendation import FULL_TASK, original
from benchmarks.components.recommendation.full import USERS_AT_ONCE, FewUsersPredictor
from benchmarks.components.recommendation.model import NeuMF
from benchmarks.components.recommendation.task import popularity
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError
from tests.original.files import CPU, after_a_step, answers

COUNTS = original.Counts(ratings=12, users=3, items=10)
FILMS = {7: (10, 20, 30, 40), 8: (110, 20, 120, 50), 9: (60, 70, 80, 10)}


@pytest.fixture
def movielens(tmp_path: Path) -> Path:
    rows = [
        f"{user},{film},3.5,{1000 + time}"
        for time in (2, 0, 3, 1)
        for user, films in FILMS.items()
        for film in films[time : time + 1]
    ]
    (tmp_path / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *rows]))
    return tmp_path


def load(folder: Path, split: str) -> Dataset:
    return original.load(folder, split, counts=COUNTS, candidates=5)


def test_the_last_film_is_to_be_found_among_others(movielens: Path) -> None:
    films_there = sorted({film for films in FILMS.values() for film in films})
    numbers = {film: rank for rank, film in enumerate(films_there)}
    train, test = load(movielens, "train"), load(movielens, "test")
    assert train.samples["user"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    first = [numbers[film] for films in FILMS.values() for film in films[:-1]]
    assert train.samples["items"][:, 0].tolist() == first
    assert test.samples["items"].shape == (3, 5)
    for films, sample, place in zip(FILMS.values(), test.samples, test.references, strict=True):
        others = set(np.delete(sample["items"], place).tolist())
        assert sample["items"][place] == numbers[films[-1]]
        assert len(others) == 4
        assert not others & {numbers[film] for film in films}


def test_all_ratings_must_be_there(movielens: Path) -> None:
    with pytest.raises(UserError) as error:
        original.load(movielens, "train")
    assert str(error.value) == (
        f"{movielens / 'ratings.csv'} has 12 ratings and should have 20000263: complete it as "
        "docs/original-data.md describes"
    )
    with pytest.raises(UserError, match="has 10 films and should have 11: "):
        original.load(movielens, "train", counts=COUNTS._replace(items=11))


def test_popularity_counts_films_that_only_the_test_has(movielens: Path) -> None:
    train, test = load(movielens, "train"), load(movielens, "test")
    (first, *_) = popularity(train, test)
    seen = train.samples["items"].ravel().tolist()
    assert first.tolist() == [seen.count(film) for film in test.samples[0]["items"]]


def test_users_are_scored_in_parts() -> None:
    n = USERS_AT_ONCE + 3
    samples = np.zeros(n, [("user", np.int64), ("items", np.int64, (2,))])
    samples["user"] = np.arange(n)
    predictor = FewUsersPredictor(NeuMF(n, 4, factors=2, layers=(4, 2)), CPU, "fp32")
    together = predictor.postprocess(predictor.infer(predictor.preprocess(list(samples))))
    alone = predictor.postprocess(predictor.infer(predictor.preprocess(list(samples[-1:]))))
    assert len(together) == n
    np.testing.assert_allclose(together[-1], alone[0], rtol=1e-5)


def test_a_step_and_an_answer(movielens: Path) -> None:
    model = after_a_step(FULL_TASK, load(movielens, "train"))
    outputs = answers(FULL_TASK, model, load(movielens, "test"))
    assert [output.shape for output in outputs] == [(5,)] * 3
