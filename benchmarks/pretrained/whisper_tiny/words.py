"""Texts as words alone, so that spelling does not count as an error of hearing."""

from __future__ import annotations

import re

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def words(text: str) -> str:
    """A text in small letters without punctuation, with numbers and ``Mr.`` written out.

    ``10`` is ten; other numbers are read digit by digit, as they are said in these recordings.
    """
    spelt = re.sub(r"\d+", _spelt, re.sub(r"\bmr\b", "mister", text.lower()))
    return " ".join(re.findall(r"[a-z']+", spelt))


def _spelt(number: re.Match[str]) -> str:
    digits = ["ten"] if number[0] == "10" else [_DIGITS[int(digit)] for digit in number[0]]
    return f" {' '.join(digits)} "
