"""COCO of 2014: photographs with captions that people wrote."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from benchmarks.components._folders import (
    Lazy,
    expect,
    fingerprint,
    lazy,
    mounted_at,
    needed,
    original,
)
from benchmarks.components._images import middle
from benchmarks.components.image_to_text.data import END, PAD
from pytest_aibench.datasets import Dataset

NAME = "coco2014"
TITLE = "COCO 2014 with its captions"
PARTS = {"train": "train2014", "test": "val2014"}

WORDS = 9956
UNKNOWN = 2
SPECIAL = ("", "<end>", "<unknown>")
LENGTH = 32
"""Tokens of a caption at most, with its end; what is longer is cut."""

SCALED, SIDE = 256, 224
SAMPLE = np.dtype([("image", np.uint8, (3, SIDE, SIDE)), ("caption", np.int64, (LENGTH,))])

_WORD = re.compile(r"[a-z0-9']+|[^\w\s]")

Tokens = npt.NDArray[np.int64]


class Counts(NamedTuple):
    """Photographs and captions of a part."""

    images: int
    captions: int


COUNTS = {"train": Counts(82_783, 414_113), "test": Counts(40_504, 202_654)}


@original(NAME, TITLE)
def load(folder: Path, split: str, *, counts: Mapping[str, Counts] = COUNTS) -> Dataset:
    """Load 414 113 captions of 82 783 photographs, or the first ones of 40 504 others.

    Samples are records that are read when they are asked for: ``image``, the middle of the
    photograph with its shorter side at 256 pixels, bytes of shape (3, 224, 224), and ``caption``,
    int64 of shape (32,): places in `vocabulary`, with an end, padded with 0. References are the
    number of tokens, the end included.

    Raises:
        UserError: Captions or photographs are missing, or there are not as many.
    """
    texts = _captions(folder, PARTS[split])
    expect(len(texts), counts[split].images, "photographs with captions", folder)
    expect(sum(map(len, texts.values())), counts[split].captions, "captions", folder)
    if split == "test":
        texts = {path: captions[:1] for path, captions in texts.items()}
    rank = {word: number for number, word in enumerate(vocabulary(folder))}
    items = [(path, _encoded(text, rank)) for path, captions in texts.items() for text in captions]
    return Dataset(
        name=NAME,
        split=split,
        samples=lazy(items, _read, fingerprint(folder, map(needed, texts))),
        references=np.array([int((caption != PAD).sum()) for _, caption in items]),
        licence="captions CC-BY-4.0; of the photographs Flickr's terms of use",
        source="COCO 2014 (Lin et al., 2014; captions Chen et al., 2015)",
    )


def captions_of(data: Dataset) -> list[Tokens]:
    """The captions of a split, without the photographs."""
    return [caption for _, caption in cast("Lazy", data.samples).items]


def mounted_vocabulary() -> tuple[str, ...]:
    """`vocabulary` of the mounted folder.

    Raises:
        DataAbsent: It is not there.
    """
    return vocabulary(mounted_at(NAME, TITLE))


@cache
def vocabulary(folder: Path) -> tuple[str, ...]:
    """The most frequent words of the training captions, after the special ones; 9956 at most."""
    captions = chain.from_iterable(_captions(folder, PARTS["train"]).values())
    frequency = Counter(word for text in captions for word in _WORD.findall(text.lower()))
    by_rank = sorted(frequency, key=lambda word: (-frequency[word], word))
    return (*SPECIAL, *by_rank[: WORDS - len(SPECIAL)])


@cache
def _captions(folder: Path, part: str) -> dict[Path, list[str]]:
    """The captions of each photograph, in the order of their numbers."""
    path = needed(folder / "annotations" / f"captions_{part}.json")
    told = json.loads(path.read_text(encoding="utf-8"))
    paths = {image["id"]: folder / part / image["file_name"] for image in told["images"]}
    texts: dict[Path, list[str]] = {}
    for one in sorted(told["annotations"], key=itemgetter("image_id", "id")):
        texts.setdefault(paths[one["image_id"]], []).append(one["caption"])
    return texts


def _encoded(text: str, rank: Mapping[str, int]) -> Tokens:
    ids = [rank.get(word, UNKNOWN) for word in _WORD.findall(text.lower())][: LENGTH - 1]
    return np.array([*ids, END] + [PAD] * (LENGTH - 1 - len(ids)))


def _read(item: tuple[Path, Tokens]) -> npt.NDArray[np.void]:
    sample = np.empty((), SAMPLE)
    path, sample["caption"] = item
    sample["image"] = middle(path, scaled=SCALED, side=SIDE)
    return sample
