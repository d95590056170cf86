"""Docstrings of Python packages: the first line sums up the name and the text below it."""

from __future__ import annotations

import ast
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from itertools import takewhile
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets import Carrier, Dataset, cached_arrays, register

NAME = "docstring_headlines"
SYMPY = Carrier(
    name="sympy",
    version="1.14.0",
    file="sympy-1.14.0-py3-none-any.whl",
    sha256="e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5",
    size_mb=6.3,
    licence="BSD-3-Clause",
    source="PyPI sympy 1.14.0",
)
NETWORKX = Carrier(
    name="networkx",
    version="3.4.2",
    file="networkx-3.4.2-py3-none-any.whl",
    sha256="df5d4365b724cf81b8c6a7312509d0c22386097011ad1abe274afd5e9d3bbc5f",
    size_mb=1.7,
    licence="BSD-3-Clause",
    source="PyPI networkx 3.4.2",
)
KERAS = Carrier(
    name="keras",
    version="3.10.0",
    file="keras-3.10.0-py3-none-any.whl",
    sha256="c095a6bf90cd50defadf73d4859ff794fad76b775357ef7bd1dbf96388dae7d3",
    size_mb=1.4,
    licence="Apache-2.0",
    source="PyPI keras 3.10.0",
)
MNE = Carrier(
    name="mne",
    version="1.9.0",
    file="mne-1.9.0-py3-none-any.whl",
    sha256="c26da9ac59bce963c5b25a3be9f5f61dd128f980cdc178a6fceef27743734306",
    size_mb=7.4,
    licence="BSD-3-Clause",
    source="PyPI mne 1.9.0",
)
NLTK = Carrier(
    name="nltk",
    version="3.9.1",
    file="nltk-3.9.1-py3-none-any.whl",
    sha256="4fa26829c5b00715afe3061398a8989dc643b92ce7dd93fb4585a70930d168a1",
    size_mb=1.5,
    licence="Apache-2.0",
    source="PyPI nltk 3.9.1",
)
CARRIERS = (SYMPY, NETWORKX, KERAS, MNE, NLTK)

TEST_PAIRS = 300
TEXT_LENGTH, HEADLINE_LENGTH = 40, 13
"""Words of a text, and of a headline with its end."""

PAD, BEGIN, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>", ".", ":", ";")
FUNCTION_WORDS = (
    *("a", "all", "an", "and", "any", "are", "as", "at", "be", "by", "can", "for", "from", "given"),
    *("has", "have", "if", "in", "into", "is", "it", "its", "no", "not", "of", "on", "or", "than"),
    *("that", "the", "this", "to", "when", "which", "will", "with"),
)
REPEATABLE = len(SPECIAL) + len(FUNCTION_WORDS)
"""Words whose ids are below this may stand in a headline more than once."""

_RARE = 3
_WORD = re.compile(r"[a-z]+|\d+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_Definition = ast.FunctionDef | ast.ClassDef


class Pair(NamedTuple):
    """A text of words parted by blanks, ``class . name : arguments ; text``, and its headline."""

    text: str
    headline: str


@register(NAME, carriers=CARRIERS)
def load(split: str) -> Dataset:
    """Load about 6900 training or 300 test pairs.

    A pair comes from the docstring of a function or class. Its text is the names of the class
    around it, of itself and of its arguments, and what follows the first paragraph, 40 words of
    it all; that paragraph is the headline, of 3 to 12 words. All are in small letters, without
    marks.

    As Rush et al. (A Neural Attention Model for Abstractive Sentence Summarization, 2015) do,
    pairs without a common word are left out, function words apart. In the test split the text has
    at least half of the headline's other words, two of which are in no name. Each headline is
    there once. The test split is of other files than the training split, which also has no pair
    that shares more than half of all words with a test pair.

    Training samples are ids of the text's words, int64 of shape (n, 40); references ids of the
    headline's, (n, 13). A word outside the vocabulary that stands in the text has the number of
    its first place there, behind those of the vocabulary, so it can be copied. Test samples and
    references are texts.

    Raises:
        DataAbsent: A carrier is not there and cannot be fetched.
    """
    pairs = _pairs(split)
    samples, references = (np.array(each) for each in zip(*pairs, strict=True))
    if split == "train":
        samples, references = encode(samples.tolist()), _encode_headlines(pairs)
    return Dataset(
        name=NAME,
        split=split,
        samples=samples,
        references=references,
        licence=", ".join(f"{carrier.name}: {carrier.licence}" for carrier in CARRIERS),
        source="docstrings of " + ", ".join(carrier.source for carrier in CARRIERS),
    )


class Vocabulary(NamedTuple):
    """Words that have a number of their own.

    Attributes:
        words: Special and function words; the others of headlines; the others of texts.
        written: Number of the first of these that a headline may have without copying.
    """

    words: tuple[str, ...]
    written: int


@cache
def vocabulary() -> Vocabulary:
    """The words that are in three or more training headlines, or texts."""
    texts, headlines = map(_common, zip(*_pairs("train"), strict=True))
    written = (*SPECIAL, *FUNCTION_WORDS, *sorted(headlines.difference(FUNCTION_WORDS)))
    return Vocabulary((*written, *sorted(texts.difference(written))), len(written))


def encode(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Ids of texts' words, shape (n, 40)."""
    return filled((_ids(words, words) for words in map(str.split, texts)), TEXT_LENGTH)


def decode(ids: Sequence[int], text: str) -> str:
    """The headline of ids as far as its end; copied words are taken from the text."""
    words = (*vocabulary().words, *text.split())
    written = takewhile(lambda number: number != END, ids)
    return " ".join(words[number] for number in written if number >= len(SPECIAL))


def _encode_headlines(pairs: Sequence[Pair]) -> npt.NDArray[np.int64]:
    """Ids of words that can be written or copied, shape (n, 13); the others are unknown."""
    words, written = vocabulary()
    known, rows = set(words[:written]), []
    for pair in pairs:
        text = pair.text.split()
        headline = [
            word if word in known or word in text else SPECIAL[UNKNOWN]
            for word in pair.headline.split()
        ]
        rows.append([*_ids(headline, text), END])
    return filled(rows, HEADLINE_LENGTH)


def _ids(words: Sequence[str], text: Sequence[str]) -> list[int]:
    known = _numbers()
    return numbered(words, text, known, len(known))


def numbered(
    words: Iterable[str], text: Sequence[str], known: Mapping[str, int], first: int
) -> list[int]:
    """Ids of words: a word that is not known has ``first`` and its first place in the text.

    It is unknown where it is not in the text either.
    """
    copied = {word: first + place for place, word in reversed(list(enumerate(text)))}
    return [known.get(word, copied.get(word, UNKNOWN)) for word in words]


def _common(texts: Iterable[str]) -> set[str]:
    counts = Counter(word for text in texts for word in set(text.split()))
    return {word for word, count in counts.items() if count >= _RARE}


def filled(rows: Iterable[list[int]], length: int) -> npt.NDArray[np.int64]:
    """Rows brought to one length, cut or filled with `PAD`."""
    return np.array([(row + [PAD] * length)[:length] for row in rows], dtype=np.int64)


@cache
def _numbers() -> dict[str, int]:
    return {word: number for number, word in enumerate(vocabulary().words)}


def _pairs(split: str) -> list[Pair]:
    arrays = _arrays()
    texts, headlines = (arrays[f"{split}_{what}"].tolist() for what in Pair._fields)
    return list(map(Pair, texts, headlines))


@cache
def _arrays() -> dict[str, npt.NDArray[np.str_]]:
    versions = "-".join(carrier.version for carrier in CARRIERS)
    return cached_arrays(f"{NAME}-{versions}", _read)


def _read() -> dict[str, npt.NDArray[np.str_]]:
    """Both splits; whole files go to the test, in the order of their names' digests."""
    test: list[Pair] = []
    rest: list[Pair] = []
    for pairs in _by_file():
        if len(test) < TEST_PAIRS:
            test.extend(filter(_is_told, pairs))
        else:
            rest.extend(pairs)
    test = test[:TEST_PAIRS]
    tested = [_all_words(pair) for pair in test]
    train = [pair for pair in rest if not _is_near(_all_words(pair), tested)]
    return {
        f"{split}_{what}": np.array([getattr(pair, what) for pair in pairs])
        for split, pairs in (("test", test), ("train", train))
        for what in Pair._fields
    }


def _by_file() -> Iterator[list[Pair]]:
    """Pairs with headlines that have not been there before."""
    seen: set[str] = set()
    for _, code in sorted(_files(), key=lambda file: sha256(file[0].encode()).digest()):
        fresh = {pair.headline: pair for pair in _summed_up(code) if pair.headline not in seen}
        seen.update(fresh)
        yield list(fresh.values())


def _files() -> Iterator[tuple[str, str]]:
    for carrier in CARRIERS:
        with carrier.archive() as archive:
            for name in archive.namelist():
                if name.endswith(".py") and "/test" not in name:
                    yield name, archive.read(name).decode()


def _summed_up(code: str) -> Iterator[Pair]:
    """The pairs of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes in texts of other people's code
        tree = ast.parse(code)
    for node, around in _documented(tree):
        first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
        headline, body = _words(first), _words(rest)
        front = [*_words(around), ".", *_words(node.name), ":", *_words(_arguments(node)), ";"]
        text = (front + body)[:TEXT_LENGTH]
        if body and 3 <= len(headline) < HEADLINE_LENGTH and _content(headline) & set(text):
            yield Pair(" ".join(text), " ".join(headline))


def _documented(node: ast.AST, around: str = "") -> Iterator[tuple[_Definition, str]]:
    """Functions and classes below a node, each with the name of the class around it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, _Definition):
            yield child, around
        yield from _documented(child, child.name if isinstance(child, ast.ClassDef) else around)


def _arguments(node: _Definition) -> str:
    if isinstance(node, ast.ClassDef):
        return ""
    return " ".join(each.arg for each in node.args.args if each.arg not in ("self", "cls"))


def _words(text: str) -> list[str]:
    """Words in small letters, also those of ``snake_case`` and of ``CamelCase``."""
    return _WORD.findall(_HUMP.sub(" ", text).lower())


def _content(words: Iterable[str]) -> set[str]:
    return set(words).difference(FUNCTION_WORDS)


def _is_told(pair: Pair) -> bool:
    """Whether half of the headline's content is in the text, and two words not in the names."""
    names = pair.text.partition(":")[0]
    content = _content(pair.headline.split())
    told, named = content.intersection(pair.text.split()), content.intersection(names.split())
    return len(told) >= len(content) / 2 and len(told - named) >= 2


def _is_near(words: frozenset[str], others: Iterable[frozenset[str]]) -> bool:
    """Whether more than half of all words are in both, for any of the others."""
    return any(3 * len(words & other) > len(words) + len(other) for other in others)


def _all_words(pair: Pair) -> frozenset[str]:
    return frozenset(" ".join(pair).split())
