"""The command ``aibench tables``: AIBench's tables of cost, variation and complexity, for our runs.

AIBench's own figures stand beside those of its components.
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from pytest_aibench.commands import add_store
from pytest_aibench.errors import UserError
from pytest_aibench.report.behaviour import (
    COMPARED,
    FEWEST_REPEATS,
    LARGEST_VARIATION,
    N_CLUSTERS,
    Behaviour,
    Place,
    Suite,
    Way,
    suite_of,
)
from pytest_aibench.units import TIME, format_quantity

if TYPE_CHECKING:
    from pytest_aibench.report.behaviour import Published, Stored
    from pytest_aibench.results.index import Index
    from pytest_aibench.results.schema import BenchmarkEntry, Metric, Run

_T = TypeVar("_T")
_Cell = Callable[[Behaviour], str]

_OF_TRAININGS = ("s_per_step", "time_to_quality_s")
"""Figures that only trainings have; records of the first schema lack one of them."""

_SOURCE = "AIBench: its report BenchCouncil-AIBench-2020-2, models at full size on a Titan RTX"
_NOTHING = "-"
_ONE_DIGIT = "{:.1f}".format
_WHOLE = "{:,.0f}".format
_WIDTH = 100
_WIDEST_NAME = 21
_HOUR_S = 3600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the options of ``aibench tables``."""
    add_store(parser)
    parser.add_argument(
        "--format",
        choices=("text", "markdown", "json"),
        default="text",
        help="default: %(default)s",
    )


def run(parsed: argparse.Namespace) -> int:
    """Print the tables of each class of hardware.

    Raises:
        UserError: The store holds no trainings.
    """
    from pytest_aibench.commands.store import open_index
    from pytest_aibench.results.locations import open_store

    store = open_store(parsed.store)
    with open_index(store) as index:
        suites = _suites(index)
        for why in index.skipped().values():
            print(f"left out: {why}", file=sys.stderr)
    if not suites:
        raise UserError(
            f"no trainings in {store.location}: run `pytest -m train --aibench-seeds=5`, "
            "or name the store with --store"
        )
    print(_json(suites) if parsed.format == "json" else _pages(suites, parsed.format))
    return 0


def _suites(index: Index) -> list[Suite]:
    """The trainings of each way, and of each task in it the one that stands for it."""
    from pytest_aibench.results.identity import benchmark_id

    found: dict[Way, dict[str, list[Stored]]] = defaultdict(lambda: defaultdict(list))
    for hardware, run, entry in _last_trainings(index):
        way = Way(
            hardware=hardware,
            scale=str(run.environment.harness.get("scale") or ""),
            precision=entry.training.precision if entry.training else entry.precision,
            processes=entry.training.processes if entry.training else 1,
            compiled=entry.training is not None and entry.training.compiled,
        )
        found[way][benchmark_id(entry)].append((run, entry))
    return [
        suite_of(way, [_representative(one) for one in found[way].values()])
        for way in sorted(found)
    ]


def _last_trainings(index: Index) -> Iterator[tuple[str, Run, BenchmarkEntry]]:
    """The hardware and the last valid training of each series, oldest first."""
    from pytest_aibench.results.identity import series_keys

    last = [
        (points[-1].run_id, key)
        for key in index.series()
        if key.metric in _OF_TRAININGS
        and (points := [point for point in index.points(key) if not point.invalid])
    ]
    read = cache(index.run)
    for run_id, key in sorted(last):
        run = read(run_id)
        entry, _ = series_keys(run)[key]
        if entry is not None:
            yield key.hardware, run, entry


def _representative(trainings: Sequence[Stored]) -> Stored:
    """The newest on several seeds that aims where the newest of all does, else that one."""
    *_, (_, newest) = trainings
    alike = [one for one in trainings if _aim(one[1]) == _aim(newest)]
    return max(alike, key=lambda one: (bool(one[1].other_seeds), one[0].run_id))


def _aim(entry: BenchmarkEntry) -> tuple[float | None, str]:
    """What the costs of two trainings must share to be of the same task."""
    return (
        entry.training.target if entry.training else None,
        entry.dataset.fingerprint if entry.dataset else "",
    )


@dataclass(frozen=True, slots=True)
class _Table:
    title: str
    headers: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]


def _by_task(
    title: str, suite: Suite, columns: Mapping[str, _Cell], notes: Iterable[str]
) -> _Table:
    rows = [
        [task.component or _NOTHING, task.name, *(cell(task) for cell in columns.values())]
        for task in suite.tasks
    ]
    return _Table(title, ("id", "task", *columns), rows, tuple(notes))


def _ours(figure: str, show: Callable[[float], str]) -> _Cell:
    return lambda task: _or_nothing(task.value(figure), show)


def _theirs(suite: Suite, columns: Mapping[str, Callable[[Published], str]]) -> dict[str, _Cell]:
    """AIBench's columns; none where it published nothing of these tasks."""
    if not any(task.component in suite.published for task in suite.tasks):
        return {}

    def cell(show: Callable[[Published], str]) -> _Cell:
        return lambda task: _or_nothing(suite.published.get(task.component), show)

    return {f"AIBench\n{header}": cell(show) for header, show in columns.items()}


def _costs(suite: Suite) -> _Table:
    here, _, published = suite.savings
    ours = {
        "epoch": _ours("s_per_epoch", _seconds),
        "epochs": _ours("epochs_to_quality", _ONE_DIGIT),
        "total": _ours("time_to_quality_s", _seconds),
        "share": _ours("time_to_quality_s", lambda cost_s: _percent(cost_s / here.all_s)),
    }
    theirs = _theirs(
        suite,
        {
            "epochs": lambda one: _or_nothing(one.epochs, _ONE_DIGIT),
            "total": lambda one: _or_nothing(one.seconds, _seconds),
            "share": lambda one: _or_nothing(
                one.seconds, lambda cost_s: _percent(cost_s / published.all_s)
            ),
        },
    )
    notes = [
        f"the totals add up to {_seconds(here.all_s)}",
        *_reasons(suite, "s_per_epoch", "epochs_to_quality", "time_to_quality_s"),
    ]
    if theirs:
        notes.append(f"{_SOURCE}; shares of the {_seconds(published.all_s)} of all its components")
    return _by_task("Cost of one training", suite, {**ours, **theirs}, notes)


def _variations(suite: Suite) -> _Table:
    ours: dict[str, _Cell] = {
        "seeds": lambda task: str(len(task.epochs)),
        "epochs": lambda task: _range(task.epochs),
        "CV": _ours("variation", _percent),
        "95 % interval": lambda task: _interval(task.figures["variation"]),
        "ddof=0": _ours("variation_population", _percent),
    }
    theirs = _theirs(
        suite,
        {
            "CV (n)": lambda one: _or_nothing(
                one.variation, lambda cv: f"{_percent(cv)} ({one.repeats})"
            )
        },
    )
    notes = [
        "CV: standard deviation of the epochs to quality, estimated for all seeds (ddof=1), as a "
        "share of their mean; ddof=0: that of these seeds",
        *_reasons(suite, "variation"),
    ]
    return _by_task("Variation from seed to seed", suite, {**ours, **theirs}, notes)


def _complexities(suite: Suite) -> _Table:
    columns = {
        "parameters": _ours("n_parameters", _WHOLE),
        "MACs per sample": _ours("macs_per_sample", _WHOLE),
        "epochs": _ours("epochs_to_quality", _ONE_DIGIT),
        "samples/s": _ours("throughput_samples_per_s", lambda rate: format_quantity(rate, "")),
    }
    notes = [
        "parameters: those that are learnt; MACs: multiply-accumulates of one answer, each is two "
        "FLOPs; samples/s: trained on, evaluation apart",
        *_reasons(suite, "n_parameters", "macs_per_sample", "throughput_samples_per_s"),
    ]
    return _by_task("Complexity", suite, columns, notes)


def _selection(suite: Suite) -> _Table:
    places = suite.clusters.places

    def placed(show: Callable[[Place], str]) -> _Cell:
        return lambda task: _or_nothing(places.get(task.name), show)

    ours: dict[str, _Cell] = {
        "cluster": placed(lambda place: str(place.cluster)),
        "t-SNE": placed(lambda place: f"{place.x:.0f}, {place.y:.0f}"),
        "CV": _ours("variation", _percent),
        "metric\naccepted": lambda task: _yes(task.is_accepted),
        "fits": lambda task: _yes(task.fits),
        "chosen": lambda task: _or_nothing(task.fits, lambda _: _yes(task.name in suite.chosen)),
    }
    theirs = _theirs(suite, {"chosen": lambda one: _yes(one.in_subset)})
    notes = [
        f"fits: CV below {_percent(LARGEST_VARIATION)} on {FEWEST_REPEATS} seeds or more, and a "
        "widely accepted metric; chosen: of each cluster the one that fits and varies least, of "
        "equals the cheapest",
        *_cluster_notes(suite),
    ]
    if few := [task.name for task in suite.tasks if len(task.epochs) < FEWEST_REPEATS]:
        notes.append(f"-: too few seeds, run with --aibench-seeds=5 ({_names(suite, few)})")
    return _by_task("Subset by AIBench's rule", suite, {**ours, **theirs}, notes)


def _cluster_notes(suite: Suite) -> Iterator[str]:
    clusters = suite.clusters
    if clusters.why_none:
        yield f"-: no clusters, {clusters.why_none}; all that fit are chosen"
        return
    compared = ", ".join(COMPARED[name] for name in clusters.compared)
    yield (
        f"clusters: K-means (k = {N_CLUSTERS}) and t-SNE (perplexity {clusters.perplexity:.1f}) on "
        f"{compared}, standardised; silhouette {clusters.silhouette:.2f} (1 is far apart, 0 "
        "touching); AIBench took five figures of the micro-architecture"
    )
    if left_out := [task.name for task in suite.tasks if task.name not in clusters.places]:
        yield f"-: no cluster, as a figure is missing ({_names(suite, left_out)})"


def _savings(suite: Suite) -> _Table:
    rows = [
        [
            one.choice,
            ", ".join(one.members) or _NOTHING,
            _or_nothing(one.cost_s, _seconds),
            _seconds(one.all_s),
            _or_nothing(one.share, _percent),
        ]
        for one in suite.savings
        if one.members or one is suite.savings[0]
    ]
    notes = [] if suite.chosen else ["-: no task is known to fit the rule"]
    if suite.published and suite.savings[1].share is None:
        notes.append("-: not all are trained: run `pytest benchmarks -m 'train and subset'`")
    return _Table("Saving", ("subset", "members", "costs", "of all", "saves"), rows, notes)


def _reasons(suite: Suite, *figures: str) -> Iterator[str]:
    """Why figures, or ends of their intervals, are not there; each reason once, with its tasks."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for task in suite.tasks:
        for figure in figures:
            if why := task.figures[figure].why_open:
                found[why][task.name] = None
    return (f"-: {why} ({_names(suite, names)})" for why, names in found.items())


def _names(suite: Suite, names: Collection[str]) -> str:
    return "all" if len(names) == len(suite.tasks) else ", ".join(names)


def _or_nothing(value: _T | None, show: Callable[[_T], str]) -> str:
    return _NOTHING if value is None else show(value)


def _seconds(value: float) -> str:
    return format_quantity(value, TIME) if value < _HOUR_S else f"{value / _HOUR_S:,.2f} h"


def _percent(share: float) -> str:
    return f"{float(f'{100 * share:.3g}'):g} %"


def _range(values: Collection[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _interval(figure: Metric) -> str:
    if figure.low is None:
        return _NOTHING
    high = "?" if figure.high is None else _percent(figure.high)
    return f"{_percent(figure.low)} to {high}"


def _yes(value: bool | None) -> str:
    return _or_nothing(value, lambda is_so: "yes" if is_so else "no")


def _json(suites: Sequence[Suite]) -> str:
    import json

    from pytest_aibench.results.schema import to_json

    return json.dumps(to_json(suites), indent=2, allow_nan=False)


def _pages(suites: Sequence[Suite], form: str) -> str:
    """All tables as text or Markdown, each with its title and its notes."""
    parts: list[str] = []
    for suite in suites:
        where = _way(suite)
        parts.append(f"## {where}" if form == "markdown" else where)
        parts += (f"run {run_id}, {origin}" for run_id, origin in sorted(suite.records.items()))
        for make in (_costs, _variations, _complexities, _selection, _savings):
            table = make(suite)
            parts += _markdown(table) if form == "markdown" else _text(table)
    return "\n\n".join(parts)


def _way(suite: Suite) -> str:
    together = f"{suite.processes} processes" if suite.processes > 1 else ""
    compiled = "compiled" if suite.compiled else ""
    words = (suite.hardware, suite.scale, suite.precision, together, compiled)
    return ", ".join(filter(None, words))


def _text(table: _Table) -> tuple[str, ...]:
    rows = [
        [first, "\n".join(textwrap.wrap(name, _WIDEST_NAME)), *cells]
        for first, name, *cells in table.rows
    ]
    notes = [
        textwrap.fill(note, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        for note in table.notes
    ]
    return table.title, "\n".join((_grid(table.headers, rows, "simple"), *notes))


def _markdown(table: _Table) -> tuple[str, ...]:
    headers = [header.replace("\n", " ") for header in table.headers]
    notes = "\n".join(f"- {re.sub('^-:', '`-`:', note)}" for note in table.notes)
    return tuple(filter(None, (f"### {table.title}", _grid(headers, table.rows, "github"), notes)))


def _grid(headers: Sequence[str], rows: Sequence[Sequence[str]], form: str) -> str:
    from tabulate import tabulate

    align = ["left", "left", *["right"] * (len(headers) - 2)]
    return tabulate(rows, headers, form, disable_numparse=True, colalign=align)
