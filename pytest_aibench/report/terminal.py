"""Tables and lines for the terminal, made from records and checks alone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence

from pytest_aibench.bounds import Check, Estimate, Verdict, format_estimate
from pytest_aibench.outcome import Outcome
from pytest_aibench.results.schema import BenchmarkEntry, CheckEntry
from pytest_aibench.units import RATIO, format_interval, format_quantity

CHECK_TABLE_WIDTH = 100

_NOTHING = "-"
_QUALITY_UNITS = {RATIO, "dB"}
_NARROWEST = 20
_MOST_NAMES = 3
_SEVERITY = {verdict.value: rank for rank, verdict in enumerate(Verdict)}


def summary_table(entries: Sequence[BenchmarkEntry], width: int) -> str:
    """One row per benchmark: quality against target, speed with its interval against its bound.

    Quality is the check of a share, a score or decibels, speed the one with another unit; of
    several the worst is shown.
    Beside the quality of a training stands that of the trivial answer, beside its speed how much
    its seeds vary and what else its times depend on.
    Where one line per benchmark is wider than ``width``, cells break into lines; the result is
    made for 80 columns and more.
    """
    names = short_names(entries)
    headers = ("benchmark", "device", "precision", "quality", "speed", "verdict")
    table = _table(
        [(name, *_cells(e, " ")) for name, e in zip(names, entries, strict=True)], headers
    )
    if _width(table) <= width:
        return table
    return _narrow_table(names, entries, width)


def _narrow_table(names: Sequence[str], entries: Sequence[BenchmarkEntry], width: int) -> str:
    """Device and precision stand below the name, figures above their bounds."""
    headers = ("quality", "speed", "verdict")
    cells = [_cells(entry, "\n") for entry in entries]
    name_width = max(width - _width(_table([row[2:] for row in cells], headers)) - 2, _NARROWEST)
    rows = []
    for name, (device, precision, *others) in zip(names, cells, strict=True):
        lines = _wrapped(name, name_width)
        place = " ".join(word for word in (device, precision) if word != _NOTHING)
        rows.append(("\n".join([*lines, place]), *others))
    return _table(rows, ("benchmark", *headers))


def _wrapped(name: str, width: int) -> Iterator[str]:
    """Break at spaces and hyphens, and inside a longer word at underscores if it has any."""
    for line in textwrap.wrap(name, width, break_long_words=False):
        words = line if len(line) <= width else line.replace("_", "_ ")
        yield from (part.replace("_ ", "_") for part in textwrap.wrap(words, width))


def not_judged_lines(entries: Sequence[BenchmarkEntry]) -> list[str]:
    """Bounds that were asked for but do not apply: one line per reason, with its benchmarks."""
    return _grouped(
        entries, lambda entry: [f"{one.name} not judged: {one.reason}" for one in entry.not_judged]
    )


def note_lines(entries: Sequence[BenchmarkEntry]) -> list[str]:
    """What was asked for and had no effect on loads: one line per note, with its benchmarks."""
    return _grouped(
        entries, lambda entry: entry.load.settings.get("notes", ()) if entry.load else ()
    )


def problem_lines(entries: Sequence[BenchmarkEntry]) -> list[str]:
    """Why benchmarks are invalid, interrupted or inconclusive, and what would decide them."""
    pairs = zip(short_names(entries), entries, strict=True)
    return [f"{name} {text}" for name, entry in pairs for text in _problems(entry)]


def check_table(checks: Sequence[Check]) -> str:
    """One row per check with numbers, units and bounds, and the reasons below; 100 columns."""
    headers = ("check", "value", "interval", "bound", "margin", "verdict")
    lines = [_table([_check_row(check) for check in checks], headers)]
    for check in checks:
        if check.reason:
            text = f"{check.name}: {check.reason}"
            lines += textwrap.wrap(text, CHECK_TABLE_WIDTH, subsequent_indent="  ")
    return "\n".join(lines)


def short_names(entries: Sequence[BenchmarkEntry]) -> list[str]:
    """What tells benchmarks apart, device and precision aside, because they have columns.

    That is the test's parameters; its name where there are several tests, and its file where
    names are not enough.
    """
    tests = [entry.id.partition("[")[0] for entry in entries]
    functions = [test.rpartition("::")[2] for test in tests]
    if len(set(functions)) == len(set(tests)):
        tests = functions
    several = len(set(tests)) > 1
    return [_name(test, entry, several) for test, entry in zip(tests, entries, strict=True)]


def _grouped(
    entries: Sequence[BenchmarkEntry], texts: Callable[[BenchmarkEntry], Iterable[str]]
) -> list[str]:
    """Each text once, followed by the benchmarks that it is about."""
    concerned: dict[str, list[str]] = {}
    for name, entry in zip(short_names(entries), entries, strict=True):
        for text in texts(entry):
            concerned.setdefault(text, []).append(name)
    return [f"{text} ({_enumerate(benchmarks)})" for text, benchmarks in concerned.items()]


def _name(test: str, entry: BenchmarkEntry, several: bool) -> str:
    shown = (entry.device.id if entry.device else "", entry.precision)
    parameters = entry.id.partition("[")[2].removesuffix("]").split("-")
    rest = "-".join(parameter for parameter in parameters if parameter not in shown)
    if not rest:
        return test
    return f"{test.removeprefix('test_')} {rest}" if several else rest


def _cells(entry: BenchmarkEntry, gap: str) -> list[str]:
    quality = _worst(check for check in entry.checks if check.unit in _QUALITY_UNITS)
    speed = _worst(check for check in entry.checks if check.unit not in _QUALITY_UNITS)
    return [
        entry.device.id if entry.device else _NOTHING,
        entry.precision or _NOTHING,
        gap.join((_figure(quality), quality.bound, *_trivial(entry, quality)))
        if quality
        else _NOTHING,
        gap.join((*_speed(speed), *_seeds(entry), *_circumstances(entry))) or _NOTHING,
        entry.verdict,
    ]


def _speed(speed: CheckEntry | None) -> list[str]:
    return [] if speed is None else [_figure(speed), *_interval(speed), speed.bound]


def _worst(checks: Iterable[CheckEntry]) -> CheckEntry | None:
    return max(checks, key=lambda check: _SEVERITY.get(check.verdict, -1), default=None)


def _figure(check: CheckEntry) -> str:
    return f"{check.name} {_value(check)}"


def _value(figure: CheckEntry | Estimate) -> str:
    return "not measured" if figure.value is None else format_quantity(figure.value, figure.unit)


def _interval(figure: CheckEntry | Estimate) -> list[str]:
    if figure.value is None or (figure.low is None and figure.high is None):
        return []
    return [format_interval(figure.low, figure.high, figure.value, figure.unit)]


def _trivial(entry: BenchmarkEntry, quality: CheckEntry) -> list[str]:
    """What the trivial answer is worth in a training."""
    baseline = entry.training and entry.training.baseline
    if not baseline or baseline.metric != quality.name or baseline.value is None:
        return []
    return [f"(trivial {format_quantity(baseline.value, quality.unit)})"]


def _seeds(entry: BenchmarkEntry) -> list[str]:
    """On how many seeds a training ran, and how its epochs vary, or how many missed the target."""
    if entry.training is None or not entry.other_seeds:
        return []
    trainings = [entry.training, *entry.other_seeds]
    missed, cv = sum(not one.reached_target for one in trainings), entry.metrics.get("variation")
    if cv is None or cv.value is None:
        return [f"({len(trainings)} seeds, {missed} missed the target)"]
    percent = float(f"{100 * cv.value:.2g}")
    return [f"({len(trainings)} seeds, CV {percent:g} %)"]


def _circumstances(entry: BenchmarkEntry) -> Iterator[str]:
    """What sets a training apart from one that a single process runs as torch does, in one go."""
    training, factor = entry.training, entry.metrics.get("convergence_factor")
    if training is None:
        return
    if training.processes > 1:
        yield f"({training.processes} processes)"
    if training.compiled:
        yield "(compiled)"
    if any(one.resumed_after for one in (training, *entry.other_seeds)):
        yield "(resumed)"
    if factor is not None and factor.value is not None:
        yield f"(convergence factor {factor.value:.4g})"


def _check_row(check: Check) -> list[str]:
    figure, bound = check.estimate, str(check.bound)
    if check.bound.reference and check.limit is not None:
        bound += f"\n= {format_quantity(check.limit, figure.unit)}"
    interval = "".join(_interval(figure)) or _NOTHING
    margin = _NOTHING if check.margin is None else f"{100 * check.margin:+.1f} %"
    return [check.name, _value(figure), interval, bound, margin, check.verdict.value]


def _problems(entry: BenchmarkEntry) -> Iterator[str]:
    if entry.verdict == "interrupted":
        yield "interrupted: it was not judged, and the record only marks it"
    for violation in entry.violations:
        yield f"invalid: {violation.rule}: {violation.evidence}"
    for check in entry.checks:
        if check.verdict == Verdict.INCONCLUSIVE.value:
            yield f"inconclusive: {check.name} {check.bound}: {check.reason}"


def _enumerate(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _table(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, "simple", disable_numparse=True)


def _width(table: str) -> int:
    return max(map(len, table.splitlines()))


def outcome_text(outcome: Outcome) -> str:
    """All checks in one table, then broken rules, then what was not judged and why."""
    lines = [_headline(outcome), check_table(outcome.checks)]
    lines += [f"invalid: {broken.rule}: {broken.evidence}" for broken in outcome.violations]
    lines += [f"{name} not judged: {reason}" for name, reason in outcome.not_judged]
    return "\n".join(lines)


def _headline(outcome: Outcome) -> str:
    """The verdict and what decided it: pytest's short summary shows only this line."""
    decisive = [
        f"{check.name} {format_estimate(check.estimate)}, required {check.bound}"
        for check in outcome.checks
        if check.verdict is outcome.verdict
    ]
    broken = [violation.rule for violation in outcome.violations]
    return f"{outcome.verdict.value}: {'; '.join(broken or decisive)}"
