"""Coroutines as a concurrent system: every query is a task of an event loop on its own thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from pytest_aibench.loadgen.systems import STOP_S, Query

AsyncRespond = Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]
Answer = Callable[[Query], Awaitable[None]]


class AsyncSystem:
    """Answers queries by coroutines, any number at the same time.

    Args:
        serving: Makes what is needed on the event loop, like connections, and gives the coroutine
            function that answers one query; left when the system stops.
    """

    def __init__(self, serving: Callable[[], AbstractAsyncContextManager[Answer]]) -> None:
        self._serving = serving
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start the event loop; an error in making what it needs is raised here."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="aibench-event-loop", daemon=True
        )
        self._thread.start()
        ready.result()

    def issue(self, query: Query) -> None:
        """Hand the query to the event loop; from any thread, without waiting."""
        self._loop.call_soon_threadsafe(self._begin, query)

    def flush(self) -> None:
        """Nothing to do: every query is under way at once."""

    def stop(self) -> None:
        """Cancel what is left and end the loop, as far as it goes within `STOP_S`."""
        with suppress(RuntimeError):  # The loop is closed already when a task has broken it.
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(STOP_S)

    def _run(self, ready: Future[None]) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as error:
            if ready.done():
                raise
            ready.set_exception(error)

    async def _serve(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        async with self._serving() as self._answer:
            ready.set_result(None)
            await self._stopping.wait()
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)

    def _begin(self, query: Query) -> None:
        task = self._loop.create_task(self._reply(query))
        # The loop itself holds its tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, query: Query) -> None:
        try:
            await self._answer(query)
        except BaseException as error:  # A cancelled coroutine must not leave its query open.
            query.fail(error)


def async_system(model: AsyncRespond, settle: Callable[[], None] | None = None) -> AsyncSystem:
    """Make a system of an async callable on a list of samples.

    Args:
        model: ``async samples -> outputs``, one output for each sample.
        settle: Waits for the device, so that an answer is stamped when it is really there.
    """

    async def answer(query: Query) -> None:
        outputs = await model(query.samples)
        if settle is not None:
            settle()
        query.complete(outputs)

    return AsyncSystem(lambda: serving(answer))


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Answer]:
    """Serve by a coroutine function that needs nothing of its own on the event loop."""
    yield answer
