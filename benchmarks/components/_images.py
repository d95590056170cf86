"""Photographs in files: read when they are asked for, and brought to the numbers models take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.components._photos import Pixels
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png")
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
"""Of the colours of ImageNet's photographs."""

GREY = (124, 116, 104)
"""That mean in bytes."""


def picture(path: Path) -> Pixels:
    """Read a photograph: bytes of shape (h, w, 3).

    Raises:
        UserError: Pillow is not installed, or cannot read the file.
    """
    return np.asarray(_opened(path).convert("RGB"))


def depth(path: Path) -> Pixels:
    """Read a picture of one channel, in bytes or pairs of them: bytes of shape (h, w).

    Raises:
        UserError: As `picture`.
    """
    values = np.asarray(_opened(path))
    return values if values.dtype == np.uint8 else (values // 256).astype(np.uint8)


def _opened(path: Path) -> Image:
    try:
        from PIL.Image import open as opened

        with opened(path) as file:
            image: Image = file
            image.load()
        return image
    except ImportError:
        raise UserError("photographs need Pillow: pip install 'pytest-aibench[suite]'") from None
    except (OSError, SyntaxError, ValueError) as error:  # SyntaxError: a damaged PNG
        raise UserError(f"{path} is no picture ({error}): put it there again") from None


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """A photograph (h, w, 3) at another size, bilinear over all that a new pixel covers."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def middle(path: Path, *, scaled: int, side: int) -> Pixels:
    """A photograph whose shorter side is brought to ``scaled`` pixels, and the middle cut out.

    Returns:
        Bytes of shape (3, side, side).

    Raises:
        UserError: As `picture`.
    """
    pixels = picture(path)
    factor = scaled / min(pixels.shape[:2])
    height, width = (round(factor * extent) for extent in pixels.shape[:2])
    top, left = (height - side) // 2, (width - side) // 2
    cut = resized(pixels, height, width)[top : top + side, left : left + side]
    return np.ascontiguousarray(cut.transpose(2, 0, 1))


def framed(path: Path, *, side: int) -> Pixels:
    """A photograph whose longer side is brought to ``side`` pixels, on a grey square.

    Returns:
        Bytes of shape (3, side, side); the photograph is at the left and the top.

    Raises:
        UserError: As `picture`.
    """
    pixels = picture(path)
    factor = side / max(pixels.shape[:2])
    height, width = (round(factor * extent) for extent in pixels.shape[:2])
    frame = np.full((side, side, 3), GREY, np.uint8)
    frame[:height, :width] = resized(pixels, height, width)
    return np.ascontiguousarray(frame.transpose(2, 0, 1))


class Normalised(nn.Module):
    """Brings pixels (n, channels, h, w) to numbers that are about normal.

    Args:
        most: What a white pixel is: 255 for bytes.
        mean: Of each channel, as a share of that; by default over ImageNet's photographs.
        deviation: Likewise.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        most: float = 255,
        mean: Sequence[float] = MEAN,
        deviation: Sequence[float] = DEVIATION,
    ) -> None:
        super().__init__()
        self.most = most
        for name, values in (("mean", mean), ("deviation", deviation)):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map pixels of any type, in the precision of the model."""
        return (images.to(self.mean.dtype) / self.most - self.mean) / self.deviation


@dataclass(frozen=True, slots=True)
class RandomCrops:
    """Cuts a part out of each image, scales it, and turns half of them round.

    Szegedy et al., Going Deeper with Convolutions, 2015, section 6: from 8 % of the image to all of
    it, from 3:4 to 4:3.

    Attributes:
        side: Of the images that come out.
        least: Smallest share of the image.
    """

    side: int
    least: float = 0.08

    def __call__(self, images: Tensor) -> Tensor:
        """Map images (n, c, h, w) of any type to fractions (n, c, side, side)."""
        n, place = len(images), images.device
        shares = torch.empty(n, device=place).uniform_(self.least, 1)
        aspects = torch.empty(n, device=place).uniform_(-1, 1).mul(math.log(4 / 3)).exp()
        width, height = ((shares * aspects).sqrt().clamp(max=1), (shares / aspects).sqrt())
        sizes = torch.stack((width, height.clamp(max=1)), dim=1)
        centres = (torch.rand(n, 2, device=place) * 2 - 1) * (1 - sizes)
        sizes[:, 0] *= torch.randint(2, (n,), device=place) * 2 - 1
        matrices = torch.cat((torch.diag_embed(sizes), centres[:, :, None]), dim=2)
        shape = [n, images.shape[1], self.side, self.side]
        grid = functional.affine_grid(matrices, shape, align_corners=False)
        return functional.grid_sample(
            images.float(), grid, align_corners=False, padding_mode="border"
        )
