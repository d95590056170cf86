"""Which samples are loaded, and in which order queries ask for them, exactly as MLPerf LoadGen.

Use it set by set; performance runs have one set, accuracy runs as many as the samples need::

    for sample_set in sample_sets(settings):
        for queries in query_chunks(settings, sample_set, 4096):  # one row per query
            ...

The rules hold for MLPerf Inference LoadGen 6.0.6 and newer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.streams import IntArray, Stream
from pytest_aibench.scenarios import Seeds

_UNSEEDED = 5489
"""MT19937's default seed: LoadGen never seeds the generator of its accuracy log."""

_UNUSED_SHUFFLES = 2
"""Offline, LoadGen still draws the unique order and one equal-issue pass before the query."""


class Selection(str, Enum):
    """How a query picks its samples from the loaded set.

    ``RANDOM`` draws with replacement, ``UNIQUE`` takes each sample once, ``SAME`` repeats one
    position (compliance TEST04), ``EQUAL_ISSUE`` takes every sample equally often, in shuffled
    passes (``sample_concatenate_permutation``), and ``ACCURACY`` goes once over all samples.
    """

    RANDOM = "random"
    UNIQUE = "unique"
    SAME = "same"
    EQUAL_ISSUE = "equal_issue"
    ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderSettings:
    """What decides the order of samples.

    Attributes:
        total: Samples in the library.
        performance_count: Samples loaded together; all by default.
        accuracy_count: Samples an accuracy run covers; all by default.
        samples_per_query: Samples of each query; offline, the samples of its one query.
        offline: The run is one query per loaded set.
        selection: How queries pick samples.
        same_index: Position in the loaded set that ``SAME`` repeats.
        min_queries: LoadGen's effective ``min_query_count``; without effect offline. It moves the
            order, because LoadGen draws passes for so many queries before the first of them.
        seeds: Seeds of the loaded sets and of the order.
    """

    total: int
    performance_count: int | None = None
    accuracy_count: int | None = None
    samples_per_query: int = 1
    offline: bool = False
    selection: Selection = Selection.RANDOM
    same_index: int = 0
    min_queries: int = 1
    seeds: Seeds = field(default_factory=Seeds)

    def __post_init__(self) -> None:
        counts = ("total", "performance_count", "accuracy_count", "samples_per_query")
        for name in (*counts, "min_queries"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise UserError(f"{name}={count} must be at least 1")
        loaded = min(self.performance_count or self.total, self.total)
        if not 0 <= self.same_index < loaded:
            raise UserError(
                f"same_index={self.same_index} is outside the {loaded} loaded samples: "
                f"choose 0 to {loaded - 1}"
            )
        equal_issue = self.selection is Selection.EQUAL_ISSUE
        if equal_issue and self.samples_per_query > 1 and not self.offline:
            raise UserError(
                "equal issue needs one sample per query: use another selection for multi-stream"
            )


def sample_sets(settings: OrderSettings) -> list[IntArray]:
    """The sets of sample indices to load, one after another, in loaded order.

    Sets of queries with several samples end with their own first samples again, so that a query
    can start at any position.
    """
    accuracy = settings.selection is Selection.ACCURACY
    set_size = settings.performance_count or settings.total
    covered = (settings.accuracy_count or settings.total) if accuracy else set_size
    shuffled = Stream(settings.seeds.qsl).shuffle(np.arange(min(covered, settings.total)))
    padding = 0 if settings.offline else settings.samples_per_query - 1
    sets = (shuffled[first : first + set_size] for first in range(0, len(shuffled), set_size))
    return [np.resize(sample_set, len(sample_set) + padding) for sample_set in sets]


def query_chunks(settings: OrderSettings, sample_set: IntArray, size: int) -> Iterator[IntArray]:
    """Queries on one loaded set, as arrays of sample indices with one row per query.

    Offline, ``ACCURACY`` and ``UNIQUE`` end; the others go on for ever, and the caller stops at
    its number of queries. Under ``EQUAL_ISSUE`` that is a multiple of the set.

    Args:
        settings: What decides the order.
        sample_set: One of `sample_sets`.
        size: Queries per chunk; it does not change the order.
    """
    stream = Stream(settings.seeds.sample_index)
    if settings.offline:
        yield _offline_query(settings, sample_set, stream)[np.newaxis]
        return
    within_query = np.arange(settings.samples_per_query)
    for starts in _start_chunks(settings, len(sample_set), stream, size):
        yield sample_set[starts[:, np.newaxis] + within_query]


def equal_issue_min_queries(min_queries: int, set_size: int) -> int:
    """The ``min_queries`` of single stream under equal issue: the next multiple of the set.

    LoadGen adds a whole set where ``min_queries`` is a multiple already. Server keeps its
    ``min_queries`` and only issues whole sets.
    """
    return (min_queries // set_size + 1) * set_size


def accuracy_log_chunks(probability: float, seed: int, size: int) -> Iterator[NDArray[np.bool_]]:
    """Whether each sample of a performance run goes to the accuracy log, in order of issue.

    Args:
        probability: LoadGen's ``accuracy_log_probability``; of an ``accuracy_log_sampling_target``
            it makes the target's share of the samples expected in the shortest duration, or of
            the fewest samples where those are more.
        seed: LoadGen's ``accuracy_log_rng_seed``.
        size: Samples per chunk; it does not change the choice.
    """
    offset = Stream(seed).uniforms(1)
    stream = Stream(_UNSEEDED)
    while True:
        yield (stream.uniforms(size) + offset) % 1.0 <= probability


def _offline_query(settings: OrderSettings, sample_set: IntArray, stream: Stream) -> IntArray:
    count = settings.samples_per_query
    if settings.selection is Selection.SAME:
        return np.full(count, sample_set[settings.same_index])
    if settings.selection is Selection.RANDOM:
        return np.resize(sample_set, count)
    if settings.selection is Selection.EQUAL_ISSUE:
        passes = math.ceil(count / len(sample_set))
        shuffled = [stream.shuffle(sample_set) for _ in range(_UNUSED_SHUFFLES + passes)]
        return np.concatenate(shuffled[_UNUSED_SHUFFLES:])
    return sample_set


def _start_chunks(
    settings: OrderSettings, set_length: int, stream: Stream, size: int
) -> Iterator[IntArray]:
    """Positions in the loaded set at which queries start."""
    start_count = set_length - settings.samples_per_query + 1
    one_pass = _one_pass(stream, start_count, settings.samples_per_query)
    if settings.selection in (Selection.UNIQUE, Selection.ACCURACY):
        yield from np.split(one_pass, range(size, len(one_pass), size))
        return
    # Drawn even where it goes unused: the random starts come from the same stream, after it.
    passes = _shuffled_passes(stream, set_length, settings.min_queries)
    first = 0
    while True:
        if settings.selection is Selection.RANDOM:
            yield stream.bounded(start_count, size)
        elif settings.selection is Selection.SAME:
            yield np.full(size, settings.same_index)
        else:
            yield passes.take(range(first, first + size), mode="wrap")
        first += size


def _one_pass(stream: Stream, start_count: int, samples_per_query: int) -> IntArray:
    """Starts of queries that together cover the set once."""
    return stream.shuffle(np.arange(0, start_count, samples_per_query))


def _shuffled_passes(stream: Stream, set_length: int, min_queries: int) -> IntArray:
    """Enough passes over the set for ``min_queries``, each shuffled from the one before."""
    passes = [np.arange(set_length)]
    for _ in range(math.ceil(min_queries / set_length)):
        passes.append(stream.shuffle(passes[-1]))
    return np.concatenate(passes[1:])
