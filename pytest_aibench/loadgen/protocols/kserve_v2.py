"""KServe v2, the Open Inference Protocol over REST, with tensors as JSON or in binary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.protocols.base import (
    BadReplyError,
    BodyReader,
    Headers,
    Reader,
    Request,
    from_json,
    to_json,
)

JSON_LENGTH = "Inference-Header-Content-Length"

_TEXT = "BYTES"
_DTYPES = {
    "BOOL": "|b1",
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KServeV2:
    """All samples of a query in one tensor, along its first axis; likewise the outputs.

    Attributes:
        model: The model's name on the server.
        input: Name of the input tensor.
        output: Name of the output tensor; may be left out where there is only one.
        version: The model's version; by default the server chooses.
        datatype: Type of the input tensor, like ``FP32``; by default that of the samples.
        binary: Send and ask for tensors in binary: an extension that not all servers know.

    Raises:
        UserError: The protocol has no such type.
    """

    model: str
    input: str
    output: str | None = None
    version: str | None = None
    datatype: str | None = None
    binary: bool = False

    def __post_init__(self) -> None:
        if self.datatype is not None and self.datatype not in _DTYPES:
            raise UserError(f"unknown datatype {self.datatype!r}: use one of {', '.join(_DTYPES)}")

    @property
    def path(self) -> str:
        """``/v2/models/NAME/infer``."""
        version = "" if self.version is None else f"/versions/{self.version}"
        return f"/v2/models/{self.model}{version}/infer"

    def requests(self, samples: Sequence[Any]) -> Sequence[Request]:
        """One request for all samples."""
        tensor = np.stack([np.asarray(sample) for sample in samples])
        if self.datatype is not None:
            tensor = tensor.astype(_DTYPES[self.datatype])
        head: dict[str, Any] = {"name": self.input, "shape": tensor.shape}
        head["datatype"] = _datatype(tensor)
        return [self._in_binary(head, tensor) if self.binary else self._as_json(head, tensor)]

    def reader(self, headers: Headers) -> Reader:
        """A reader of the whole body."""
        return BodyReader(lambda body: list(self._outputs(body, headers)))

    def _as_json(self, head: Mapping[str, Any], tensor: npt.NDArray[Any]) -> Request:
        return Request(to_json(self._message({**head, "data": tensor.ravel()})))

    def _in_binary(self, head: Mapping[str, Any], tensor: npt.NDArray[Any]) -> Request:
        if head["datatype"] == _TEXT:
            raise UserError("binary=True sends numbers only: send text with binary=False")
        data = tensor.astype(_DTYPES[head["datatype"]]).tobytes()
        message = self._message({**head, "parameters": {"binary_data_size": len(data)}})
        content = to_json({**message, "parameters": {"binary_data_output": True}})
        headers = {"Content-Type": "application/octet-stream", JSON_LENGTH: str(len(content))}
        return Request(content + data, headers)

    def _message(self, tensor: Mapping[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {"inputs": [tensor]}
        if self.output is not None:
            message["outputs"] = [{"name": self.output}]
        return message

    def _outputs(self, body: bytes, headers: Headers) -> npt.NDArray[Any]:
        json_length = int(headers.get(JSON_LENGTH, len(body)))
        tensors = _tensors(from_json(body[:json_length]), body[json_length:])
        if self.output is None and len(tensors) == 1:
            return next(iter(tensors.values()))
        if self.output not in tensors:
            wanted = "one output" if self.output is None else f"the output {self.output!r}"
            raise BadReplyError(f"expected {wanted}, got {', '.join(tensors) or 'none'}")
        return tensors[self.output]


def _datatype(tensor: npt.NDArray[Any]) -> str:
    if tensor.dtype.kind in "US":
        return _TEXT
    for name, dtype in _DTYPES.items():
        if tensor.dtype == np.dtype(dtype):
            return name
    raise UserError(f"KServe v2 has no type for {tensor.dtype}: give datatype='FP32' or another")


def _tensors(message: Mapping[str, Any], binary: bytes) -> dict[str, npt.NDArray[Any]]:
    """The output tensors of a response, by name."""
    tensors = {}
    for output in message["outputs"]:
        n_bytes = output.get("parameters", {}).get("binary_data_size")
        if n_bytes is None:
            tensors[output["name"]] = _from_json(output)
        else:
            tensors[output["name"]] = _from_binary(output, binary[:n_bytes])
            binary = binary[n_bytes:]
    return tensors


def _from_json(output: Mapping[str, Any]) -> npt.NDArray[Any]:
    dtype = None if output["datatype"] == _TEXT else _DTYPES[output["datatype"]]
    tensor: npt.NDArray[Any] = np.array(output["data"], dtype).reshape(output["shape"])
    return tensor


def _from_binary(output: Mapping[str, Any], data: bytes) -> npt.NDArray[Any]:
    if output["datatype"] == _TEXT:
        raise BadReplyError("the output is text in binary: ask for it with binary=False")
    dtype = np.dtype(_DTYPES[output["datatype"]])
    expected = math.prod(output["shape"]) * dtype.itemsize
    if len(data) != expected:
        raise BadReplyError(f"the output has {len(data)} bytes, its shape needs {expected}")
    tensor: npt.NDArray[Any] = np.frombuffer(data, dtype).reshape(output["shape"])
    return tensor
