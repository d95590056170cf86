"""The summarization model at AIBench's size."""

from __future__ import annotations

from torch import nn

from benchmarks.components._full import FullModel
from benchmarks.components.summarization.model import Summarizer

VOCABULARY = 50_000


def build() -> nn.Module:
    """Embeddings of 256, hidden states of 512."""
    return Summarizer(read=VOCABULARY, written=VOCABULARY, repeatable=0)


FULL = FullModel(
    build=build,
    published_parameters=48_230_000,
    source="the model of AIBench's repository for DC-AI-C14, counted: encoder and decoder share "
    "their embeddings, the words' scores follow two linear layers",
    within=0.046,
    note="this is the model of Paulus et al.: 46.07 M. AIBench's code compares by additive layers "
    "where the paper has a bilinear form, and feeds what was attended to back into the decoder: "
    "2.17 M more",
)
