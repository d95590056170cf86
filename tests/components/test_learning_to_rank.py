"""C16: sequences of films, Caser, and a teacher whose ranking a student learns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.nn import functional

from benchmarks.components import _movielens
from benchmarks.components.learning_to_rank import FULL, TASK, data
from benchmarks.components.learning_to_rank.full import student
from benchmarks.components.learning_to_rank.learner import DistillationLearner, rank_weights
from benchmarks.components.learning_to_rank.model import Caser, TeacherAndStudent
from pytest_aibench.datasets import registered
from pytest_aibench.quality.metrics import metric
from tests.components.batches import check_batches
from tests.components.movielens import FILMS_OF_A_USER, small_movielens
from tests.resuming import goes_on_exactly

N_TEST = 5
N_TRAIN = FILMS_OF_A_USER - N_TEST


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    with small_movielens():
        yield


@pytest.fixture
def pair() -> TeacherAndStudent:
    torch.manual_seed(0)
    seen = torch.zeros(6, 40, dtype=torch.bool)
    seen[2, 30:] = True
    return TeacherAndStudent(seen, teacher=8, student=4, length=5)


def asked(n: int) -> dict[str, torch.Tensor]:
    return {"user": torch.arange(n) % 6, "history": torch.arange(5 * n).view(n, 5) % 40}


def test_windows_lie_in_the_first_films_and_the_test_split_in_the_last() -> None:
    train, test = data.load("train"), data.load("test")
    by_user = _movielens.ratings().by_user()
    n_windows = N_TRAIN - data.HISTORY - data.TARGETS + 1
    assert len(train) == _movielens.USERS * n_windows
    first, own = train.samples[n_windows], by_user[1]
    assert first["user"] == 1
    assert first["history"].tolist() == own[:5].tolist()
    assert train.references[n_windows].tolist() == own[5:8].tolist()
    assert train.references[2 * n_windows - 1].tolist() == own[N_TRAIN - 3 : N_TRAIN].tolist()
    assert test.samples[1]["history"].tolist() == own[N_TRAIN - 5 : N_TRAIN].tolist()
    assert test.references[1].tolist() == own[N_TRAIN:].tolist()
    assert test.fingerprint == data.load("test").fingerprint


def test_no_film_of_the_test_split_counts_as_seen() -> None:
    seen, test = data.seen(), data.load("test")
    assert (seen.sum(1) == N_TRAIN).all()
    assert not seen[test.samples["user"][:, None], test.references].any()


def test_licence_and_carrier_are_told() -> None:
    assert data.load("test").licence.startswith("GroupLens research licence")
    assert registered()[data.NAME] == (_movielens.MOVIELENS_100K,)


def test_caser_sees_runs_of_items_and_weighs_them() -> None:
    torch.manual_seed(0)
    caser = Caser(3, 9, width=2, length=5).eval()
    history = torch.tensor([[1, 5, 0, 8, 2]])
    image = caser.item(history)[0]
    runs = [
        torch.stack(
            [
                (layer.weight * image[first : first + height].T).sum((1, 2)) + layer.bias
                for first in range(5 - height + 1)
            ]
        ).amax(0)
        for height, layer in enumerate(caser.horizontal, start=1)
    ]
    weighed = caser.vertical(image.T).flatten()
    found = caser.sequence(torch.cat((weighed, torch.cat(runs).sigmoid())))
    expected = torch.cat((found.sigmoid(), caser.user.weight[2]))
    wanted = caser(torch.tensor([2]), history)
    torch.testing.assert_close(wanted[0], expected)
    some = torch.tensor([[7, 0, 3]])
    torch.testing.assert_close(caser.score(wanted, some)[0], caser.score_all(wanted)[0, some[0]])


def test_what_was_seen_is_not_recommended(pair: TeacherAndStudent) -> None:
    with torch.no_grad():
        pair.student.bias.weight[30:] = 100.0
    scores = pair.eval()(asked(3))
    assert (scores[0].topk(10).indices >= 30).all()
    assert (scores[2].topk(10).indices < 30).all()
    assert scores.isfinite().all()


def test_the_teacher_learns_first_and_then_stays(pair: TeacherAndStudent) -> None:
    learner = DistillationLearner(pair, 10)
    came = torch.zeros(8, 3, dtype=torch.int64)
    moved = []
    for _ in range(10):
        before = {name: value.clone() for name, value in pair.state_dict().items()}
        learner.step(asked(8), came)
        now = pair.state_dict()
        moved.append(
            {name.partition(".")[0] for name in now if not torch.equal(now[name], before[name])}
        )
    assert moved == [{"teacher"}] * 4 + [{"student"}] * 6


@pytest.mark.parametrize("n_before", [2, 6])
def test_it_goes_on_after_an_interruption(pair: TeacherAndStudent, n_before: int) -> None:
    def build() -> TeacherAndStudent:
        return TeacherAndStudent(pair.seen, teacher=8, student=4, length=5)

    batch = asked(8), torch.zeros(8, 3, dtype=torch.int64)
    goes_on_exactly(build, DistillationLearner, batch, n_before=n_before)


@pytest.mark.parametrize("distils", [True, False])
def test_steps_lower_the_loss(pair: TeacherAndStudent, distils: bool) -> None:
    learner = DistillationLearner(pair, 100, distils=distils)
    came = (torch.arange(24).view(8, 3) * 7) % 40
    losses = [float(learner.step(asked(8), came)) for _ in range(100)]
    assert losses[39] < 0.9 * losses[0]
    assert losses[-1] < 0.9 * losses[40]


def test_the_student_learns_from_the_teacher_what_no_data_say(pair: TeacherAndStudent) -> None:
    with torch.no_grad():
        pair.teacher.bias.weight[3] = 50.0
    taught, alone = (_scores_of_student(pair, distils=distils) for distils in (True, False))
    assert taught.topk(2).indices.tolist() == [0, 3]
    assert 3 not in alone.topk(10).indices


def _scores_of_student(pair: TeacherAndStudent, *, distils: bool) -> torch.Tensor:
    """What a new student gives the items after lessons that name item 0 only."""
    torch.manual_seed(0)
    both = TeacherAndStudent(pair.seen, teacher=8, student=4, length=5)
    both.teacher = pair.teacher
    learner = DistillationLearner(both, 60, distils=distils)
    learner._n_first = 0
    for _ in range(60):
        learner.step(asked(8), torch.zeros(8, 3, dtype=torch.int64))
    with torch.no_grad():
        scores: torch.Tensor = both.eval()(asked(1))[0]
    return scores


def test_weights_follow_the_teachers_order_where_the_student_is_wrong() -> None:
    scores = torch.tensor([[0.0, 0.0, 9.0]])
    sampled = torch.linspace(-1, 1, 200)[None]
    weights = rank_weights(scores, sampled, 1000)[0]
    assert weights[0] > weights[1] > weights[2] == 0
    assert weights.sum() == pytest.approx(1)


def test_nothing_is_taught_where_the_student_ranks_as_high() -> None:
    weights = rank_weights(torch.full((2, 3), 9.0), torch.zeros(2, 50), 1000)
    assert (weights == 0).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_answers_do_not_depend_on_the_batch(precision: str) -> None:
    answers = check_batches(TASK, data.load("test").samples[:3], precision)
    assert [answer.shape for answer in answers] == [(_movielens.ITEMS,)] * 3


def test_baseline_is_popularity_without_what_was_seen() -> None:
    train, test = data.load("train"), data.load("test")
    scores = TASK.baseline.answer(train, test)
    seen = data.seen()
    assert scores[4][seen[4]].max() == 0
    film = int(np.flatnonzero(~seen[4])[0])
    assert scores[4][film] == seen[:, film].sum()


def test_higher_precision_is_better() -> None:
    test, quality = data.load("test"), metric(TASK.metric)
    right = [
        functional.one_hot(torch.tensor(items), _movielens.ITEMS).sum(0).double().numpy()
        for items in test.references
    ]
    assert quality.estimate(quality.scores(right, test.references)).value == N_TEST / 10
    assert quality.better == "higher"


def test_full_size_of_teacher_and_student() -> None:
    assert FULL.parameters() == 5_583_801
    assert FULL.macs() == 85_000
    with torch.device("meta"):
        assert sum(weight.numel() for weight in student().parameters()) == 2_793_951
