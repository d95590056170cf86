"""The search on the Penn Treebank, and the language model with the cell that the paper found."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import ExponentialLR, LRScheduler

from benchmarks.components._full import SCENARIOS, THROUGHPUT, FullModel
from benchmarks.components.architecture_search import original
from benchmarks.components.architecture_search.cell import Architecture, LanguageModel
from benchmarks.components.architecture_search.learner import Recipe, SearchLearner
from benchmarks.components.architecture_search.model import Search
from benchmarks.components.architecture_search.task import TASK
from pytest_aibench.bounds import at_most

CELL = Architecture(
    activations=(0, 0, 1, 1, 0, 0, 1, 0, 1, 1, 1, 1), inputs=(0, 1, 2, 2, 2, 5, 1, 6, 8, 8, 8)
)
WORDS = original.COUNTS.words
WIDTH = 748


def found_model() -> LanguageModel:
    """12 nodes, and only the edges that the found cell has."""
    return LanguageModel(WORDS, WIDTH, CELL.edges)


FULL = FullModel(
    build=found_model,
    published_parameters=24_000_000,
    source="Pham et al., Efficient Neural Architecture Search via Parameter Sharing, 2018, table 1 "
    "and figure 6; the cell and the 748 units are those of the authors' script for this model",
    within=0.09,
    note="word vectors, two matrices of 748 x 1496 for the first node and one for each of the "
    "other 11 make 22.0 M; what else the paper's 24 M hold, it does not say",
)

EPOCHS = 150
EVERY_EPOCH = 0.96


def optimizer(model: nn.Module) -> Optimizer:
    """Stochastic gradient descent."""
    return SGD(model.parameters(), 20.0, weight_decay=1e-7)


def schedule(optimizer: Optimizer, steps: int) -> LRScheduler:
    """Down to 96 % in each epoch."""
    return ExponentialLR(optimizer, EVERY_EPOCH ** (EPOCHS / steps))


RECIPE = Recipe(
    optimizer=optimizer,
    schedule=schedule,
    clip_norm=0.25,
    controller_learning_rate=3.5e-4,
    controller_interval=2,
    entropy_weight=1e-4,
)

FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=100.0,
    max_epochs=EPOCHS,
    batch_size=64,
    cpu_threads=None,
    build=partial(Search, nodes=12, width=1000, vocabulary=WORDS, controller=100),
    learner=partial(SearchLearner, recipe=RECIPE),
    time_to_quality=at_most("7.47 h"),
    scenarios=SCENARIOS,
    throughput=THROUGHPUT,
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "the paper's search space: 12 nodes of 1000 units, a controller of 100; "
        "layer normalisation where its code normalises batches, one dropout of 0.3 for its several",
        "data": "the Penn Treebank in Mikolov's preparation, in chunks of 35 tokens that start "
        "from an empty state, where the paper hands the state on; its validation part rewards the "
        "controller",
        "optimizer": "the paper's: SGD from 20, 0.96 of it after each epoch, weight decay 1e-7, "
        "gradients clipped to norm 0.25, 64 chunks a step; REINFORCE with Adam at 3.5e-4, entropy "
        "1e-4, after every second step of the weights, there 2000 times an epoch after it",
        "choice": TASK.provenance["choice"],
        "epochs": "150 as in the paper; AIBench's time and time of an epoch imply 29",
        "target": "perplexity 100 (AIBench)",
        "time": "7.47 h on a Titan RTX (AIBench)",
        "latency": "not published: guesses",
    },
)
