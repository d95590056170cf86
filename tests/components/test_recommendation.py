"""C10: a film among a hundred, and the two ways to match it with its user."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.components import _movielens
from benchmarks.components.recommendation import FULL, TASK, data
from benchmarks.components.recommendation.model import NeuMF
from pytest_aibench.datasets import Carrier, registered
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import cast
from tests.components.batches import check_batches
from tests.components.movielens import FILMS_OF_A_USER, small_movielens


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    with small_movielens():
        yield


def test_ratings_are_in_order_of_time_and_ties_in_that_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = b"header\n2\t9\t1\t50\n1\t8\t1\t7\n1\t3\t1\t7\n1\t5\t1\t6\n2\t1\t5\t49\n"
    monkeypatch.setattr(Carrier, "read", lambda *_: table)
    ratings = _movielens.ratings.__wrapped__()
    assert ratings.users.tolist() == [0, 0, 0, 1, 1]
    assert [items.tolist() for items in ratings.by_user()] == [[4, 7, 2], [0, 8]]


def test_the_last_film_of_each_user_is_left_out() -> None:
    train, test = data.load("train"), data.load("test")
    by_user = _movielens.ratings().by_user()
    assert len(train) == _movielens.USERS * (FILMS_OF_A_USER - 1)
    assert train.samples["items"].shape == (len(train), 1)
    assert (train.references == 0).all()
    assert test.samples["user"].tolist() == list(range(_movielens.USERS))
    for user, (candidates, place) in enumerate(
        zip(test.samples["items"], test.references, strict=True)
    ):
        own = by_user[user]
        mine = train.samples["items"][train.samples["user"] == user, 0]
        assert mine.tolist() == own[:-1].tolist()
        assert candidates[place] == own[-1]
        assert len(set(candidates)) == data.CANDIDATES
        assert not set(np.delete(candidates, place)) & set(own)
    assert len(set(test.references)) == data.CANDIDATES  # the place tells nothing
    assert test.fingerprint == data.load("test").fingerprint


def test_licence_and_carrier_are_told() -> None:
    test = data.load("test")
    assert test.licence == "GroupLens research licence: no commercial use, no redistribution"
    assert "recbole 1.2.1" in test.source
    assert registered()["movielens_100k"] == (_movielens.MOVIELENS_100K,)


def test_scores_are_the_papers_formula() -> None:
    torch.manual_seed(0)
    model = NeuMF(5, 7, factors=3, layers=(4, 2))
    user, item = 3, 6
    product = model.users[0].weight[user] * model.items[0].weight[item]  # type: ignore[index]
    both = torch.cat((model.users[1].weight[user], model.items[1].weight[item]))  # type: ignore[index]
    expected = model.join(torch.cat((product, model.perceptron(both))))
    scores = model({"user": torch.tensor([1, user]), "items": torch.tensor([[0, 2], [4, item]])})
    assert scores.shape == (2, 2)
    torch.testing.assert_close(scores[1, 1:], expected)


def test_int8_rounds_no_products_beside_a_large_perceptron() -> None:
    torch.manual_seed(0)
    model = NeuMF(5, 7, factors=3, layers=(4, 2))
    for table in (*model.users, *model.items):
        nn.init.normal_(table.get_parameter("weight"))
    nn.init.zeros_(model.perceptron.get_parameter("0.weight"))
    nn.init.constant_(model.perceptron.get_parameter("0.bias"), 100)
    quantised = cast(model, resolve("cpu")[0], "int8")
    assert type(quantised.get_submodule("perceptron.0")) is not nn.Linear
    pairs = {"user": torch.arange(5), "items": torch.arange(7).expand(5, 7)}
    torch.testing.assert_close(quantised(pairs), model(pairs), rtol=0, atol=1e-4)


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    rated = {"user": torch.arange(64), "items": torch.zeros(64, 1, dtype=torch.int64)}
    learner = TASK.learner(TASK.build(), 30)
    losses = [float(learner.step(rated, torch.zeros(64))) for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_answers_do_not_depend_on_the_batch(precision: str) -> None:
    answers = check_batches(TASK, data.load("test").samples[:3], precision)
    assert [answer.shape for answer in answers] == [(100,)] * 3


def test_baseline_is_popularity() -> None:
    train, test = data.load("train"), data.load("test")
    scores = TASK.baseline.answer(train, test)
    film = test.samples["items"][5, 17]
    assert scores[5][17] == np.count_nonzero(train.samples["items"] == film)


def test_higher_hit_rate_is_better() -> None:
    hits = metric(TASK.metric)
    right = [np.eye(100)[place] for place in data.load("test").references]
    assert hits.estimate(hits.scores(right, data.load("test").references)).value == 1
    assert hits.better == "higher"


def test_full_size() -> None:
    assert FULL.parameters() == 31_832_577
    assert FULL.macs() == 106_624
