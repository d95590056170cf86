"""Translation of sentences that people wrote as a task: what differs from that of CLDR's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.components._common import OneCycle
from benchmarks.components.translation.data import SPECIAL
from benchmarks.components.translation.task import TASK as PHRASES
from benchmarks.components.translation.task import Translator, loss, optimizer, translation_memory
from benchmarks.components.translation_sentences.associations import vectors
from benchmarks.components.translation_sentences.data import (
    LENGTH,
    NAME,
    decode,
    encode,
    load,
    vocabulary,
)
from benchmarks.components.translation_sentences.model import AttentionGRU
from pytest_aibench.bounds import at_least, at_most
from pytest_aibench.scenarios import Offline
from pytest_aibench.training import Baseline, Supervised

WIDTH = 128


def build() -> AttentionGRU:
    """Embeddings and hidden states of 128."""
    embeddings = associated() + torch.randn(len(vocabulary()), WIDTH) / WIDTH**0.5
    return AttentionGRU(embeddings, hidden=128, dropout=0.1)


@cache
def associated() -> Tensor:
    """Vectors of pieces that the training pairs have in common."""
    train = load("train")
    english, german = map(torch.from_numpy, (train.samples, train.references))
    return vectors(english, german, len(vocabulary()), WIDTH, special=len(SPECIAL))


TASK = replace(
    PHRASES,
    name="translation_sentences",
    title="Text-to-text translation, sentences",
    dataset=NAME,
    target=21.0,
    max_epochs=7,
    batch_size=32,
    build=build,
    learner=Supervised(
        loss=loss,
        optimizer=optimizer,
        schedule=OneCycle(4e-3, rise=0.2, momentum=False),
        clip_norm=1.0,
    ),
    predictor=partial(Translator, encode=encode, decode=decode, length=LENGTH),
    baseline=Baseline(
        name=PHRASES.baseline.name,
        answer=partial(translation_memory, encode=encode, decode=decode),
    ),
    time_to_quality=at_most("100 s"),
    scenarios=(Offline(),),
    throughput=at_least("20 samples/s"),
    provenance={
        "component": PHRASES.provenance["component"],
        "paper": "Luong et al., Effective Approaches to Attention-based Neural Machine "
        "Translation, 2015, for Vaswani et al., 2017",
        "architecture": "global attention with the general score; one layer of GRUs of 128 for "
        "four of LSTMs of 1000, no input feeding; both ways in the encoder (Bahdanau et al., "
        "2014); the mean embedding attended to goes to the next token (Nguyen and Chiang, 2018); "
        "embeddings and softmax share one matrix; greedy, without a beam",
        "data": "sentences of Home Assistant's user interface for WMT 2014, those of 60 components "
        "in the test; 2000 pieces of words that both languages share for 50 000 words of each; "
        "embeddings begin half random, half as Dice's coefficients of the training pairs have it",
        "optimizer": "Adam, one-cycle learning rate up to 4e-3, dropout 0.1, label smoothing 0.1, "
        "gradients clipped to a norm of 1; there SGD, halved each epoch, dropout 0.2, a norm of 5",
        "target": "21 BLEU, chosen on seeds 0 to 4; the English sentence as it is has 9; on WMT: "
        "55 % of tokens (AIBench)",
    },
)
