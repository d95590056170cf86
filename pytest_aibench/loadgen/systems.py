"""Systems under test: what a user hands in, made into something the engine can load.

An *inline* system answers on the thread that asks. A *concurrent* system takes queries and
completes them later, from whatever thread it likes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from queue import Empty, SimpleQueue
from time import monotonic, perf_counter_ns
from typing import Any, NamedTuple, Protocol, TypeAlias

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.clock import give_way
from pytest_aibench.loadgen.tokens import TokenTrace
from pytest_aibench.units import parse_duration_s

Respond = Callable[[Sequence[Any]], Sequence[Any]]

_Waiting: TypeAlias = "SimpleQueue[Query | None]"

STOP_S = 0.5
"""How long a worker that is asked to end may take; one that hangs is left behind as a daemon."""


class Completion(NamedTuple):
    """What one call said about some queries.

    Attributes:
        at_ns: When the call came; one stamp for all of its queries.
        queries: Those it was about.
        outputs: One for each sample of the queries, in order.
        error: Why there are no outputs.
        tokens: When the tokens of each output came, where one query was answered in tokens.
    """

    at_ns: int
    queries: Sequence[Query]
    outputs: Sequence[Any]
    error: BaseException | None = None
    tokens: Sequence[TokenTrace] = ()


class Query:
    """Samples issued together to a concurrent system.

    Attributes:
        id: Number of the query in its run, from 0.
        samples: The inputs.
        now: Reads the clock of all stamps, in ns.
        begun_ns: See `begin`; None for a system that does not say.
    """

    __slots__ = ("_inbox", "begun_ns", "id", "now", "samples")

    def __init__(
        self,
        id: int,
        samples: Sequence[Any],
        inbox: SimpleQueue[Completion],
        now: Callable[[], int] = perf_counter_ns,
    ) -> None:
        self.id = id
        self.samples = samples
        self._inbox = inbox
        self.now = now
        self.begun_ns: int | None = None

    def begin(self) -> None:
        """Say that the query is only now on its way, if the delay is not the model's fault."""
        self.begun_ns = self.now()

    def complete(
        self,
        outputs: Sequence[Any],
        tokens: Sequence[TokenTrace] = (),
        at_ns: int | None = None,
    ) -> None:
        """Answer the query; the clock is read on entry.

        Args:
            outputs: One for each sample.
            tokens: When the tokens of each output came, where outputs are made of tokens.
            at_ns: When the outputs were there, if that was before now.
        """
        at_ns = self.now() if at_ns is None else at_ns
        self._inbox.put(Completion(at_ns, (self,), outputs, None, tokens))
        give_way()

    def fail(self, error: BaseException) -> None:
        """Report that the query cannot be answered; the run ends with this error."""
        self._inbox.put(Completion(self.now(), (self,), (), error))


def complete_together(queries: Sequence[Query], outputs: Sequence[Any]) -> None:
    """Answer several queries with one completion stamp, as a batch comes back.

    Args:
        queries: Queries of one run.
        outputs: One for each sample of all the queries, in order.
    """
    first = queries[0]
    first._inbox.put(Completion(first.now(), queries, outputs))
    give_way()


class ConcurrentSystem(Protocol):
    """A system that answers later. Anything with these four methods can be loaded."""

    def start(self) -> None:
        """Get ready; called once before the first query of a benchmark."""

    def issue(self, query: Query) -> None:
        """Take a query without waiting for its answer; call ``query.complete`` when it is there."""

    def flush(self) -> None:
        """No more queries will come for now: do not wait for a batch to fill."""

    def stop(self) -> None:
        """Release threads and connections; called once if `start` succeeded, whatever came next."""


class InlineSystem:
    """A callable on a list of samples, answered on the asking thread.

    Args:
        model: ``samples -> outputs``, one output for each sample.
        settle: Waits for the device, so that an answer is stamped when it is really there.
    """

    def __init__(self, model: Respond, settle: Callable[[], None] | None = None) -> None:
        self.respond = model if settle is None else _settled(model, settle)

    def phases_ms(self) -> dict[str, float]:
        """Mean time per call in each phase; a plain callable has none."""
        return {}


class PhasedSystem(InlineSystem):
    """An object with ``preprocess``, ``infer`` and ``postprocess``, timed apart."""

    def __init__(self, model: Any, settle: Callable[[], None] | None = None) -> None:
        self._model = model
        self._settle = settle
        self._calls = 0
        self._spent_ns = [0, 0, 0]
        self._counting = threading.Lock()
        super().__init__(self._respond)

    def _respond(self, samples: Sequence[Any]) -> Sequence[Any]:
        begin = perf_counter_ns()
        inputs = self._model.preprocess(samples)
        prepared = perf_counter_ns()
        raw = self._model.infer(inputs)
        if self._settle is not None:
            self._settle()
        inferred = perf_counter_ns()
        outputs: Sequence[Any] = self._model.postprocess(raw)
        done = perf_counter_ns()
        with self._counting:
            self._calls += 1
            for phase, spent in enumerate((prepared - begin, inferred - prepared, done - inferred)):
                self._spent_ns[phase] += spent
        return outputs

    def phases_ms(self) -> dict[str, float]:
        """Mean time per call in each phase, over all calls so far."""
        names = ("preprocess_ms", "infer_ms", "postprocess_ms")
        calls = max(self._calls, 1)
        return {name: ns / calls / 1e6 for name, ns in zip(names, self._spent_ns, strict=True)}


@dataclass(frozen=True, slots=True)
class BatchingServer:
    """A model served by worker threads that gather waiting queries into batches.

    Attributes:
        model: A callable on a list of samples, or an object with the three phases.
        max_batch: Most samples in one call.
        max_wait: Longest a query waits for company, like ``"2 ms"``; by default it never waits:
            a batch is what has gathered while the worker was busy.
        workers: Number of worker threads.
    """

    model: Any
    max_batch: int = 32
    max_wait: str | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("max_batch", "workers"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)!r} must be at least 1")
        if self.max_wait is not None:
            parse_duration_s(self.max_wait, "max_wait")


class BatchingSystem:
    """A `BatchingServer` at work."""

    def __init__(self, server: BatchingServer, inline: InlineSystem) -> None:
        self.inline = inline
        self._server = server
        wait = server.max_wait
        self._max_wait_s = 0.0 if wait is None else parse_duration_s(wait, "max_wait")
        self._waiting: _Waiting = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the workers, as daemons: a hung model must not keep the process alive."""
        self._waiting = SimpleQueue()  # a worker that hung in an earlier start still has the old
        self._threads = [
            threading.Thread(
                target=self._serve, args=(self._waiting,), name=f"aibench-batching-{n}", daemon=True
            )
            for n in range(self._server.workers)
        ]
        for thread in self._threads:
            thread.start()

    def issue(self, query: Query) -> None:
        """Put the query in line."""
        self._waiting.put(query)

    def flush(self) -> None:
        """Nothing to do: a batch never waits longer than ``max_wait``."""

    def stop(self) -> None:
        """Ask the workers to end, and give them a moment."""
        for _ in self._threads:
            self._waiting.put(None)
        deadline = monotonic() + STOP_S
        for thread in self._threads:
            thread.join(max(deadline - monotonic(), 0))

    def _serve(self, waiting: _Waiting) -> None:
        stopping = False
        while not stopping and (query := waiting.get()) is not None:
            batch = [query]
            stopping = self._gather(waiting, batch)
            self._answer(batch)

    def _gather(self, waiting: _Waiting, batch: list[Query]) -> bool:
        """Add waiting queries to the batch until it is full; True when asked to stop."""
        room = self._server.max_batch - len(batch[0].samples)
        deadline = monotonic() + self._max_wait_s
        while room > 0:
            left_s = deadline - monotonic()
            if left_s <= 0 and waiting.empty():
                return False
            try:
                query = waiting.get(left_s > 0, max(left_s, 0))
            except Empty:
                return False
            if query is None:
                return True
            batch.append(query)
            room -= len(query.samples)
        return False

    def _answer(self, batch: list[Query]) -> None:
        samples = [sample for query in batch for sample in query.samples]
        try:
            outputs = self._respond(samples)
        except BaseException as error:
            batch[0].fail(error)
        else:
            complete_together(batch, outputs)

    def _respond(self, samples: list[Any]) -> Sequence[Any]:
        """Ask the model for at most ``max_batch`` samples a call, though queries may have more."""
        most = self._server.max_batch
        if len(samples) <= most:
            return self.inline.respond(samples)
        parts = (samples[first : first + most] for first in range(0, len(samples), most))
        return [output for part in parts for output in self.inline.respond(part)]


def adapt_inline(model: Any, settle: Callable[[], None] | None = None) -> InlineSystem:
    """Make an inline system of a callable or of an object with the three phases."""
    if isinstance(model, InlineSystem):
        return model
    if all(hasattr(model, phase) for phase in ("preprocess", "infer", "postprocess")):
        return PhasedSystem(model, settle)
    if callable(model):
        return InlineSystem(model, settle)
    raise UserError(
        f"cannot load a {type(model).__name__}: give a callable on a list of samples, an object "
        "with preprocess, infer and postprocess, or one with start, issue, flush and stop"
    )


def adapt(model: Any, settle: Callable[[], None] | None = None) -> InlineSystem | ConcurrentSystem:
    """Make a system of whatever the user hands in.

    Raises:
        UserError: It is nothing that can answer queries.
    """
    if isinstance(model, BatchingServer):
        return BatchingSystem(model, adapt_inline(model.model, settle))
    if all(hasattr(model, method) for method in ("start", "issue", "flush", "stop")):
        system: ConcurrentSystem = model
        return system
    return adapt_concurrent(model, settle) or adapt_inline(model, settle)


def adapt_concurrent(model: Any, settle: Callable[[], None] | None) -> ConcurrentSystem | None:
    """Make a system of a model that answers later; None if it is nothing of the kind.

    Args:
        model: An `HttpEndpoint`, a `TokenServer`, a generator function or an async one, a
            coroutine function, or an object whose ``__call__`` is one of these.
        settle: Waits for the device.

    Raises:
        UserError: A package that it needs is not installed.
    """
    from pytest_aibench.loadgen.async_system import async_system
    from pytest_aibench.loadgen.http_system import HttpEndpoint, http_system
    from pytest_aibench.loadgen.token_systems import TokenServer, TokenSystem, async_token_system

    if isinstance(model, HttpEndpoint):
        return http_system(model)
    if isinstance(model, TokenServer):
        return TokenSystem(model, settle)
    if _is(isgeneratorfunction, model):
        return TokenSystem(TokenServer(model), settle)
    if _is(isasyncgenfunction, model):
        return async_token_system(model, settle)
    if _is(iscoroutinefunction, model):
        return async_system(model, settle)
    return None


def _is(kind: Callable[[Any], bool], model: Any) -> bool:
    return callable(model) and (kind(model) or kind(type(model).__call__))


def _settled(model: Respond, settle: Callable[[], None]) -> Respond:
    def respond(samples: Sequence[Any]) -> Sequence[Any]:
        outputs = model(samples)
        settle()
        return outputs

    return respond
