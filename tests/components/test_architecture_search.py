"""C17, architecture search: text, cells, controller and learner."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.components.architecture_search import TASK, data
from benchmarks.components.architecture_search.cell import (
    ACTIVATIONS,
    Architecture,
    LanguageModel,
    all_edges,
)
from benchmarks.components.architecture_search.controller import Controller
from benchmarks.components.architecture_search.data import CHUNK, END, VOCABULARY, load
from benchmarks.components.architecture_search.learner import SearchLearner
from benchmarks.components.architecture_search.model import Search
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import cpu_threads
from tests.components.batches import together_and_alone
from tests.resuming import goes_on_exactly

CHAIN = Architecture(activations=(0, 1, 2), inputs=(0, 1))
STAR = Architecture(activations=(3, 3, 3), inputs=(0, 0))


def test_no_paragraph_stands_in_two_parts() -> None:
    parts = data._paragraphs()
    paragraphs = [paragraph for part in parts.values() for paragraph in part]
    assert set(parts) == {"test", "controller", "weights"}
    assert len(paragraphs) == len(set(paragraphs)) > 1000


def test_chunks_of_text() -> None:
    train, test = load("train"), load("test")
    assert test.samples.shape == (280, CHUNK + 1)
    assert train.samples["text"].shape == train.samples["held_out"].shape == (len(train), CHUNK + 1)
    assert len(train) > 1500
    for tokens in (train.samples["text"], train.samples["held_out"], test.samples):
        assert tokens.min() == 0
        assert tokens.max() < VOCABULARY
        assert (tokens == END).any()
        np.testing.assert_array_equal(tokens[:100, -1], tokens[1:101, 0])
    assert (test.references == CHUNK).all()
    assert (test.samples == 0).mean() < 0.08
    assert test.licence == "PSF-2.0"
    assert "pydoc_data.topics" in test.source


def test_text_is_the_same_each_time() -> None:
    before = load("train").fingerprint
    data._parts.cache_clear()
    assert load("train").fingerprint == before


@pytest.mark.parametrize(
    ("cell", "edges", "loose_ends"),
    [(CHAIN, ((1, 0), (2, 1)), (2,)), (STAR, ((1, 0), (2, 0)), (1, 2))],
)
def test_edges_and_loose_ends(
    cell: Architecture, edges: tuple[tuple[int, int], ...], loose_ends: tuple[int, ...]
) -> None:
    assert cell.edges == edges
    assert cell.loose_ends == loose_ends
    assert set(edges) < set(all_edges(3))


def test_there_is_an_edge_between_any_two_nodes() -> None:
    assert sorted(all_edges(4)) == [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]


def test_a_cell_uses_the_weights_of_its_edges_alone() -> None:
    model = LanguageModel(10, 4, all_edges(3))
    torch.autograd.backward(model(torch.randint(10, (2, 5)), CHAIN).sum())
    learns = {name for name, weights in model.named_parameters() if weights.grad is not None}
    assert {name for name in learns if name.startswith("edges")} == {
        "edges.1<0.weight",
        "edges.2<1.weight",
    }


@pytest.mark.parametrize("cell", [CHAIN, STAR])
def test_likelihood_of_a_model_that_knows_nothing(cell: Architecture) -> None:
    model = LanguageModel(10, 4, all_edges(3))
    nn.init.zeros_(model.words.weight)
    nats = model(torch.randint(10, (2, 6)), cell)
    torch.testing.assert_close(nats, torch.full((2,), 5 * math.log(10)))


def test_likelihoods_of_all_continuations_sum_to_one() -> None:
    model = LanguageModel(3, 4, all_edges(3))
    continuations = torch.cartesian_prod(*[torch.arange(3)] * 3)
    tokens = torch.cat((torch.zeros(27, 1, dtype=torch.long), continuations), dim=1)
    assert torch.exp(-model(tokens, STAR)).sum().item() == pytest.approx(1, abs=1e-5)


def test_a_controller_s_probabilities_sum_to_one() -> None:
    torch.manual_seed(0)
    controller = Controller(nodes=2)
    with torch.no_grad(), cpu_threads(1):
        proposals = [controller() for _ in range(300)]
    probabilities = {each.cell: each.log_probability.exp().item() for each in proposals}
    assert len(probabilities) == len(ACTIVATIONS) ** 2
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_greedy_cell_is_the_same_each_time_and_drawn_ones_are_not() -> None:
    controller = Controller(nodes=4)
    assert controller(greedy=True).cell == controller(greedy=True).cell
    assert len({controller().cell for _ in range(20)}) > 5
    assert all(earlier < node for node, earlier in controller().cell.edges)


def test_controller_learns_what_is_rewarded(monkeypatch: pytest.MonkeyPatch) -> None:
    def reward(self: SearchLearner, cell: Architecture, tokens: Tensor, lengths: Tensor) -> Tensor:
        return torch.tensor(float(cell.activations.count(2) + cell.inputs.count(0)))

    monkeypatch.setattr(SearchLearner, "_reward", reward)
    torch.manual_seed(0)
    search = Search(nodes=3, width=4)
    learner = SearchLearner(search, 1000)
    with cpu_threads(1):
        for _ in range(150):
            learner._teach_controller(torch.zeros(1), torch.zeros(1))
    assert search.controller(greedy=True).cell == Architecture((2, 2, 2), (0, 0))


def test_weights_and_controller_take_turns() -> None:
    search = Search(width=8)
    learner = SearchLearner(search, 100)
    batch = {"text": torch.randint(9, (2, 9)), "held_out": torch.randint(9, (2, 9))}
    shared, controller = _weights(search.shared), _weights(search.controller)
    loss = learner.step(batch, torch.full((2,), 8))
    assert loss.shape == ()
    assert not loss.requires_grad
    assert _weights(search.shared) != shared
    assert _weights(search.controller) == controller
    learner.step(batch, torch.full((2,), 8))
    assert _weights(search.controller) != controller


def test_it_goes_on_after_an_interruption() -> None:
    texts = {"text": torch.randint(9, (2, 9)), "held_out": torch.randint(9, (2, 9))}
    batch = texts, torch.full((2,), 8)
    goes_on_exactly(partial(Search, width=8), SearchLearner, batch, n_before=3)


def _weights(module: nn.Module) -> list[list[float]]:
    return [weights.flatten().tolist() for weights in module.parameters()]


def test_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    learner = SearchLearner(Search(width=16), 60)
    text = torch.randint(20, (8, 9))
    lengths = torch.full((8,), 8)
    with cpu_threads(1):
        losses = [learner._teach_weights(text, lengths).item() for _ in range(30)]
    assert losses[-1] < losses[0] - 1


def test_likelihood_does_not_depend_on_the_batch() -> None:
    predictor = TASK.predictor(TASK.build(), resolve("cpu")[0], "fp32")
    together, alone = together_and_alone(predictor, load("test").samples[:4])
    assert np.ndim(together[0]) == 0
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_target_beats_the_baseline() -> None:
    baseline = TASK.baseline_quality().value
    assert metric(TASK.metric).better == "lower"
    assert baseline is not None
    assert TASK.target < baseline / 2
