"""A captioner: a convolutional network that sees the image, and an LSTM that writes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components._common import InFullPrecision
from benchmarks.components.image_to_text.data import LENGTH, PAD, WORDS
from pytest_aibench.training import Batch


class Captioner(nn.Module):
    """Neural Image Caption (Vinyals et al., 2015, section 3).

    The LSTM reads the image first, and once; then it reads words, each to predict the next.
    """

    def __init__(
        self, encoder: nn.Module, features: int, *, words: int, embedding: int, hidden: int
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.embed = nn.Sequential(nn.Linear(features, embedding), nn.BatchNorm1d(embedding))
        self.words = nn.Embedding(words, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        # Rounded logits would move likelihoods near 1 by several per cent.
        self.next_word = InFullPrecision(hidden, words)
        nn.init.normal_(self.words.weight, std=0.3)
        # Words come after the image: with gates that forget, what it shows is never learnt.
        nn.init.constant_(self.lstm.get_parameter("bias_ih_l0")[hidden : 2 * hidden], 2.0)

    def forward(self, inputs: Batch) -> Tensor:
        """What `score` gives of inputs of ``image`` and ``caption``."""
        return self.score(self.see(inputs["image"]), inputs["caption"])

    def see(self, images: Tensor) -> Tensor:
        """Images, (n, channels, height, width), as the LSTM reads them: (n, 1, embedding)."""
        read: Tensor = self.embed(self.encoder(images))[:, None]
        return read

    def score(self, seen: Tensor, captions: Tensor) -> Tensor:
        """Negative log-likelihood in nats, (n,), of captions, (n, length)."""
        read = torch.cat((seen, self.words(captions[:, :-1])), dim=1)
        logits = self.next_word(self.lstm(read)[0])
        nats = functional.cross_entropy(
            logits.transpose(1, 2), captions, ignore_index=PAD, reduction="none"
        )
        return nats.sum(dim=1)

    def write(self, seen: Tensor, length: int = LENGTH) -> Tensor:
        """The captions that come of the most probable word each time, (n, length)."""
        read, memory, tokens = seen, None, []
        for _ in range(length):
            output, memory = self.lstm(read, memory)
            tokens.append(self.next_word(output).argmax(dim=2))
            read = self.words(tokens[-1])
        return torch.cat(tokens, dim=1)


def small_captioner(width: int = 16, hidden: int = 256) -> Captioner:
    """Three strided convolutions for images of 40 x 40 pixels, and a small vocabulary."""
    encoder = nn.Sequential(
        *_halving(3, width),
        *_halving(width, 2 * width),
        *_halving(2 * width, 4 * width),
        nn.Flatten(),
    )
    features = 4 * width * 5 * 5
    return Captioner(encoder, features, words=len(WORDS), embedding=hidden, hidden=hidden)


def _halving(channels_in: int, channels_out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]
