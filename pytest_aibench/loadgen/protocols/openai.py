"""OpenAI's chat protocol, and the server-sent events in which it streams."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pytest_aibench.loadgen.protocols.base import (
    BadReplyError,
    BodyReader,
    Headers,
    Reader,
    Reply,
    Request,
    from_json,
    to_json,
)
from pytest_aibench.loadgen.tokens import TokenTrace

Generated = tuple[str, bool]
"""Text of a choice, and whether it holds anything that was generated."""

_PARTS = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls")
"""What a chat answer is made of; the first chunk of many servers has a role only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpenAI(ABC):
    """One request for each sample; the output is the text.

    Tokens are counted as the server counts them (``usage``); where it does not say, every chunk
    counts as one.

    Attributes:
        model: The model's name on the server.
        stream: Ask for tokens as they come; without it there is no time to first token.
        options: More fields of the request, like ``{"max_tokens": 64, "temperature": 0}``.
    """

    model: str
    stream: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)

    def requests(self, samples: Sequence[Any]) -> Sequence[Request]:
        """One request for each sample."""
        return [Request(to_json(self._body(sample))) for sample in samples]

    def reader(self, headers: Headers) -> Reader:
        """A reader of a stream of events, or of the whole body."""
        return StreamReader(self._generated) if self.stream else BodyReader(self._outputs)

    def _body(self, sample: Any) -> dict[str, Any]:
        body = {"model": self.model, "stream": self.stream, **self._prompt(sample)}
        if self.stream:
            body["stream_options"] = {"include_usage": True}
        return {**body, **self.options}

    def _outputs(self, body: bytes) -> Sequence[Any]:
        answer = from_json(body)
        _refuse_error(answer)
        return [self._generated(answer["choices"][0])[0]]

    @abstractmethod
    def _prompt(self, sample: Any) -> dict[str, Any]:
        """The fields of the request that hold the sample."""

    @abstractmethod
    def _generated(self, choice: Mapping[str, Any]) -> Generated:
        """What a choice of a chunk, or of a whole answer, holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAIChat(_OpenAI):
    """``/v1/chat/completions``; a sample is a text, or a list of messages."""

    path: str = "/v1/chat/completions"

    def _prompt(self, sample: Any) -> dict[str, Any]:
        content = _native(sample)
        is_text = isinstance(content, str)
        return {"messages": [{"role": "user", "content": content}] if is_text else content}

    def _generated(self, choice: Mapping[str, Any]) -> Generated:
        part = choice.get("delta") or choice.get("message") or {}
        return part.get("content") or "", any(part.get(name) for name in _PARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAICompletions(_OpenAI):
    """``/v1/completions``; a sample is a text, or a list of token numbers."""

    path: str = "/v1/completions"

    def _prompt(self, sample: Any) -> dict[str, Any]:
        return {"prompt": _native(sample)}

    def _generated(self, choice: Mapping[str, Any]) -> Generated:
        text = choice.get("text") or ""
        return text, bool(text)


class StreamReader:
    """Reads a streamed answer, and when its tokens came.

    Args:
        generated: Reads a choice of a chunk.
    """

    def __init__(self, generated: Callable[[Mapping[str, Any]], Generated]) -> None:
        self._generated = generated
        self._decoder = EventDecoder()
        self._texts: list[str] = []
        self._arrivals_ns: list[int] = []
        self._n_tokens: int | None = None
        self._complete = False
        self._at_ns = 0

    def feed(self, data: bytes, at_ns: int) -> None:
        """Take bytes; the tokens of the events that they complete arrived at ``at_ns``."""
        self._at_ns = at_ns
        for event in self._decoder.feed(data):
            self._take(event)

    def finish(self) -> Reply:
        """The text and its tokens.

        Raises:
            BadReplyError: The stream broke off.
        """
        for event in self._decoder.finish():
            self._take(event)
        if not self._complete:
            raise BadReplyError("the stream ended without [DONE] and without a finish_reason")
        n_tokens = len(self._arrivals_ns) if self._n_tokens is None else self._n_tokens
        return Reply(["".join(self._texts)], [TokenTrace(self._arrivals_ns, n_tokens)])

    def _take(self, event: Event) -> None:
        if event.data == "[DONE]":
            self._complete = True
            return
        chunk = from_json(event.data)
        _refuse_error(chunk, event.name)
        counted = (chunk.get("usage") or {}).get("completion_tokens")
        if counted is not None:
            self._n_tokens = int(counted)
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) == 0:
                self._take_choice(choice)

    def _take_choice(self, choice: Mapping[str, Any]) -> None:
        text, is_generated = self._generated(choice)
        self._texts.append(text)
        if is_generated:
            self._arrivals_ns.append(self._at_ns)
        if choice.get("finish_reason"):
            self._complete = True


def _refuse_error(answer: Mapping[str, Any], event: str = "message") -> None:
    """Raise what an endpoint reports although its status was good."""
    error = answer.get("error")
    if not error and event != "error" and answer.get("object") != "error":
        return
    details = error or answer
    message = details.get("message", details) if isinstance(details, dict) else details
    raise BadReplyError(f"the server reports an error: {message}")


def _native(sample: Any) -> Any:
    return sample.tolist() if hasattr(sample, "tolist") else sample


# A carriage return at the end may be the first half of a line's end.
_LINE_END = re.compile(rb"\r\n|\n|\r(?=[^\n])")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """An event's name, ``message`` by default, and its data."""

    name: str
    data: str


class EventDecoder:
    """Puts events together as their bytes arrive."""

    def __init__(self) -> None:
        self._rest = b""
        self._at_begin = True
        self._name = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete."""
        *lines, self._rest = _LINE_END.split(self._rest + data)
        return [event for line in lines if (event := self._take(line)) is not None]

    def finish(self) -> list[Event]:
        """The event that lacks its final blank line, as some servers leave it."""
        return self.feed(b"\n\n")

    def _take(self, line: bytes) -> Event | None:
        if self._at_begin:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._at_begin = False
        if not line:
            return self._dispatch()
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        return None

    def _dispatch(self) -> Event | None:
        event = Event(self._name or "message", "\n".join(self._data)) if self._data else None
        self._name, self._data = "", []
        return event
