"""Issues queries on time and records what happened to them.

Two disciplines cover all scenarios. *In turn*: the answer to one query brings the next (single
stream, multi-stream). *Timed*: each query has a due time (server; users, whose due times follow
from the answers; offline, where all are due at the begin). Each exists for systems that answer
inline and for those that answer later. Timed queries that have fallen due may go in one call.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import pairwise
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeAlias

import numpy as np

from pytest_aibench.errors import add_note
from pytest_aibench.loadgen.arrivals import ThinkingUsers
from pytest_aibench.loadgen.clock import SPIN_NS, Clock, give_way
from pytest_aibench.loadgen.effort import NextLook, StopRule
from pytest_aibench.loadgen.journal import (
    NEVER,
    Answers,
    Journal,
    Load,
    Stamps,
    Stretch,
    name_samples,
)
from pytest_aibench.loadgen.plan import QueryPlan
from pytest_aibench.loadgen.systems import (
    Completion,
    ConcurrentSystem,
    InlineSystem,
    Query,
    Respond,
)
from pytest_aibench.loadgen.tokens import TokenTrace

WAIT_TO_LOOK_NS = 100_000
"""The shortest wait for a due time that is worth looking in; a look takes 0.2 to 0.6 ms."""

LEAST_BETWEEN_LOOKS = 16
"""Timed queries to issue before a wait is used to look in."""

SEARCHED_FOR_WAIT = 128
"""Timed queries among which the longest wait is searched: a look is longer after more queries."""

MOST_AT_ONCE = 256
"""Timed queries to issue before the next look where no wait is long enough for it."""

POLLS = 50
"""How often to look for an answer before sleeping: to be woken takes longer than a fast answer."""

Progress = Callable[[int, float], None]
Inputs: TypeAlias = "list[list[Any]]"

_Open: TypeAlias = "tuple[range, list[int], ThinkingUsers | None]"
"""Queries handed over in one call: their numbers, their samples, and who waits for an answer."""


class Samples(Protocol):
    """Loaded samples by index."""

    def take(self, indices: Iterable[int], /) -> list[Any]:
        """The samples with these indices."""


def engine_for(
    system: InlineSystem | ConcurrentSystem,
    samples: Samples,
    clock: Clock,
    *,
    timeout_s: float = 60.0,
    progress: Progress | None = None,
) -> Engine:
    """The engine for a system.

    Args:
        system: The system under test.
        samples: The loaded samples.
        clock: Where all stamps come from.
        timeout_s: A concurrent system that completes nothing for so long has lost its queries.
        progress: Called at each look with the queries issued and the seconds elapsed.
    """
    if isinstance(system, InlineSystem):
        return _InlineEngine(system, samples, clock, progress)
    return _ConcurrentEngine(system, samples, clock, progress, timeout_s)


class Engine(ABC):
    """Runs plans against a system, while it is at work."""

    def __init__(self, samples: Samples, clock: Clock, progress: Progress | None) -> None:
        self._samples = samples
        self._clock = clock
        self._progress = progress or (lambda n_queries, elapsed_s: None)

    @abstractmethod
    def at_work(self) -> AbstractContextManager[None]:
        """Start the system, and stop it at the end, also after an error."""

    def run(self, plan: QueryPlan, rule: StopRule, answers: Answers) -> Load:
        """Load the system until the rule, the plan, or a broken rule ends it.

        Raises:
            Exception: What the system raised, with a note that names the query.
        """
        __tracebackhide__ = True
        plan.peek(1)  # makes the first queries ready before the clock starts
        journal = Journal(self._clock.now(), answers)
        reason = self._load(journal, plan, rule)
        journal.overdue = plan.overdue(self._clock.now() - journal.begin)
        if not journal.violations:
            self._drain(journal)
        return journal.finish(reason)

    def _load(self, journal: Journal, plan: QueryPlan, rule: StopRule) -> str:
        __tracebackhide__ = True
        while (reason := rule.look(journal, self._clock.now())) is None:
            queries, dues = plan.peek(self._n_ahead(journal, plan, rule))
            if not len(queries) and plan.out_of_samples:
                return f"all {sum(journal.sizes)} samples were issued"
            if not len(queries) and plan.out_of_arrivals:
                return f"the arrivals ended after {len(journal)} queries"
            due = None if dues is None else (dues + journal.begin).tolist()
            look = rule.next_look(journal, self._clock.now())
            if due is None:
                n_issued = self._issue(journal, plan, queries, None, look)
            elif plan.coalesce:
                n_issued = self._issue_together(journal, plan, queries, due, look)
            else:
                n = _n_before_longest_wait(due, look.latest)
                n_issued = self._issue(journal, plan, queries[:n], due[:n], look)
            plan.advance(n_issued)
            if journal.violations:
                return f"a rule was broken: {journal.violations[0].rule}"
            self._progress(len(journal), (self._clock.now() - journal.begin) / 1e9)
        return reason

    def _n_ahead(self, journal: Journal, plan: QueryPlan, rule: StopRule) -> int:
        """How many queries to make ready: all that may be issued before the next look."""
        n = MOST_AT_ONCE if plan.timed else rule.n_until_look(len(journal))
        if plan.coalesce:
            n += plan.n_due(self._clock.now() - journal.begin)
        return min(n, rule.n_left_of_set(len(journal)))

    def _issue_together(
        self, journal: Journal, plan: QueryPlan, queries: Stamps, due: list[int], look: NextLook
    ) -> int:
        """Issue queries until the next look, those that have fallen due in one call."""
        __tracebackhide__ = True
        first = 0
        while first < len(due):
            start = self._wait(journal, min(due[first], look.latest))
            if start < due[first]:
                break
            end = bisect_right(due, start, first + 1)
            if first and end == len(due):
                break  # more may have fallen due than are ready
            self._call(journal, plan, queries[first:end], due[first:end], start)
            first = end
            if start >= look.after or journal.violations:
                break
        self._hear(journal)
        return first

    def _inputs(self, queries: Stamps) -> Inputs:
        flat = iter(self._samples.take(queries.ravel().tolist()))
        return list(map(list, zip(*[flat] * queries.shape[1], strict=True)))

    @abstractmethod
    def _issue(
        self,
        journal: Journal,
        plan: QueryPlan,
        queries: Stamps,
        due: list[int] | None,
        look: NextLook,
    ) -> int:
        """Issue queries until the next look, and say how many."""

    @abstractmethod
    def _wait(self, journal: Journal, moment: int) -> int:
        """Wait for a moment; the value is the time then."""

    @abstractmethod
    def _call(
        self, journal: Journal, plan: QueryPlan, queries: Stamps, due: list[int], start: int
    ) -> None:
        """Issue queries in one call."""

    @abstractmethod
    def _hear(self, journal: Journal) -> None:
        """Take the answers that are there."""

    @abstractmethod
    def _drain(self, journal: Journal) -> None:
        """Wait for the answers that are still to come."""


def _n_before_longest_wait(due: list[int], latest: int) -> int:
    """How many of the queries with these due times to issue before a look, due by ``latest``.

    No query can be issued during a look, so it goes where the wait for the next one is longest.
    """
    n_ready = bisect_right(due, latest) + 1
    searched = due[LEAST_BETWEEN_LOOKS - 1 : min(n_ready, SEARCHED_FOR_WAIT)]
    waits = [later - sooner for sooner, later in pairwise(searched)]
    longest = max(waits, default=0)
    return LEAST_BETWEEN_LOOKS + waits.index(longest) if longest >= WAIT_TO_LOOK_NS else n_ready


class _InlineEngine(Engine):
    def __init__(
        self, system: InlineSystem, samples: Samples, clock: Clock, progress: Progress | None
    ) -> None:
        super().__init__(samples, clock, progress)
        self._respond = system.respond

    def at_work(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _issue(
        self,
        journal: Journal,
        plan: QueryPlan,
        queries: Stamps,
        due: list[int] | None,
        look: NextLook,
    ) -> int:
        __tracebackhide__ = True
        inputs = self._inputs(queries)
        stretch = Stretch()
        try:
            if due is None:
                _in_turn(self._respond, self._clock, inputs, look, stretch)
            else:
                _when_due(self._respond, self._clock, inputs, due, look, stretch)
        except (Exception, SystemExit) as error:
            n_answered = len(stretch.outputs)
            _blame(error, len(journal) + n_answered, queries[n_answered])
            raise
        n_issued = len(stretch.issued)
        journal.add(queries[:n_issued], [] if due is None else due[:n_issued], stretch)
        if plan.users is not None:
            for completed in stretch.completed:
                plan.users.answered(completed - journal.begin)
        return n_issued

    def _wait(self, journal: Journal, moment: int) -> int:
        return self._clock.sleep_until(moment)

    def _call(
        self, journal: Journal, plan: QueryPlan, queries: Stamps, due: list[int], start: int
    ) -> None:
        __tracebackhide__ = True
        indices = queries.ravel().tolist()
        try:
            outputs = self._respond(self._samples.take(indices))
        except (Exception, SystemExit) as error:
            _blame(error, len(journal), indices)
            raise
        journal.add_call(queries, due, start, self._clock.now(), outputs)

    def _hear(self, journal: Journal) -> None:
        """An inline system has answered already."""

    def _drain(self, journal: Journal) -> None:
        """An inline system owes no answers."""


def _in_turn(
    respond: Respond, clock: Clock, inputs: Inputs, look: NextLook, stretch: Stretch
) -> None:
    __tracebackhide__ = True
    now, look_after = clock.now, look.after
    issued, completed, outputs = stretch.issued, stretch.completed, stretch.outputs
    for samples in inputs:
        start = now()
        output = respond(samples)
        completed.append(now())
        outputs.append(output)
        issued.append(start)
        if start >= look_after:
            break


def _when_due(
    respond: Respond,
    clock: Clock,
    inputs: Inputs,
    due: list[int],
    look: NextLook,
    stretch: Stretch,
) -> None:
    __tracebackhide__ = True
    now, sleep_until, look_after = clock.now, clock.sleep_until, look.after
    issued, completed, outputs = stretch.issued, stretch.completed, stretch.outputs
    for samples, at in zip(inputs, due, strict=True):
        start = now()
        if start < at:
            if at > look.latest:
                sleep_until(look.latest)
                break
            start = sleep_until(at)
        output = respond(samples)
        completed.append(now())
        outputs.append(output)
        issued.append(start)
        if start >= look_after:
            break


class _ConcurrentEngine(Engine):
    def __init__(
        self,
        system: ConcurrentSystem,
        samples: Samples,
        clock: Clock,
        progress: Progress | None,
        timeout_s: float,
    ) -> None:
        super().__init__(samples, clock, progress)
        self._system = system
        self._timeout_s = timeout_s
        self._inbox: SimpleQueue[Completion] = SimpleQueue()
        self._open: dict[Query, _Open] = {}
        self._answers: list[tuple[list[int], Sequence[Any]]] = []
        self._heard_ns = 0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with _deaths_of_threads(self._inbox, self._clock):
            self._system.start()
            try:
                yield
            except BaseException as error:
                self._stop_after(error)
                raise
            self._system.stop()

    def _stop_after(self, error: BaseException) -> None:
        try:
            self._system.stop()
        except Exception as late:
            add_note(error, f"and then the system's stop() raised {late!r}")

    def _issue(
        self,
        journal: Journal,
        plan: QueryPlan,
        queries: Stamps,
        due: list[int] | None,
        look: NextLook,
    ) -> int:
        __tracebackhide__ = True
        before = len(journal)
        indices = queries.tolist()
        if not indices:  # all users wait for their answers
            self._await_answer(journal, look.latest)
        for position, samples in enumerate(self._inputs(queries)):
            if due is None:
                start = self._clock.now()
            else:
                start = self._wait(journal, min(due[position], look.latest))
                if start < due[position]:
                    break
                journal.due.append(due[position])
            self._hand_over(journal, plan, indices[position], samples, start)
            if due is None:
                self._await_answers(journal)
            if start >= look.after or journal.violations:
                break
        self._hear(journal)
        return len(journal) - before

    def _call(
        self, journal: Journal, plan: QueryPlan, queries: Stamps, due: list[int], start: int
    ) -> None:
        __tracebackhide__ = True
        journal.due.extend(due)
        indices = queries.ravel().tolist()
        self._hand_over(journal, plan, indices, self._samples.take(indices), start, len(queries))

    def _hand_over(
        self,
        journal: Journal,
        plan: QueryPlan,
        indices: list[int],
        samples: list[Any],
        start: int,
        n_queries: int = 1,
    ) -> None:
        __tracebackhide__ = True
        number = len(journal)
        numbers = range(number, number + n_queries)
        for _ in numbers:
            journal.issued.append(start)
            journal.completed.append(NEVER)
            journal.sizes.append(len(samples) // n_queries)
        journal.n_open += n_queries
        if not self._open:
            self._heard_ns = start
        query = Query(number, samples, self._inbox, self._clock.now)
        self._open[query] = numbers, indices, plan.users
        try:
            self._system.issue(query)
        except (Exception, SystemExit) as error:
            _blame(error, number, indices)
            raise
        taken = self._clock.now()
        for _ in numbers:
            journal.taken.append(taken)
        if plan.max_async is not None:
            self._check_open(journal, plan.max_async)

    def _check_open(self, journal: Journal, most: int) -> None:
        __tracebackhide__ = True
        self._take_completions(journal)
        if journal.n_open > most:
            journal.violate(
                "too many outstanding queries",
                f"{journal.n_open} of {len(journal)} queries were unanswered after an issue, "
                f"allowed {most} (max_async): lower the rate or raise max_async",
            )

    def _wait(self, journal: Journal, moment: int) -> int:
        """Wait for a moment, taking completions meanwhile; the value is the time then."""
        while (left := moment - self._clock.now()) > SPIN_NS:
            try:
                self._take(journal, self._inbox.get(timeout=(left - SPIN_NS) / 1e9))
            except Empty:
                break
        return self._clock.sleep_until(moment)

    def _drain(self, journal: Journal) -> None:
        __tracebackhide__ = True
        self._system.flush()
        self._await_answers(journal)
        self._hear(journal)

    def _await_answer(self, journal: Journal, moment: int) -> None:
        """Wait for a completion, at most until a moment."""
        __tracebackhide__ = True
        left_s = max(moment - self._clock.now(), 0) / 1e9
        try:
            self._take(journal, self._inbox.get(timeout=left_s))
        except Empty:
            self._clock.sleep_until(moment)

    def _await_answers(self, journal: Journal) -> None:
        """Wait until no query is open, or a rule is broken."""
        __tracebackhide__ = True
        while self._open and not journal.violations:
            try:
                self._take(journal, self._next_completion())
            except Empty:
                self._lose(journal)

    def _next_completion(self) -> Completion:
        for _ in range(POLLS):
            if not self._inbox.empty():
                break
            give_way()
        return self._inbox.get(timeout=self._timeout_s)

    def _take_completions(self, journal: Journal) -> None:
        __tracebackhide__ = True
        while not self._inbox.empty():
            self._take(journal, self._inbox.get())

    def _hear(self, journal: Journal) -> None:
        __tracebackhide__ = True
        self._take_completions(journal)
        if self._open and self._clock.now() - self._heard_ns > self._timeout_s * 1e9:
            self._lose(journal)
        self._check_answers(journal)

    def _lose(self, journal: Journal) -> None:
        numbers, indices, _ = next(iter(self._open.values()))
        journal.violate(
            "every query is completed",
            f"nothing was completed for {self._timeout_s:g} s while {journal.n_open} queries were "
            f"open; the oldest is query {numbers[0]} ({name_samples(indices)})",
        )

    def _take(self, journal: Journal, completion: Completion) -> None:
        __tracebackhide__ = True
        if completion.error is not None:
            self._raise(completion.error, completion.queries)
        self._heard_ns = completion.at_ns
        asked: list[int] = []
        for query in completion.queries:
            opened = self._open.pop(query, None)
            if opened is None:
                journal.violate(
                    "every query is completed once", f"query {query.id} was completed again"
                )
                return
            numbers, indices, users = opened
            asked += indices
            journal.n_open -= len(numbers)
            for number in numbers:
                journal.completed[number] = completion.at_ns
                if journal.due and query.begun_ns is not None:
                    journal.issued[number] = query.begun_ns
            if completion.tokens:
                _take_tokens(journal, numbers, indices, completion.tokens)
            if users is not None:
                users.answered(completion.at_ns - journal.begin)
        self._answers.append((asked, completion.outputs))

    def _check_answers(self, journal: Journal) -> None:
        """Hand what was answered since the last look to the journal, many at a time."""
        by_size: dict[int, list[tuple[list[int], Sequence[Any]]]] = {}
        for answer in self._answers:
            by_size.setdefault(len(answer[0]), []).append(answer)
        self._answers.clear()
        for answers in by_size.values():
            asked, outputs = zip(*answers, strict=True)
            journal.take_outputs(np.array(asked), outputs)

    def _raise(self, error: BaseException, queries: Sequence[Query]) -> None:
        __tracebackhide__ = True
        for numbers, indices, _ in filter(None, map(self._open.get, queries)):
            _blame(error, numbers[0], indices)
        raise error


def _take_tokens(
    journal: Journal, numbers: range, indices: list[int], tokens: Sequence[TokenTrace]
) -> None:
    """Deal the tokens of one call out to its queries, which have equally many samples."""
    size = len(indices) // len(numbers)
    for position, number in enumerate(numbers):
        own = slice(position * size, (position + 1) * size)
        journal.take_tokens(number, indices[own], tokens[own])


@contextmanager
def _deaths_of_threads(inbox: SimpleQueue[Completion], clock: Clock) -> Iterator[None]:
    """Have the run end with the error that a thread of the system dies of."""

    def take(died: threading.ExceptHookArgs) -> None:
        error = died.exc_value or RuntimeError(f"a thread died of {died.exc_type.__name__}")
        name = "unknown" if died.thread is None else died.thread.name
        add_note(error, f"the thread {name} died of this while the system was under load")
        inbox.put(Completion(clock.now(), (), (), error))

    before, threading.excepthook = threading.excepthook, take
    try:
        yield
    finally:
        threading.excepthook = before


def _blame(error: BaseException, number: int, indices: Iterable[int]) -> None:
    add_note(error, f"the system raised this on query {number} ({name_samples(indices)})")
