"""What AIBench Training published of its seventeen components.

Figures of the technical report BenchCouncil-AIBench-2020-2 (tables 5 and 6), on a Titan RTX. Two
contradict its text: it says that models converge in 6 to 96 epochs, but the hours of C8 and C11
divided by their seconds an epoch give 1170 and 304.
"""

from __future__ import annotations

from dataclasses import dataclass

SUBSET = ("C1", "C9", "C16")
"""AIBench's own choice for those who cannot run all: diverse, repeatable, of accepted metric."""


@dataclass(frozen=True, slots=True)
class Published:
    """A component as published; None where the report says "N/A".

    Attributes:
        component: Its number.
        title: The task.
        model: The model at full size.
        target: Quality that ends a training, as written.
        s_per_epoch: Seconds an epoch.
        hours: Hours to quality.
        variation: Coefficient of variation of the epochs to quality.
        repeats: Trainings behind the variation.
        widely_accepted: The quality metric is; that of generative networks is not.
    """

    component: str
    title: str
    model: str
    target: str
    s_per_epoch: float
    hours: float | None
    variation: float | None
    repeats: int | None
    widely_accepted: bool = True

    @property
    def in_subset(self) -> bool:
        """Whether it is one of those that stand for all."""
        return self.component in SUBSET

    @property
    def seconds(self) -> float | None:
        """Seconds to quality."""
        return None if self.hours is None else 3600 * self.hours

    @property
    def epochs(self) -> float | None:
        """Epochs to quality, as the hours imply."""
        return None if self.seconds is None else self.seconds / self.s_per_epoch


COMPONENTS = (
    Published("C1", "image classification", "ResNet-50", "74.9 % top-1", 10516.91, 130, 0.0112, 5),
    Published("C2", "image generation", "WGAN", "-", 3935.75, None, None, None, False),
    Published("C3", "text to text", "Transformer", "55 % accuracy", 64.83, 1.72, 0.0938, 6),
    Published("C4", "image to text", "NIC", "4.2 perplexity", 845.02, 10.21, 0.2353, 5),
    Published("C5", "image to image", "CycleGAN", "-", 251.67, None, None, None, False),
    Published("C6", "speech", "DeepSpeech2", "5.33 % WER", 14326.86, 42.78, 0.1208, 4),
    Published("C7", "face embedding", "FaceNet", "98.97 % accuracy", 214.73, 3.43, 0.0573, 8),
    Published("C8", "3D face", "RGB-D ResNet-50", "94.64 % accuracy", 36.99, 12.02, 0.3846, 4),
    Published("C9", "object detection", "Faster R-CNN", "75 % mAP", 1627.39, 2.52, 0, 10),
    Published("C10", "recommendation", "NeuMF", "63.5 % HR@10", 36.72, 0.16, 0.0995, 5),
    Published("C11", "video prediction", "CDNA", "72 MSE", 24.99, 2.11, 0.1183, 4),
    Published("C12", "compression", "recurrent codec", "0.99 MS-SSIM", 763.44, 5.67, 0.2249, 4),
    Published("C13", "3D reconstruction", "PTN", "45.83 % IoU", 28.41, 0.38, 0.1607, 4),
    Published("C14", "summarization", "seq2seq", "41 ROUGE-L", 1923.33, 6.41, 0.2472, 5),
    Published("C15", "spatial transformer", "STN", "99 % accuracy", 6.38, 0.06, 0.0729, 4),
    Published("C16", "learning to rank", "Caser", "14.58 % precision", 74.16, 0.47, 0.019, 4),
    Published("C17", "architecture search", "ENAS", "100 perplexity", 932.79, 7.47, 0.0615, 6),
)

MLPERF_V05_HOURS = (130, 0.16, 73.34, 23.7, 16.52, 22, 96)
"""What MLPerf Training v0.5 cost on the same machine; the last was "more than 96"."""
