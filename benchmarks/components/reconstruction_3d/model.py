"""A network that makes a solid of one photograph, and looks at it from any camera."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components.reconstruction_3d.cameras import frustums

_COARSEST = 3
_EMPTY = -2.0
_DEPTHS = 24


class PerspectiveTransformer(nn.Module):
    """An encoder of photographs, a decoder to voxels, and their silhouettes (Yan et al., 2016).

    Sizes are for photographs of 32 x 32 pixels and solids of 24 x 24 x 24 voxels. It begins with
    solids that are nearly empty, as the true ones are.
    """

    def __init__(self, width: int = 16, identity: int = 128) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *_halved(1, width),
            *_halved(width, 2 * width),
            *_halved(2 * width, 4 * width),
            nn.Flatten(),
            *_mixed(4 * width * 4**2, identity),
            *_mixed(identity, identity),
        )
        self.decoder = nn.Sequential(
            *_mixed(identity, 4 * width * _COARSEST**3),
            nn.Unflatten(1, (4 * width, _COARSEST, _COARSEST, _COARSEST)),
            *_doubled(4 * width, 2 * width),
            *_doubled(2 * width, width),
            nn.ConvTranspose3d(width, 1, 4, stride=2, padding=1),
            nn.Flatten(1, 2),
        )
        self.cameras: Tensor
        self.register_buffer("cameras", torch.from_numpy(2 * frustums(_DEPTHS)), persistent=False)

    def forward(self, photographs: Tensor) -> Tensor:
        """Map photographs (n, 1, 32, 32) to how full each voxel is, (n, 24, 24, 24) in [0, 1]."""
        return torch.sigmoid(self.decoder(self.encoder(photographs)) + _EMPTY)

    def silhouettes(self, solids: Tensor, views: Tensor) -> Tensor:
        """What cameras see of solids (n, 24, 24, 24): (n, views, 32, 32) in [0, 1].

        Voxels are interpolated along the rays, and the fullest on each ray is what is seen
        (there: equations 2 and 3).
        """
        return projected(solids, self.cameras[views])


def projected(solids: Tensor, frustums: Tensor) -> Tensor:
    """The fullest point on each ray of cameras: (n, views, h, w) of solids (n, side, side, side).

    Frustums are `cameras.frustums` of a cube from -1 to 1, (views, depths, h, w, 3).
    """
    # All solids as channels of one: each is seen by the same cameras.
    volumes = solids.expand(len(frustums), *solids.shape)
    sampled = functional.grid_sample(volumes, frustums, align_corners=False)
    return sampled.amax(dim=2).transpose(0, 1)


def _halved(channels_in: int, channels: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels_in, channels, 5, stride=2, padding=2, bias=False)
    return convolution, nn.BatchNorm2d(channels), nn.ReLU()


def _doubled(channels_in: int, channels: int) -> tuple[nn.Module, ...]:
    convolution = nn.ConvTranspose3d(channels_in, channels, 4, stride=2, padding=1, bias=False)
    return convolution, nn.BatchNorm3d(channels), nn.ReLU()


def _mixed(units_in: int, units: int) -> tuple[nn.Module, ...]:
    return nn.Linear(units_in, units, bias=False), nn.BatchNorm1d(units), nn.ReLU()
