"""CycleGAN for pictures of 256 x 256 pixels, and how it is trained."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.components._full import SCENARIOS, THROUGHPUT, FullModel
from benchmarks.components.image_to_image import original
from benchmarks.components.image_to_image.learner import CycleLearner
from benchmarks.components.image_to_image.model import CycleGan
from benchmarks.components.image_to_image.palette import Labels, read
from benchmarks.components.image_to_image.task import TASK
from pytest_aibench.bounds import at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.training import Baseline, TensorPredictor

LEARNING_RATE = 2e-4
REMEMBERED = 50

cycle_gan = partial(CycleGan, width=64, halvings=2, blocks=9, kernel=7, judge_halvings=3)

FULL = FullModel(
    build=cycle_gan,
    published_parameters=2 * (11_378_000 + 2_765_000),
    source="Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial "
    "Networks, 2017, appendix 7.2; the authors' PyTorch code tells 11.378 M weights of a generator "
    "and 2.765 M of a discriminator, of which there are two each. Multiply-accumulates are those "
    "of one translation",
    within=1e-4,
    inputs=lambda: (torch.empty(1, 3, 256, 256, device="meta"),),
    published_macs=49_550_000_000,
)


def build() -> CycleGan:
    """The networks for pixels in [-1, 1], with weights as the paper has them at first."""
    return as_published(cycle_gan())


def as_published(model: CycleGan) -> CycleGan:
    """Let generators end in a tanh, and draw weights with a deviation of 0.02 (section 7.1)."""
    for generator in (model.to_labels, model.to_photos):
        generator[-1] = nn.Tanh()
    for name, values in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(values)
        else:
            nn.init.normal_(values, std=0.02)
    return model


class CropLearner(CycleLearner):
    """Learns from parts of pictures in bytes, and shows discriminators earlier pictures again."""

    def __init__(self, model: nn.Module, steps: int) -> None:
        super().__init__(
            model,
            steps,
            of_generators=LEARNING_RATE,
            of_judges=LEARNING_RATE,
            remembered=REMEMBERED,
        )

    def step(self, photos: Tensor, labels: Tensor) -> Tensor:
        """Learn from photographs, and from pictures of other streets' labels, both in bytes."""
        return super().step(cropped(photos), cropped(labels))


def cropped(pictures: Tensor) -> Tensor:
    """A part of each of 256 x 256 pixels, half of them the other way round, in [-1, 1]."""
    return signed(torch.stack([_part(picture) for picture in pictures]))


def _part(picture: Tensor) -> Tensor:
    top, left = (random.randint(0, extent - original.SIDE) for extent in picture.shape[1:])
    part = picture[:, top : top + original.SIDE, left : left + original.SIDE]
    return part.flip(2) if random.random() < 0.5 else part


def signed(pictures: Tensor) -> Tensor:
    """Bytes as numbers in [-1, 1]."""
    return pictures / 127.5 - 1


class StreetPredictor(TensorPredictor):
    """Translates photographs in bytes, and reads the 19 classes off the pictures."""

    def infer(self, inputs: Tensor) -> Tensor:
        """Pictures of labels, in [0, 1]."""
        return (super().infer(signed(inputs).to(self._dtype)) + 1) / 2

    def postprocess(self, raw: Tensor) -> list[Any]:
        """The class of each pixel, uint8 of shape (256, 256), for each sample."""
        return list(read(raw.float().cpu().numpy(), original.PALETTE))


def untranslated(train: Dataset, test: Dataset) -> Sequence[Labels]:
    """What is read off the photographs themselves."""
    photos = (photo[np.newaxis] / np.float32(255) for photo in test.samples)
    return [read(photo, original.PALETTE)[0] for photo in photos]


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=0.52,
    max_epochs=200,
    batch_size=1,
    cpu_threads=None,
    build=build,
    learner=CropLearner,
    predictor=StreetPredictor,
    baseline=Baseline(name=TASK.baseline.name, answer=untranslated),
    pictures=None,
    time_to_quality=at_most("14 h"),
    scenarios=SCENARIOS,
    throughput=THROUGHPUT,
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "the paper's for 256 x 256 pixels, with 9 residual blocks, as AIBench's "
        "code; the paper judges Cityscapes at 128 x 128",
        "data": "Cityscapes: 2975 photographs and the labels of any of their streets to train, the "
        "500 of the validation set to judge; narrowed to squares of 286, of which training takes "
        "parts of 256, half of them the other way round",
        "optimizer": "the paper's and AIBench's code: Adam at 2e-4, constant for 100 epochs and "
        "falling for 100, one picture a step, weights 10 of cycle and 5 of identity loss, 50 "
        "earlier pictures for discriminators",
        "metric": "share of the pixels of the 19 judged classes whose translated colour is nearest "
        "to that of their class, from photographs to labels, at 256 x 256",
        "target": "0.52 (AIBench), which is what the paper has from labels to photographs, judged "
        "by a network for segmentation; from photographs to labels, as here, it has 0.58",
        "time": "14 h, 200 epochs of 252 s on a Titan RTX (AIBench, which trains to no target)",
        "latency": "not published: guesses",
    },
)
