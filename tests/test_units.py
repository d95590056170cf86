"""Quantities as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.errors import UserError
from pytest_aibench.units import (
    Quantity,
    format_interval,
    format_quantity,
    parse_duration_s,
    parse_quantity,
)

UNITS = ["", "s", "B", "J", "dB", "samples/s", "queries/s", "tokens/s"]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("15 ms", 0.015, "s"),
        ("15ms", 0.015, "s"),
        ("  2.5e2 us ", 2.5e-4, "s"),
        (".5e1 µs", 5e-6, "s"),
        ("3. min", 180.0, "s"),
        ("-1 s", -1.0, "s"),
        ("97 %", 0.97, ""),
        ("97%", 0.97, ""),
        ("0.97", 0.97, ""),
        (0.97, 0.97, ""),
        (3, 3.0, ""),
        ("50 samples/s", 50.0, "samples/s"),
        ("7 queries/s", 7.0, "queries/s"),
        ("1.5 GiB", 1.5 * 1024**3, "B"),
        ("4 J", 4.0, "J"),
    ],
)
def test_parse_quantity(text: str | float, value: float, unit: str) -> None:
    quantity = parse_quantity(text)
    assert quantity.value == pytest.approx(value)
    assert quantity.unit == unit


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "cannot read the quantity 'fast': write a number and a unit, like '15 ms'"),
        ("", "cannot read the quantity '': write a number and a unit, like '15 ms'"),
        ("1.5.2 s", "cannot read the quantity '1.5.2 s': write a number and a unit, like '15 ms'"),
        (
            "5 parsec",
            "unknown unit 'parsec' in '5 parsec': use one of %, ns, us, µs, ms, s, min, h, "
            "samples/s, queries/s, tokens/s, streams, x, dB, J, B, KiB, MiB, GiB",
        ),
        ("1e999 s", "the quantity '1e999 s' is not finite: write a number like 0.97 or '15 ms'"),
        (
            float("nan"),
            "the quantity nan is not finite: write a number like 0.97 or '15 ms'",
        ),
    ],
)
def test_parse_quantity_refuses(text: str | float, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_quantity(text)
    assert str(caught.value) == message


def test_parse_duration() -> None:
    assert parse_duration_s("15 ms", "latency_bound") == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (10, "min_duration=10 needs a time unit: write it like '15 ms' or '2 s'"),
        ("10", "min_duration='10' needs a time unit: write it like '15 ms' or '2 s'"),
        ("5 B", "min_duration='5 B' needs a time unit: write it like '15 ms' or '2 s'"),
        ("0 s", "min_duration='0 s' must be above zero"),
        ("-3 ms", "min_duration='-3 ms' must be above zero"),
    ],
)
def test_parse_duration_refuses(text: str | float, message: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_duration_s(text, "min_duration")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (5e-10, "s", "0.5 ns"),
        (1.23456e-7, "s", "123.5 ns"),
        (1.23456e-5, "s", "12.35 µs"),
        (0.0123456, "s", "12.35 ms"),
        (0.99999, "s", "1 s"),
        (-0.002, "s", "-2 ms"),
        (754.32, "s", "754.3 s"),
        (0.98333, "", "0.9833"),
        (54321.9, "samples/s", "54320 samples/s"),
        (12345678.0, "tokens/s", "12350000 tokens/s"),
        (9999.96, "samples/s", "10000 samples/s"),
        (1.23456e12, "J", "1.235e+12 J"),
        (0.0, "B", "0 B"),
        (512.0, "B", "512 B"),
        (3.5 * 1024**2, "B", "3.5 MiB"),
        (139.0 * 1024**3, "B", "139 GiB"),
    ],
)
def test_format_quantity(value: float, unit: str, text: str) -> None:
    assert format_quantity(value, unit) == text


def test_format_interval_keeps_the_unit_of_the_value() -> None:
    assert format_interval(0.0009, 0.0121, 0.0115, "s") == "[0.9, 12.1]"
    assert format_interval(None, 55000.4, 54000, "samples/s") == "[?, 55000]"


@given(st.floats(-1e8, 1e8), st.sampled_from(UNITS))
def test_formatted_quantities_read_back_at_four_digits(value: float, unit: str) -> None:
    quantity = parse_quantity(format_quantity(value, unit))
    assert quantity.unit == unit
    assert quantity.value == pytest.approx(value, rel=5.01e-4, abs=1e-300)


@given(st.floats(1e-9, 0.99994))
def test_times_below_a_second_have_at_most_three_digits_before_the_point(value: float) -> None:
    number, _ = format_quantity(value, "s").split()
    assert 1 <= float(number) < 1000


def test_quantities_are_values() -> None:
    assert parse_quantity("1000 ms") == Quantity(1.0, "s") == parse_quantity("1 s")
