"""Reading what MLPerf's official LoadGen writes: detail log, trace and accuracy log."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_aibench.loadgen.streams import IntArray

_MARK = ":::MLLOG "
_NOT_A_NUMBER = re.compile(r'(?<="value": )-?nan\b')
_SAMPLE = re.compile(
    rb'"name":"Sample".*"ts":([-\d.]+),.*"sample_seq":(\d+),"query_seq":(\d+)'
    rb',"sample_idx":(\d+),"issue_start_ns":(-?\d+),"complete_ns":(-?\d+)'
)


@dataclass(frozen=True, slots=True)
class DetailEntry:
    """One line of the detail log."""

    key: str
    value: Any
    is_error: bool
    is_warning: bool


@dataclass(frozen=True, slots=True)
class DetailLog:
    """The detail log: settings in effect, results, messages and errors."""

    entries: tuple[DetailEntry, ...]

    def __contains__(self, key: str) -> bool:
        return any(entry.key == key for entry in self.entries)

    def __getitem__(self, key: str) -> Any:
        """The last value of a key; KeyError when LoadGen wrote none."""
        try:
            return self.all(key)[-1]
        except IndexError:
            raise KeyError(key) from None

    def all(self, key: str) -> list[Any]:
        """Every value of a key, in order."""
        return [entry.value for entry in self.entries if entry.key == key]

    @property
    def errors(self) -> list[str]:
        """Values of the entries marked as errors."""
        return [entry.value for entry in self.entries if entry.is_error]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleTrace:
    """What the trace tells of each sample, in order of issue; times in ns.

    Attributes:
        query: Number of the sample's query.
        index: Index in the library.
        scheduled_ns: Scheduled time, from that of the first sample.
        latency_ns: Completion minus scheduled time.
        lateness_ns: Issue minus scheduled time.
    """

    query: IntArray
    index: IntArray
    scheduled_ns: IntArray
    latency_ns: IntArray
    lateness_ns: IntArray


def parse_detail(text: str) -> DetailLog:
    """Read a detail log, the text of ``mlperf_log_detail.txt``."""
    lines = (line.removeprefix(_MARK) for line in text.splitlines() if line.startswith(_MARK))
    return DetailLog(tuple(map(_parse_entry, lines)))


def parse_trace(path: Path) -> SampleTrace:
    """Read the samples from a trace, the file ``mlperf_log_trace.json``; it may be large."""
    with path.open("rb") as lines:
        # Times are in µs with three decimals: without the point they are whole ns.
        rows = [
            [int(number.replace(b".", b"")) for number in match.groups()]
            for match in map(_SAMPLE.search, lines)
            if match is not None
        ]
    table = np.array(rows, np.int64).reshape(-1, 6)
    in_order = table[table[:, 1].argsort()]
    scheduled, _, query, index, lateness, latency = in_order.T
    return SampleTrace(
        query=query,
        index=index,
        scheduled_ns=scheduled - scheduled[:1],
        latency_ns=latency,
        lateness_ns=lateness,
    )


def parse_accuracy(text: str) -> list[int]:
    """Read an accuracy log, the text of ``mlperf_log_accuracy.json``.

    Returns:
        The numbers, in order of issue, of the samples in the log.
    """
    return sorted(entry["seq_id"] for entry in json.loads(text))


def _parse_entry(line: str) -> DetailEntry:
    # Results of a single query may be 0/0, which C++ prints in a way JSON does not know.
    raw = json.loads(_NOT_A_NUMBER.sub("NaN", line))
    about = raw["metadata"]
    return DetailEntry(raw["key"], raw["value"], about["is_error"], about["is_warning"])
