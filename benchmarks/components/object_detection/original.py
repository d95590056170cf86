"""VOC 2007: photographs, and the boxes of what is on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import expect, fingerprint, lazy, needed, original
from benchmarks.components._images import framed
from pytest_aibench.datasets import Dataset
from pytest_aibench.errors import UserError

NAME = "voc2007"
COUNTS = {"train": 5011, "test": 4952}
LISTS = {"train": "trainval", "test": "test"}
SIDE = 800

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
EDGES = ("xmin", "ymin", "xmax", "ymax")

Objects = npt.NDArray[np.float32]


@original(NAME, "PASCAL VOC 2007")
def load(
    folder: Path, split: str, *, side: int = SIDE, counts: Mapping[str, int] = COUNTS
) -> Dataset:
    """Load 5011 photographs for training and validation, or the 4952 of the test.

    Samples are bytes of shape (3, 800, 800): the longer side of the photograph is brought to 800
    pixels, and what is left of the square is grey. They are read when they are asked for.
    References are float32 of shape (n, m, 5): left, top, right, bottom in that square, and class,
    which is -1 in rows that are not used. Objects that are marked difficult are left out.

    Raises:
        UserError: A photograph or what is said of it is missing, or there are not as many.
    """
    list_of_names = needed(folder / "ImageSets" / "Main" / f"{LISTS[split]}.txt")
    names = list_of_names.read_text(encoding="utf-8").split()
    expect(len(names), counts[split], "photographs", list_of_names)
    paths = [needed(folder / "JPEGImages" / f"{name}.jpg") for name in names]
    told = [_objects(needed(folder / "Annotations" / f"{name}.xml"), side) for name in names]
    return Dataset(
        name=NAME,
        split=split,
        samples=lazy(paths, partial(framed, side=side), fingerprint(folder, paths)),
        references=_padded(told),
        licence="Flickr's terms of use for each photograph",
        source="PASCAL VOC 2007 (Everingham et al., 2010)",
    )


def _objects(path: Path, side: int) -> Objects:
    """Boxes and classes of one photograph, (k, 5), at the size to which it is brought.

    Corners are pixels counted from 1, and both belong to the object.
    """
    try:
        root = ElementTree.parse(path).getroot()
        longer = max(_numbers(root, "size", ("width", "height")))
        rows = [
            (*_numbers(one, "bndbox", EDGES), CLASSES.index(one.findtext("name", "")))
            for one in root.iter("object")
            if one.findtext("difficult", "0") != "1"
        ]
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(
            f"{path} is no annotation of VOC 2007 ({error}): put it there again"
        ) from None
    objects = np.array(rows, np.float32).reshape(-1, 5)
    objects[:, :2] -= 1
    objects[:, :4] *= side / longer
    return objects


def _numbers(of: ElementTree.Element, place: str, names: Sequence[str]) -> list[float]:
    return [float(of.findtext(f"{place}/{name}", "")) for name in names]


def _padded(lists: Sequence[Objects]) -> Objects:
    """Lists of objects as one array, filled with -1."""
    padded = np.full((len(lists), max(map(len, lists)), 5), -1, np.float32)
    for row, objects in zip(padded, lists, strict=True):
        row[: len(objects)] = objects
    return padded
