"""A tiny HTTP server on the loopback interface, as good or as bad as a test needs it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

MOST_REQUESTS = 20_000


@dataclass(frozen=True, slots=True)
class Received:
    """A request."""

    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Responder:
    """Answers one request."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Send a whole response; underscores in names of headers become dashes."""
        self._begin(status, Content_Length=str(len(body)), **headers)
        self._writer.write(body)
        await self._writer.drain()

    async def send_json(self, value: Any, status: int = 200) -> None:
        """Send a value as JSON."""
        await self.send(json.dumps(value).encode(), status, Content_Type="application/json")

    async def stream(self, parts: Sequence[bytes], pause_s: float = 0.002) -> None:
        """Send a response in parts, so far apart that they arrive one by one."""
        self._begin(200, Transfer_Encoding="chunked", Content_Type="text/event-stream")
        for part in parts:
            self._writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await self._writer.drain()
            await asyncio.sleep(pause_s)

    async def end(self) -> None:
        """End a streamed response."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    def reset(self) -> None:
        """Break the connection."""
        self._writer.transport.abort()

    def _begin(self, status: int, **headers: str) -> None:
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join([f"HTTP/1.1 {status} Some", *lines, "", ""]).encode())


Handler = Callable[[Received, Responder], Awaitable[None]]


@dataclass(slots=True)
class Served:
    """A running server and what it has seen."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    connections: int = 0


@contextmanager
def serving(handler: Handler) -> Iterator[Served]:
    """Serve by a handler on 127.0.0.1, at a port that is free, until the block ends."""
    served = Served()
    ready: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=asyncio.run, args=(_serve(handler, served, ready),))
    thread.start()
    stop = ready.result(timeout=10)
    try:
        yield served
    finally:
        stop()
        thread.join(timeout=10)


async def _serve(handler: Handler, served: Served, ready: Future[Callable[[], object]]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        with suppress(asyncio.CancelledError, ConnectionError):
            while (request := await _receive(reader)) is not None:
                served.requests.append(request)
                assert len(served.requests) <= MOST_REQUESTS
                await handler(request, Responder(writer))
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    served.url = "http://{}:{}".format(*server.sockets[0].getsockname())
    ready.set_result(lambda: loop.call_soon_threadsafe(stopping.set))
    await stopping.wait()
    server.close()


async def _receive(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode().split("\r\n")[:-2]
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(first.split()[1], headers, body)
