"""Image generation as a task: how it is trained, judged and served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.components.image_generation import data, metric
from benchmarks.components.image_generation.learner import WassersteinLearner
from benchmarks.components.image_generation.model import convolutional_gan
from benchmarks.components.image_generation.pictures import pictures
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Task, TensorPredictor


def mixtures(train: Dataset, test: Dataset) -> Sequence[npt.NDArray[Any]]:
    """Two training images shone on each other, at random and in random shares."""
    rng = np.random.Generator(np.random.PCG64(4))
    first, second = rng.integers(len(train), size=(2, len(test)))
    share = rng.random((len(test), 1, 1, 1), dtype=np.float32)
    one, other = (np.stack([train.references[row] for row in rows]) for rows in (first, second))
    return list(share * one + (1 - share) * other)


TASK = Task(
    name="image_generation",
    component="C2",
    title="Image generation",
    dataset=data.NAME,
    metric=metric.NAME,
    target=0.015,
    max_epochs=16,
    batch_size=32,
    cpu_threads=1,
    build=convolutional_gan,
    learner=WassersteinLearner,
    predictor=TensorPredictor,
    baseline=Baseline(name="mixture of two training images", answer=mixtures),
    pictures=pictures,
    time_to_quality=at_most("90 s"),
    scenarios=(
        SingleStream(latency_bound="20 ms"),
        MultiStream(latency_bound="40 ms"),
        Server(target_qps=200, latency_bound="50 ms"),
        Offline(),
    ),
    throughput=at_least("500 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C2, image generation: WGAN on LSUN bedrooms",
        "paper": "Arjovsky et al., Wasserstein GAN, 2017",
        "architecture": "generator and critic of two strided convolutions each, the DCGAN shape of "
        "the paper's section 4.1 with fewer channels and half as deep; 32 latents for 100, no "
        "batch normalisation, a sigmoid behind the generator. AIBench's are perceptrons (full.py)",
        "data": "handwritten digits of 28 x 28 pixels (MNIST-5k) instead of bedrooms of 64 x 64",
        "optimizer": "gradient penalty (Gulrajani et al., 2017) in place of clipped weights, with "
        "which images stopped improving here while the critic's estimate swung; Adam with the "
        "betas of that paper, learning rate 2e-3 falling linearly for 1e-4, 2 critic steps for 5",
        "metric": "sliced Wasserstein distance of patches (after Karras et al., 2018) to held-out "
        "images, at which real images reach 0.011; beside it, as the training's loss, the critic's "
        "own estimate of the Wasserstein distance, which is AIBench's figure",
        "target": "0.015, chosen on seeds 0 to 4; AIBench gives none that it reached "
        "(its critic's estimate is to be 0.5)",
    },
)
