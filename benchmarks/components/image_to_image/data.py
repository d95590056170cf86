"""The data set ``drawn_streets``: photographs to translate into pictures of labels."""

from __future__ import annotations

import numpy as np

from benchmarks.components.image_to_image.palette import painted
from benchmarks.components.image_to_image.photographs import photographs
from benchmarks.components.image_to_image.streets import streets
from pytest_aibench.datasets import Dataset, register

NAME = "drawn_streets"

_SEEDS = {"train": 501, "test": 1501}
_COUNTS = {"train": 400, "test": 200}


@register(NAME)
def load(split: str) -> Dataset:
    """Draw 400 photographs and 400 label maps for training, or 200 pairs of them for the test.

    Samples are photographs, float32 in [0, 1] of shape (n, 3, 32, 32). References are, for
    training, pictures of the labels of *other* streets, in the same form: nothing tells what a
    photograph's own labels are. For the test they are the photographs' label maps, uint8 of shape
    (n, 32, 32). `streets` and `photographs` tell what is in them, `palette` the classes.
    """
    random = np.random.Generator(np.random.PCG64(_SEEDS[split]))
    photographed = streets(random, _COUNTS[split])
    samples = photographs(random, photographed)
    unpaired = split == "train"
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=painted(streets(random, _COUNTS[split])) if unpaired else photographed,
        licence="Apache-2.0",
        source=f"drawn with seed {_SEEDS[split]}",
    )
