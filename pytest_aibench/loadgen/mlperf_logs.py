"""Writing the files that MLPerf's official LoadGen leaves behind, from a run of our own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from pytest_aibench.errors import UserError
from pytest_aibench.loadgen.mlperf_detail import detail_text
from pytest_aibench.loadgen.mlperf_run import LoggedAnswer, LoggedRun, results_of
from pytest_aibench.loadgen.mlperf_summary import summary_text
from pytest_aibench.loadgen.mlperf_trace import write_trace

PREFIX = "mlperf_log_"

_LONGEST_NAME = 100


def check_log_folder(root: Path) -> None:
    """Make sure that logs could be written, without creating anything.

    Raises:
        UserError: The folder cannot be created or written to.
    """
    existing = next(path for path in (root, *root.parents) if os.path.lexists(path))
    if not existing.is_dir():
        why = f"{existing} is no folder"
    elif not os.access(existing, os.W_OK | os.X_OK):
        why = "permission denied"
    else:
        return
    raise UserError(
        f"cannot write MLPerf logs to {root}: {why}; choose another with --aibench-mlperf-logs"
    )


def log_folders(root: Path, test: str) -> Iterator[Path]:
    """A folder for each run of one test: ``test_digits-cpu-offline-1f8e0a2c``, then ``…-2``.

    Two tests never share one: names end with the first digits of a hash of the whole node id.

    Args:
        root: The folder of all logs.
        test: The test's node id.
    """
    readable = re.sub(r"[^A-Za-z0-9_.]+", "-", test.partition("::")[2]).strip("-.")
    name = f"{readable[:_LONGEST_NAME]}-{sha256(test.encode()).hexdigest()[:8]}"
    yield root / name
    yield from (root / f"{name}-{number}" for number in count(2))


def write_logs(folder: Path, run: LoggedRun) -> None:
    """Write the summary, the detail log and the accuracy log, and the trace of known samples.

    Args:
        folder: Where to; made if need be, and files of the same names are replaced.
        run: The run.

    Raises:
        UserError: An answer cannot be written as bytes.
    """
    results = results_of(run)
    texts = {
        "summary.txt": summary_text(run, results),
        "detail.txt": detail_text(run, results),
        "accuracy.json": accuracy_text(run.answers),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{PREFIX}{name}").write_text(text, encoding="utf-8")
    if run.performance is not None and run.performance.samples is not None:
        write_trace(folder / f"{PREFIX}trace.json", run.performance.load, run.performance.samples)


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
