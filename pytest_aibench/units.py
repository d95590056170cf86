"""Quantities written by people: ``"15 ms"``, ``"50 samples/s"``, ``"97 %"``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pytest_aibench.errors import UserError

TIME = "s"
RATE = "samples/s"
ENERGY = "J"
RATIO = ""

_UNITS: dict[str, tuple[float, str]] = {
    "": (1.0, RATIO),
    "%": (0.01, RATIO),
    "ns": (1e-9, TIME),
    "us": (1e-6, TIME),
    "µs": (1e-6, TIME),
    "ms": (1e-3, TIME),
    "s": (1.0, TIME),
    "min": (60.0, TIME),
    "h": (3600.0, TIME),
    "samples/s": (1.0, RATE),
    "queries/s": (1.0, "queries/s"),
    "tokens/s": (1.0, "tokens/s"),
    "streams": (1.0, "streams"),
    "x": (1.0, "x"),
    "dB": (1.0, "dB"),
    "J": (1.0, ENERGY),
    "B": (1.0, "B"),
    "KiB": (1024.0, "B"),
    "MiB": (1024.0**2, "B"),
    "GiB": (1024.0**3, "B"),
}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*$")

# From small to large; a figure is printed in the largest unit in which it is at least one.
_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    TIME: ((1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms"), (1.0, "s")),
    "B": ((1.0, "B"), (1024.0, "KiB"), (1024.0**2, "MiB"), (1024.0**3, "GiB")),
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in its base unit (s, B, samples/s, or none), and the dimension it belongs to."""

    value: float
    unit: str


def parse_quantity(text: str | float) -> Quantity:
    """Read a number with an optional unit.

    Raises:
        UserError: The text is not a finite number with a known unit.
    """
    number, unit = _split(text) if isinstance(text, str) else (float(text), "")
    if unit not in _UNITS:
        known = ", ".join(name for name in _UNITS if name)
        raise UserError(f"unknown unit {unit!r} in {text!r}: use one of {known}")
    factor, base = _UNITS[unit]
    if not math.isfinite(number * factor):
        raise UserError(f"the quantity {text!r} is not finite: write a number like 0.97 or '15 ms'")
    return Quantity(number * factor, base)


def _split(text: str) -> tuple[float, str]:
    match = _QUANTITY.match(text)
    if match is None:
        raise UserError(
            f"cannot read the quantity {text!r}: write a number and a unit, like '15 ms'"
        )
    return float(match[1]), match[2]


def parse_duration_s(text: str | float, what: str) -> float:
    """Read a positive duration in seconds; a bare number is refused, because its unit is a guess.

    Raises:
        UserError: No unit, a unit that is no time, or not above zero.
    """
    quantity = parse_quantity(text)
    if quantity.unit != TIME:
        raise UserError(f"{what}={text!r} needs a time unit: write it like '15 ms' or '2 s'")
    if quantity.value <= 0:
        raise UserError(f"{what}={text!r} must be above zero")
    return quantity.value


def format_quantity(value: float, unit: str) -> str:
    """Print a base-unit value at four significant digits in the unit a person would choose."""
    size, name = _scale(value, unit)
    return f"{_four_digits(value / size)} {name}".rstrip()


def format_interval(low: float | None, high: float | None, like: float, unit: str) -> str:
    """``[11.9, 12.8]`` in the unit `format_quantity` prints ``like`` in; an open end is ``?``."""
    size, _ = _scale(like, unit)
    ends = ("?" if end is None else _four_digits(end / size) for end in (low, high))
    return f"[{', '.join(ends)}]"


def _scale(value: float, unit: str) -> tuple[float, str]:
    rounded = abs(float(f"{value:.4g}"))
    scales = _SCALES.get(unit)
    if scales is None or not rounded:
        return 1.0, unit
    return next((scale for scale in reversed(scales) if rounded >= scale[0]), scales[0])


def _four_digits(value: float) -> str:
    rounded = float(f"{value:.4g}")
    return f"{rounded:.0f}" if 1e4 <= abs(rounded) < 1e9 else f"{rounded:.4g}"
