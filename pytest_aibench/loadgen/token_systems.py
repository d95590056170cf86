"""Generators of tokens as concurrent systems: every token is stamped as it comes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from time import monotonic
from typing import Any

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.async_system import AsyncSystem, serving
from pytest_aibench.loadgen.systems import STOP_S, Query
from pytest_aibench.loadgen.tokens import TokenTrace

Generate = Callable[[Any], Iterator[Any]]
AsyncGenerate = Callable[[Any], AsyncIterator[Any]]


@dataclass(frozen=True, slots=True)
class TokenServer:
    """A generator of tokens, run by worker threads.

    Attributes:
        model: ``sample -> iterator of tokens``; the output for a sample is the list of them.
        workers: How many answers are made at the same time.
    """

    model: Generate
    workers: int = 1

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UserError(f"workers={self.workers!r} must be at least 1")


class _Gathering:
    """The answers to the samples of a query, which come one by one from several threads."""

    def __init__(self, query: Query) -> None:
        self.query = query
        self._lock = threading.Lock()
        self._answers: dict[int, tuple[list[Any], TokenTrace]] = {}

    def take(self, position: int, tokens: list[Any], trace: TokenTrace) -> None:
        with self._lock:
            self._answers[position] = (tokens, trace)
            complete = len(self._answers) == len(self.query.samples)
        if complete:
            _complete(self.query, [answer for _, answer in sorted(self._answers.items())])


class TokenSystem:
    """A `TokenServer` at work; the samples of a query are shared out among the workers.

    Args:
        server: The generator and its workers.
        settle: Waits for the device, so that a token is stamped when it is really there.
    """

    def __init__(self, server: TokenServer, settle: Callable[[], None] | None = None) -> None:
        self._server = server
        self._settle = settle or (lambda: None)
        self._waiting: SimpleQueue[tuple[_Gathering, int] | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the workers, as daemons: a hung model must not keep the process alive."""
        self._waiting = SimpleQueue()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._serve,
                args=(self._waiting, self._stopping),
                name=f"aibench-tokens-{n}",
                daemon=True,
            )
            for n in range(self._server.workers)
        ]
        for thread in self._threads:
            thread.start()

    def issue(self, query: Query) -> None:
        """Put the samples of the query in line."""
        gathering = _Gathering(query)
        for position in range(len(query.samples)):
            self._waiting.put((gathering, position))

    def flush(self) -> None:
        """Nothing to do: nothing is held back."""

    def stop(self) -> None:
        """Ask the workers to end at their next token, and give them a moment."""
        self._stopping.set()
        for _ in self._threads:
            self._waiting.put(None)
        deadline = monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - monotonic()))

    def _serve(
        self, waiting: SimpleQueue[tuple[_Gathering, int] | None], stopping: threading.Event
    ) -> None:
        while (work := waiting.get()) is not None and not stopping.is_set():
            gathering, position = work
            try:
                self._generate(gathering, position, stopping)
            except BaseException as error:
                gathering.query.fail(error)

    def _generate(self, gathering: _Gathering, position: int, stopping: threading.Event) -> None:
        tokens, arrivals_ns = [], []
        query = gathering.query
        for token in self._server.model(query.samples[position]):
            self._settle()
            arrivals_ns.append(query.now())
            tokens.append(token)
            if stopping.is_set():
                return
        gathering.take(position, tokens, TokenTrace(arrivals_ns, len(tokens)))


def async_token_system(
    model: AsyncGenerate, settle: Callable[[], None] | None = None
) -> AsyncSystem:
    """Make a system of an async generator of tokens; any number of answers at the same time.

    Args:
        model: ``sample -> async iterator of tokens``.
        settle: Waits for the device, so that a token is stamped when it is really there.
    """

    async def generate(sample: Any, now: Callable[[], int]) -> tuple[list[Any], TokenTrace]:
        tokens, arrivals_ns = [], []
        async for token in model(sample):
            if settle is not None:
                settle()
            arrivals_ns.append(now())
            tokens.append(token)
        return tokens, TokenTrace(arrivals_ns, len(tokens))

    async def answer(query: Query) -> None:
        _complete(query, await asyncio.gather(*(generate(s, query.now) for s in query.samples)))

    return AsyncSystem(lambda: serving(answer))


def _complete(query: Query, answers: Sequence[tuple[list[Any], TokenTrace]]) -> None:
    query.complete([tokens for tokens, _ in answers], [trace for _, trace in answers])
