"""An HTTP endpoint as a system under test.

Nothing is ever tried twice: a request that fails is an error of the endpoint, and fails the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.async_system import Answer, AsyncSystem
from pytest_aibench.loadgen.protocols.base import (
    BadReplyError,
    HttpProtocol,
    PlainJson,
    Reply,
    Request,
)
from pytest_aibench.loadgen.systems import Query
from pytest_aibench.units import parse_duration_s

if TYPE_CHECKING:
    import httpx

KEEP_ALIVE_S = 2.0
"""Idle connections are closed sooner than servers do (5 s at the shortest among common ones): a
request must not be sent into a connection that the server is just closing."""

_SHOWN = 200
_MOST_BYTES = 4 * _SHOWN

Read = TypeVar("Read")


class EndpointError(Exception):
    """A request that an endpoint did not answer as it should; the message is one line."""


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """A model behind an HTTP endpoint.

    Attributes:
        url: The server's address, without the part that the protocol appends.
        protocol: `PlainJson`, `KServeV2`, `OpenAIChat` or `OpenAICompletions`.
        headers: More headers, like an authorisation; they are never printed.
        timeout: Longest time for a request, from its sending to the last byte of the response.
        connections: Most requests at the same time; the others wait, and their latency counts.

    Raises:
        UserError: The URL, the timeout or the number of connections makes no sense.
    """

    url: str
    protocol: HttpProtocol = field(default_factory=PlainJson)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: str = "60 s"
    connections: int = 256

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in self.url or parts.query or parts.fragment:
            raise UserError("the endpoint's url must be an address only: pass secrets in headers=")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"cannot load {self.url!r}: write it like 'http://localhost:8000'")
        if self.connections < 1:
            raise UserError(f"connections={self.connections!r} must be at least 1")
        parse_duration_s(self.timeout, "timeout")

    @property
    def target(self) -> str:
        """Where requests are posted to."""
        return self.url.rstrip("/") + self.protocol.path if self.protocol.path else self.url


def http_system(endpoint: HttpEndpoint) -> AsyncSystem:
    """Make a system of an endpoint.

    Raises:
        UserError: httpx is not installed.
    """
    try:
        import httpx  # noqa: F401
    except ImportError:
        raise UserError(
            "HttpEndpoint needs httpx: run pip install 'pytest-aibench[http]'"
        ) from None
    return AsyncSystem(lambda: _serving(endpoint))


@asynccontextmanager
async def _serving(endpoint: HttpEndpoint) -> AsyncIterator[Answer]:
    """Connections for as long as the system runs."""
    connections = _Connections(endpoint.connections)
    try:
        yield _Client(endpoint, connections).answer
    finally:
        await connections.close()


class _Connections:
    """Clients of one connection each, the warmest first.

    A client with many connections looks through all of them at every request, which at 256 takes
    several times as long as the request itself.
    """

    def __init__(self, most: int) -> None:
        import httpx

        self._free = asyncio.Semaphore(most)
        self._idle: list[httpx.AsyncClient] = []
        self._tls = httpx.create_ssl_context()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[httpx.AsyncClient]:
        """Lend a connection as soon as one is free."""
        async with self._free:
            client = self._idle.pop() if self._idle else self._connect()
            try:
                yield client
            finally:
                self._idle.append(client)

    async def close(self) -> None:
        """Close all connections; none may be lent."""
        for client in self._idle:
            await client.aclose()

    def _connect(self) -> httpx.AsyncClient:
        import httpx

        limits = httpx.Limits(max_connections=1, keepalive_expiry=KEEP_ALIVE_S)
        # Given a transport, a client ignores the proxies that the environment asks for: they would
        # be measured along with the endpoint.
        transport = httpx.AsyncHTTPTransport(verify=self._tls, limits=limits)
        return httpx.AsyncClient(transport=transport, timeout=None)


class _Client:
    def __init__(self, endpoint: HttpEndpoint, connections: _Connections) -> None:
        self._endpoint = endpoint
        self._connections = connections
        self._timeout_s = parse_duration_s(endpoint.timeout, "timeout")

    async def answer(self, query: Query) -> None:
        """Ask for all outputs of a query; it is completed when the last byte has been read.

        Until here, it was this client that kept the query waiting.
        """
        query.begin()
        requests = self._endpoint.protocol.requests(query.samples)
        answers = await asyncio.gather(*(self._ask(request, query.now) for request in requests))
        query.complete(
            [output for reply, _ in answers for output in reply.outputs],
            [trace for reply, _ in answers for trace in reply.tokens],
            at_ns=max(read_ns for _, read_ns in answers),
        )

    async def _ask(self, request: Request, now: Callable[[], int]) -> tuple[Reply, int]:
        """The reply to a request, and when its last byte had been read."""
        import httpx

        received = _Received()
        try:
            async with self._connections.one() as client:
                exchange = self._exchange(client, request, now, received)
                return await asyncio.wait_for(exchange, self._timeout_s)
        except asyncio.TimeoutError:
            reason = f"not answered within {self._endpoint.timeout}"
        except httpx.HTTPError as error:
            reason = f"{type(error).__name__} {error}"
        except BadReplyError as error:
            reason = str(error)
        raise EndpointError(f"{self._endpoint.target}: {received.explain(reason)}")

    async def _exchange(
        self,
        client: httpx.AsyncClient,
        request: Request,
        now: Callable[[], int],
        received: _Received,
    ) -> tuple[Reply, int]:
        headers = {**request.headers, **self._endpoint.headers}
        async with client.stream(
            "POST", self._endpoint.target, content=request.content, headers=headers
        ) as response:
            received.status = response.status_code
            reader = self._endpoint.protocol.reader(response.headers)
            async for data in response.aiter_bytes():
                at_ns = now()
                received.keep(data)
                if response.is_success:
                    _read(reader.feed, data, at_ns)
            read_ns = now()
        if not response.is_success:
            raise BadReplyError("the request failed")
        return _read(reader.finish), read_ns


class _Received:
    """What is known of a response when something goes wrong."""

    def __init__(self) -> None:
        self.status: int | None = None
        self._begin = b""

    def keep(self, data: bytes) -> None:
        """Keep the first bytes."""
        if len(self._begin) < _MOST_BYTES:
            self._begin = (self._begin + data)[:_MOST_BYTES]

    def explain(self, reason: str) -> str:
        """One line: the status, what is wrong, and how the response begins."""
        status = "" if self.status is None else f"status {self.status}, "
        begin = _one_line(self._begin.decode(errors="replace"))[:_SHOWN]
        return f"{status}{_one_line(reason)}" + (f"; the response begins: {begin}" if begin else "")


def _read(step: Callable[..., Read], *arguments: Any) -> Read:
    """Take a step of a reader; what it trips over is the endpoint's fault."""
    try:
        return step(*arguments)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        summary = f"{type(error).__name__}: {error}"
        raise BadReplyError(f"the response is not what its protocol says ({summary})") from None


def _one_line(text: str) -> str:
    return " ".join(text.split())
