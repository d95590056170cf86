"""The trace file: the same bytes as printed one number after another, however many samples."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.harness.official_logs import parse_trace
from pytest_aibench.loadgen.journal import NEVER, Load
from pytest_aibench.loadgen.mlperf_trace import write_trace

Query = tuple[int, int, int, int, bool]
"""Nanoseconds since the last due time, until the issue, until the answer; samples; answered."""

TIMES_NS = st.one_of(st.integers(0, 2000), st.integers(0, 10**12))
QUERIES = st.lists(
    st.tuples(TIMES_NS, TIMES_NS, TIMES_NS, st.integers(1, 3), st.booleans()), max_size=12
)


def load_of(queries: list[Query]) -> Load:
    waits, issues, answers, sizes, answered = np.array(queries, np.int64).reshape(-1, 5).T
    due = np.cumsum(waits)
    issued = due + issues
    return Load(
        begin_ns=0,
        due_ns=due,
        issued_ns=issued,
        taken_ns=issued,
        completed_ns=np.where(answered, issued + answers, NEVER),
        sizes=sizes,
        overdue_ns=np.empty(0, np.int64),
        stopped="done",
        violations=(),
    )


def printed(load: Load, samples: list[int]) -> str:
    """The trace, number by number."""
    common = f'"name":"Sample","cat":"default","pid":{os.getpid()}'
    query_of = [query for query, size in enumerate(load.sizes) for _ in range(size)]
    lines = ['{"traceEvents":[']
    for number, (query, index) in enumerate(zip(query_of, samples, strict=True)):
        due, issued, completed = (
            int(stamps[query]) for stamps in (load.due_ns, load.issued_ns, load.completed_ns)
        )
        if completed != NEVER:
            lines += [
                f'{{{common},"ph":"b","id":{number},"ts":{due // 1000}.{due % 1000:03d},"args":'
                f'{{"sample_seq":{number},"query_seq":{query},"sample_idx":{index},'
                f'"issue_start_ns":{issued - due},"complete_ns":{completed - due}}}}},',
                f'{{{common},"ph":"e","id":{number},'
                f'"ts":{completed // 1000}.{completed % 1000:03d}}},',
            ]
    return "\n".join([*lines, '{"name":"LastTrace"}', "],", '"displayTimeUnit":"ns"', "}", ""])


@given(queries=QUERIES, seed=st.integers(0, 2**32 - 1), largest=st.sampled_from([1, 12, 10**6]))
def test_every_digit_is_there(
    tmp_path_factory: pytest.TempPathFactory, queries: list[Query], seed: int, largest: int
) -> None:
    load = load_of(queries)
    samples = np.random.default_rng(seed).integers(0, largest, load.sizes.sum())
    path = tmp_path_factory.getbasetemp() / "trace.json"
    write_trace(path, load, samples)
    text = path.read_text()
    assert text == printed(load, samples.tolist())
    assert json.loads(text)["displayTimeUnit"] == "ns"


def test_many_samples(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    queries = [(wait, wait % 3, 9_990 + wait, 2, wait > 3) for wait in random.geometric(0.01, 6000)]
    load = load_of(queries)
    samples = random.integers(0, 1024, 12_000)
    write_trace(tmp_path / "trace.json", load, samples)
    assert (tmp_path / "trace.json").read_text() == printed(load, samples.tolist())
    trace = parse_trace(tmp_path / "trace.json")
    answered = np.repeat(load.answered, 2)
    assert trace.index.tolist() == samples[answered].tolist()
    assert trace.latency_ns.tolist() == np.repeat(load.latency_ns, 2).tolist()
