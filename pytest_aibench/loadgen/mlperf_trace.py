"""LoadGen's trace, the file ``mlperf_log_trace.json``: the samples as Chrome trace events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from pytest_aibench.loadgen.journal import NEVER, Load
from pytest_aibench.loadgen.streams import IntArray


def write_trace(path: Path, load: Load, samples: IntArray) -> None:
    """Write begin and end of each answered sample, from its scheduled time to its answer.

    Args:
        path: The file.
        load: When each query was due, issued and answered.
        samples: Index of each sample, in order of issue.
    """
    with path.open("w", encoding="utf-8") as file:
        file.write('{"traceEvents":[\n')
        file.writelines(chain.from_iterable(_events(load, samples)))
        file.write('{"name":"LastTrace"}\n],\n"displayTimeUnit":"ns"\n}\n')


def _events(load: Load, samples: IntArray) -> Iterator[tuple[str, str]]:
    query_of = np.repeat(np.arange(len(load.sizes)), load.sizes).tolist()
    due, issued, completed = (
        stamps.tolist() for stamps in (load.due_ns, load.issued_ns, load.completed_ns)
    )
    common = f'"name":"Sample","cat":"default","pid":{os.getpid()}'
    for number, (query, index) in enumerate(zip(query_of, samples.tolist(), strict=True)):
        if completed[query] == NEVER:
            continue
        start, end = due[query], completed[query]
        yield (
            f'{{{common},"ph":"b","id":{number},"ts":{start / 1e3:.3f},"args":'
            f'{{"sample_seq":{number},"query_seq":{query},"sample_idx":{index},'
            f'"issue_start_ns":{issued[query] - start},"complete_ns":{end - start}}}}},\n',
            f'{{{common},"ph":"e","id":{number},"ts":{end / 1e3:.3f}}},\n',
        )
