"""Export to airspeed velocity 0.6: results for ``asv publish`` and ``asv compare``.

Its benchmarks are a test function and a figure, with the ids of parameters as their one parameter.
It takes any rise for a regression, so that only figures are exported that are better when lower.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pytest_aibench.results.formats import (
    COMMIT,
    Exported,
    Figure,
    NodeId,
    figures,
    file_word,
    json_text,
    left_out,
    moment,
    split_node_id,
    unmeasured,
)
from pytest_aibench.results.schema import Environment, Json, Run

_COLUMNS = ("result", "params", "version", "started_at", "duration")
_TO_SECONDS = {"ms": 1e-3, "s": 1.0}


class _Sheet(NamedTuple):
    """What one file of results holds: a commit, a machine and an environment."""

    commit: str
    machine: str
    environment: str


def export(runs: Sequence[Run]) -> Exported:
    """A file of results for each commit, hardware class, Python, scale and effort.

    Of a commit's runs the last one counts. A figure of an invalid benchmark is a failed one.
    """
    clean = [run for run in runs if not _why_no_commit(run)]
    measured = figures(clean)
    sheets: dict[_Sheet, list[Figure]] = defaultdict(list)
    for figure in measured:
        if figure.metric.better == "lower":
            sheets[_sheet(figure)].append(figure)
    files = {name: json_text(text) for name, text in _documents(sheets).items()}
    nowhere = [f"run {run.run_id} {_why_no_commit(run)}" for run in runs if _why_no_commit(run)]
    rising = [figure.name for figure in measured if figure.metric.better != "lower"]
    notes = [
        *left_out("not of a commit", nowhere),
        *left_out("better when higher", rising),
        *unmeasured(clean),
    ]
    return Exported(files, notes)


def _why_no_commit(run: Run) -> str:
    subject = run.environment.subject
    if not COMMIT.fullmatch(str(subject.get("commit"))):
        return "knows no commit"
    return "had changes that were not committed" if subject.get("dirty") else ""


def _sheet(figure: Figure) -> _Sheet:
    environment = figure.run.environment
    harness = environment.harness
    words = (f"py{_python(environment)}", harness.get("scale"), harness.get("effort"))
    return _Sheet(
        commit=environment.subject["commit"],
        machine=file_word(figure.key.hardware),
        environment=file_word("-".join(str(word) for word in words if word)),
    )


def _documents(sheets: Mapping[_Sheet, Sequence[Figure]]) -> dict[str, Json]:
    if not sheets:
        return {}
    documents: dict[str, Json] = {"benchmarks.json": _benchmarks(sheets)}
    for sheet, found in sheets.items():
        machine = _machine(sheet, found[-1].run.environment)
        documents[f"{sheet.machine}/machine.json"] = {**machine, "version": 1}
        name = f"{sheet.machine}/{sheet.commit[:8]}-{sheet.environment}.json"
        documents[name] = _results(sheet, machine, found)
    return documents


def _benchmarks(sheets: Mapping[_Sheet, Sequence[Figure]]) -> dict[str, Json]:
    every = [figure for found in sheets.values() for figure in found]
    described = {
        name: {
            "name": name,
            "code": "",
            "type": "time" if group[0].unit in _TO_SECONDS else "track",
            "unit": "seconds" if group[0].unit in _TO_SECONDS else group[0].unit,
            "param_names": ["id"],
            "params": [_parameters(group)],
            "version": None,
        }
        for name, group in _by_name(every).items()
    }
    return {**described, "version": 2}


def _results(
    sheet: _Sheet, machine: Mapping[str, Json], found: Sequence[Figure]
) -> dict[str, Json]:
    run, environment = found[-1].run, found[-1].run.environment
    harness = environment.harness
    settings = {name: harness[name] for name in ("scale", "effort") if name in harness}
    return {
        "commit_hash": sheet.commit,
        "env_name": sheet.environment,
        "date": _milliseconds(run),
        "params": {**machine, "python": _python(environment), **settings},
        "python": _python(environment),
        "requirements": {},
        "env_vars": {},
        "result_columns": list(_COLUMNS),
        "results": {name: _result(group) for name, group in _by_name(found).items()},
        "durations": {},
        "version": 2,
    }


def _result(group: Sequence[Figure]) -> list[Json]:
    """The columns of one benchmark; of a parameter that was measured again the last figure."""
    last = {repr(_node(figure).parameters): figure for figure in group}
    values = [_value(last[parameter]) for parameter in _parameters(group)]
    return [values, [_parameters(group)], None, _milliseconds(group[-1].run), None]


def _value(figure: Figure) -> float | None:
    if figure.invalid or figure.metric.value is None:
        return None
    return figure.metric.value * _TO_SECONDS.get(figure.unit, 1.0)


def _by_name(found: Sequence[Figure]) -> dict[str, list[Figure]]:
    groups: dict[str, list[Figure]] = defaultdict(list)
    for figure in found:
        node = _node(figure)
        words = (node.dotted_scope, node.function, figure.key.metric)
        groups[".".join(filter(None, words))].append(figure)
    return groups


def _node(figure: Figure) -> NodeId:
    return split_node_id(figure.key.benchmark)


def _parameters(group: Sequence[Figure]) -> list[str]:
    return sorted({repr(_node(figure).parameters) for figure in group})


def _machine(sheet: _Sheet, environment: Environment) -> dict[str, str]:
    hw, sw = environment.hw, environment.sw
    facts = {
        "arch": hw.get("architecture"),
        "cpu": hw.get("cpu_model"),
        "machine": sheet.machine,
        "num_cpu": hw.get("cpu_usable"),
        "os": sw.get("kernel"),
        "ram": hw.get("memory_gib"),
    }
    return {name: "" if fact is None else str(fact) for name, fact in facts.items()}


def _python(environment: Environment) -> str:
    """Major and minor version."""
    return ".".join(str(environment.sw.get("python", "")).rpartition(" ")[2].split(".")[:2])


def _milliseconds(run: Run) -> int:
    """When the run started, since the epoch; a record does not know when its commit was made."""
    return int(moment(run.started_at).timestamp() * 1e3)
