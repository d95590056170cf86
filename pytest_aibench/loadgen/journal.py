"""What happened to each query: when it was due, issued and answered, and what was answered."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pytest_aibench.bounds import Violation
from pytest_aibench.loadgen.throughput import Completions
from pytest_aibench.loadgen.tokens import TokenJournal, TokenStamps, TokenTrace

Stamps = npt.NDArray[np.int64]

NEVER = -1
"""Completion stamp of a query that was not answered."""

_NOT_A_LIST = (str, bytes, Mapping, AbstractSet)
"""They have a length, but do not hold one output for each sample."""


class Answers(Protocol):
    """Keeps some of the outputs given under load."""

    def offer(self, queries: Stamps, outputs: Sequence[Sequence[Any]]) -> None:
        """Take notice of outputs.

        Args:
            queries: Sample indices, shape (n_queries, samples_per_query).
            outputs: One for each sample of each query.
        """


class EveryAnswer:
    """The accuracy pass: one output for every sample."""

    def __init__(self) -> None:
        self.by_index: dict[int, Any] = {}

    def offer(self, queries: Stamps, outputs: Sequence[Sequence[Any]]) -> None:
        """Keep all outputs."""
        for query, answer in zip(queries.tolist(), outputs, strict=True):
            self.by_index.update(zip(query, answer, strict=True))


class SampledAnswers:
    """A uniform sample of the answers of a load of unknown length.

    Reservoir sampling that draws how many answers to pass over, not whether to keep each
    (algorithm L; Li, ACM Transactions on Mathematical Software 20, 1994).

    Args:
        size: How many answers to keep.
        seed: Seed of the choice.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.kept: list[tuple[int, Any]] = []
        self._size = size
        self._seen = 0
        self._next = 0
        self._log_weight = 0.0
        self._random = random.Random(seed)

    def offer(self, queries: Stamps, outputs: Sequence[Sequence[Any]]) -> None:
        """Keep each answer with the probability that makes the sample uniform."""
        first, self._seen = self._seen, self._seen + queries.size
        if self._next < self._size:
            self._fill(queries, outputs)
        while self._next < self._seen:
            query, sample = divmod(self._next - first, queries.shape[1])
            answer = int(queries[query, sample]), outputs[query][sample]
            self.kept[self._random.randrange(self._size)] = answer
            self._next += 1
            self._pass_over()

    def _fill(self, queries: Stamps, outputs: Sequence[Sequence[Any]]) -> None:
        answers = zip(queries.ravel().tolist(), chain.from_iterable(outputs), strict=True)
        self.kept += islice(answers, self._size - self._next)
        self._next = len(self.kept)
        if self._next == self._size:
            self._pass_over()

    def _pass_over(self) -> None:
        self._log_weight -= self._random.expovariate(self._size)
        self._next += int(self._random.expovariate(-math.log1p(-math.exp(self._log_weight))))


@dataclass(slots=True)
class Stretch:
    """Queries answered inline in one go: stamps and outputs, as far as they got."""

    issued: list[int] = field(default_factory=list)
    completed: list[int] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


class Journal:
    """The stamps of a running load, in ns of the clock; append-only, 8 bytes a stamp.

    Attributes:
        begin: When the load began; due times count from here.
        looked_at: When the engine last came up for air.
        due: When each query was due; empty where the answer to one query brings the next.
        issued: When each was handed to the system.
        taken: When the system let go of the thread that handed it over.
        completed: When it was answered; `NEVER` if it was not, or not yet.
        sizes: Samples in each query.
        n_open: Queries issued and not answered.
        overdue: See `Load`.
        violations: Rules broken so far.
    """

    def __init__(self, begin: int, answers: Answers) -> None:
        self.begin = begin
        self.looked_at = begin
        self.due = array("q")
        self.issued = array("q")
        self.taken = array("q")
        self.completed = array("q")
        self.sizes = array("q")
        self.n_open = 0
        self.overdue = np.empty(0, np.int64)
        self.violations: list[Violation] = []
        self._answers = answers
        self._tokens = TokenJournal()

    def __len__(self) -> int:
        return len(self.issued)

    def violate(self, rule: str, evidence: str) -> None:
        """Note that the run broke a rule; the first case of each rule is kept."""
        if all(violation.rule != rule for violation in self.violations):
            self.violations.append(Violation(rule=rule, evidence=evidence))

    def add(self, queries: Stamps, due: list[int], stretch: Stretch) -> None:
        """Add a stretch of queries, shape (n_queries, samples_per_query), and their outputs."""
        self._stamp(due, stretch.issued, stretch.completed, queries.shape[1])
        self.take_outputs(queries, stretch.outputs)

    def add_call(
        self, queries: Stamps, due: list[int], issued: int, completed: int, outputs: Any
    ) -> None:
        """Add queries, shape (n_queries, samples_per_query), that were answered in one call."""
        n_queries, size = queries.shape
        self._stamp(due, [issued] * n_queries, [completed] * n_queries, size)
        self.take_outputs(queries.reshape(1, -1), [outputs])

    def take_outputs(self, queries: Stamps, outputs: Sequence[Any]) -> None:
        """Check that the outputs of some queries are complete, and offer them to the answers."""
        size = queries.shape[1]
        if _all_lists_of(outputs, size):
            self._answers.offer(queries, outputs)
            return
        position = next(i for i, answer in enumerate(outputs) if not _all_lists_of([answer], size))
        self.violate("one output per sample", _fault(outputs[position], queries[position]))

    def take_tokens(self, number: int, query: Sequence[int], traces: Sequence[TokenTrace]) -> None:
        """Keep when the tokens of a query's outputs came, and check that there are any."""
        self._tokens.append(number, traces)
        for index, trace in zip(query, traces):  # noqa: B905  # take_outputs checks the number
            if not trace.arrivals_ns:
                evidence = f"sample {index} was answered without a token"
                self.violate("every answer has tokens", evidence)

    def _stamp(self, due: list[int], issued: list[int], completed: list[int], size: int) -> None:
        self.due.fromlist(due)
        self.issued.fromlist(issued)
        self.completed.fromlist(completed)
        self.sizes.extend(array("q", [size]) * len(issued))

    def finish(self, stopped: str) -> Load:
        """The finished load; it takes the journal's memory over, so the journal ends here."""
        issued, completed = self._relative(self.issued), self._relative(self.completed)
        return Load(
            begin_ns=self.begin,
            due_ns=self._relative(self.due) if self.due else issued,
            issued_ns=issued,
            taken_ns=self._relative(self.taken) if self.taken else completed,
            completed_ns=completed,
            sizes=np.frombuffer(self.sizes, np.int64),
            overdue_ns=self.overdue,
            stopped=stopped,
            violations=tuple(self.violations),
            tokens=self._tokens.finish(self.begin),
        )

    def _relative(self, stamps: array[int]) -> Stamps:
        values = np.frombuffer(stamps, np.int64)
        np.subtract(values, self.begin, out=values, where=values != NEVER)
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A finished load; all arrays per query, in ns from the begin.

    Attributes:
        begin_ns: The clock's time at the begin.
        due_ns: When each query was scheduled; latency counts from here.
        issued_ns: When it was handed to the system.
        taken_ns: When the system let go of the thread that handed it over.
        completed_ns: When it was answered; `NEVER` if it was not.
        sizes: Samples in each query.
        overdue_ns: How late the queries were that had fallen due but not been issued when the
            load ended: lower bounds of latencies that nobody saw.
        stopped: Why the load ended.
        violations: Rules broken.
        tokens: When the tokens of each answer came; None where answers are not made of tokens.
    """

    begin_ns: int
    due_ns: Stamps
    issued_ns: Stamps
    taken_ns: Stamps
    completed_ns: Stamps
    sizes: Stamps
    overdue_ns: Stamps
    stopped: str
    violations: tuple[Violation, ...]
    tokens: TokenStamps | None = None

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """Which queries were answered."""
        return np.not_equal(self.completed_ns, NEVER)

    @property
    def latency_ns(self) -> Stamps:
        """Completed minus scheduled, of answered queries; overdue ones count with what is known."""
        seen: Stamps = (self.completed_ns - self.due_ns)[self.answered]
        return np.concatenate([seen, self.overdue_ns]) if len(self.overdue_ns) else seen

    @property
    def lateness_ns(self) -> Stamps:
        """Issued minus scheduled."""
        return self.issued_ns - self.due_ns

    @property
    def generator_lateness_ns(self) -> Stamps:
        """Issued minus the moment the generator was free to issue: its own fault alone.

        It is free at the due time, or when the system has taken the call before; queries that
        went in one call share their time of issue.
        """
        if self.due_ns is self.issued_ns:  # each answer brings the next query: nothing is due
            return np.zeros_like(self.issued_ns)
        free = self.due_ns.copy()
        starts = np.flatnonzero(np.diff(self.issued_ns, prepend=NEVER))
        before = np.repeat(starts - 1, np.diff(starts, append=len(free)))
        later = before >= 0
        free[later] = np.maximum(free[later], self.taken_ns[before[later]])
        lateness: Stamps = self.issued_ns - free
        return lateness

    @property
    def completions(self) -> Completions:
        """Answered queries in the order of their answers."""
        return completions(0, self.completed_ns, self.sizes)

    @property
    def duration_s(self) -> float:
        """From the begin to the last completion."""
        return float(self.completed_ns.max(initial=0)) / 1e9


def no_load(reason: str, violations: tuple[Violation, ...]) -> Load:
    """A load of no queries, because of rules broken before it."""
    journal = Journal(0, EveryAnswer())
    journal.violations.extend(violations)
    return journal.finish(reason)


def completions(begin: int, completed: Stamps, sizes: Stamps) -> Completions:
    """The answered ones of some queries, in the order of their answers."""
    if len(completed) and completed[0] != NEVER and bool((completed[1:] >= completed[:-1]).all()):
        # Inline systems answer in order, and sorting would copy the stamps four times.
        return Completions(begin, completed, sizes)
    answered = np.flatnonzero(completed != NEVER)
    order = answered[np.argsort(completed[answered], kind="stable")]
    return Completions(begin, completed[order], sizes[order])


def name_samples(indices: Iterable[int], most: int = 5) -> str:
    """``sample 7`` or ``samples 3, 1, 4, 1, 5, …``."""
    shown = [str(index) for index in indices]
    tail = ", …" if len(shown) > most else ""
    return f"sample{'s' if len(shown) > 1 else ''} {', '.join(shown[:most])}{tail}"


def _all_lists_of(outputs: Sequence[Any], size: int) -> bool:
    """Whether each is a sequence of that length; a load asks this for millions."""
    try:
        lengths = set(map(len, outputs))
    except TypeError:
        return False
    return lengths <= {size} and not any(
        issubclass(kind, _NOT_A_LIST) for kind in set(map(type, outputs))
    )


def _fault(answer: Any, query: Stamps) -> str:
    asked = f"{len(query)} sample{'s' if len(query) > 1 else ''}"
    try:
        n_outputs = len(answer)
    except TypeError:
        n_outputs = None
    if n_outputs is None or isinstance(answer, _NOT_A_LIST):
        given = f"a value of type {type(answer).__name__}"
    else:
        given = f"{n_outputs} output{'s' if n_outputs != 1 else ''}"
    return (
        f"the model gave {given} for {asked} ({name_samples(query)}): "
        "return a list with one output for each sample"
    )
