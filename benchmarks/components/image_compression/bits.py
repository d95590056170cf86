"""The bits between encoder and decoder: made of values, and packed into bytes."""

from __future__ import annotations

import torch
from torch import Tensor


def signs(values: Tensor, *, noise: bool = False) -> Tensor:
    """Values in (-1, 1) as -1 or 1, with their gradient as if they had stayed what they are.

    With noise it is chance that decides, so that a value is what its signs are on average (Toderici
    et al., Variable Rate Image Compression with Recurrent Neural Networks, 2016, section 3.2).
    """
    thresholds = 2 * torch.rand_like(values) - 1 if noise else torch.zeros_like(values)
    rounded = torch.where(values >= thresholds, 1.0, -1.0).to(values.dtype)
    return values + (rounded - values).detach()


def packed(bits: Tensor) -> Tensor:
    """Booleans (n, ...) as bytes (n, bytes); those of one n must fill whole bytes."""
    octets = bits.reshape(len(bits), -1, 8)
    return (octets * _worth(bits)).sum(2).to(torch.uint8)


def unpacked(sent: Tensor) -> Tensor:
    """Bytes (n, bytes) as booleans (n, bits)."""
    return (sent.unsqueeze(2) & _worth(sent)).ne(0).flatten(1)


def _worth(of: Tensor) -> Tensor:
    return 2 ** torch.arange(7, -1, -1, dtype=torch.uint8, device=of.device)
