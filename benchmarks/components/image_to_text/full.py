"""Neural Image Caption with ResNet-152, for photographs of COCO, and how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from torch import nn
from torch.optim import Adam, Optimizer

from benchmarks.components._common import Drops
from benchmarks.components._full import SCENARIOS, THROUGHPUT, FullModel
from benchmarks.components._images import Normalised
from benchmarks.components._pretrained import RESNET152, Pretrained
from benchmarks.components.image_classification.full import EXPANSION, Bottleneck
from benchmarks.components.image_classification.model import convolution
from benchmarks.components.image_to_text import original
from benchmarks.components.image_to_text.model import Captioner
from benchmarks.components.image_to_text.predictor import CaptionPredictor
from benchmarks.components.image_to_text.task import TASK, blind_nats, loss
from pytest_aibench.bounds import at_most
from pytest_aibench.datasets import Dataset
from pytest_aibench.devices import Device
from pytest_aibench.training import Baseline

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
    return Captioner(ResNet152(), FEATURES, words=original.WORDS, embedding=EMBEDDING, hidden=512)


FULL = FullModel(
    build=captioner,
    published_parameters=68_400_000,
    source="AIBench Training's report gives 68.4 M for image-to-text. Vinyals et al., 2015, leave "
    "the convolutional network open; with ResNet-152 the captioner has 68.51 M, with Inception-v3, "
    "as in AIBench's code, half of what was published",
    within=0.01,
)


class Frozen(nn.Sequential):
    """A network that keeps its weights and statistics when others learn."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__(*parts)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Frozen:
        """Stay as it is; ``mode`` is for others."""
        super().train(mode=False)
        return self


def build() -> Captioner:
    """The captioner behind what makes numbers of bytes; what sees is frozen."""
    model = captioner()
    model.encoder = Frozen(Normalised(), model.encoder)
    return model


def trunk(model: nn.Module) -> nn.Module:
    """What ImageNet's weights are of."""
    return cast("Captioner", model).encoder


def optimizer(model: nn.Module) -> Optimizer:
    """Adam."""
    return Adam([weight for weight in model.parameters() if weight.requires_grad], 1e-3)


def predictor(model: nn.Module, device: Device, precision: str) -> CaptionPredictor:
    """Scores captions, and writes some in the words of the data set."""
    return CaptionPredictor(
        model,
        device,
        precision,
        words=original.mounted_vocabulary(),
        length=original.LENGTH,
    )


def blind(train: Dataset, test: Dataset) -> Sequence[float]:
    """How likely a caption is to one who does not see the photograph."""
    known, asked = (original.captions_of(data) for data in (train, test))
    return blind_nats(known, asked, original.WORDS)


FULL_TASK = replace(
    TASK,
    dataset=original.NAME,
    target=4.2,
    max_epochs=50,
    batch_size=128,
    cpu_threads=None,
    build=build,
    learner=Pretrained(
        loss=loss,
        optimizer=optimizer,
        schedule=Drops(),
        trunk=trunk,
        weights=RESNET152,
    ),
    predictor=predictor,
    baseline=Baseline(name="blind language model", answer=blind),
    pictures=None,
    time_to_quality=at_most("10.21 h"),
    scenarios=SCENARIOS,
    throughput=THROUGHPUT,
    provenance={
        "component": TASK.provenance["component"],
        "paper": TASK.provenance["paper"],
        "architecture": "ResNet-152 with ImageNet's weights, frozen; 299 units for an image and a "
        "word, an LSTM of 512, 9956 words, as AIBench's code",
        "data": "COCO 2014, its training captions, and the first caption of each photograph for "
        "validation; the middle of photographs, 224 x 224",
        "optimizer": "AIBench's code: Adam at 1e-3, 128 captions a step",
        "epochs": "50; AIBench's time and time of an epoch imply 44, its code trains for 5",
        "target": "perplexity 4.2 (AIBench, which does not say on which words)",
        "time": "10.21 h on a Titan RTX (AIBench)",
        "latency": "not published: guesses",
    },
)
