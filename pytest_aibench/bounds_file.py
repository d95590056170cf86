"""Bounds that were calibrated on one class of hardware, in a file beside the tests they are for.

Benchmarks look theirs up while they run. What a calibrating session measured becomes bounds when
it ends, in the process that sees all of it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from pytest_aibench.bounds import (
    Bound,
    Estimate,
    Verdict,
    at_least,
    at_most,
    figure_with_unit,
)
from pytest_aibench.errors import UserError
from pytest_aibench.outcome import CALIBRATING, Outcome, Required
from pytest_aibench.results.schema import Json, from_json, to_json
from pytest_aibench.units import TIME, format_quantity

SCHEMA = "aibench.bounds/1"

ALPHA = 0.001
"""Highest chance that one more unchanged run misses a bound, before the practical floor."""

_SENSES = {"≤": at_most, "≥": at_least}
_RECALIBRATE = "delete it and run with --aibench-calibrate"


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedBound:
    """One line of the file.

    Attributes:
        limit: Sense, number and unit, like ``≤ 12.3 ms``.
        runs: Runs that it was learnt from.
        spread: Standard deviation between them as a share of the figure, of a score in its unit.
        date: Day of the calibration (UTC).
        effort: Effort at which it holds.
        scale: Scale at which it holds.
        versions: Versions that matter, like those of driver and torch.
    """

    limit: str
    runs: int
    spread: float
    date: str
    effort: str
    scale: str
    versions: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundsFile:
    """Bounds of one class of hardware, by benchmark and figure."""

    schema: str
    hardware: str
    bounds: dict[str, dict[str, CalibratedBound]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkBounds:
    """Where the calibrated bounds of one benchmark are found, and which of them hold.

    Attributes:
        root: The project, from which the file is named.
        folder: Where the bounds files of the test are.
        hardware: Class of the hardware.
        benchmark: The benchmark's id on all devices of a kind.
        effort: Effort of this session.
        scale: Scale of this session.
        calibrating: Learn bounds instead of looking them up.
    """

    root: Path
    folder: Path
    hardware: str
    benchmark: str
    effort: str
    scale: str
    calibrating: bool

    @property
    def path(self) -> Path:
        """The bounds file."""
        return self.folder / f"{self.hardware}.json"

    def look_up(self, bounds: Mapping[str, Bound]) -> Required:
        """The bounds, those `from_bounds` with the limits of the file.

        Raises:
            UserError: The file cannot be used.
        """
        found: dict[str, Bound] = {}
        missing: dict[str, str] = {}
        known = read_bounds(self.path, self.hardware).bounds.get(self.benchmark, {})
        for name, bound in bounds.items():
            answer = self._find(name, known.get(name)) if bound.calibrated else bound
            if isinstance(answer, Bound):
                found[name] = answer
            else:
                missing[name] = answer
        return Required(found, missing)

    def _find(self, name: str, known: CalibratedBound | None) -> Bound | str:
        """The bound, or why there is none."""
        if self.calibrating:
            return CALIBRATING
        if known is None:
            return f"no calibrated bound for {self.hardware}: run with --aibench-calibrate"
        if (known.effort, known.scale) != (self.effort, self.scale):
            return (
                f"its bound is for effort {known.effort} at scale {known.scale}, this is "
                f"{self.effort} at {self.scale}: run with --aibench-calibrate"
            )
        return self._bound(name, known)

    def _bound(self, name: str, known: CalibratedBound) -> Bound:
        sense, _, limit = known.limit.partition(" ")
        try:
            bound = _SENSES[sense](limit)
        except (KeyError, UserError) as error:
            raise UserError(
                f"{self.path}: {name} of {self.benchmark} has the limit {known.limit!r}: "
                "write it like '≤ 15 ms' or '≥ 50 samples/s'"
            ) from error
        origin = f"from {_shown(self.path, self.root)} ({known.runs} runs, {known.date})"
        return replace(bound, calibrated=True, origin=origin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What the runs of a calibration showed of one figure; plain values, as reports carry them.

    Attributes:
        path: The bounds file.
        hardware: Its class of hardware.
        benchmark: The benchmark's id in the file.
        figure: The figure's name.
        unit: Its base unit.
        better: ``higher`` or ``lower``.
        n: Observations behind the figure of one run.
        values: What a bound judges, run by run: the figure, or the worse end of its interval.
        problem: Why it teaches no bound; empty when it does.
    """

    path: str
    hardware: str
    benchmark: str
    figure: str
    unit: str
    better: str
    n: int
    values: list[float]
    problem: str

    @property
    def metric(self) -> str:
        """The figure's name with its unit, which says what kind it is."""
        return figure_with_unit(self.figure, self.unit)


def read_bounds(path: Path, hardware: str) -> BoundsFile:
    """The bounds in a file; none where there is no file.

    Raises:
        UserError: It cannot be read, is damaged, of another schema or for other hardware.
    """
    try:
        document = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except FileNotFoundError:
        return BoundsFile(schema=SCHEMA, hardware=hardware, bounds={})
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot read {path}: {reason}: make it readable, or delete it") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not strict JSON ({error}): {_RECALIBRATE}") from error
    return _checked(path, document, hardware)


def write_bounds(path: Path, file: BoundsFile) -> None:
    """Write a bounds file whole or not at all: sorted, a line for each bound.

    Raises:
        UserError: The file system refuses.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(exist_ok=True)
        temporary.write_text(_text(file), encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"cannot write {path}: {reason}: make its folder writable") from error


def learn_figures(where: BenchmarkBounds, runs: int, outcomes: Sequence[Outcome]) -> list[Learnt]:
    """What a benchmark showed of the figures whose bounds are to be learnt.

    Args:
        where: Where its bounds are kept.
        runs: How often it was to run.
        outcomes: What became of each run.
    """
    estimates: dict[str, list[Estimate]] = {}
    for outcome in outcomes:
        for name, estimate in outcome.uncalibrated.items():
            estimates.setdefault(name, []).append(estimate)
    broken = [one.verdict for one in outcomes if one.verdict in (Verdict.FAILED, Verdict.INVALID)]
    problem = f"one of its runs was {broken[0].value}" if broken else ""
    return [_learnt(where, name, runs, seen, problem) for name, seen in estimates.items()]


def _learnt(
    where: BenchmarkBounds, name: str, runs: int, seen: Sequence[Estimate], problem: str
) -> Learnt:
    better = _better(name, seen[0].unit)
    judged = [_judged(estimate, better) for estimate in seen]
    values = [float(value) for value in judged if value is not None]
    if len(seen) != runs:
        problem = problem or f"{runs} runs measured it {len(seen)} times, not once each"
    elif len(values) < runs:
        why = next(one.why_open for one, end in zip(seen, judged, strict=True) if end is None)
        problem = problem or f"not measured: {why}"
    elif min(values) <= 0:
        problem = problem or f"one of its runs gave {min(values):g}"
    return Learnt(
        path=str(where.path),
        hardware=where.hardware,
        benchmark=where.benchmark,
        figure=name,
        unit=seen[0].unit,
        better=better,
        n=seen[0].n,
        values=values,
        problem=problem,
    )


def _better(name: str, unit: str) -> str:
    from pytest_aibench.quality.metrics import metric, metric_names

    if name in metric_names():
        return metric(name).better
    is_cost = unit == TIME or "_to_quality" in name or name.startswith("variation")
    return "lower" if is_cost else "higher"


def _judged(estimate: Estimate, better: str) -> float | None:
    """What must satisfy a bound: the value, or the end of the interval that is worse."""
    if estimate.by_value or estimate.value is None:
        return estimate.value
    return estimate.high if better == "lower" else estimate.low


def write_learnt(
    learnt: Sequence[Learnt],
    *,
    root: Path,
    effort: str,
    scale: str,
    date: str,
    versions: dict[str, str],
) -> list[str]:
    """Turn what was learnt into bounds, write them, and say so.

    Of each file only the benchmarks that ran are replaced; a figure that taught no bound keeps the
    one it had.

    Args:
        learnt: Figures of all benchmarks that ran.
        root: The project, from which files are named.
        effort: Effort of the session.
        scale: Scale of the session.
        date: Day of the session.
        versions: Versions that matter.
    """
    if not learnt:
        return ["no bound to calibrate: no benchmark that ran requires a figure=from_bounds()"]
    template = CalibratedBound(
        limit="", runs=0, spread=0.0, date=date, effort=effort, scale=scale, versions=versions
    )
    lines: list[str] = []
    for path, of_file in groupby(sorted(learnt, key=_place), lambda one: one.path):
        figures = list(of_file)
        try:
            lines += _update(Path(path), figures, template, root)
        except UserError as error:
            lines.append(str(error))
    return lines


def _update(
    path: Path, learnt: Sequence[Learnt], template: CalibratedBound, root: Path
) -> Iterator[str]:
    file = read_bounds(path, learnt[0].hardware)
    new = limits([one for one in learnt if not one.problem], template)
    merged = {**file.bounds}
    for benchmark, figures in groupby(learnt, lambda one: one.benchmark):
        old = file.bounds.get(benchmark, {})
        kept = {
            one.figure: new.get((benchmark, one.figure), old.get(one.figure)) for one in figures
        }
        merged[benchmark] = {name: bound for name, bound in kept.items() if bound is not None}
    if new:
        write_bounds(path, replace(file, bounds={id_: of for id_, of in merged.items() if of}))
        yield f"bounds written: {_shown(path, root)}"
    for one in learnt:
        known = file.bounds.get(one.benchmark, {}).get(one.figure)
        yield _line(one, new.get((one.benchmark, one.figure)), known)


def limits(
    learnt: Sequence[Learnt], template: CalibratedBound
) -> dict[tuple[str, str], CalibratedBound]:
    """Bounds by benchmark and figure, which one more unchanged run misses rarely.

    A limit is the one-sided prediction bound of a new run at the confidence 1 - `ALPHA`
    (mean + t s sqrt(1 + 1/n); Hahn & Meeker, Statistical Intervals, section 4.8), and beyond it the
    smallest change that a comparison would call one, so that equal runs leave room too. Timings
    and rates are taken as logarithms. Benchmarks of one metric moderate each other's spread.
    """
    bounds: dict[tuple[str, str], CalibratedBound] = {}
    for _, group in groupby(sorted(learnt, key=_kind), _kind):
        alike = list(group)
        for one, limit, spread in zip(alike, *_limits_and_spreads(alike), strict=True):
            sense = "≥" if one.better == "higher" else "≤"
            bounds[one.benchmark, one.figure] = replace(
                template,
                limit=f"{sense} {format_quantity(limit, one.unit)}",
                runs=len(one.values),
                spread=float(f"{spread:.3g}"),
            )
    return bounds


def _limits_and_spreads(alike: Sequence[Learnt]) -> tuple[list[float], list[float]]:
    """The limit of each figure of one metric, and the spread behind it."""
    import numpy as np
    from scipy.special import stdtrit

    from pytest_aibench.regression.comparison import Evidence, from_scale, on_scale
    from pytest_aibench.regression.spread import as_rows, learn

    metric, better = alike[0].metric, alike[0].better
    evidence = [
        Evidence(
            name=one.benchmark,
            metric=metric,
            better=better,
            baseline=tuple(one.values),
            candidate=(),
            n=one.n,
        )
        for one in alike
    ]
    sign, absolute = evidence[0].sign, evidence[0].kind.absolute
    rows = sign * as_rows(
        [one.values if absolute else list(map(math.log, one.values)) for one in alike]
    )
    learnt = learn(rows, np.empty((len(rows), 0)), ALPHA)
    reach = stdtrit(learnt.df, 1 - ALPHA) * learnt.sd * np.sqrt(1 + 1 / learnt.runs)
    floors = [on_scale(metric, one.smallest_change) for one in evidence]
    worst = sign * (learnt.mean + reach + floors)
    limits = worst if absolute else np.exp(worst)
    return limits.tolist(), [from_scale(metric, sd) for sd in learnt.sd.tolist()]


def _line(one: Learnt, new: CalibratedBound | None, old: CalibratedBound | None) -> str:
    what = f"  {one.benchmark} {one.figure}"
    before = "no bound before" if old is None else f"before {old.limit}"
    if new is None:
        return f"{what}: no bound learnt: {one.problem}; {before}"
    return f"{what} {new.limit}, {before}; {new.runs} runs, spread {new.spread:g}"


def _place(one: Learnt) -> tuple[str, str, str]:
    return one.path, one.benchmark, one.figure


def _kind(one: Learnt) -> tuple[str, str]:
    return one.metric, one.better


def _checked(path: Path, document: Json, hardware: str) -> BoundsFile:
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise UserError(
            f"{path} has the schema {schema!r}, and this version reads {SCHEMA!r}: {_RECALIBRATE}"
        )
    try:
        file: BoundsFile = from_json(BoundsFile, document, "it")
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): {_RECALIBRATE}") from error
    if file.hardware != hardware:
        raise UserError(
            f"{path} is for {file.hardware}: name it after that, or write {hardware} into it "
            "if its bounds hold there too"
        )
    return file


def _text(file: BoundsFile) -> str:
    benchmarks = [
        f"    {_json(benchmark)}: {{\n{_bound_lines(bounds)}\n    }}"
        for benchmark, bounds in sorted(file.bounds.items())
    ]
    header = f'  "schema": {_json(file.schema)},\n  "hardware": {_json(file.hardware)},'
    body = ",\n".join(benchmarks)
    return f'{{\n{header}\n  "bounds": {{\n{body}\n  }}\n}}\n'


def _bound_lines(bounds: Mapping[str, CalibratedBound]) -> str:
    return ",\n".join(
        f"      {_json(name)}: {_json(to_json(bound))}" for name, bound in sorted(bounds.items())
    )


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True)


def _shown(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"it holds {name}")
