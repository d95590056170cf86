"""Films of pushes, to be continued from their beginning and the actions."""

from __future__ import annotations

import numpy as np

from benchmarks.components.video_prediction.pushing import PIXELS, film
from pytest_aibench.datasets import Dataset, register

NAME = "simulated_pushes"
CONTEXT, PREDICTED = 2, 6

_SEEDS = {"train": 11, "test": 1011}
_COUNTS = {"train": 400, "test": 200}
_LENGTH = CONTEXT + PREDICTED

SAMPLE = np.dtype(
    [
        ("frames", np.float32, (CONTEXT, PIXELS, PIXELS)),
        ("actions", np.float32, (_LENGTH - 1, 2)),
    ]
)


@register(NAME)
def load(split: str) -> Dataset:
    """Load 400 films for training, or 200 others for the test.

    A sample is a record of the first two frames, float32 in [0, 1] of shape (2, 24, 24), and of
    the actions, (7, 2), each the effector's movement to the next frame in pixels. Its reference is
    the six frames that follow, (6, 24, 24). `pushing` tells what is in them.
    """
    frames, actions = film(_SEEDS[split], _COUNTS[split], _LENGTH)
    samples = np.empty(len(frames), SAMPLE)
    samples["frames"] = frames[:, :CONTEXT]
    samples["actions"] = actions
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=frames[:, CONTEXT:],
        licence="Apache-2.0",
        source=f"simulated with seed {_SEEDS[split]}",
    )
