"""Systems under test, made of what users hand in."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

import pytest

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen import systems
from pytest_aibench.loadgen.systems import (
    BatchingServer,
    BatchingSystem,
    Completion,
    InlineSystem,
    PhasedSystem,
    Query,
    adapt,
    adapt_inline,
    complete_together,
)

TIMEOUT_S = 10.0


class Phased:
    """Three phases on one clock: 1, 2 and 3 ms."""

    def __init__(self, spend: Callable[[int], None]) -> None:
        self.spend = spend

    def preprocess(self, samples: Sequence[int]) -> list[int]:
        """Add one."""
        self.spend(1_000_000)
        return [sample + 1 for sample in samples]

    def infer(self, inputs: list[int]) -> list[int]:
        """Double."""
        self.spend(2_000_000)
        return [2 * value for value in inputs]

    def postprocess(self, raw: list[int]) -> list[str]:
        """To text."""
        self.spend(3_000_000)
        return [str(value) for value in raw]


class Later:
    """A system of a user's own."""

    def start(self) -> None:
        """Nothing to do."""

    def issue(self, query: Query) -> None:
        """Answer at once."""
        query.complete(query.samples)

    def flush(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""


def echo(samples: Sequence[Any]) -> Sequence[Any]:
    return samples


def test_a_callable_is_asked_as_it_is() -> None:
    system = adapt(echo)
    assert isinstance(system, InlineSystem)
    assert system.respond is echo
    assert system.phases_ms() == {}


def test_an_answer_is_there_when_the_device_has_settled() -> None:
    order: list[str] = []

    def model(samples: Sequence[Any]) -> Sequence[Any]:
        order.append("model")
        return samples

    system = adapt_inline(model, lambda: order.append("settled"))
    assert system.respond([1]) == [1]
    assert order == ["model", "settled"]


def test_phases_are_timed_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]

    def spend(ns: int) -> None:
        now[0] += ns

    monkeypatch.setattr(systems, "perf_counter_ns", lambda: now[0])
    system = adapt(Phased(spend), lambda: spend(500_000))
    assert isinstance(system, PhasedSystem)
    assert system.respond([1, 2]) == ["4", "6"]
    assert system.respond([0]) == ["2"]
    # Settling belongs to inference.
    assert system.phases_ms() == {"preprocess_ms": 1.0, "infer_ms": 2.5, "postprocess_ms": 3.0}


def test_phases_of_a_model_that_was_never_asked() -> None:
    assert set(adapt_inline(Phased(lambda ns: None)).phases_ms().values()) == {0.0}


def test_a_system_of_the_users_own_is_taken_as_it_is() -> None:
    later = Later()
    assert adapt(later) is later


def test_something_that_cannot_answer() -> None:
    message = (
        "cannot load a int: give a callable on a list of samples, an object with preprocess, infer "
        "and postprocess, or one with start, issue, flush and stop"
    )
    with pytest.raises(UserError) as raised:
        adapt(7)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_batch": 0}, "max_batch=0 must be at least 1"),
        ({"workers": 0}, "workers=0 must be at least 1"),
        ({"max_wait": "soon"}, "cannot read the quantity 'soon'"),
    ],
)
def test_a_server_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BatchingServer(echo, **settings)


def test_a_completion_is_stamped_once_for_all_its_queries() -> None:
    inbox: SimpleQueue[Completion] = SimpleQueue()
    times = iter((5, 9))
    queries = [Query(n, ["sample"], inbox, lambda: next(times)) for n in range(2)]
    complete_together(queries, ["a", "b"])
    queries[0].complete(["c"])
    assert inbox.get() == Completion(5, queries, ["a", "b"])
    assert inbox.get() == Completion(9, (queries[0],), ["c"])


def test_a_failure_names_its_query() -> None:
    inbox: SimpleQueue[Completion] = SimpleQueue()
    query, error = Query(3, ["sample"], inbox, lambda: 5), ValueError("no")
    query.fail(error)
    assert inbox.get() == Completion(5, (query,), (), error)


class Gate:
    """A model that waits in each call until it is let through, and notes what it was given."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def __call__(self, samples: Sequence[int]) -> list[int]:
        """Echo, when let through."""
        self.calls.append(list(samples))
        self.entered.release()
        assert self.open.acquire(timeout=2 * TIMEOUT_S)
        return [10 * sample for sample in samples]


def serve(
    gate: Gate, max_batch: int, sizes: Sequence[int], max_wait: str | None = None
) -> list[Completion]:
    """Issue one query, and the others while the model is busy with it; the completions."""
    inbox: SimpleQueue[Completion] = SimpleQueue()
    server = BatchingServer(gate, max_batch=max_batch, max_wait=max_wait)
    system = BatchingSystem(server, adapt_inline(gate))
    system.start()
    first = 0
    for number, size in enumerate(sizes):
        system.issue(Query(number, list(range(first, first + size)), inbox))
        first += size
        if number == 0 and max_wait is None:
            assert gate.entered.acquire(timeout=TIMEOUT_S)
    gate.open.release(100)
    done: list[Completion] = []
    while sum(len(completion.queries) for completion in done) < len(sizes):
        done.append(inbox.get(timeout=TIMEOUT_S))
    system.stop()
    return done


def test_what_has_gathered_while_the_worker_was_busy_is_the_next_batch() -> None:
    gate = Gate()
    done = serve(gate, max_batch=32, sizes=[1, 1, 1, 1])
    assert gate.calls == [[0], [1, 2, 3]]
    assert [[query.id for query in completion.queries] for completion in done] == [[0], [1, 2, 3]]
    assert [completion.outputs for completion in done] == [[0], [10, 20, 30]]


def test_a_batch_is_not_larger_than_allowed() -> None:
    gate = Gate()
    serve(gate, max_batch=2, sizes=[1, 1, 1, 1])
    assert gate.calls == [[0], [1, 2], [3]]


def test_queries_of_many_samples_are_cut_into_calls_of_the_allowed_size() -> None:
    gate = Gate()
    done = serve(gate, max_batch=4, sizes=[3, 3, 3])
    assert gate.calls == [[0, 1, 2], [3, 4, 5, 6], [7, 8]]
    assert done[-1].outputs == [30, 40, 50, 60, 70, 80]


def test_a_batch_waits_for_company_when_asked_to() -> None:
    gate = Gate()
    serve(gate, max_batch=2, sizes=[1, 1], max_wait="10 s")
    assert gate.calls == [[0, 1]]


def test_a_model_that_raises_fails_the_first_query_of_its_batch() -> None:
    inbox: SimpleQueue[Completion] = SimpleQueue()

    def model(samples: Sequence[int]) -> Sequence[int]:
        raise ValueError("no")

    system = BatchingSystem(BatchingServer(model), adapt_inline(model))
    system.start()
    query = Query(0, [1], inbox)
    system.issue(query)
    completion = inbox.get(timeout=TIMEOUT_S)
    system.stop()
    assert completion.queries == (query,)
    assert str(completion.error) == "no"


def test_a_worker_that_hangs_does_not_keep_others_from_being_stopped_or_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(systems, "STOP_S", 0.01)
    gate = Gate()
    system = BatchingSystem(BatchingServer(gate), adapt_inline(gate))
    inbox: SimpleQueue[Completion] = SimpleQueue()
    system.start()
    system.issue(Query(0, [0], inbox))
    assert gate.entered.acquire(timeout=TIMEOUT_S)
    hung = system._threads
    system.stop()
    system.start()
    system.issue(Query(1, [1], inbox))
    assert gate.entered.acquire(timeout=TIMEOUT_S)
    gate.open.release(2)
    assert {inbox.get(timeout=TIMEOUT_S).queries[0].id for _ in range(2)} == {0, 1}
    system.stop()
    for thread in (*hung, *system._threads):
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


def test_workers_are_daemons() -> None:
    system = BatchingSystem(BatchingServer(echo, workers=3), adapt_inline(echo))
    system.start()
    assert [thread.daemon for thread in system._threads] == [True] * 3
    system.stop()
