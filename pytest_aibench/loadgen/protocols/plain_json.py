"""The plainest protocol: POST ``{"samples": [...]}``, get ``{"outputs": [...]}``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_aibench.loadgen.protocols.base import (
    BadReplyError,
    BodyReader,
    Headers,
    Reader,
    Request,
    from_json,
    to_json,
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
