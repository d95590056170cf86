"""A network that places portraits in a space where one person's are near each other."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components.image_classification.model import ResidualBlock

_REDUCTION = 8


class FaceNet(nn.Module):
    """A residual trunk, a linear layer over all that it sees, and length one.

    Figure 2 of FaceNet (Schroff et al., 2015), with the kind of trunk that AIBench's code has.
    Maps portraits (n, 1, size, size) to embeddings (n, dimensions) on the unit sphere.
    """

    def __init__(self, size: int, dimensions: int = 64, width: int = 16) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            ResidualBlock(width, width, 1),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 4 * width, 2),
            nn.Flatten(),
        )
        self.embedding = nn.Linear(4 * width * (size // _REDUCTION) ** 2, dimensions)

    def forward(self, portraits: Tensor) -> Tensor:
        """Map (n, 1, size, size) to (n, dimensions)."""
        return functional.normalize(self.embedding(self.trunk(portraits)))
