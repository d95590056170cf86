"""What a comparison found, for the terminal and as Markdown for a pull request."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from pytest_aibench.regression.comparison import Change, Comparison, change_text
from pytest_aibench.regression.gate import Gated, GateReport
from pytest_aibench.results.identity import SeriesKey

MARKER = "<!-- pytest-aibench -->"
"""First line of the Markdown, by which a comment on a pull request is found again."""

_HEADERS = ("benchmark", "metric", "before", "now", "change", "verdict")
_ORDER = (
    Change.REGRESSED,
    Change.INVALID,
    Change.CONFOUNDED,
    Change.INCONCLUSIVE,
    Change.IMPROVED,
    Change.NOT_WORSE,
)
_SIGNS = {Change.REGRESSED: "❌", Change.IMPROVED: "✅", Change.NOT_WORSE: "✅"}
_MOST_ROWS = 30
_MOST_NAMES = 3
_NOTHING = "-"


def gate_lines(
    report: GateReport, width: int, vary_option: str = "--aibench-vary"
) -> Iterator[str]:
    """The report for a terminal: what moved everything, a table, reasons, and what to do.

    Args:
        report: The report.
        width: Of the terminal.
        vary_option: What the option is called where the report is made.
    """
    yield headline(report)
    yield from _common_lines(report)
    if report.rows:
        yield _table(_shown(report), "simple", max(20, width - 75))
    for reason in _reasons(report):
        yield from textwrap.wrap(reason, width, subsequent_indent="  ", break_on_hyphens=False)
    yield from _hints(report, vary_option)


def gate_markdown(report: GateReport) -> str:
    """The report for a step summary or a comment, the rows without news folded away."""
    news = [row for row in _shown(report) if row.comparison.change is not Change.NOT_WORSE]
    calm = [row for row in _shown(report) if row.comparison.change is Change.NOT_WORSE]
    parts = [MARKER, f"### AI benchmarks: {headline(report)}", *_common_lines(report)]
    parts += [_table(news, "github")] if news else []
    parts += ["\n".join(f"- {reason}" for reason in _reasons(report))] if news else []
    if calm:
        folded = _table(calm, "github")
        parts.append(f"<details><summary>{len(calm)} not worse</summary>\n\n{folded}\n\n</details>")
    parts += [f"`{hint}`" for hint in accept_lines(report.having(Change.REGRESSED))]
    return "\n\n".join(parts) + "\n"


def headline(report: GateReport) -> str:
    """``1 regressed, 7 not worse; compared with main at 1a2b3c4``."""
    counts = Counter(row.comparison.change for row in report.rows)
    parts = [f"{counts[change]} {change.value}" for change in _ORDER if counts[change]]
    return f"{', '.join(parts) or 'nothing to compare'}; compared with {report.source}"


def change_lines(rows: Sequence[Gated]) -> Iterator[str]:
    """A table of some figures and their reasons, for a failure."""
    yield _table(rows, "simple")
    yield from (f"{row.key.metric}: {row.comparison.reason}" for row in rows)


def _common_lines(report: GateReport) -> Iterator[str]:
    for shift in report.suite.shifts:
        if shift.effect is not None and not _is_of_canaries(shift):
            where = f"all timings on {shift.evidence.hardware}"
            yield f"{where} moved together: {_moved(shift)}; the changes below are without that"
    for canary in report.suite.canaries:
        if canary.change is Change.REGRESSED:
            yield f"the machine itself was slower: {canary.evidence.metric} {canary.text}"
    yield from report.notes


def _is_of_canaries(shift: Comparison) -> bool:
    return shift.evidence.name.endswith("canaries")


def _moved(comparison: Comparison) -> str:
    verdict = "slower" if comparison.change is Change.REGRESSED else comparison.change.value
    return f"{comparison.text}, {verdict}"


def _shown(report: GateReport) -> list[Gated]:
    return sorted(report.rows, key=lambda row: _ORDER.index(row.comparison.change))[:_MOST_ROWS]


def _table(rows: Sequence[Gated], form: str, name_width: int | None = None) -> str:
    from tabulate import tabulate

    cells = [_cells(row, form == "github") for row in rows]
    if name_width:
        cells = [("\n".join(textwrap.wrap(first, name_width)), *rest) for first, *rest in cells]
    return tabulate(cells, _HEADERS, form, disable_numparse=True)


def _cells(row: Gated, markdown: bool) -> tuple[str, ...]:
    comparison = row.comparison
    verdict = comparison.change.value
    name = _short(row.key)
    if markdown:
        verdict = f"{_SIGNS.get(comparison.change, '⚠️')} {verdict}"
        name = f"`{name}`"
    return (
        name,
        row.key.metric,
        _figure(comparison.evidence.baseline),
        _figure((*comparison.evidence.candidate, *comparison.evidence.again)),
        comparison.text,
        verdict,
    )


def _figure(values: Sequence[float]) -> str:
    """The middle of the values, and of how many."""
    if not values:
        return _NOTHING
    return f"{median(values):.4g}" + (f" ({len(values)} runs)" if len(values) > 1 else "")


def _reasons(report: GateReport) -> Iterator[str]:
    """One line per reason, with the figures that share it."""
    metrics: dict[str, dict[str, list[str]]] = {}
    for row in _shown(report):
        if row.comparison.change is not Change.NOT_WORSE or row.comparison.accepted:
            by_name = metrics.setdefault(_reason(row), {})
            by_name.setdefault(_short(row.key), []).append(row.key.metric)
    for reason, by_name in metrics.items():
        names = [f"{name} {', '.join(of_it)}" for name, of_it in by_name.items()]
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        yield f"{'; '.join(names[:_MOST_NAMES])}{more}: {reason}"


def _short(key: SeriesKey) -> str:
    return key.benchmark.rpartition("::")[2]


def _reason(row: Gated) -> str:
    comparison = row.comparison
    reason = comparison.reason
    if comparison.detectable is not None and comparison.change is Change.INCONCLUSIVE:
        reason += f"; the smallest change that so many runs detect is {_smallest(comparison)}"
    if row.baseline.left_out and not row.baseline.points:
        left_out = (f"{number} {why}" for why, number in row.baseline.left_out.items())
        reason += f" (earlier runs left out: {', '.join(left_out)})"
    return reason


def _smallest(comparison: Comparison) -> str:
    """The smallest worsening that is detected; of a throughput it is one downwards."""
    evidence, change = comparison.evidence, comparison.detectable or 0.0
    if evidence.better == "higher":
        change = -change if evidence.kind.absolute else 1 / (1 + change) - 1
    return change_text(evidence.metric, change)


def accept_lines(worse: Sequence[Gated]) -> Iterator[str]:
    """The commands that accept these figures as they are."""
    for row in worse[:_MOST_NAMES]:
        name = f"'{row.key.benchmark}' --metric {row.key.metric}"
        yield f"if this is intended: aibench accept {name} --reason '…'"


def _hints(report: GateReport, vary_option: str) -> Iterator[str]:
    """The commands that help."""
    yield from accept_lines(report.having(Change.REGRESSED))
    confounded = report.having(Change.CONFOUNDED)
    if confounded:
        names = ",".join(confounded[0].baseline.confounded)
        yield f"if the change of {names} is what you test: {vary_option} {names}"
