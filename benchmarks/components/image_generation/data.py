"""The data set ``mnist_5k_latents``: digits to draw, and latent vectors to draw them from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.components import _mnist
from pytest_aibench.datasets import Dataset, register

NAME = "mnist_5k_latents"
LATENTS = 32
TEST_IMAGES = 400
SEEDS = {"train": 2, "test": 3}


@register(NAME, carriers=(_mnist.MNIST_5K,))
def load(split: str) -> Dataset:
    """Load 4000 training or 400 test scans of `mnist_5k`, with as many latent vectors.

    Samples are standard normal vectors, float32 of shape (n, 32), references images in [0, 1] of
    shape (n, 1, 28, 28). No vector belongs to its image: what is compared are the sets.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    scans = _mnist.load(split)
    rng = np.random.Generator(np.random.PCG64(SEEDS[split]))
    chosen = rng.permutation(len(scans))[: TEST_IMAGES if split == "test" else None]
    return replace(
        scans,
        name=NAME,
        samples=rng.standard_normal((len(chosen), LATENTS), dtype=np.float32),
        references=scans.samples[chosen],
    )
