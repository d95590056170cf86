"""C3, translation."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from benchmarks.components.translation import data
from benchmarks.components.translation.model import Transformer, waves
from benchmarks.components.translation.task import TASK, Translator
from pytest_aibench.datasets import get
from pytest_aibench.devices import resolve
from pytest_aibench.errors import UserError
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import cpu_threads
from tests.components.batches import together_and_alone

CPU = resolve("cpu")[0]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield


def small(positions: int = 12) -> Transformer:
    torch.manual_seed(0)
    return Transformer(9, layers=2, width=16, inner=32, heads=2, positions=positions).eval()


def test_splits_share_no_sentence() -> None:
    train, test = get(data.NAME, "train"), get(data.NAME)
    assert train.samples.shape == train.references.shape == (12000, data.LENGTH)
    assert train.samples.dtype == np.int64
    assert len(test) == len(set(test.samples)) == 200
    assert not {data.decode(row) for row in train.samples} & set(test.samples.tolist())
    assert (train.licence, test.licence) == ("Unicode-3.0", "Unicode-3.0")
    assert test.source.startswith("Babel 2.")
    assert data.load("test").fingerprint == test.fingerprint


def test_pairs_say_the_same_in_both_languages() -> None:
    test = get(data.NAME)
    pairs = dict(zip(test.samples.tolist(), test.references.tolist(), strict=True))
    assert sum(" and " in english for english in pairs) > 80
    for english, german in pairs.items():
        assert (" and " in english) <= (" und " in german)
        assert english.endswith("ago") <= ("vor " in german)


def test_data_without_babel_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "babel", None)
    with pytest.raises(UserError) as error:
        data._locale("en")
    assert str(error.value) == (
        "the data set 'cldr_en_de' needs Babel: pip install 'pytest-aibench[suite]'"
    )


def test_tokens_are_words_marks_and_pairs_of_digits() -> None:
    assert data.tokens("Oct 10, 2039 is CZK912.66") == [
        "Oct", " 10", ",", " 20", "39", " is", " CZK", "91", "2", ".", "66",
    ]  # fmt: skip


def test_texts_come_back_from_their_tokens() -> None:
    train = get(data.NAME, "train")
    texts = [data.decode(row) for row in train.references]
    np.testing.assert_array_equal(data.encode(texts), train.references)
    assert data.decode([data.BEGIN, *data.encode(["5 hours"])[0], 7]) == "5 hours"
    assert data.encode(["qwertz"])[0, :3].tolist() == [data.UNKNOWN, data.END, data.PAD]


def test_long_texts_are_cut() -> None:
    (ids,) = data.encode(["1 " * 50])
    assert (len(ids), ids[-1]) == (data.LENGTH, data.END)


def test_positions_are_told_apart_by_waves() -> None:
    table = waves(50, 8)
    torch.testing.assert_close(table[7, :2], torch.tensor([np.sin(7.0), np.cos(7.0)]).float())
    torch.testing.assert_close(table[7, 6], torch.tensor(np.sin(7 / 1000)).float())
    assert table.shape == (50, 8)


def test_a_position_sees_only_what_is_before_it() -> None:
    source, target = torch.tensor([[5, 6, 2]]), torch.tensor([[1, 4, 5, 6]])
    model = small()
    scores = model(source, target)
    assert scores.shape == (4, 9)
    target[0, 3] = 8
    torch.testing.assert_close(model(source, target)[:3], scores[:3])
    assert not torch.allclose(model(source, target)[3], scores[3])


def test_filled_positions_are_not_scored() -> None:
    model, source = small(), torch.tensor([[5, 6, 2], [7, 2, 0]])
    scores = model(source, torch.tensor([[1, 4, 5], [1, 0, 0]]))
    assert scores.shape == (4, 9)
    torch.testing.assert_close(scores[3:], model(source[1:], torch.tensor([[1]])))


def test_filling_changes_nothing() -> None:
    model, target = small(), torch.tensor([[1, 4]])
    short, filled = torch.tensor([[5, 6, 2]]), torch.tensor([[5, 6, 2, 0, 0]])
    torch.testing.assert_close(model(short, target), model(filled, target))


def test_translating_step_by_step_is_choosing_the_likeliest_of_all_at_once() -> None:
    model, source = small(), torch.tensor([[5, 6, 7, 2], [8, 2, 0, 0]])
    written = torch.full((2, 1), data.BEGIN)
    for _ in range(6):
        scores = model(source, written).unflatten(0, written.shape)
        following = scores[:, -1].argmax(dim=-1, keepdim=True)
        written = torch.cat((written, following), dim=1)
    never = 9
    assert model.translate(source, data.BEGIN, never, 6).tolist() == written[:, 1:].tolist()


def test_translating_stops_when_all_have_ended() -> None:
    model, source = small(), torch.tensor([[5, 6, 7, 2]])
    first = int(model.translate(source, data.BEGIN, 9, 1))
    assert model.translate(source, data.BEGIN, first, 6).tolist() == [[first]]


def test_answers_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(1)
    predictor = Translator(TASK.build(), CPU, "fp32")
    together, alone = together_and_alone(predictor, get(data.NAME).samples[:6])
    assert together == alone
    assert all(isinstance(text, str) for text in together)


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    train = get(data.NAME, "train")
    english, german = (torch.tensor(each[:8]) for each in (train.samples, train.references))
    learner = TASK.learner(TASK.build(), 30)
    losses = [learner.step(english, german).item() for _ in range(30)]
    assert losses[-1] < losses[0] / 2


def test_target_is_far_above_the_baseline() -> None:
    baseline = TASK.baseline_quality()
    assert metric(TASK.metric).better == "higher"
    assert baseline.high is not None
    assert TASK.target > 2 * baseline.high
