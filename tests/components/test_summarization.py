"""C14, summarization."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.components.summarization import data
from benchmarks.components.summarization.model import Source, Summarizer
from benchmarks.components.summarization.task import TASK, Headliner, names
from pytest_aibench.datasets import registered
from pytest_aibench.devices import resolve
from pytest_aibench.training import cpu_threads
from tests.components.batches import together_and_alone

CPU = resolve("cpu")[0]

CODE = '''
class GraphView:
    """Shows a graph of many nodes.

    All nodes of the graph are taken: many of them.
    """

    def get_edge(self, otherNode):
        """Return the first edge, if any node has one.

        The first of the node.
        """

    def too_short(self):
        """Of two.

        And a text.
        """

    def without_text(self):
        """Return nothing at all."""


def cut_edge():
    """Cut the edge of a wire.

    It cuts an edge.
    """
'''


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with cpu_threads(1):
        yield


@pytest.fixture(autouse=True)
def few_words(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two files of code in place of five packages."""
    functions = (
        f'def make_{i}():\n    """Return the thing {i} at once.\n\n    Odd thing {i + 2}."""\n'
        for i in range(40)
    )
    use([("big.py", "".join(functions)), ("small.py", CODE)], monkeypatch)
    monkeypatch.setattr(data, "TEST_PAIRS", 2)
    monkeypatch.setattr(data, "cached_arrays", lambda name, make: make())
    yield
    forget()


def use(files: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "_files", lambda: iter(files))
    forget()


def forget() -> None:
    for function in (data._arrays, data.vocabulary, data._numbers):
        function.cache_clear()


def test_pairs_of_documented_code() -> None:
    assert list(data._summed_up(CODE)) == [
        (
            ". graph view : ; all nodes of the graph are taken many of them",
            "shows a graph of many nodes",
        ),
        (
            "graph view . get edge : other node ; the first of the node",
            "return the first edge if any node has one",
        ),
        (". cut edge : ; it cuts an edge", "cut the edge of a wire"),
    ]


@pytest.mark.parametrize(
    ("text", "headline", "told"),
    [
        ("saw . cut : deep ; holes", "cut deep holes", True),
        ("saw . cut : deep ; holes", "the cut of deep holes in a wall of stone with", True),
        ("saw . cut : deep ; holes", "cut deep holes in thick walls of old stone", False),
        ("saw . cut : deep ;", "cut deep", False),
        ("saw . cut : deep ;", "saw cut deep", False),
        (". cut : deep ; in the", "deep in the wall", False),
    ],
)
def test_half_of_a_tested_headline_is_told_and_two_words_beside_the_names(
    text: str, headline: str, told: bool
) -> None:
    assert data._is_told(data.Pair(text, headline)) is told


def test_splits_share_no_file_and_no_headline() -> None:
    train, test = data.load("train"), data.load("test")
    assert test.references.tolist() == [
        "shows a graph of many nodes",
        "return the first edge if any node has one",
    ]
    assert train.samples.shape == (40, data.TEXT_LENGTH)
    assert train.references.shape == (40, data.HEADLINE_LENGTH)
    assert train.samples.dtype == train.references.dtype == np.int64
    assert data.load("train").fingerprint == train.fingerprint
    assert train.licence.startswith("sympy: BSD-3-Clause, networkx: BSD-3-Clause, keras: Apache-2")
    assert test.source.startswith("docstrings of PyPI sympy 1.14.0, PyPI networkx 3.4.2")
    assert registered()[data.NAME] == data.CARRIERS


def test_what_is_near_the_test_is_not_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    near = CODE.replace("many", "few").replace("edge", "twig")
    use([("small.py", CODE), ("copy.py", CODE), ("big.py", near)], monkeypatch)
    assert data._arrays()["train_headline"].tolist() == ["cut the twig of a wire"]


def test_words_that_are_not_known_are_copied() -> None:
    words, written = data.vocabulary()
    common = (*data.SPECIAL, *data.FUNCTION_WORDS)
    assert words == (*common, "once", "return", "thing", "make", "odd")
    assert written == len(words) - 2
    returned, make = words.index("return"), words.index("make")
    the, end, place = words.index("the"), words.index("."), len(words)
    (ids,) = data.encode(["box . get edge : make ; return the edge"])
    numbers = [place, end, place + 2, place + 3, 5, make, 6, returned, the, place + 3]
    assert ids[:11].tolist() == [*numbers, data.PAD]
    text = "get edge : make ; x"
    assert data.decode([returned, the, make, place + 1, data.END, the], text) == (
        "return the make edge"
    )
    (headline,) = data._encode_headlines([data.Pair(text, "return odd make edge of")])
    expected = [returned, data.UNKNOWN, make, place + 1, words.index("of"), data.END, data.PAD]
    assert headline[:7].tolist() == expected


READ, WRITTEN, REPEATABLE = 9, 7, 5
WORDS = torch.tensor([[5, 9, 4, 8, 11], [6, 8, 9, 0, 0]])
"""Texts of words that can be written, of 8 that can be read alone, and of unknown ones."""


def small() -> Summarizer:
    torch.manual_seed(0)
    return Summarizer(READ, WRITTEN, REPEATABLE, embedding=6, hidden=5).eval()


@torch.no_grad()
def likelihoods(model: Summarizer, words: Tensor, written: list[int]) -> Tensor:
    """Of all words after those written, by one forward pass for each."""
    candidates = torch.arange(READ + words.shape[1])
    headlines = torch.tensor([[*written, int(word)] for word in candidates])
    found = torch.full((len(candidates),), -torch.inf)
    there = (headlines[:, -1] != data.PAD) & (headlines[:, -1] != data.UNKNOWN)
    nats = model(words.expand(int(there.sum()), -1), headlines[there])
    found[there] = nats.view(int(there.sum()), -1)[:, -1]
    return found


def test_probabilities_are_of_words_written_or_copied() -> None:
    chances = likelihoods(small(), WORDS[:1], [5, 9]).exp()
    assert (chances[[7, 10, 12, 13]] < 1e-6).all()
    assert (chances[[1, 2, 4, 5, 6, 8, 9, 11]] > 1e-3).all()
    assert 0.7 < chances.sum() < 1  # the rest is that of special words


def test_closed_gate_copies_what_is_attended_to() -> None:
    model = small()
    torch.nn.init.zeros_(model.gate.weight)
    torch.nn.init.constant_(model.gate.bias, -100)
    chances = likelihoods(model, WORDS[:1], []).exp()
    assert chances[[5, 9, 4, 8, 11]].sum().item() == pytest.approx(1)
    assert likelihoods(model, WORDS[1:], []).exp()[[6, 8, 9]].sum().item() == pytest.approx(1)


def test_unknown_and_filled_words_are_not_learnt() -> None:
    model = small()
    nats = model(WORDS, torch.tensor([[5, data.UNKNOWN, 6, 2], [8, 2, data.PAD, data.PAD]]))
    assert nats.shape == (5,)
    assert (nats < 0).all()
    nats.mean().backward()
    assert all(
        weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters()
    )


def test_attention_turns_away_from_where_it_has_been() -> None:
    """Paulus et al., equations 2 to 4, with plain numbers."""
    model = small()
    keys, hidden = torch.randn(1, 3, 5), torch.randn(1, 3, 5)
    source = Source(torch.tensor([[5, 6, data.PAD]]), torch.empty(0), keys)
    scores = (hidden @ keys.transpose(1, 2))[0].exp()
    attention = model._attend(source, hidden)[0].exp()
    for step in range(3):
        fresh = scores[step] / (scores[:step].sum(dim=0) if step else 1)
        fresh[2] = 0
        torch.testing.assert_close(attention[step], fresh / fresh.sum())


def test_next_words_do_not_repeat_and_end_with_filling() -> None:
    model = small()
    source, state = model._encode(WORDS[:1])
    hidden, _ = model.decoder(model._embed(torch.tensor([[data.BEGIN, 4, 5, 9]])), state)
    nats = model._next(source, hidden, torch.tensor([[data.BEGIN, 4, 5, 9]]))[0]
    expected = likelihoods(model, WORDS[:1], [4, 5, 9])
    possible = torch.tensor([1, 2, 4, 6, 8, 11])
    torch.testing.assert_close(nats[possible], expected[possible])
    assert (nats[[data.PAD, data.UNKNOWN, 5, 9, 7, 10]] == -torch.inf).all()
    ended = model._next(source, hidden, torch.tensor([[data.BEGIN, 4, data.END, data.PAD]]))[0]
    assert ended.exp().nonzero().flatten().tolist() == [data.PAD]


def test_wide_beam_finds_the_likeliest_headline_of_all() -> None:
    model, length = small(), 2
    words = range(READ + WORDS.shape[1])
    means = {}
    for first, second in product(words, words):
        if first == data.END and second == data.PAD:
            means[first, second] = float(likelihoods(model, WORDS[:1], [])[first])
        elif data.END != first not in (data.PAD, data.UNKNOWN) and (first != second or first < 5):
            nats = likelihoods(model, WORDS[:1], [])[first], likelihoods(model, WORDS[:1], [first])
            means[first, second] = float(nats[0] + nats[1][second]) / 2
    best = max(means, key=lambda pair: means[pair])
    assert model.summarize(WORDS[:1], length, beams=len(words))[0].tolist() == list(best)


def test_answers_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(1)
    predictor = Headliner(TASK.build(), CPU, "fp32")
    together, alone = together_and_alone(predictor, data.load("test").samples)
    assert together == alone


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    train = data.load("train")
    texts, headlines = (torch.tensor(each[:8]) for each in (train.samples, train.references))
    learner = TASK.learner(TASK.build(), 20)
    losses = [learner.step(texts, headlines).item() for _ in range(20)]
    assert losses[-1] < losses[0] / 2


def test_baseline_puts_the_names_into_a_sentence() -> None:
    answers = names(data.load("train"), data.load("test"))
    assert [answer.split() for answer in answers] == [
        ["returns", "the", "graph", "view", "of", "the"],
        ["returns", "the", "get", "edge", "of", "the", "graph", "view"],
    ]
