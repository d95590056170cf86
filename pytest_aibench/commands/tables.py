"""The command ``aibench tables``: AIBench's tables of cost, variation and complexity, for our runs.

They follow the technical report BenchCouncil-AIBench-2020-2 (sections 5.3 and 5.4), whose own
figures stand beside ours where the suite is at hand.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import textwrap
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from pytest_aibench.commands import add_store
from pytest_aibench.errors import UserError
from pytest_aibench.units import TIME, format_quantity

if TYPE_CHECKING:
    from benchmarks.published import Published
    from pytest_aibench.results.index import Index
    from pytest_aibench.results.schema import BenchmarkEntry, Json, Metric, Run

    _Stored = tuple[Run, BenchmarkEntry]
    _Cell = Callable[["Behaviour"], str]
    _Way = tuple[str, str, str, int]

_T = TypeVar("_T")

LARGEST_VARIATION = 0.02
"""Run-to-run variation from which on a task cannot stand for others (section 5.4)."""

FEWEST_REPEATS = 4
"""AIBench measured every variation on as many trainings at least."""

N_CLUSTERS = 3
FEWEST_TASKS = 2 * N_CLUSTERS
"""Of fewer, most clusters would be single tasks."""

_OF_TRAININGS = ("s_per_step", "time_to_quality_s")
"""Figures that only trainings have; records of the first schema lack one of them."""

_FIGURES = (
    *("s_per_epoch", "epochs_to_quality", "time_to_quality_s"),
    *("variation", "variation_population"),
    *("n_parameters", "macs_per_sample", "throughput_samples_per_s"),
)
_COMPARED = {
    "n_parameters": "log parameters",
    "macs_per_sample": "log MACs per sample",
    "throughput_samples_per_s": "log samples/s",
    "s_per_epoch": "log seconds per epoch",
    "epochs_to_quality": "log epochs",
}
"""What clusters are made of; all of it spans orders of magnitude, hence logarithms."""

_LARGEST_PERPLEXITY = 30.0
"""scikit-learn's default; a perplexity counts neighbours, so it stays well below the tasks."""

_COMPONENT = re.compile(r"DC-AI-(C\d+)\b")
_SOURCE = "AIBench: its report BenchCouncil-AIBench-2020-2, models at full size on a Titan RTX"
_SUITE_IS_ELSEWHERE = "what AIBench says stands in the suite: run this in its folder"
_NOTHING = "-"
_ONE_DIGIT = "{:.1f}".format
_WHOLE = "{:,.0f}".format
_WIDTH = 100
_WIDEST_NAME = 21
_HOUR_S = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How a task behaved when it was trained.

    Attributes:
        name: What tells the task from the others.
        component: AIBench's number of it, like ``C1``; empty for a task of one's own.
        run_id: The record that this is from.
        epochs: Of each training, whether it reached its target or not; they differ in the seed.
        figures: By name; those without a value say why.
        is_accepted: Whether the quality metric is widely accepted, as AIBench says; one's own is.
    """

    name: str
    component: str
    run_id: str
    epochs: tuple[int, ...]
    figures: dict[str, Metric]
    is_accepted: bool | None

    @property
    def fits(self) -> bool | None:
        """See `fits_subset`."""
        return fits_subset(self.value("variation"), len(self.epochs), self.is_accepted)

    def value(self, figure: str) -> float | None:
        """A figure by name; None when it is unknown."""
        return self.figures[figure].value


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a task lies among the others.

    Attributes:
        cluster: By K-means; numbered from 1 in the order of the tasks.
        x: By t-SNE, which keeps neighbours together; the axes mean nothing.
        y: Likewise.
    """

    cluster: int
    x: float
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """Groups of tasks that behave alike.

    Attributes:
        compared: The figures that they are made of.
        places: By task; without those that lack a figure.
        silhouette: How well the clusters are apart: 1 at best, 0 where they touch.
        perplexity: That of t-SNE.
        why_none: Why there are none.
    """

    compared: tuple[str, ...] = ()
    places: dict[str, Place] = field(default_factory=dict)
    silhouette: float | None = None
    perplexity: float | None = None
    why_none: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What training only some tasks costs.

    Attributes:
        choice: Whose choice, and on which figures.
        members: The tasks, by AIBench's number where there is none here.
        cost_s: One training of each member; None if a cost is unknown.
        all_s: One training of each task whose cost is known.
        share: See `saving`.
    """

    choice: str
    members: tuple[str, ...]
    cost_s: float | None
    all_s: float
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """All tasks that were trained on one class of hardware and in one way.

    Attributes:
        processes: How many trained together.
        records: When the records that the tasks are from were started, and their commit, by run.
        tasks: In the order of AIBench's numbers, others last.
        chosen: What AIBench's rule chooses on these figures.
        savings: By AIBench's own choice and by ``chosen``.
        published: What AIBench says of its components.
    """

    hardware: str
    scale: str
    precision: str
    processes: int
    records: dict[str, str]
    tasks: tuple[Behaviour, ...]
    clusters: Clusters
    chosen: tuple[str, ...]
    savings: tuple[Saving, ...]
    published: Mapping[str, Published]


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
        suites = _suites(index, _published())
        for why in index.skipped().values():
            print(f"left out: {why}", file=sys.stderr)
    if not suites:
        raise UserError(
            f"no trainings in {store.location}: run `pytest -m train --aibench-seeds=5`, "
            "or name the store with --store"
        )
    print(_json(suites) if parsed.format == "json" else _pages(suites, parsed.format))
    return 0


def _published() -> Mapping[str, Published]:
    """AIBench's own figures by component, where the command runs in the folder of the suite."""
    sys.path.append(os.getcwd())
    try:
        from benchmarks.published import COMPONENTS
    except ImportError:
        return {}
    return {one.component: one for one in COMPONENTS}


def _suites(index: Index, published: Mapping[str, Published]) -> list[Suite]:
    from pytest_aibench.results.identity import benchmark_id

    found: dict[_Way, dict[str, list[_Stored]]] = defaultdict(lambda: defaultdict(list))
    for hardware, run, entry in _last_trainings(index):
        scale = str(run.environment.harness.get("scale") or "")
        processes = entry.training.processes if entry.training else 1
        place = hardware, scale, entry.precision, processes
        found[place][benchmark_id(entry)].append((run, entry))
    return [
        _suite(place, [_representative(one) for one in found[place].values()], published)
        for place in sorted(found)
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


def _representative(trainings: Sequence[_Stored]) -> _Stored:
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


def _suite(place: _Way, stored: Sequence[_Stored], published: Mapping[str, Published]) -> Suite:
    hardware, scale, precision, processes = place
    tasks = _behaviours(stored, published)
    if not any(task.component for task in tasks):
        published = {}
    clusters = clustered(tasks)
    chosen = selected(tasks, clusters)
    costs_s = {task.name: task.value("time_to_quality_s") for task in tasks}
    theirs_s = {one.component: one.seconds for one in published.values()}
    subset = tuple(one.component for one in published.values() if one.in_subset)
    names = {task.component: task.name for task in tasks}
    here = tuple(names.get(component, component) for component in subset)
    return Suite(
        hardware=hardware,
        scale=scale,
        precision=precision,
        processes=processes,
        records={run.run_id: _origin(run) for run, _ in stored},
        tasks=tasks,
        clusters=clusters,
        chosen=chosen,
        savings=(
            _saving("by the rule, here", chosen, costs_s),
            _saving("AIBench's, here", here, costs_s),
            _saving("AIBench's, published", subset, theirs_s),
        ),
        published=published,
    )


def _origin(run: Run) -> str:
    commit = str(run.environment.subject.get("commit") or "unknown")
    return f"started {run.started_at}, commit {commit[:10]}"


def _behaviours(
    stored: Sequence[_Stored], published: Mapping[str, Published]
) -> tuple[Behaviour, ...]:
    from pytest_aibench.report.terminal import short_names

    names = short_names([entry for _, entry in stored])
    found = [_behaviour(name, *one, published) for name, one in zip(names, stored, strict=True)]
    return tuple(sorted(found, key=lambda task: (int(task.component[1:] or 1000), task.name)))


def _behaviour(
    name: str, run: Run, entry: BenchmarkEntry, published: Mapping[str, Published]
) -> Behaviour:
    component = component_of(entry.provenance)
    theirs = published.get(component)
    trainings = [one for one in (entry.training, *entry.other_seeds) if one is not None]
    epochs = tuple(one.epochs for one in trainings)
    seconds = [one.duration_s for one in trainings if one.duration_s is not None]
    is_timed = len(seconds) == len(epochs)
    known = {
        **entry.metrics,
        "s_per_epoch": _metric(math.fsum(seconds) / sum(epochs) if is_timed else None),
        "n_parameters": _metric(trainings[0].n_parameters),
        "macs_per_sample": _metric(trainings[0].macs_per_sample),
    }
    return Behaviour(
        name=name,
        component=component,
        run_id=run.run_id,
        epochs=epochs,
        figures={figure: known.get(figure, _metric(None)) for figure in _FIGURES},
        is_accepted=theirs.widely_accepted if theirs else None if component else True,
    )


def component_of(provenance: Mapping[str, Json]) -> str:
    """AIBench's number of a task, like ``C1``; empty for a task of one's own."""
    match = _COMPONENT.search(str(provenance.get("component", "")))
    return match[1] if match else ""


def _metric(value: float | None) -> Metric:
    """A figure that the record has or has not."""
    from pytest_aibench.results.schema import Metric

    if value is None:
        return Metric(value=None, better="lower", n=0, why_open="not in the record")
    return Metric(value=value, better="lower", n=1)


def saving(costs: Mapping[str, float | None], members: Collection[str]) -> float | None:
    """Share of the cost of all that doing only the members saves; what has no cost is left out.

    None if there are no members, or the cost of one is unknown.
    """
    known = {name: cost for name, cost in costs.items() if cost is not None}
    if not members or not known.keys() >= set(members):
        return None
    return 1 - math.fsum(known[name] for name in members) / math.fsum(known.values())


def _saving(choice: str, members: tuple[str, ...], costs_s: Mapping[str, float | None]) -> Saving:
    share = saving(costs_s, members)
    all_s = math.fsum(cost_s or 0 for cost_s in costs_s.values())
    cost_s = None if share is None else math.fsum(costs_s[name] or 0 for name in members)
    return Saving(choice=choice, members=members, cost_s=cost_s, all_s=all_s, share=share)


def fits_subset(
    variation: float | None, repeats: int | None, is_accepted: bool | None
) -> bool | None:
    """Whether a task may stand for others (section 5.4); None if that is unknown.

    Args:
        variation: Coefficient of variation of its epochs to quality, a share.
        repeats: Trainings that this was measured on.
        is_accepted: Whether its quality metric is widely accepted.
    """
    if is_accepted is False:
        return False
    if is_accepted is None or variation is None or (repeats or 0) < FEWEST_REPEATS:
        return None
    return variation < LARGEST_VARIATION


def selected(tasks: Sequence[Behaviour], clusters: Clusters) -> tuple[str, ...]:
    """Of each cluster the task that fits and varies least, of equals the cheapest.

    Without clusters, all that fit.
    """
    fitting = [task for task in tasks if task.fits]
    if clusters.why_none:
        return tuple(task.name for task in fitting)
    best: dict[int, Behaviour] = {}
    for task in sorted(fitting, key=_unsteadiness):
        if task.name in clusters.places:
            best.setdefault(clusters.places[task.name].cluster, task)
    return tuple(task.name for task in tasks if task in best.values())


def _unsteadiness(task: Behaviour) -> tuple[float, float]:
    return task.value("variation") or 0.0, task.value("time_to_quality_s") or 0.0


def clustered(tasks: Sequence[Behaviour]) -> Clusters:
    """K-means and t-SNE on the standardised logarithms of figures; the same at every call.

    A figure that no task has is left out, and so is a task that lacks another one.
    """
    compared = tuple(name for name in _COMPARED if any(task.value(name) for task in tasks))
    rows = {
        task.name: [math.log10(value) for name in compared if (value := task.value(name))]
        for task in tasks
    }
    whole = {name: row for name, row in rows.items() if len(row) == len(compared)}
    differing = len(set(map(tuple, whole.values())))
    if len(compared) < 2 or differing < FEWEST_TASKS:
        why = f"they need {FEWEST_TASKS} tasks that differ and have all figures; {differing} do"
        return Clusters(compared=compared, why_none=why)
    try:
        return _placed(compared, whole)
    except ImportError:
        why = "they need scikit-learn: pip install 'pytest-aibench[suite]'"
        return Clusters(compared=compared, why_none=why)


def _placed(compared: tuple[str, ...], rows: Mapping[str, Sequence[float]]) -> Clusters:
    from sklearn.cluster import KMeans  # type: ignore[import-untyped]
    from sklearn.manifold import TSNE  # type: ignore[import-untyped]
    from sklearn.metrics import silhouette_score  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    standard = StandardScaler().fit_transform(list(rows.values()))
    labels = KMeans(N_CLUSTERS, n_init=10, random_state=0).fit_predict(standard).tolist()
    perplexity = min(_LARGEST_PERPLEXITY, (len(rows) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(standard)
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels), 1)}
    return Clusters(
        compared=compared,
        places={
            name: Place(cluster=numbers[label], x=float(x), y=float(y))
            for name, label, (x, y) in zip(rows, labels, points, strict=True)
        },
        silhouette=float(silhouette_score(standard, labels)),
        perplexity=perplexity,
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
    if any(task.is_accepted is None for task in suite.tasks):
        notes.append(f"-: {_SUITE_IS_ELSEWHERE}")
    return _by_task("Subset by AIBench's rule", suite, {**ours, **theirs}, notes)


def _cluster_notes(suite: Suite) -> Iterator[str]:
    clusters = suite.clusters
    if clusters.why_none:
        yield f"-: no clusters, {clusters.why_none}; all that fit are chosen"
        return
    compared = ", ".join(_COMPARED[name] for name in clusters.compared)
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
        together = f"{suite.processes} processes" if suite.processes > 1 else ""
        way = filter(None, (suite.hardware, suite.scale, suite.precision, together))
        where = ", ".join(way)
        parts.append(f"## {where}" if form == "markdown" else where)
        parts += (f"run {run_id}, {origin}" for run_id, origin in sorted(suite.records.items()))
        for make in (_costs, _variations, _complexities, _selection, _savings):
            table = make(suite)
            parts += _markdown(table) if form == "markdown" else _text(table)
    return "\n\n".join(parts)


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
