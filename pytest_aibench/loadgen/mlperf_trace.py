"""LoadGen's trace, the file ``mlperf_log_trace.json``: the samples as Chrome trace events."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from pytest_aibench.loadgen.journal import Load
from pytest_aibench.loadgen.streams import IntArray

_AT_ONCE = 2048
"""Samples turned into text together: as many as the processor's cache holds."""

_EVENT = '{"name":"Sample","cat":"default","pid":%d,"ph":'

_BEGIN = (
    '"b","id":#,"ts":#.#,"args":{"sample_seq":#,"query_seq":#,"sample_idx":#,'
    '"issue_start_ns":#,"complete_ns":#}},\n'
)

_END = '"e","id":#,"ts":#.#},\n'

_LEAST_DIGITS = (1, 1, 3, 1, 1, 1, 1, 1, 1, 1, 3)
"""Digits of each number in the events of a sample; a fraction of a µs has its zeros."""


def write_trace(path: Path, load: Load, samples: IntArray) -> None:
    """Write begin and end of each answered sample, from its scheduled time to its answer.

    Args:
        path: The file.
        load: When each query was due, issued and answered.
        samples: Index of each sample, in order of issue.
    """
    with path.open("wb") as file:
        file.write(b'{"traceEvents":[\n')
        file.writelines(_events(load, samples))
        file.write(b'{"name":"LastTrace"}\n],\n"displayTimeUnit":"ns"\n}\n')


def _events(load: Load, samples: IntArray) -> Iterator[memoryview]:
    query_of = np.repeat(np.arange(len(load.sizes)), load.sizes)
    answered = np.flatnonzero(load.answered[query_of])
    largest = max(len(samples), int(samples.max(initial=0)), int(load.completed_ns.max(initial=0)))
    event = _EVENT % os.getpid()
    lines = _Lines(event + _BEGIN + event + _END, _LEAST_DIGITS, largest)
    for first in range(0, len(answered), _AT_ONCE):
        numbers = answered[first : first + _AT_ONCE]
        queries = query_of[numbers]
        due, issued, completed = (
            stamps[queries] for stamps in (load.due_ns, load.issued_ns, load.completed_ns)
        )
        begin = (numbers, *_us(due), numbers, queries, samples[numbers], issued - due)
        yield lines.text((*begin, completed - due, numbers, *_us(completed)))


def _us(stamps_ns: IntArray) -> tuple[IntArray, IntArray]:
    """Whole microseconds, and thousandths."""
    whole = stamps_ns // 1000
    return whole, stamps_ns - 1000 * whole


class _Lines:
    """Lines of one pattern with many numbers, made without a Python object for each number.

    A column of numbers is written at once, four digits at a time, into lines that are equally
    long; then the leading zeros are left out.

    Args:
        pattern: The text, with ``#`` for each number.
        least_digits: How many digits each number has at least.
        largest: No number is larger, and none is negative.
    """

    def __init__(self, pattern: str, least_digits: Sequence[int], largest: int) -> None:
        texts = pattern.encode().split(b"#")
        self._width = math.ceil(len(str(largest)) / 4) * 4
        line = np.frombuffer((b"0" * self._width).join(texts), np.uint8)
        self._characters = np.tile(line, (_AT_ONCE, 1))
        self._shown = np.ones(self._characters.shape, np.bool_)
        ends = accumulate(len(text) + self._width for text in texts[:-1])
        self._places = list(zip(ends, least_digits, strict=True))
        self._fours = np.array([b"%04d" % number for number in range(10_000)]).view(np.uint32)

    def text(self, columns: Sequence[IntArray]) -> memoryview:
        """The lines with these numbers, which are good for up to `_AT_ONCE` of them."""
        for (end, least_digits), numbers in zip(self._places, columns, strict=True):
            self._write(end, least_digits, numbers)
        n_lines = len(columns[0])
        return self._characters[:n_lines][self._shown[:n_lines]].data

    def _write(self, end: int, least_digits: int, numbers: IntArray) -> None:
        n_digits = max(least_digits, len(str(numbers.max())))
        shown = self._shown[: len(numbers), end - self._width : end]
        shown[:, : self._width - n_digits] = False
        for digit in range(least_digits, n_digits):
            shown[:, -1 - digit] = numbers >= 10**digit
        for last in range(end, end - n_digits, -4):
            rest = numbers // 10_000
            four = self._characters[: len(numbers), last - 4 : last].view(np.uint32)
            four[:, 0] = self._fours[numbers - 10_000 * rest]
            numbers = rest
