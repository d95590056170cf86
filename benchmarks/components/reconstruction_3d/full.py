"""The perspective transformer at its published size: 64 x 64 pixels to 32 x 32 x 32 voxels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.components._full import FullModel

_COARSEST = 4


class FullPerspectiveTransformer(nn.Module):
    """Encoder and volume decoder of Yan et al. (2016), as in their published code.

    The encoder separates what an object is from how it is turned, 512 units each; the decoder
    takes the former.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 64, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(64, 128, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(128, 256, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256 * 8**2, 1024),
            nn.ReLU(),
            nn.Linear(1024, 1024),
            nn.ReLU(),
        )
        self.identity = nn.Linear(1024, 512)
        self.pose = nn.Linear(1024, 512)
        self.decoder = nn.Sequential(
            nn.Linear(512, 512 * _COARSEST**3),
            nn.ReLU(),
            nn.Unflatten(1, (512, _COARSEST, _COARSEST, _COARSEST)),
            nn.ConvTranspose3d(512, 256, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose3d(256, 96, 5, stride=2, padding=2, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose3d(96, 1, 6, stride=2, padding=2),
            nn.Sigmoid(),
        )

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Map photographs (n, 3, 64, 64) to voxels (n, 1, 32, 32, 32) and poses (n, 512)."""
        seen = self.encoder(photographs)
        return self.decoder(torch.relu(self.identity(seen))), torch.relu(self.pose(seen))


FULL = FullModel(
    build=FullPerspectiveTransformer,
    published_parameters=48_200_000,
    source="Yan et al., Perspective Transformer Nets, 2016, and the sizes in their code: "
    "19.91 million weights in the encoder and 28.29 million in the decoder",
    within=0.01,
    inputs=lambda: (torch.empty(1, 3, 64, 64, device="meta"),),
)
