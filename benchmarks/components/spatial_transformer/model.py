"""A classifier that first turns, scales and moves its image: a spatial transformer network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIZE_SEEN = 24


class SpatialTransformer(nn.Module):
    """Finds where to look, and samples that part of the image (Jaderberg et al., 2015, section 3).

    The affine matrix of an image, 2 x 3, is at first the one that changes nothing.

    Args:
        see: The localisation network but for its last layer.
        features: Number of features that it gives.
        size: Side of the square image that comes out.
    """

    def __init__(self, see: nn.Module, features: int, size: int) -> None:
        super().__init__()
        self.see = see
        self.locate = nn.Linear(features, 6)
        self.size = size
        nn.init.zeros_(self.locate.weight)
        with torch.no_grad():
            self.locate.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, images: Tensor) -> Tensor:
        """Map (n, c, h, w) to (n, c, size, size), by bilinear sampling (there: equation 5)."""
        n, channels, _, _ = images.shape
        # A number of reduced precision could not tell one pixel's place from the next.
        matrix = self.locate(self.see(images)).float().view(n, 2, 3)
        shape = [n, channels, self.size, self.size]
        grid = functional.affine_grid(matrix, shape, align_corners=False)
        sampled = functional.grid_sample(images.float(), grid, align_corners=False)
        return sampled.to(images.dtype)


class DigitClassifier(nn.Sequential):
    """A small convolutional network behind a spatial transformer: (n, 1, 40, 40) to (n, 10).

    Args:
        transforms: False puts shrinking in the transformer's place, to see what it is worth.
    """

    def __init__(self, *, transforms: bool = True) -> None:
        super().__init__(
            _transformer() if transforms else nn.AdaptiveAvgPool2d(SIZE_SEEN),
            nn.Conv2d(1, 16, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 64),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(64, 10),
        )


def _transformer() -> SpatialTransformer:
    see = nn.Sequential(
        nn.AvgPool2d(2),
        nn.Conv2d(1, 16, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 5),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 32),
        nn.ReLU(),
    )
    return SpatialTransformer(see, 32, SIZE_SEEN)
