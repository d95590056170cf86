"""Neural Image Caption with ResNet-152, for photographs of COCO."""

from __future__ import annotations

from torch import nn

from benchmarks.components._full import FullModel
from benchmarks.components.image_classification.full import EXPANSION, Bottleneck
from benchmarks.components.image_classification.model import convolution
from benchmarks.components.image_to_text.model import Captioner

FEATURES = 2048
EMBEDDING = 299


class ResNet152(nn.Sequential):
    """Maps (n, 3, h, w) to (n, 2048): He et al., 2015, table 1, without the classifier."""

    def __init__(self) -> None:
        super().__init__(convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1))
        channels = 64
        for stage, blocks in enumerate((3, 8, 36, 3)):
            width = 64 * 2**stage
            for block in range(blocks):
                self.append(Bottleneck(channels, width, 2 if stage > 0 and block == 0 else 1))
                channels = EXPANSION * width
        self.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])


def captioner() -> Captioner:
    """The embedding has as many units as AIBench's code gives it."""
    return Captioner(ResNet152(), FEATURES, words=9956, embedding=EMBEDDING, hidden=512)


FULL = FullModel(
    build=captioner,
    published_parameters=68_400_000,
    source="AIBench Training's report gives 68.4 M for image-to-text. Vinyals et al., 2015, leave "
    "the convolutional network open; with ResNet-152 the captioner has 68.51 M, with Inception-v3, "
    "as in AIBench's code, half of what was published",
    within=0.01,
)
