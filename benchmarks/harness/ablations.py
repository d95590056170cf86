"""What the idea of a component is worth: the same training with it and without it.

Run it from the repository with ``python -m benchmarks.harness.ablations``; ``--seeds 0-4`` chooses.
C15 learns with its spatial transformer and with plain shrinking in its place; C16's student learns
with its teacher and without. All epochs are spent, whatever the target.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean

from torch import nn

from benchmarks.components import learning_to_rank, spatial_transformer
from benchmarks.components.learning_to_rank.learner import DistillationLearner
from benchmarks.components.spatial_transformer.model import DigitClassifier
from benchmarks.harness._rows import Row, run
from benchmarks.harness.seeds import seeds
from pytest_aibench.datasets import get
from pytest_aibench.devices import resolve
from pytest_aibench.quality.metrics import metric
from pytest_aibench.training import Task
from pytest_aibench.training.predictor import predict
from pytest_aibench.training.trainer import train

OUT_OF_REACH = 2.0


def main() -> int:
    """Train both components in both ways on each seed."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--seeds", type=seeds, default=range(5), help="like 0-4, the default")
    chosen, sys.argv[1:] = parser.parse_known_args()
    return run(__doc__.splitlines()[0], partial(measure, chosen.seeds))


def measure(seeds: Sequence[int]) -> list[Row]:
    """The rows of both components."""
    return [*_transformer(seeds), *_distillation(seeds)]


def _transformer(seeds: Sequence[int]) -> list[Row]:
    task = spatial_transformer.TASK
    plain = replace(task, build=partial(DigitClassifier, transforms=False))
    with_it, without = (
        [_judged(one, _trained(one, seed)) for seed in seeds] for one in (task, plain)
    )
    return _rows("top1 with transformer, without", seeds, with_it, without)


def _distillation(seeds: Sequence[int]) -> list[Row]:
    task = learning_to_rank.TASK
    left_alone = replace(task, learner=partial(DistillationLearner, distils=False))
    pairs = [_trained(task, seed) for seed in seeds]
    distilled = [_judged(task, pair) for pair in pairs]
    alone = [_judged(task, _trained(left_alone, seed)) for seed in seeds]
    for pair in pairs:
        pair.student = pair.teacher
    teachers = [_judged(task, pair) for pair in pairs]
    return [
        *_rows("precision_at_10 of student with teacher, without", seeds, distilled, alone),
        *_rows("precision_at_10 of teacher, student with it", seeds, teachers, distilled),
    ]


def _rows(
    what: str, seeds: Sequence[int], with_it: Sequence[float], without: Sequence[float]
) -> list[Row]:
    """A row for each seed, and one for the means."""
    pairs = [*zip(with_it, without, strict=True), (fmean(with_it), fmean(without))]
    names = [*(f"seed {seed}" for seed in seeds), "mean"]
    return [
        Row(f"{what}, {name}", ours, other, ours / other, "above 1 in the mean", better)
        for name, (ours, other) in zip(names, pairs, strict=True)
        for better in [name != "mean" or ours > other]
    ]


def _trained(task: Task, seed: int) -> nn.Module:
    """The model after all epochs."""
    result = train(task, resolve("cpu")[0], seed=seed, target=OUT_OF_REACH)
    model = task.build()
    model.load_state_dict(result.state_dict)
    return model


def _judged(task: Task, model: nn.Module) -> float:
    """What a model is worth on the test split."""
    test, quality = get(task.dataset), metric(task.metric)
    predictor = task.predictor(model, resolve("cpu")[0], "fp32")
    outputs = predict(predictor, list(test.samples), task.batch_size)
    value = quality.estimate(quality.scores(outputs, test.references)).value
    return 0.0 if value is None else value


if __name__ == "__main__":
    sys.exit(main())
