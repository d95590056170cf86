"""LoadGen's accuracy log, the file ``mlperf_log_accuracy.json``: answers as bytes in hexadecimal.

MLPerf's accuracy scripts read the bytes as an array of one type, mostly float32, int32 or int64.
Arrays, tensors and numpy numbers keep their own type, little-endian; Python's floats become
float32 and its whole numbers int64, the types those scripts take by default; text is UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.mlperf_run import LoggedAnswer

_TYPES_OF_PYTHON = {"f": "<f4", "i": "<i8"}


def accuracy_text(answers: Iterable[LoggedAnswer]) -> str:
    """The accuracy log: a JSON list with one object a line.

    Raises:
        UserError: An answer cannot be written as bytes.
    """
    return "[\n" + ",\n".join(map(_line, answers)) + "\n]\n"


def output_bytes(output: Any) -> bytes:
    """An answer as bytes.

    Raises:
        UserError: It is neither numbers nor text nor bytes.
    """
    if isinstance(output, (bytes, bytearray)):
        return bytes(output)
    if isinstance(output, str):
        return output.encode()
    if hasattr(output, "detach"):
        output = output.detach().cpu().numpy()
    values = _array(output)
    if isinstance(output, (np.ndarray, np.generic)):
        return values.astype(values.dtype.newbyteorder("<")).tobytes()
    return values.astype(_TYPES_OF_PYTHON.get(values.dtype.kind, values.dtype)).tobytes()


def _line(answer: LoggedAnswer) -> str:
    try:
        data = output_bytes(answer.output).hex().upper()
    except UserError as error:
        raise UserError(f"sample {answer.index}: {error}") from None
    return f'{{ "seq_id" : {answer.number}, "qsl_idx" : {answer.index}, "data" : "{data}" }}'


def _array(output: Any) -> np.ndarray[Any, Any]:
    try:
        values = np.asarray(output)
    except ValueError:
        values = np.asarray(None)
    if values.dtype.kind not in "biuf":
        raise UserError(
            f"an answer of type {type(output).__name__} has no place in MLPerf's accuracy log: "
            "return numbers, an array, text or bytes"
        )
    return values
