"""English and German phrases from the Unicode CLDR: dates, times, measures, money, names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from pytest_aibench.datasets import Dataset, register
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from babel import Locale

NAME = "cldr_en_de"
PAIRS = {"train": 12000, "test": 200}
PAD, BEGIN, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<begin>", "<end>", "<unknown>")
LENGTH = 20
"""Tokens of a sentence at most, with its end."""

T = TypeVar("T")
Phrase = Callable[["Locale"], str]

_TOKEN = re.compile(r" ?(?:\d{1,2}|[^\W\d_]+|.)")
_NAMED_UNIT = re.compile(r"(?:duration|length|mass|area|volume|speed|power)-(?!.*person)")
_STYLES: tuple[Literal["name", "standard"], ...] = ("name", "standard")
_CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "SEK", "NOK", "DKK", "PLN", "CZK")


@register(NAME)
def load(split: str) -> Dataset:
    """Load 12000 training or 200 test pairs.

    Each sentence is one phrase, or a list of two: a date, a date with its time, a time from now, a
    measure, an amount of money, a country or a language, all equally likely. Their numbers and
    names are drawn, and CLDR's locale data write them in both languages: so numbers change their
    marks, words their order and number, and half a day becomes hours to 24. No English sentence
    of the test split is in the training split.

    Training samples are token ids of English, int64 of shape (n, 20), ended with `END` and filled
    with `PAD`; references those of German. Test samples and references are texts.

    Raises:
        UserError: Babel is not installed.
    """
    pairs = _pairs()[split]
    english, german = (np.array(texts) for texts in zip(*pairs, strict=True))
    if split == "train":
        english, german = encode(english), encode(german)
    return Dataset(
        name=NAME,
        split=split,
        samples=english,
        references=german,
        licence="Unicode-3.0",
        source=f"Babel {version('babel')}, locales en and de of the Unicode CLDR",
    )


def tokens(text: str) -> list[str]:
    """Words, marks, and digits two by two, each with the blank before it."""
    return _TOKEN.findall(text)


@cache
def vocabulary() -> tuple[str, ...]:
    """All tokens of the training pairs, after the special ones."""
    seen = {token for pair in _pairs()["train"] for text in pair for token in tokens(text)}
    return (*SPECIAL, *sorted(seen))


def encode(texts: Iterable[str]) -> npt.NDArray[np.int64]:
    """Token ids of texts, shape (n, 20)."""
    ids = _ids()
    rows = [[ids.get(token, UNKNOWN) for token in tokens(text)][: LENGTH - 1] for text in texts]
    encoded = np.full((len(rows), LENGTH), PAD, dtype=np.int64)
    for row, found in zip(encoded, rows, strict=True):
        row[: len(found) + 1] = [*found, END]
    return encoded


def decode(ids: Iterable[int]) -> str:
    """The text of token ids, as far as their end."""
    words, text = vocabulary(), ""
    for number in ids:
        if number == END:
            break
        text += words[number] if number >= len(SPECIAL) else ""
    return text


@cache
def _ids() -> dict[str, int]:
    return {token: number for number, token in enumerate(vocabulary())}


@cache
def _pairs() -> dict[str, list[tuple[str, str]]]:
    """Both splits, each English sentence once."""
    seen: set[str] = set()
    return {split: _draw(split, seen) for split in ("test", "train")}


def _draw(split: str, seen: set[str]) -> list[tuple[str, str]]:
    rng = np.random.Generator(np.random.PCG64(1 if split == "train" else 2))
    english, german = _locale("en"), _locale("de")
    pairs: list[tuple[str, str]] = []
    while len(pairs) < PAIRS[split]:
        phrases = [_KINDS[rng.integers(len(_KINDS))](rng) for _ in range(1 + rng.integers(2))]
        one, other = (_sentence(phrases, locale) for locale in (english, german))
        if one not in seen and max(len(tokens(one)), len(tokens(other))) < LENGTH:
            seen.add(one)
            pairs.append((one, other))
    return pairs


def _locale(code: str) -> Locale:
    try:
        from babel import Locale
    except ImportError:
        raise UserError(
            f"the data set {NAME!r} needs Babel: pip install 'pytest-aibench[suite]'"
        ) from None
    return Locale(code)


def _sentence(phrases: list[Phrase], locale: Locale) -> str:
    """A list as the language writes it; the many kinds of blanks of CLDR become plain ones."""
    from babel.lists import format_list

    text = format_list([phrase(locale) for phrase in phrases], locale=locale)
    return " ".join(text.split())


def _day(rng: np.random.Generator) -> date:
    return date(1950, 1, 1) + timedelta(days=int(rng.integers(36525)))


def _date(rng: np.random.Generator) -> Phrase:
    from babel.dates import format_date

    day, style = _day(rng), _one_of(("full", "long", "medium", "short"), rng)
    return lambda locale: format_date(day, style, locale=locale)


def _date_and_time(rng: np.random.Generator) -> Phrase:
    from babel.dates import format_datetime

    moment = datetime.combine(_day(rng), time(int(rng.integers(24)), int(rng.integers(60))))
    style = _one_of(("medium", "short"), rng)
    return lambda locale: format_datetime(moment, style, locale=locale)


def _from_now(rng: np.random.Generator) -> Phrase:
    from babel.dates import format_timedelta

    seconds = int(10 ** rng.uniform(0, 9)) * _one_of((-1, 1), rng)
    return lambda locale: format_timedelta(
        timedelta(seconds=seconds), add_direction=True, locale=locale
    )


def _measure(rng: np.random.Generator) -> Phrase:
    from babel.units import format_unit

    unit, amount = _one_of(_units(), rng), _amount(rng)
    return lambda locale: format_unit(amount, unit, length="long", locale=locale)


def _money(rng: np.random.Generator) -> Phrase:
    from babel.numbers import format_currency

    currency, amount, style = _one_of(_CURRENCIES, rng), _amount(rng), _one_of(_STYLES, rng)
    return lambda locale: format_currency(amount, currency, format_type=style, locale=locale)


def _country(rng: np.random.Generator) -> Phrase:
    code = _one_of(_countries(), rng)
    return lambda locale: str(locale.territories[code])


def _language(rng: np.random.Generator) -> Phrase:
    code = _one_of(_languages(), rng)
    return lambda locale: str(locale.languages[code])


_KINDS = (_date, _date_and_time, _from_now, _measure, _money, _country, _language)


def _amount(rng: np.random.Generator) -> float:
    """From 1 to 99999; one half of them whole."""
    amount = 10 ** rng.uniform(0, 5)
    return float(int(amount)) if rng.integers(2) else round(float(amount), 2)


def _one_of(choices: Sequence[T], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]


@cache
def _units() -> tuple[str, ...]:
    """Units of what is measured most; person-days have no English name."""
    patterns = _both("unit_patterns")
    return tuple(unit for unit in patterns if _NAMED_UNIT.match(unit))


@cache
def _countries() -> tuple[str, ...]:
    return tuple(code for code in _both("territories") if re.fullmatch("[A-Z]{2}", code))


@cache
def _languages() -> tuple[str, ...]:
    return tuple(code for code in _both("languages") if re.fullmatch("[a-z]{2}", code))


def _both(table: str) -> list[str]:
    """What both languages have a name for."""
    return sorted(_locale("en")._data[table].keys() & _locale("de")._data[table].keys())
