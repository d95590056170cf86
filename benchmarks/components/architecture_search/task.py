"""Architecture search as a task: how it is trained, judged and served."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.components.architecture_search.data import NAME
from benchmarks.components.architecture_search.learner import SearchLearner
from benchmarks.components.architecture_search.model import Search
from benchmarks.components.architecture_search.predictor import found_predictor
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Task


def unigram(train: Dataset, test: Dataset) -> Sequence[float]:
    """How likely each token is by its frequency in the training text, counts plus one."""
    text = train.samples["text"]
    vocabulary = 1 + max(int(tokens.max()) for tokens in (text, test.samples))
    counts = np.bincount(text[:, 1:].ravel(), minlength=vocabulary) + 1
    nats = -np.log(counts / counts.sum())
    return [float(nats[chunk[1:]].sum()) for chunk in test.samples]


TASK = Task(
    name="architecture_search",
    component="C17",
    title="Architecture search",
    dataset=NAME,
    metric="perplexity",
    target=62.0,
    max_epochs=10,
    batch_size=32,
    cpu_threads=1,
    build=Search,
    learner=SearchLearner,
    predictor=found_predictor,
    baseline=Baseline(name="frequency of words", answer=unigram),
    time_to_quality=at_most("100 s"),
    scenarios=(
        SingleStream(latency_bound="60 ms"),
        MultiStream(latency_bound="100 ms"),
        Server(target_qps=100, latency_bound="150 ms"),
        Offline(),
    ),
    throughput=at_least("200 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C17, neural architecture search: ENAS on the Penn "
        "Treebank",
        "paper": "Pham et al., Efficient Neural Architecture Search via Parameter Sharing, 2018",
        "architecture": "the paper's search space of recurrent cells (section 2.1), with 4 nodes "
        "for 12 and 96 units for 1000: weights for each edge, highway gates, tied word vectors; "
        "layer normalisation where its code normalises batches; an LSTM of 64 units as controller",
        "data": "CPython's documentation of topics, 1500 words, instead of the Penn Treebank; in "
        "chunks of 32 tokens that start from an empty state",
        "optimizer": "weights: Adam, learning rate 5e-3 in one cycle, for SGD from 20; gradients "
        "clipped to norm 0.5 for 0.25. Controller: REINFORCE with Adam at 2e-3 for 3.5e-4, after "
        "every second step of the weights; the reward is 80 / perplexity as in the paper, its "
        "baseline that of a second cell on the same text for a moving average",
        "choice": "the cell of the controller's most probable decisions, with the shared weights; "
        "the paper draws several, takes the best on a batch and trains it again",
        "search": "random search at the same cost, the best of its cells on held-out text, has "
        "60.4, 59.8 and 58.4 on seeds 0 to 2 where the controller's cell has 54.5, 52.2 and 54.8 "
        "after all epochs (benchmarks/harness/search_vs_random.py)",
        "target": "62, chosen on seeds 0 to 4; on the Penn Treebank the paper reaches 55.8 and "
        "AIBench asks for 100",
    },
)
