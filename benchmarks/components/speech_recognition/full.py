"""Deep Speech 2 as AIBench has it."""

from __future__ import annotations

from torch import nn

from benchmarks.components._full import FullModel
from benchmarks.components.speech_recognition.model import DeepSpeech2


def build() -> nn.Module:
    """Five layers of 800 units each way over 161 frequencies."""
    return DeepSpeech2()


FULL = FullModel(
    build=build,
    published_parameters=41_190_000,
    source="the model of AIBench's repository for DC-AI-C6, counted; the layers are of Amodei et "
    "al., Deep Speech 2, 2015, section 3",
    within=0.001,
)
