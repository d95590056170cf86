"""A codec that sends what is still missing of an image again and again, a few bits each time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components.image_compression.bits import packed, signs, unpacked

OPPONENTS = ((1 / 3, 1 / 3, 1 / 3), (2 / 3, 0, -2 / 3), (1 / 3, -2 / 3, 1 / 3))
"""Brightness, red against blue, and both against green, of red, green and blue."""


class Memory(NamedTuple):
    """What a recurrent layer keeps from one pass to the next, two tensors of one shape."""

    hidden: Tensor
    cell: Tensor


Memories = list[Memory | None]
"""Those of a stack of layers; None before the first pass."""


class Sent(NamedTuple):
    """What comes of n images in so many passes.

    Attributes:
        signs: What is sent, -1 or 1, of shape (n, passes, bits, height, width).
        missing: What the images still lack after each pass, (n, passes, 3, h, w).
    """

    signs: Tensor
    missing: Tensor


class RecurrentLayer(nn.Module):
    """An LSTM with convolutions for matrix products (Toderici et al. 2017, section 3.1).

    The input goes through 3 x 3 convolutions of some stride, what was put out before through
    convolutions of ``hidden_size``.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, hidden_size: int) -> None:
        super().__init__()
        padding = hidden_size // 2
        self.of_input = nn.Conv2d(channels_in, 4 * channels, 3, stride, padding=1, bias=False)
        self.of_hidden = nn.Conv2d(channels, 4 * channels, hidden_size, padding=padding, bias=False)

    def forward(self, inputs: Tensor, memory: Memory | None) -> Memory:
        """What is kept from now on; its hidden part is what the layer puts out."""
        gates = self.of_input(inputs)
        if memory is None:
            nothing = torch.zeros_like(gates.chunk(4, dim=1)[0])
            memory = Memory(nothing, nothing)
        into, keep, out, new = (gates + self.of_hidden(memory.hidden)).chunk(4, dim=1)
        cell = keep.sigmoid() * memory.cell + into.sigmoid() * new.tanh()
        return Memory(out.sigmoid() * cell.tanh(), cell)


class Encoder(nn.Module):
    """Makes values in (-1, 1), which are to become bits, of what is missing of images.

    Each layer halves the image; there are ``bits`` values for a place of the last.
    """

    def __init__(self, colours: int, channels: Sequence[int], bits: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(colours, channels[0], 3, stride=2, padding=1, bias=False)
        self.layers = nn.ModuleList(
            RecurrentLayer(before, after, stride=2, hidden_size=1)
            for before, after in pairwise(channels)
        )
        self.last = nn.Conv2d(channels[-1], bits, 1, bias=False)

    def forward(self, missing: Tensor, memories: Memories) -> Tensor:
        """Encode (n, colours, h, w) and renew the memories."""
        hidden = self.first(missing)
        for index, layer in enumerate(self.layers):
            memories[index] = memory = layer(hidden, memories[index])
            hidden = memory.hidden
        return torch.tanh(self.last(hidden))


class Decoder(nn.Module):
    """Makes of -1 and 1 what is to be added to images; each layer doubles the size.

    Args:
        bits: Values at each place.
        first: Channels that are made of these, for the first layer.
        layers: Channels and ``hidden_size`` of each.
        colours: Values of a pixel in the end.
    """

    def __init__(
        self, bits: int, first: int, layers: Sequence[tuple[int, int]], colours: int
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(bits, first, 1, bias=False)
        inputs = [first, *(channels // 4 for channels, _ in layers)]
        self.layers = nn.ModuleList(
            RecurrentLayer(before, after, stride=1, hidden_size=hidden_size)
            for before, (after, hidden_size) in zip(inputs, layers, strict=False)
        )
        self.last = nn.Conv2d(inputs[-1], colours, 1, bias=False)

    def forward(self, signs: Tensor, memories: Memories) -> Tensor:
        """Decode (n, bits, h, w) and renew the memories; values are in (-0.5, 0.5)."""
        hidden = self.first(signs)
        for index, layer in enumerate(self.layers):
            memories[index] = memory = layer(hidden, memories[index])
            hidden = functional.pixel_shuffle(memory.hidden, 2)
        return torch.tanh(self.last(hidden)) / 2


class Codec(nn.Module):
    """Encoder and decoder, which see each other's work only as bits (there: figure 1).

    Args:
        encoder: Channels of the encoder's layers.
        first: Channels before the decoder's recurrent layers.
        decoder: Channels and ``hidden_size`` of the decoder's recurrent layers.
        bits: Sent in a pass for each place of the encoder's last layer.
        passes: How often what is missing is sent; what came in all passes is added up.
        colours: What both see for red, green and blue, as weights of these.
        tile: Both see squares of so many pixels a side as one pixel of more colours.
        gain: Before each pass what is missing is enlarged, by so much more than before the last.
        noise: Leave bits to chance in training.
    """

    mix: Tensor
    unmix: Tensor

    def __init__(
        self,
        *,
        encoder: Sequence[int] = (32, 96),
        first: int = 32,
        decoder: Sequence[tuple[int, int]] = ((96, 1), (64, 1)),
        bits: int = 8,
        passes: int = 4,
        colours: Sequence[Sequence[float]] = OPPONENTS,
        tile: int = 2,
        gain: float = 1,
        noise: bool = False,
    ) -> None:
        super().__init__()
        self.encoder = Encoder(3 * tile**2, encoder, bits)
        self.decoder = Decoder(bits, first, decoder, 3 * tile**2)
        self.bits, self.passes, self.tile, self.gain = bits, passes, tile, gain
        self.noise = noise
        mix = torch.tensor(colours, dtype=torch.float32)
        self.register_buffer("mix", mix)
        self.register_buffer("unmix", mix.inverse())
        # The gates make signals fade from layer to layer, and learning start slowly.
        for weight in self.parameters():
            nn.init.xavier_uniform_(weight, gain=1.4)

    def forward(self, images: Tensor) -> Sent:
        """Send images (n, 3, h, w) with values in [0, 1]."""
        encoder_memories: Memories = [None] * len(self.encoder.layers)
        decoder_memories: Memories = [None] * len(self.decoder.layers)
        missing = functional.pixel_unshuffle(mixed(images - 0.5, self.mix), self.tile)
        sent, still_missing = [], []
        for gain in self._gains():
            values = self.encoder(missing * gain, encoder_memories)
            sent.append(signs(values, noise=self.noise and self.training))
            missing = missing - self.decoder(sent[-1], decoder_memories) / gain
            still_missing.append(self._unmixed(missing))
        return Sent(torch.stack(sent, dim=1), torch.stack(still_missing, dim=1))

    def compress(self, images: Tensor) -> Tensor:
        """Images as bytes: uint8 of shape (n, bytes)."""
        sent: Sent = self(images)
        return packed(sent.signs > 0)

    def decompress(self, sent: Tensor, height: int, width: int) -> Tensor:
        """The images of some size, (n, 3, height, width), that bytes stand for."""
        shrunk = self.tile * 2 ** len(self.decoder.layers)
        places = (height // shrunk, width // shrunk)
        bits = unpacked(sent).reshape(-1, self.passes, self.bits, *places)
        values = bits.to(self.decoder.first.weight.dtype) * 2 - 1
        memories: Memories = [None] * len(self.decoder.layers)
        added = [
            self.decoder(each, memories) / gain
            for each, gain in zip(values.unbind(dim=1), self._gains(), strict=True)
        ]
        images = self._unmixed(torch.stack(added).sum(0)) + 0.5
        return images.clamp(0, 1)

    def _unmixed(self, tiles: Tensor) -> Tensor:
        return mixed(functional.pixel_shuffle(tiles, self.tile), self.unmix)

    def _gains(self) -> list[float]:
        return [1 + self.gain * index for index in range(self.passes)]


def mixed(images: Tensor, weights: Tensor) -> Tensor:
    """Images (n, c, h, w) with each colour a sum of theirs by weights (c, c)."""
    return torch.einsum("dc,nchw->ndhw", weights, images)
