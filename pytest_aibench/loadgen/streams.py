"""The random numbers of MLPerf LoadGen, bit for bit, readable in chunks.

LoadGen draws with C++'s ``std::mt19937`` through the distributions of libstdc++ (GCC 11 or newer),
as its official Linux wheels do. Reading a stream in small chunks or at once gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

_WORD = 2**32
_LAST_BELOW_ONE = math.nextafter(1.0, 0.0)
_LARGEST_PAIRWISE_SHUFFLE = 65_535


class Stream:
    """One MT19937 generator and the draws LoadGen makes from it; every draw moves it on."""

    def __init__(self, seed: int) -> None:
        """Seed as ``std::mt19937`` does: with the low 32 bits, by the original ``init_genrand``."""
        self._generator = np.random.MT19937()
        np.random.RandomState(self._generator).seed(seed % _WORD)

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next ``count`` outputs of the generator, each below 2**32."""
        raw: NDArray[np.uint64] = self._generator.random_raw(count)
        return raw

    def bounded(self, limit: int, count: int) -> IntArray:
        """Draw ``count`` integers from ``[0, limit)``, for a ``limit`` from 1 to 2**32 - 1.

        Lemire, "Fast random integer generation in an interval" (2019): the high word of
        ``word * limit``, drawn again where the low word falls below the threshold.
        """
        kept: list[NDArray[np.uint64]] = []
        missing = count
        while missing:
            products = self.words(missing) * np.uint64(limit)
            accepted = products[products % _WORD >= _threshold(limit)]
            kept.append(accepted >> np.uint64(32))
            missing -= len(accepted)
        return np.concatenate([np.empty(0, np.uint64), *kept]).astype(np.int64)

    def shuffle(self, items: IntArray) -> IntArray:
        """A shuffled copy, in the order ``std::shuffle`` of libstdc++ gives.

        Up to 65 535 items one draw serves two swaps; above, each item has its own.
        """
        order: list[int] = items.tolist()
        pairwise = len(order) <= _LARGEST_PAIRWISE_SHUFFLE
        partners = self._paired_partners if pairwise else self._single_partners
        for position, partner in enumerate(partners(len(order)), start=1):
            order[position], order[partner] = order[partner], order[position]
        return np.array(order, np.int64)

    def uniforms(self, count: int) -> FloatArray:
        """Draw ``count`` doubles from [0, 1), each from two words, low word first."""
        low, high = self.words(2 * count).reshape(count, 2).astype(np.float64).T
        # The sum is rounded to 53 bits and can reach 1, which the C++ library steps back from.
        uniform: FloatArray = np.minimum((low + high * _WORD) / 2.0**64, _LAST_BELOW_ONE)
        return uniform

    def exponentials(self, count: int) -> FloatArray:
        """Draw ``count`` unit exponentials, ``-ln(1 - u)``."""
        # numpy's vectorised log may differ from the C library's in the last bit.
        logs = map(math.log, (1.0 - self.uniforms(count)).tolist())
        return -np.fromiter(logs, np.float64, count)

    def gaps_ns(self, rate_per_s: float, count: int) -> IntArray:
        """Draw ``count`` gaps of a Poisson process, in whole nanoseconds, rounded down."""
        return (self.exponentials(count) / rate_per_s * 1e9).astype(np.int64)

    def _paired_partners(self, count: int) -> Iterator[int]:
        """Partners of positions 1, 2, ... of the forward Fisher-Yates, two from each draw."""
        if count > 1 and count % 2 == 0:
            yield from self._bounded_each([2])
        sizes = range(2 + (count + 1) % 2, count, 2)
        draws = self._bounded_each([size * (size + 1) for size in sizes])
        for size, draw in zip(sizes, draws, strict=True):
            yield from divmod(draw, size + 1)

    def _single_partners(self, count: int) -> Iterator[int]:
        return self._bounded_each(range(2, count + 1))

    def _bounded_each(self, limits: Iterable[int]) -> Iterator[int]:
        """Like `bounded`, with a limit for each draw."""
        limits = list(limits)
        words = self.words(len(limits)).tolist()
        supply = chain(words, iter(self._generator.random_raw, None))
        for limit in limits:
            product = next(supply) * limit
            while product % _WORD < limit and product % _WORD < _threshold(limit):
                product = next(supply) * limit
            yield product // _WORD


def _threshold(limit: int) -> int:
    """Low words below this make some results more likely than others."""
    return (_WORD - limit) % limit
