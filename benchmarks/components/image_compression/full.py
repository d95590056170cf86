"""The codec of Toderici et al. at the size of their paper."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.components._full import FullModel
from benchmarks.components.image_compression.model import Codec


def build() -> nn.Module:
    """Sixteen passes of 128 bits for 32 x 32 pixels, 2 bits a pixel in the end."""
    return Codec(
        encoder=(64, 256, 512, 512),
        first=512,
        decoder=((512, 1), (512, 1), (256, 3), (128, 3)),
        bits=32,
        passes=16,
        colours=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
        tile=1,
        gain=0,
    )


FULL = FullModel(
    build=build,
    published_parameters=35_460_000,
    source="Toderici et al., Full Resolution Image Compression with Recurrent Neural Networks, "
    "2017, section 3: the LSTM; 739 million multiply-accumulates a pass for 32 x 32 pixels",
    within=0.001,
    inputs=lambda: (torch.empty(1, 3, 32, 32, device="meta"),),
    published_macs=16 * 739_000_000,
)
