"""How tasks behaved when they were trained, and which of them can stand for all.

Follows AIBench's technical report BenchCouncil-AIBench-2020-2 (sections 5.3 and 5.4), whose own
figures are here to compare with (tables 5 and 6, on a Titan RTX). Two of them contradict its text:
it says that models converge in 6 to 96 epochs, but the hours of C8 and C11 divided by their seconds
an epoch give 1170 and 304.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pytest_aibench.results.schema import BenchmarkEntry, Json, Metric, Run

    Stored = tuple[Run, BenchmarkEntry]

LARGEST_VARIATION = 0.02
"""Run-to-run variation from which on a task cannot stand for others (section 5.4)."""

FEWEST_REPEATS = 4
"""AIBench measured every variation on as many trainings at least."""

N_CLUSTERS = 3
FEWEST_TASKS = 2 * N_CLUSTERS
"""Of fewer, most clusters would be single tasks."""

FIGURES = (
    *("s_per_epoch", "epochs_to_quality", "time_to_quality_s"),
    *("variation", "variation_population"),
    *("n_parameters", "macs_per_sample", "throughput_samples_per_s"),
)
COMPARED = {
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


SUBSET = ("C1", "C9", "C16")
"""AIBench's own choice for those who cannot run all: diverse, repeatable, of accepted metric."""


@dataclass(frozen=True, slots=True)
class Published:
    """A component as published; None where the report says "N/A".

    Attributes:
        component: Its number.
        title: The task.
        model: The model at full size.
        target: Quality that ends a training, as written.
        s_per_epoch: Seconds an epoch.
        hours: Hours to quality.
        variation: Coefficient of variation of the epochs to quality.
        repeats: Trainings behind the variation.
        widely_accepted: The quality metric is; that of generative networks is not.
    """

    component: str
    title: str
    model: str
    target: str
    s_per_epoch: float
    hours: float | None
    variation: float | None
    repeats: int | None
    widely_accepted: bool = True

    @property
    def in_subset(self) -> bool:
        """Whether it is one of those that stand for all."""
        return self.component in SUBSET

    @property
    def seconds(self) -> float | None:
        """Seconds to quality."""
        return None if self.hours is None else 3600 * self.hours

    @property
    def epochs(self) -> float | None:
        """Epochs to quality, as the hours imply."""
        return None if self.seconds is None else self.seconds / self.s_per_epoch


COMPONENTS = (
    Published("C1", "image classification", "ResNet-50", "74.9 % top-1", 10516.91, 130, 0.0112, 5),
    Published("C2", "image generation", "WGAN", "-", 3935.75, None, None, None, False),
    Published("C3", "text to text", "Transformer", "55 % accuracy", 64.83, 1.72, 0.0938, 6),
    Published("C4", "image to text", "NIC", "4.2 perplexity", 845.02, 10.21, 0.2353, 5),
    Published("C5", "image to image", "CycleGAN", "-", 251.67, None, None, None, False),
    Published("C6", "speech", "DeepSpeech2", "5.33 % WER", 14326.86, 42.78, 0.1208, 4),
    Published("C7", "face embedding", "FaceNet", "98.97 % accuracy", 214.73, 3.43, 0.0573, 8),
    Published("C8", "3D face", "RGB-D ResNet-50", "94.64 % accuracy", 36.99, 12.02, 0.3846, 4),
    Published("C9", "object detection", "Faster R-CNN", "75 % mAP", 1627.39, 2.52, 0, 10),
    Published("C10", "recommendation", "NeuMF", "63.5 % HR@10", 36.72, 0.16, 0.0995, 5),
    Published("C11", "video prediction", "CDNA", "72 MSE", 24.99, 2.11, 0.1183, 4),
    Published("C12", "compression", "recurrent codec", "0.99 MS-SSIM", 763.44, 5.67, 0.2249, 4),
    Published("C13", "3D reconstruction", "PTN", "45.83 % IoU", 28.41, 0.38, 0.1607, 4),
    Published("C14", "summarization", "seq2seq", "41 ROUGE-L", 1923.33, 6.41, 0.2472, 5),
    Published("C15", "spatial transformer", "STN", "99 % accuracy", 6.38, 0.06, 0.0729, 4),
    Published("C16", "learning to rank", "Caser", "14.58 % precision", 74.16, 0.47, 0.019, 4),
    Published("C17", "architecture search", "ENAS", "100 perplexity", 932.79, 7.47, 0.0615, 6),
)
PUBLISHED = {one.component: one for one in COMPONENTS}


class Way(NamedTuple):
    """What trainings must share for their costs to be compared.

    Attributes:
        hardware: The class of hardware.
        scale: ``embedded`` or ``full``.
        precision: What the models computed in; empty in older records.
        processes: How many trained together.
        compiled: Whether torch compiled the losses.
    """

    hardware: str
    scale: str
    precision: str
    processes: int
    compiled: bool


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
    is_accepted: bool

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
    """All tasks that were trained in one way: the first attributes are those of `Way`.

    Attributes:
        records: When the records that the tasks are from were started, and their commit, by run.
        tasks: In the order of AIBench's numbers, others last.
        chosen: What AIBench's rule chooses on these figures.
        savings: By AIBench's own choice and by ``chosen``.
        published: What AIBench says of its components; empty where none of them is among the tasks.
    """

    hardware: str
    scale: str
    precision: str
    processes: int
    compiled: bool
    records: dict[str, str]
    tasks: tuple[Behaviour, ...]
    clusters: Clusters
    chosen: tuple[str, ...]
    savings: tuple[Saving, ...]
    published: Mapping[str, Published]


def suite_of(way: Way, stored: Sequence[Stored]) -> Suite:
    """Tasks that were trained in one way, each with the training that stands for it.

    Args:
        way: The way.
        stored: The trainings, with the sessions that they were recorded in.
    """
    tasks = _behaviours(stored)
    published = PUBLISHED if any(task.component for task in tasks) else {}
    clusters = clustered(tasks)
    chosen = selected(tasks, clusters)
    costs_s = {task.name: task.value("time_to_quality_s") for task in tasks}
    theirs_s = {one.component: one.seconds for one in published.values()}
    subset = SUBSET if published else ()
    names = {task.component: task.name for task in reversed(tasks)}  # of several the first
    here = tuple(names.get(component, component) for component in subset)
    return Suite(
        **way._asdict(),
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


def _behaviours(stored: Sequence[Stored]) -> tuple[Behaviour, ...]:
    from pytest_aibench.report.terminal import short_names

    entries = [entry for _, entry in stored]
    names = [entry.training.task if entry.training else "" for entry in entries]
    if "" in names or len(set(names)) < len(names):
        names = short_names(entries)
    found = [_behaviour(name, *one) for name, one in zip(names, stored, strict=True)]
    return tuple(sorted(found, key=lambda task: (int(task.component[1:] or 1000), task.name)))


def _behaviour(name: str, run: Run, entry: BenchmarkEntry) -> Behaviour:
    component = component_of(entry.provenance)
    theirs = PUBLISHED.get(component)
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
        figures={figure: known.get(figure, _metric(None)) for figure in FIGURES},
        is_accepted=theirs is None or theirs.widely_accepted,
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


def fits_subset(variation: float | None, repeats: int | None, is_accepted: bool) -> bool | None:
    """Whether a task may stand for others (section 5.4); None if that is unknown.

    Args:
        variation: Coefficient of variation of its epochs to quality, a share.
        repeats: Trainings that this was measured on.
        is_accepted: Whether its quality metric is widely accepted.
    """
    if not is_accepted:
        return False
    if variation is None or (repeats or 0) < FEWEST_REPEATS:
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
    compared = tuple(name for name in COMPARED if any(task.value(name) for task in tasks))
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
