"""The random streams against published values, the official wheel's, and sequential references."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_aibench.loadgen.streams import Stream

MASK = 2**32 - 1
V61_QSL = 2085463073848966840
V61_SCHEDULE = 16159082839903944936


class Reference:
    """MT19937 and LoadGen's integer draws, written down one word at a time."""

    def __init__(self, seed: int) -> None:
        self.state = [seed & MASK]
        for i in range(1, 624):
            last = self.state[-1]
            self.state.append((1812433253 * (last ^ (last >> 30)) + i) & MASK)
        self.position = 624

    def word(self) -> int:
        """The next output."""
        if self.position == 624:
            self.twist()
        y = self.state[self.position]
        self.position += 1
        y ^= y >> 11
        y ^= (y << 7) & 0x9D2C5680
        y ^= (y << 15) & 0xEFC60000
        return y ^ (y >> 18)

    def twist(self) -> None:
        """Renew all words of the state."""
        mt = self.state
        for i in range(624):
            y = (mt[i] & 0x80000000) | (mt[(i + 1) % 624] & 0x7FFFFFFF)
            mt[i] = mt[(i + 397) % 624] ^ (y >> 1) ^ (0x9908B0DF if y & 1 else 0)
        self.position = 0

    def bounded(self, limit: int) -> int:
        """An integer below the limit."""
        product = self.word() * limit
        while product & MASK < (2**32 - limit) % limit:
            product = self.word() * limit
        return product >> 32

    def shuffle(self, items: list[int]) -> list[int]:
        """Shuffle in place."""

        def swap(i: int, j: int) -> None:
            items[i], items[j] = items[j], items[i]

        n = len(items)
        if n > 65535:
            for i in range(1, n):
                swap(i, self.bounded(i + 1))
            return items
        i = 1
        if n > 0 and n % 2 == 0:
            swap(1, self.bounded(2))
            i = 2
        while i < n:
            p, q = divmod(self.bounded((i + 1) * (i + 2)), i + 2)
            swap(i, p)
            swap(i + 1, q)
            i += 2
        return items


def test_the_generator_meets_the_c_plus_plus_standard() -> None:
    assert Stream(5489).words(10_000)[-1] == 4123659995


def test_only_the_low_32_bits_of_a_seed_count() -> None:
    assert Stream(2**32 + 7).words(5).tolist() == Stream(7).words(5).tolist()


@given(seed=st.integers(0, 2**64 - 1))
def test_words_equal_the_reference(seed: int) -> None:
    reference = Reference(seed)
    assert Stream(seed).words(3).tolist() == [reference.word() for _ in range(3)]


@given(
    seed=st.integers(0, 3),
    limit=st.integers(1, 2**32 - 1) | st.integers(2**31 - 3, 2**31 + 3),
    counts=st.lists(st.integers(0, 20), max_size=4),
)
def test_bounded_equals_the_reference_in_any_chunks(
    seed: int, limit: int, counts: list[int]
) -> None:
    stream, reference = Stream(seed), Reference(seed)
    for count in counts:
        assert stream.bounded(limit, count).tolist() == [
            reference.bounded(limit) for _ in range(count)
        ]
    assert stream.words(1).tolist() == [reference.word()]


def test_bounded_rejects_words_that_would_bias_it() -> None:
    limit = 2**31 + 1
    words = Stream(1).words(200).tolist()
    accepted = [word * limit >> 32 for word in words if word * limit % 2**32 >= 2**31 - 1]
    assert len(accepted) < 150
    assert Stream(1).bounded(limit, len(accepted)).tolist() == accepted


@pytest.mark.parametrize(
    ("seed", "loaded"),
    [(V61_QSL, [1, 5, 7, 6, 0, 8, 3, 2, 9, 4]), (0, [0, 2, 1, 5, 9, 8, 4, 7, 6, 3])],
)
def test_shuffle_equals_the_official_one(seed: int, loaded: list[int]) -> None:
    assert Stream(seed).shuffle(np.arange(10)).tolist() == loaded


@pytest.mark.parametrize("count", [*range(8), 999, 1000, 50_000, 65_535, 65_536])
def test_shuffle_equals_the_reference(count: int) -> None:
    stream, reference = Stream(4), Reference(4)
    assert stream.shuffle(np.arange(count)).tolist() == reference.shuffle(list(range(count)))
    assert stream.words(1).tolist() == [reference.word()]


def test_shuffle_leaves_its_argument_alone() -> None:
    items = np.arange(5)
    Stream(0).shuffle(items)
    assert items.tolist() == [0, 1, 2, 3, 4]


def test_uniforms_take_the_low_word_first() -> None:
    pairs = Stream(9).words(20).reshape(10, 2).tolist()
    expected = [(low + high * 2.0**32) / 2.0**64 for low, high in pairs]
    assert Stream(9).uniforms(10).tolist() == expected


def test_uniforms_stay_below_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stream, "words", lambda self, count: np.full(count, MASK, np.uint64))
    assert Stream(0).uniforms(1).tolist() == [1 - 2**-53]


def test_exponentials_use_the_logarithm_of_the_c_library() -> None:
    uniforms = Stream(3).uniforms(5000).tolist()
    assert Stream(3).exponentials(5000).tolist() == [-math.log(1.0 - u) for u in uniforms]


@pytest.mark.parametrize(
    ("seed", "schedule_ns"),
    [
        (V61_SCHEDULE, [0, 18436540, 23015776, 35874399, 43004346, 46868412, 69351828, 80267627]),
        (0, [0, 8985603, 27581645, 47097098, 65886738, 75656802, 80508083, 84039674]),
    ],
)
def test_gaps_equal_the_official_ones(seed: int, schedule_ns: list[int]) -> None:
    gaps_ns = [later - earlier for earlier, later in pairwise(schedule_ns)]
    assert Stream(seed).gaps_ns(100.0, 7).tolist() == gaps_ns


def test_gaps_do_not_depend_on_the_chunks() -> None:
    stream = Stream(5)
    parts = [stream.gaps_ns(1000.0, count) for count in (1, 0, 7, 300)]
    assert np.concatenate(parts).tolist() == Stream(5).gaps_ns(1000.0, 308).tolist()
