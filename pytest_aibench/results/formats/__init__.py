"""Formats of other tools: which there are, and the figures and names that exports share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from pytest_aibench.results.identity import SeriesKey
    from pytest_aibench.results.schema import BenchmarkEntry, Json, Metric, Run

EXPORTS = {
    "asv": "asv",
    "bencher": "bencher",
    "csv": "csv_table",
    "github-action-benchmark": "github_action_benchmark",
    "junit": "junit",
    "mllog": "mlperf_training:mllog",
    "pytest-benchmark": "pytest_benchmark",
    "rcp": "mlperf_training:rcp",
}
"""Modules of the formats that records are exported to, with the function where it has a name."""

IMPORTS = {"pytest-benchmark": "pytest_benchmark"}
"""Modules of the formats that records are made of."""

COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
"""A commit's full hash."""

_UNITS = {
    "_samples_per_s": "samples/s",
    "tokens_per_s": "tokens/s",
    "_gib_per_s": "GiB/s",
    "_gflop_per_s": "GFLOP/s",
    "_j_per_sample": "J/sample",
    "s_per_step": "s/step",
    "_qps": "queries/s",
    "_ms": "ms",
    "_s": "s",
    "_j": "J",
}
_NOT_IN_LABELS = ("_samples_per_s", "_ms", "_s", "_j")
_UNSAFE = re.compile(r"[^\w.+-]+")


@dataclass(frozen=True, slots=True)
class Exported:
    """An export.

    Attributes:
        files: Texts by file name, a folder in it where the format asks for one.
        left_out: One line for each kind of thing that the format cannot say.
    """

    files: dict[str, str]
    left_out: list[str]


class Exporter(Protocol):
    """Writes runs in another format."""

    def __call__(self, runs: Sequence[Run]) -> Exported:
        """The runs as texts; nothing is written yet."""


class Importer(Protocol):
    """Reads another format; a module is one."""

    def recognises(self, document: Json) -> bool:
        """Whether a JSON document looks like one of this format."""

    def imported(self, document: Json) -> Run:
        """The document as a run; ValueError if it is not built as the format says."""


class Figure(NamedTuple):
    """A measured figure, and where it comes from; a canary's has no entry."""

    run: Run
    key: SeriesKey
    entry: BenchmarkEntry | None
    metric: Metric

    @property
    def unit(self) -> str:
        """Its unit; empty for shares and counts."""
        return next((unit for end, unit in _UNITS.items() if self.key.metric.endswith(end)), "")

    @property
    def name(self) -> str:
        """The benchmark, the figure and the hardware class: ``test_it[fp16] p99 @ NVIDIA-H200``.

        It depends on nothing else, because tools find a figure's history by it.
        """
        metric = self.key.metric
        end = next(end for end in (*_UNITS, "") if metric.endswith(end))
        label = metric.removesuffix(end) if end in _NOT_IN_LABELS else metric
        return f"{self.key.benchmark} {label} @ {self.key.hardware}"

    @property
    def invalid(self) -> str:
        """Why it may not be compared; empty when it may."""
        from pytest_aibench.results.identity import invalid_reason

        return invalid_reason(self.run, self.entry)


class NodeId(NamedTuple):
    """A node id in parts.

    Attributes:
        scope: File and class: ``tests/test_a.py::TestIt``.
        function: The test function.
        parameters: What stands in its brackets.
    """

    scope: str
    function: str
    parameters: str

    @property
    def name(self) -> str:
        """``test_it[fp16]``."""
        return f"{self.function}[{self.parameters}]" if self.parameters else self.function

    @property
    def dotted_scope(self) -> str:
        """``tests.test_a.TestIt``."""
        without_suffix = re.sub(r"\.py(?=::|$)", "", self.scope)
        return without_suffix.replace("::", ".").replace("/", ".")


def split_node_id(node_id: str) -> NodeId:
    """Take a node id apart."""
    place, _, parameters = node_id.partition("[")
    scope, _, function = place.rpartition("::")
    return NodeId(scope, function, parameters.removesuffix("]"))


def exporter(name: str) -> Exporter:
    """The exporter to one of `EXPORTS`."""
    module, _, function = EXPORTS[name].partition(":")
    export: Exporter = getattr(import_module(f"{__name__}.{module}"), function or "export")
    return export


def importer_of(document: Json) -> Importer | None:
    """The importer that recognises the document, if any does."""
    modules: list[Importer] = [import_module(f"{__name__}.{module}") for module in IMPORTS.values()]
    return next((module for module in modules if module.recognises(document)), None)


def figures(runs: Sequence[Run]) -> list[Figure]:
    """Every measured figure of the runs, in their order."""
    from pytest_aibench.results.identity import series_keys

    return [
        Figure(run, key, entry, metric)
        for run in runs
        for key, (entry, metric) in series_keys(run).items()
    ]


def latest_figures(runs: Sequence[Run]) -> tuple[list[Figure], list[str]]:
    """For formats with one valid figure to a name: the last of each, and what that leaves out."""
    measured = figures(runs)
    valid = [figure for figure in measured if not figure.invalid]
    last = {figure.name: figure for figure in valid}
    earlier = [figure.name for figure in valid if last[figure.name] is not figure]
    invalid = [f"{figure.name}: {figure.invalid}" for figure in measured if figure.invalid]
    notes = [*left_out("invalid", invalid), *left_out("measured again in a later run", earlier)]
    return list(last.values()), [*notes, *unmeasured(runs)]


def unmeasured(runs: Sequence[Run]) -> list[str]:
    """A line about figures without a value, if there are any."""
    groups = [(entry.id, entry.metrics) for run in runs for entry in run.benchmarks]
    groups += [("canary", run.canaries) for run in runs]
    names = [
        f"{benchmark} {name}"
        for benchmark, metrics in groups
        for name, metric in metrics.items()
        if metric.value is None
    ]
    return left_out("not measured", names)


def left_out(why: str, names: Sequence[str]) -> list[str]:
    """A line with the reason, the first name and the count of the others; none without names."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [f"{why}: {names[0]}{more}"] if names else []


def file_word(text: str) -> str:
    """The text as a part of a file's name: it cannot lead to another folder."""
    return _UNSAFE.sub("-", text).strip(".-") or "unknown"


def moment(text: str) -> datetime:
    """A time in ISO 8601; without an offset it is UTC.

    Raises:
        ValueError: It is none.
    """
    # Python 3.10 does not read the suffix Z.
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)


def json_text(document: Json) -> str:
    """Strict JSON in ASCII, indented."""
    import json

    return json.dumps(document, indent=1, allow_nan=False) + "\n"
