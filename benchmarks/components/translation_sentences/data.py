"""Sentences of Home Assistant's user interface, in English and as volunteers put them in German."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sized
from functools import cache
from hashlib import sha256
from itertools import takewhile
from typing import Any
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt

from benchmarks.components.translation.data import END, PAD, SPECIAL, UNKNOWN
from benchmarks.components.translation_sentences.pieces import learn, split
from pytest_aibench.datasets import Carrier, Dataset, cached_arrays, register

NAME = "home_assistant_en_de"
HOME_ASSISTANT = Carrier(
    name="homeassistant",
    version="2024.3.3",
    file="homeassistant-2024.3.3-py3-none-any.whl",
    sha256="6e1ec2c07441d63fdcfb8acd2c4bbb6f68bc97330855784d3623d10c38fe3577",
    size_mb=35.4,
    licence="Apache-2.0",
    source="PyPI homeassistant 2024.3.3, homeassistant/components/*/translations",
)
TEST_COMPONENTS = 60
WORDS = range(4, 26)
"""Words of a sentence, in either language."""

LENGTH = 40
"""Pieces of a sentence at most, with its end."""

PIECES = 2000

Pair = tuple[str, str]
"""English and German."""

_TRANSLATED = re.compile(r"homeassistant/components/(\w+)/translations/de\.json")
_LETTERS = re.compile(r"\w+")


@register(NAME, carriers=(HOME_ASSISTANT,))
def load(split: str) -> Dataset:
    """Load about 3900 training or 350 test pairs.

    They are sentences of 4 to 25 words; equal ones are left out, and an English one counts once,
    whatever its capitals and marks. The test split is of 60 components, in the order of their
    names' digests, and shares no English sentence with the training split.

    Training samples are ids of pieces of English words, int64 of shape (n, 40), ended with `END`
    and filled with `PAD`; references those of German. Test samples and references are texts.

    Raises:
        DataAbsent: The carrier is not there and cannot be fetched.
    """
    texts = (_arrays()[f"{split}_{language}"] for language in ("english", "german"))
    samples, references = (encode(each) if split == "train" else each for each in texts)
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=references,
        licence=HOME_ASSISTANT.licence,
        source=HOME_ASSISTANT.source,
    )


@cache
def vocabulary() -> tuple[str, ...]:
    """Pieces of the training pairs' words, after the special ones."""
    return (*SPECIAL, *_arrays()["pieces"].tolist())


def encode(texts: Iterable[str]) -> npt.NDArray[np.int64]:
    """Ids of texts' pieces, shape (n, 40)."""
    known = _ids()
    encoded = []
    for text in texts:
        ids = [known.get(piece, UNKNOWN) for piece in split(text, known)][: LENGTH - 1]
        encoded.append([*ids, END, *[PAD] * (LENGTH - 1 - len(ids))])
    return np.array(encoded, dtype=np.int64)


def decode(ids: Iterable[int]) -> str:
    """The text of ids, as far as their end."""
    pieces = vocabulary()
    written = takewhile(lambda number: number != END, ids)
    return "".join(pieces[number] for number in written if number >= len(SPECIAL)).strip()


@cache
def _ids() -> dict[str, int]:
    return {piece: number for number, piece in enumerate(vocabulary())}


@cache
def _arrays() -> dict[str, npt.NDArray[np.str_]]:
    return cached_arrays(f"{NAME}-{HOME_ASSISTANT.version}", _read)


def _read() -> dict[str, npt.NDArray[np.str_]]:
    """Pairs of both splits, and the pieces of the training split's words."""
    seen: set[str] = set()
    with HOME_ASSISTANT.archive() as archive:
        components = _components(archive)
        test = _pairs(archive, components[:TEST_COMPONENTS], seen)
        train = _pairs(archive, components[TEST_COMPONENTS:], seen)
    pieces = learn((text for pair in train for text in pair), PIECES)
    return {
        "pieces": np.array(pieces),
        **_columns("train", train, set(pieces)),
        **_columns("test", test, set(pieces)),
    }


def _components(archive: ZipFile) -> list[str]:
    """Those that are translated, in the order of their names' digests."""
    found = {match[1] for name in archive.namelist() if (match := _TRANSLATED.fullmatch(name))}
    return sorted(found, key=lambda name: sha256(name.encode()).digest())


def _pairs(archive: ZipFile, components: Iterable[str], seen: set[str]) -> list[Pair]:
    """Sentences that have not been seen before."""
    pairs = []
    for component in components:
        english, german = (_texts(archive, component, language) for language in ("en", "de"))
        for key in english:
            pair = (english[key], german.get(key, ""))
            bare = " ".join(_LETTERS.findall(english[key])).casefold()
            if bare not in seen and pair[0] != pair[1] and _all_in(WORDS, map(str.split, pair)):
                seen.add(bare)
                pairs.append(pair)
    return pairs


def _texts(archive: ZipFile, component: str, language: str) -> dict[str, str]:
    """All texts of a component by the path of their keys, with single blanks."""
    name = f"homeassistant/components/{component}/translations/{language}.json"
    return dict(_leaves(json.loads(archive.read(name))))


def _leaves(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, below in tree.items():
        if isinstance(below, str):
            yield f"{path}/{key}", " ".join(below.split())
        else:
            yield from _leaves(below, f"{path}/{key}")


def _columns(
    split_name: str, pairs: Iterable[Pair], known: Container[str]
) -> dict[str, npt.NDArray[np.str_]]:
    """English and German of the pairs that are short enough in pieces."""
    short = [
        pair for pair in pairs if _all_in(range(LENGTH), (split(text, known) for text in pair))
    ]
    english, german = zip(*short, strict=True)
    return {f"{split_name}_english": np.array(english), f"{split_name}_german": np.array(german)}


def _all_in(lengths: range, each: Iterable[Sized]) -> bool:
    return all(len(one) in lengths for one in each)
