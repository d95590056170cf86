"""What a protocol has to say, and the plainest one: JSON in, JSON out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.tokens import TokenTrace

Headers = Mapping[str, str]

JSON_HEADERS: Headers = {"Content-Type": "application/json"}


class BadReplyError(Exception):
    """An endpoint answered with an error, or with something that its protocol does not allow."""


@dataclass(frozen=True, slots=True)
class Request:
    """The body of a POST request, and the headers that belong to it."""

    content: bytes
    headers: Headers = field(default_factory=lambda: JSON_HEADERS)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a response says: one output for each sample, and their tokens where it streams."""

    outputs: Sequence[Any]
    tokens: Sequence[TokenTrace] = ()


class Reader(Protocol):
    """Reads one response as its bytes arrive."""

    def feed(self, data: bytes, at_ns: int) -> None:
        """Take bytes that arrived together; their borders mean nothing.

        Raises:
            BadReplyError: They hold an error, or make no sense.
        """

    def finish(self) -> Reply:
        """What the response says, now that it is complete.

        Raises:
            BadReplyError: It is not what the protocol promises.
        """


class HttpProtocol(Protocol):
    """Turns samples into requests and responses into outputs; does no input or output itself."""

    @property
    def path(self) -> str:
        """What is appended to the endpoint's URL."""

    def requests(self, samples: Sequence[Any]) -> Sequence[Request]:
        """The requests, in the order of the samples, that ask for all outputs of a query."""

    def reader(self, headers: Headers) -> Reader:
        """A reader for a response with these headers."""


class BodyReader:
    """Reads a response that means something only as a whole.

    Args:
        parse: Makes outputs of the body.
    """

    def __init__(self, parse: Callable[[bytes], Sequence[Any]]) -> None:
        self._parse = parse
        self._parts: list[bytes] = []

    def feed(self, data: bytes, at_ns: int) -> None:
        """Keep the bytes; when they arrived does not matter."""
        self._parts.append(data)

    def finish(self) -> Reply:
        """Parse the body."""
        return Reply(self._parse(b"".join(self._parts)))


def to_json(value: Any) -> bytes:
    """Write JSON, arrays as lists.

    Raises:
        UserError: The value holds something that JSON cannot say.
    """
    return json.dumps(value, default=_plain, separators=(",", ":")).encode()


def from_json(data: bytes | str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadReplyError: The data are something else.
    """
    try:
        value = json.loads(data)
    except ValueError as error:
        raise BadReplyError(f"this is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise BadReplyError("this is not a JSON object")
    return value


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise UserError(
        f"cannot send a {type(value).__name__} as JSON: give numbers, text, lists or arrays"
    )


@dataclass(frozen=True, slots=True)
class PlainJson:
    """All samples of a query in one request to the endpoint's URL, one output for each."""

    path: str = ""

    def requests(self, samples: Sequence[Any]) -> Sequence[Request]:
        """One request for all samples."""
        return [Request(to_json({"samples": list(samples)}))]

    def reader(self, headers: Headers) -> Reader:
        """A reader of the whole body."""
        return BodyReader(_outputs)


def _outputs(body: bytes) -> Sequence[Any]:
    outputs = from_json(body).get("outputs")
    if not isinstance(outputs, list):
        raise BadReplyError("there is no list 'outputs'")
    return outputs
