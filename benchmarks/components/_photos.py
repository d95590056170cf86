"""Real photographs that ship inside scikit-image and scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Photo:
    """A file in a package, with what its package says of its licence."""

    package: str
    path: str
    licence: str

    @property
    def name(self) -> str:
        """What people call it."""
        return self.path.rsplit("/", 1)[-1].rsplit(".", 1)[0]

    def pixels(self) -> Pixels:
        """The photograph, shape (h, w, 3).

        Raises:
            UserError: Its package, or Pillow to read it, is not installed.
        """
        try:
            from PIL import Image

            with files(self.package).joinpath(self.path).open("rb") as file:
                return np.asarray(Image.open(file).convert("RGB"))
        except ImportError as missing:
            raise UserError(
                f"the photograph {self.name!r} needs {missing.name}: "
                "pip install 'pytest-aibench[suite]'"
            ) from None


PHOTOS = (
    Photo("skimage", "data/astronaut.png", "public domain"),
    Photo("skimage", "data/chelsea.png", "CC0-1.0"),
    Photo("skimage", "data/hubble_deep_field.jpg", "public domain"),
    Photo("skimage", "data/retina.jpg", "CC0-1.0"),
    Photo("skimage", "data/rocket.jpg", "public domain"),
    Photo("sklearn", "datasets/images/china.jpg", "CC-BY-2.0"),
    Photo("skimage", "data/coffee.png", "CC0-1.0"),
    Photo("sklearn", "datasets/images/flower.jpg", "CC-BY-2.0"),
)

LICENCE = "CC0-1.0, CC-BY-2.0 (danielbuechele, vultilion) and public domain"


def source() -> str:
    """Where the photographs come from, with versions."""
    packages = " and ".join(f"{name} {version(name)}" for name in ("scikit-image", "scikit-learn"))
    return f"photographs of {packages}"


def photos(split: str, test: Collection[str]) -> list[Pixels]:
    """The photographs that are named, for the test split; all others, for the training split."""
    return [photo.pixels() for photo in PHOTOS if (photo.name in test) == (split == "test")]


def crops(
    photos: Sequence[Pixels], count: int, size: int, random: np.random.Generator
) -> list[Pixels]:
    """Cut squares of ``size`` pixels, each from a photograph and a place drawn at random."""
    return [_crop(photos[int(random.integers(len(photos)))], size, random) for _ in range(count)]


def _crop(photo: Pixels, size: int, random: np.random.Generator) -> Pixels:
    top, left = (random.integers(extent - size + 1) for extent in photo.shape[:2])
    return photo[top : top + size, left : left + size]
