"""Image compression as a task: how it is trained, judged and served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from benchmarks.components._common import OneCycle
from benchmarks.components.image_compression import data
from benchmarks.components.image_compression.augment import varied
from benchmarks.components.image_compression.model import Codec
from benchmarks.components.image_compression.pictures import pictures
from benchmarks.components.image_compression.similarity import dissimilarity
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.devices import Device
from pytest_aibench.scenarios import MultiStream, Offline, Server, SingleStream
from pytest_aibench.training import Baseline, Supervised, Task, TensorPredictor

PEAK_LEARNING_RATE = 4e-3
BITS_PER_PIXEL = 0.5
MISSING_COUNTS = 0.5
COLOURS_COUNT = 3
PLACE = 8


class Transmission(nn.Module):
    """What arrives of an image of which only the bytes are sent."""

    def __init__(self, codec: nn.Module) -> None:
        super().__init__()
        self.codec = cast("Codec", codec)

    def forward(self, images: Tensor) -> Tensor:
        """Compress and decompress images (n, 3, h, w)."""
        height, width = images.shape[-2:]
        return self.codec.decompress(self.codec.compress(images), height, width)


def loss(model: nn.Module, images: Tensor, references: Tensor) -> Tensor:
    """How unlike the images what arrives is, and what it lacks, on average over all passes.

    Likeness hardly sees colours, and the codec would leave them out: those of places count apart.
    """
    missing: Tensor = model(images).missing.flatten(0, 1)
    originals = images.repeat_interleave(len(missing) // len(images), dim=0)
    unlike = dissimilarity(originals, originals - missing).mean()
    of_places = functional.avg_pool2d(missing, PLACE)
    colours = of_places - of_places.mean(1, keepdim=True)
    return unlike + MISSING_COUNTS * missing.abs().mean() + COLOURS_COUNT * colours.abs().mean()


def optimizer(model: nn.Module) -> Optimizer:
    """Adam, as in the paper."""
    return Adam(model.parameters(), PEAK_LEARNING_RATE)


def predictor(model: nn.Module, device: Device, precision: str) -> TensorPredictor:
    """Gives back images as they arrive."""
    return TensorPredictor(Transmission(model), device, precision)


def blocks_of_one_colour(
    train: Dataset, test: Dataset, *, height: int = 8, width: int = 4
) -> Sequence[npt.NDArray[Any]]:
    """Each test image as blocks of so many pixels, 16 bits each: as many bits as the codec's."""
    return [_blocks(image, height, width) for image in test.samples]


def _blocks(image: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    levels = np.array([31, 63, 31]).reshape(3, 1, 1)
    rows, columns = image.shape[1] // height, image.shape[2] // width
    means = image.reshape(3, rows, height, columns, width).mean((2, 4))
    rounded: npt.NDArray[Any] = (means * levels).round() / levels
    return rounded.repeat(height, axis=1).repeat(width, axis=2)


TASK = Task(
    name="image_compression",
    component="C12",
    title="Image compression",
    dataset=data.NAME,
    metric="ms_ssim",
    target=0.78,
    max_epochs=4,
    batch_size=8,
    cpu_threads=1,
    build=Codec,
    learner=Supervised(
        loss=loss,
        optimizer=optimizer,
        schedule=OneCycle(PEAK_LEARNING_RATE, rise=0.08),
        augment=varied,
        clip_norm=1.0,
    ),
    predictor=predictor,
    baseline=Baseline(name="blocks of one colour at the same bits", answer=blocks_of_one_colour),
    pictures=pictures,
    time_to_quality=at_most("100 s"),
    scenarios=(
        SingleStream(latency_bound="50 ms"),
        MultiStream(samples_per_query=4, latency_bound="125 ms"),
        Server(target_qps=80, latency_bound="100 ms"),
        Offline(),
    ),
    throughput=at_least("80 samples/s"),
    provenance={
        "component": "AIBench Training DC-AI-C12, image compression: recurrent codec on ImageNet",
        "paper": "Toderici et al., Full Resolution Image Compression with Recurrent Neural "
        "Networks, 2017",
        "architecture": "the paper's codec with convolutional LSTMs and additive reconstruction: "
        "encoder of 2 layers of 32 and 96 channels (there 4 of 64 to 512), decoder of 2 layers of "
        "96 and 64 (there 4 of 512 to 128), on squares of 2 x 2 pixels and on brightness and two "
        "differences of colours; what is missing is enlarged 2, 3 and 4 times before the later "
        "passes; signs are taken without the paper's noise",
        "rate": "0.5 bits a pixel, before any entropy coding: 4 passes of 0.125 as in the paper "
        "(there 16); the decoder is given 64 bytes for a patch and nothing else",
        "data": "patches of 32 x 32 pixels of real photographs at half their resolution, for "
        "patches of the same size of ImageNet or COCO; other photographs in the test split",
        "loss": "1 minus MS-SSIM on average over the passes, half the paper's L1 loss, and three "
        "times the errors in the colours of 8 x 8 pixels; with the L1 loss alone such a codec came "
        "to 0.71 in a minute, without the colours' part it may answer in grey",
        "optimizer": "Adam as in the paper, at 4e-3 in one cycle, 8 patches a step for 32, "
        "gradients clipped to norm 1; patches are turned and paled at random",
        "jpeg": "reference on the test split: 0.86 MS-SSIM at 0.37 bits a pixel, 0.89 at 0.49, of "
        "scans alone (Pillow, quality 10 and 15); with its headers 0.5 bits do not hold a JPEG",
        "linear": "reference on the test split: 0.82 MS-SSIM at 0.5 bits a pixel, of principal "
        "components of 8 x 8 pixels with the levels that suit each best",
        "target": "0.78 MS-SSIM at 0.5 bits a pixel, chosen on seeds 0 to 4; 0.99 on ImageNet "
        "(AIBench), which does not say at how many bits",
    },
)
