"""Coroutines as systems: many at once, and none that is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_aibench.loadgen.async_system import Answer, AsyncSystem, async_system
from pytest_aibench.loadgen.systems import Query
from tests.systems import WAIT_S, asking


async def double(samples: Sequence[int]) -> list[int]:
    await asyncio.sleep(0)
    return [2 * sample for sample in samples]


def test_a_query_is_answered_by_the_coroutine() -> None:
    with asking(async_system(double)) as asker:
        assert asker.ask(1, 2) == [2, 4]


def test_queries_are_under_way_together() -> None:
    waiting: list[asyncio.Event] = []

    async def wait_for_the_hundredth(samples: Sequence[int]) -> Sequence[int]:
        mine = asyncio.Event()
        waiting.append(mine)
        if len(waiting) == 100:
            for event in waiting:
                event.set()
        await mine.wait()
        return samples

    with asking(async_system(wait_for_the_hundredth)) as asker:
        for number in range(100):
            asker.issue(number)
        assert {asker.answer().outputs[0] for _ in range(100)} == set(range(100))


def test_queries_may_be_issued_from_several_threads() -> None:
    with asking(async_system(double)) as asker:
        threads = [threading.Thread(target=asker.issue, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        assert sorted(asker.answer().outputs[0] for _ in threads) == list(range(0, 40, 2))


def test_an_exception_fails_the_query_and_the_next_is_answered() -> None:
    async def odd_only(samples: Sequence[int]) -> list[float]:
        return [1 / (sample % 2) for sample in samples]

    with asking(async_system(odd_only)) as asker:
        with pytest.raises(ZeroDivisionError) as caught:
            asker.ask(2)
        assert Path(caught.traceback[-1].path) == Path(__file__)
        assert asker.ask(3) == [1.0]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
def test_not_even_an_exit_leaves_a_query_open(error: BaseException) -> None:
    async def leave(samples: Sequence[int]) -> list[int]:
        raise error

    with asking(async_system(leave)) as asker:
        asker.issue(1)
        assert asker.answer().error is error
        asker.issue(1)
        assert asker.answer().error is error


def test_a_coroutine_that_is_cancelled_fails_its_query() -> None:
    async def cancel_myself(samples: Sequence[int]) -> Sequence[int]:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)
        return samples

    with asking(async_system(cancel_myself)) as asker, pytest.raises(asyncio.CancelledError):
        asker.ask(1)


def test_stopping_cancels_what_is_left() -> None:
    ends: list[str] = []

    async def hang(samples: Sequence[int]) -> Sequence[int]:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")
        return samples

    with asking(async_system(hang)) as asker:
        asker.issue(1)
        asker.issue(2)
        asker.system.flush()
        assert asker.inbox.empty()
    assert ends == ["cancelled"] * 2
    assert not [t for t in threading.enumerate() if t.name == "aibench-event-loop"]


def test_stopping_does_not_wait_for_a_coroutine_that_refuses_to_end() -> None:
    released = threading.Event()

    async def block(samples: Sequence[int]) -> Sequence[int]:
        released.wait(WAIT_S)
        return samples

    system = async_system(block)
    with asking(system) as asker:
        asker.issue(1)
    assert asker.inbox.empty()
    released.set()
    assert asker.answer().outputs == (1,)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_loop_that_a_task_has_ended_fails_what_is_open() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def end_the_process() -> None:
        raise SystemExit(1)

    async def spawn(samples: Sequence[int]) -> Sequence[int]:
        tasks.append(asyncio.get_running_loop().create_task(end_the_process()))
        await asyncio.sleep(WAIT_S)
        return samples

    with asking(async_system(spawn)) as asker, pytest.raises(asyncio.CancelledError):
        asker.ask(1)
    assert isinstance(tasks[0].exception(), SystemExit)


def test_a_system_can_start_again() -> None:
    system = async_system(double)
    for _ in range(2):
        with asking(system) as asker:
            assert asker.ask(4) == [8]


def test_the_device_has_settled_before_the_answer_is_stamped() -> None:
    order: list[str] = []

    async def model(samples: Sequence[int]) -> Sequence[int]:
        order.append("model")
        return samples

    def now() -> int:
        order.append("stamp")
        return 0

    with asking(async_system(model, lambda: order.append("settle")), now) as asker:
        asker.ask(1)
    assert order == ["model", "settle", "stamp"]


def test_what_fails_to_open_is_raised_by_start() -> None:
    @asynccontextmanager
    async def closed() -> AsyncIterator[Answer]:
        raise OSError("no such endpoint")
        yield

    with pytest.raises(OSError, match="no such endpoint"):
        AsyncSystem(closed).start()


def test_what_was_opened_is_closed() -> None:
    events: list[Any] = []

    @asynccontextmanager
    async def connected() -> AsyncIterator[Answer]:
        async def answer(query: Query) -> None:
            events.append("answer")
            query.complete(query.samples)

        events.append("open")
        yield answer
        events.append("close")

    with asking(AsyncSystem(connected)) as asker:
        assert asker.ask(1) == (1,)
    assert events == ["open", "answer", "close"]
