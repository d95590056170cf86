"""Whether the controller's search finds better cells than random search does at the same cost.

Run it from the repository with ``python -m benchmarks.harness.search_vs_random``; ``--seeds 0-4``
chooses. Random search draws cells from a controller that does not learn: its weights take as many
steps, with as many cells. In the end it takes the best of as many cells as the controller was
rewarded for, on the same held-out text. Both are judged on the test split.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import geometric_mean

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from benchmarks.components.architecture_search import TASK
from benchmarks.components.architecture_search.learner import EMBEDDED, SearchLearner
from benchmarks.components.architecture_search.model import Found, Search
from benchmarks.harness._rows import Row, run
from benchmarks.harness.seeds import seeds
from pytest_aibench.datasets import get
from pytest_aibench.devices import resolve
from pytest_aibench.training import Learner
from pytest_aibench.training.trainer import train

OUT_OF_REACH = 1.0


def main() -> int:
    """Search with and without a learning controller on each seed."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--seeds", type=seeds, default=range(5), help="like 0-4, the default")
    chosen, sys.argv[1:] = parser.parse_known_args()
    return run(__doc__.splitlines()[0], partial(measure, chosen.seeds))


def measure(seeds: Sequence[int]) -> list[Row]:
    """A row for each seed, and one for their geometric means."""
    found = [_perplexity(_trained(SearchLearner, seed).found()) for seed in seeds]
    drawn = [_perplexity(_best_drawn(seed)) for seed in seeds]
    rows = [
        Row(f"perplexity, seed {seed}", ours, other, ours / other, "none", True)
        for seed, ours, other in zip(seeds, found, drawn, strict=True)
    ]
    ours, other = geometric_mean(found), geometric_mean(drawn)
    return [*rows, Row("perplexity, mean", ours, other, ours / other, "below 1", ours < other)]


def _best_drawn(seed: int) -> Found:
    """The best on held-out text of cells drawn by a controller that did not learn."""
    without_learning = replace(EMBEDDED, controller_learning_rate=0.0)
    learner = partial(SearchLearner, recipe=without_learning)
    search = _trained(learner, seed)
    held_out = np.unique(get(TASK.dataset, "train").samples["held_out"], axis=0)
    steps = math.ceil(len(get(TASK.dataset, "train")) / TASK.batch_size) * TASK.max_epochs
    rewarded = 2 * steps // EMBEDDED.controller_interval
    n_cells = max(1, rewarded * TASK.batch_size // len(held_out))
    torch.manual_seed(seed)
    cells = [Found(search.shared, search.controller().cell) for _ in range(n_cells)]
    return min(cells, key=partial(_nats, chunks=held_out))


def _trained(learner: Callable[[nn.Module, int], Learner], seed: int) -> Search:
    """The weights and the controller after all epochs."""
    task = replace(TASK, learner=learner)
    result = train(task, resolve("cpu")[0], seed=seed, target=OUT_OF_REACH, progress=_show)
    search = Search()
    search.load_state_dict(result.state_dict)
    return search.eval()


def _perplexity(model: Found) -> float:
    """On the test split."""
    test = get(TASK.dataset, "test")
    return math.exp(_nats(model, test.samples) / test.references.sum())


def _nats(model: Found, chunks: npt.NDArray[np.int64]) -> float:
    with torch.inference_mode():
        return float(model(torch.tensor(chunks)).sum())


def _show(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
