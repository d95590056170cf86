"""The Transformer (Vaswani et al., 2017), with as many layers and as wide as wanted."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

Memory = tuple[Tensor, Tensor]
"""Keys and values, both of shape (n, heads, positions, width / heads)."""


class Attention(nn.Module):
    """Several heads of attention by scaled dot products, with its shortcut (section 3.2)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def remember(self, values: Tensor) -> Memory:
        """What can be attended to, of values of shape (n, positions, width)."""
        return self._split(self.key(values)), self._split(self.value(values))

    def forward(
        self, inputs: Tensor, memory: Memory, visible: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """Attend from (n, l, width) to a memory, of which ``visible`` (n, 1, 1, m) shows a part."""
        found = functional.scaled_dot_product_attention(
            self._split(self.query(inputs)), *memory, attn_mask=visible, is_causal=causal
        )
        merged = self.out(found.transpose(1, 2).flatten(2))
        outputs: Tensor = self.norm(inputs + self.dropout(merged))
        return outputs

    def _split(self, values: Tensor) -> Tensor:
        n, length, width = values.shape
        return values.view(n, length, self.heads, width // self.heads).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers at each position, with their shortcut (section 3.3)."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(width, inner)
        self.second = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (n, l, width) to the same shape."""
        changed = self.second(functional.relu(self.first(inputs)))
        outputs: Tensor = self.norm(inputs + self.dropout(changed))
        return outputs


class EncoderLayer(nn.Module):
    """Attention of a sentence to itself, then the feed-forward layers (figure 1, left)."""

    def __init__(self, width: int, inner: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, inner, dropout)

    def forward(self, inputs: Tensor, visible: Tensor) -> Tensor:
        """Map (n, s, width) to the same shape."""
        attended = self.attention(inputs, self.attention.remember(inputs), visible)
        outputs: Tensor = self.feed_forward(attended)
        return outputs


class DecoderLayer(nn.Module):
    """Attention to what is written, then to the source, then feed-forward (figure 1, right)."""

    def __init__(self, width: int, inner: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads, dropout)
        self.crossing = Attention(width, heads, dropout)
        self.feed_forward = FeedForward(width, inner, dropout)

    def forward(
        self, inputs: Tensor, source: Memory, visible: Tensor, written: Memory | None = None
    ) -> tuple[Tensor, Memory]:
        """Map the first positions (n, t, width), or the one after what is ``written``.

        Each position sees those before it. Also gives what the next position is to attend to.
        """
        keys, values = self.attention.remember(inputs)
        if written is not None:
            keys = torch.cat((written[0], keys), dim=2)
            values = torch.cat((written[1], values), dim=2)
        attended = self.attention(inputs, (keys, values), causal=written is None)
        outputs = self.feed_forward(self.crossing(attended, source, visible))
        return outputs, (keys, values)


class Transformer(nn.Module):
    """Encoder and decoder, with one matrix for all embeddings and the softmax (section 3.4).

    Args:
        vocabulary: Number of tokens of both languages; token 0 fills short sentences.
        layers: Layers of the encoder, and of the decoder.
        width: Size of an embedding; ``inner`` that of the feed-forward layers.
    """

    positions: Tensor

    def __init__(
        self,
        vocabulary: int,
        layers: int = 6,
        width: int = 512,
        inner: int = 2048,
        heads: int = 8,
        dropout: float = 0.1,
        positions: int = 512,
    ) -> None:
        super().__init__()
        self.scale = math.sqrt(width)
        self.embedding = nn.Embedding(vocabulary, width)
        self.register_buffer("positions", waves(positions, width), persistent=False)
        self.dropout = nn.Dropout(dropout)
        sizes = (width, inner, heads, dropout)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(layers))
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Scores of the next token at each position of targets (n, t) but the filled ones.

        They are of shape (positions, vocabulary): scoring is half of the work.
        """
        memories, visible = self._read(source)
        values = self._embed(target)
        for layer, memory in zip(self.decoder, memories, strict=True):
            values, _ = layer(values, memory, visible)
        return self._score(values[target != 0])

    def translate(self, source: Tensor, begin: int, end: int, length: int) -> Tensor:
        """The likeliest next token again and again: (n, at most ``length``), ended with ``end``."""
        memories, visible = self._read(source)
        written: list[Memory | None] = [None] * len(self.decoder)
        token = torch.full_like(source[:, :1], begin)
        ended = torch.zeros_like(token, dtype=torch.bool)
        tokens: list[Tensor] = []
        while len(tokens) < length and not ended.all():
            values = self._embed(token, at=len(tokens))
            for i, layer in enumerate(self.decoder):
                values, written[i] = layer(values, memories[i], visible, written[i])
            token = self._score(values).argmax(dim=-1)
            tokens.append(token)
            ended |= token == end
        return torch.cat(tokens, dim=1)

    def _read(self, source: Tensor) -> tuple[list[Memory], Tensor]:
        visible = (source != 0)[:, None, None]
        values = self._embed(source)
        for layer in self.encoder:
            values = layer(values, visible)
        layers = cast("list[DecoderLayer]", self.decoder)
        return [layer.crossing.remember(values) for layer in layers], visible

    def _embed(self, tokens: Tensor, at: int = 0) -> Tensor:
        places = self.positions[at : at + tokens.shape[1]]
        values: Tensor = self.dropout(self.embedding(tokens) * self.scale + places)
        return values

    def _score(self, values: Tensor) -> Tensor:
        return functional.linear(values, self.embedding.weight)


def waves(positions: int, width: int) -> Tensor:
    """Sines and cosines of positions, shape (positions, width) (section 3.5)."""
    exponent = torch.arange(0, width, 2) / width
    angle = torch.arange(positions)[:, None] / 10000**exponent
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)
