"""Server-sent events from bytes that are cut anywhere (WHATWG HTML, section 9.2.6)."""

from __future__ import annotations

import re
from typing import NamedTuple

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
