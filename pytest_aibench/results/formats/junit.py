"""Export to JUnit XML: a test case for each benchmark, its figures and verdict as properties."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from xml.etree import ElementTree

from pytest_aibench.results.formats import Exported, split_node_id, unmeasured
from pytest_aibench.results.identity import hardware_class
from pytest_aibench.results.schema import BenchmarkEntry, CheckEntry, Json, Metric, Run
from pytest_aibench.units import format_quantity

_OUTCOMES = {"failed": "failure", "invalid": "error", "interrupted": "error"}
_UNDECIDED = {"fail": "failure", "skip": "skipped"}
_COUNTS = {"failures": "failure", "errors": "error", "skipped": "skipped"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def export(runs: Sequence[Run]) -> Exported:
    """A test suite for each run, in one file."""
    root = ElementTree.Element("testsuites")
    root.extend(_suite(run) for run in runs)
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    header = '<?xml version="1.0" encoding="utf-8"?>\n'
    return Exported({"aibench-junit.xml": f"{header}{text}\n"}, unmeasured(runs))


def _suite(run: Run) -> ElementTree.Element:
    cases = [_case(run, entry) for entry in run.benchmarks]
    counts = {name: sum(c.find(tag) is not None for c in cases) for name, tag in _COUNTS.items()}
    environment = run.environment
    suite = _element(
        "testsuite",
        name=f"aibench {run.run_id}",
        tests=len(cases),
        **counts,
        time=sum(map(_duration_s, run.benchmarks)),
        timestamp=run.started_at,
        hostname=environment.unit.get("hostname", ""),
    )
    groups = {"hw": environment.hw, "sw": environment.sw, "subject": environment.subject}
    facts = {f"{group}.{name}": fact for group in groups for name, fact in groups[group].items()}
    suite.append(_properties({**facts, **_figures(run.canaries, "canary.")}))
    suite.extend(cases)
    return suite


def _case(run: Run, entry: BenchmarkEntry) -> ElementTree.Element:
    node = split_node_id(entry.id)
    case = _element(
        "testcase", classname=node.dotted_scope, name=node.name, time=_duration_s(entry)
    )
    facts = {
        "verdict": entry.verdict,
        "kind": entry.kind,
        "precision": entry.precision,
        "hardware": hardware_class(run.environment, entry.device),
    }
    case.append(_properties({**facts, **_figures(entry.metrics)}))
    tag = _outcome(run, entry)
    if tag is not None:
        reasons = list(_reasons(entry))
        element = _element(tag, message=reasons[0] if reasons else entry.verdict)
        element.text = _xml_text("\n".join(reasons))
        case.append(element)
    return case


def _outcome(run: Run, entry: BenchmarkEntry) -> str | None:
    """The element that tells a verdict; none for a test that passed."""
    if entry.verdict == "inconclusive":
        return _UNDECIDED.get(run.environment.harness.get("inconclusive", "fail"))
    return _OUTCOMES.get(entry.verdict)


def _reasons(entry: BenchmarkEntry) -> Iterator[str]:
    for violation in entry.violations:
        yield f"{violation.rule}: {violation.evidence}"
    for check in entry.checks:
        if check.verdict != "passed":
            yield _check_text(check)


def _check_text(check: CheckEntry) -> str:
    value = "" if check.value is None else f" {format_quantity(check.value, check.unit)}"
    reason = f" ({check.reason})" if check.reason else ""
    return f"{check.name}{value}, bound {check.bound}: {check.verdict}{reason}"


def _figures(metrics: Mapping[str, Metric], before: str = "") -> dict[str, Json]:
    """``p99_ms``, ``p99_ms.low`` and ``p99_ms.high``, as far as they are known."""
    values = {
        f"{before}{name}{end}": value
        for name, metric in metrics.items()
        for end, value in {"": metric.value, ".low": metric.low, ".high": metric.high}.items()
    }
    return {name: value for name, value in values.items() if value is not None}


def _duration_s(entry: BenchmarkEntry) -> float:
    ran = [entry.load or entry.training, *entry.other_seeds]
    return sum(one.duration_s or 0.0 for one in ran if one is not None)


def _properties(facts: Mapping[str, Json]) -> ElementTree.Element:
    element = ElementTree.Element("properties")
    element.extend(_element("property", name=name, value=fact) for name, fact in facts.items())
    return element


def _element(tag: str, **attributes: Json) -> ElementTree.Element:
    return ElementTree.Element(
        tag, {name: _xml_text(str(value)) for name, value in attributes.items()}
    )


def _xml_text(text: str) -> str:
    """The text without what XML 1.0 forbids (section 2.2), each such character as ``?``."""
    return _NOT_XML.sub("?", text)
