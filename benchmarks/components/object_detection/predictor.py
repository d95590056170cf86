"""Images in, the boxes of what is on them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from typing import cast as typed

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmarks.components.object_detection.boxes import decode, survivors
from benchmarks.components.object_detection.model import TwoStageDetector
from pytest_aibench.devices import Device
from pytest_aibench.training import cast, dtype

LEAST_SCORE = 0.05
MOST_OVERLAP = 0.3


class Detections(NamedTuple):
    """Boxes for each class and region of n images: (n, classes, regions, ...), best first."""

    boxes: Tensor
    scores: Tensor
    stays: Tensor


class Detector:
    """Finds objects; an output is an array (k, 6) of left, top, right, bottom, class, score."""

    def __init__(self, model: nn.Module, device: Device, precision: str) -> None:
        self._model = typed(TwoStageDetector, cast(model, device, precision).eval())
        self._device = device.torch_device()
        self._dtype = dtype(precision)

    def preprocess(self, samples: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        """Stack images (3, h, w) of bytes."""
        return torch.from_numpy(np.stack(samples)).to(self._device, self._dtype) / 255

    @torch.inference_mode()
    def infer(self, inputs: Tensor) -> Detections:
        """Both stages, then non-maximum suppression within each class."""
        features = self._model.backbone(inputs)
        regions = self._model.propose(self._model.proposal_network(features))
        judged = self._model.judge(features, regions)
        boxes = decode(judged.offsets, regions[:, :, None], self._model.size).transpose(1, 2)
        ranked = judged.scores.softmax(-1)[..., :-1].transpose(1, 2).sort(descending=True)
        boxes = boxes.take_along_dim(ranked.indices[..., None], 2)
        stays = survivors(boxes, MOST_OVERLAP) & (ranked.values > LEAST_SCORE)
        return Detections(boxes, ranked.values, stays)

    def postprocess(self, raw: Detections) -> list[npt.NDArray[np.float32]]:
        """List what stays, image by image."""
        boxes, scores, stays = (part.cpu().numpy() for part in raw)
        return [_listed(*image) for image in zip(boxes, scores, stays, strict=True)]


def _listed(
    boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], stays: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    classes = np.nonzero(stays)[0].astype(np.float32)
    return np.column_stack([boxes[stays], classes, scores[stays]])
