"""Issuing queries on time: every stamp, to the nanosecond."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from pytest_aibench.bounds import Verdict, at_most
from pytest_aibench.loadgen.decision import SequentialDecision
from pytest_aibench.loadgen.effort import SLICE_NS, StopRule
from pytest_aibench.loadgen.engine import engine_for
from pytest_aibench.loadgen.journal import NEVER, EveryAnswer, Load
from pytest_aibench.loadgen.plan import Chunks, QueryPlan, all_due_at_begin, batches
from pytest_aibench.loadgen.systems import (
    BatchingServer,
    ConcurrentSystem,
    InlineSystem,
    Query,
    adapt,
    complete_together,
)
from tests.fakes import FakeClock

TO_THE_END = StopRule(min_queries=10**9, min_duration_ns=2**62, budget_ns=None)
MS = 1_000_000


class Tens:
    """Samples that are ten times their index."""

    def take(self, indices: Iterable[int], /) -> list[int]:
        """The samples."""
        return [10 * index for index in indices]


class Slow:
    """A model that takes as many ns as it is told, one after another, then none."""

    def __init__(self, clock: FakeClock, *takes_ns: int) -> None:
        self.clock = clock
        self.takes_ns = list(takes_ns)
        self.asked: list[list[int]] = []

    def __call__(self, samples: Sequence[int]) -> list[int]:
        """Echo."""
        self.asked.append(list(samples))
        self.clock.now_ns += self.takes_ns.pop(0) if self.takes_ns else 0
        return list(samples)


def singles(n: int, chunk: int = 1000) -> Chunks:
    return (np.arange(first, min(first + chunk, n))[:, np.newaxis] for first in range(0, n, chunk))


def due_at(*times_ns: int) -> Chunks:
    return iter([np.array(times_ns)])


def load(
    system: Callable[..., Any] | ConcurrentSystem,
    plan: QueryPlan,
    rule: StopRule = TO_THE_END,
    *,
    clock: FakeClock | None = None,
    answers: EveryAnswer | None = None,
    timeout_s: float = 10.0,
    progress: Callable[[int, float], None] | None = None,
) -> Load:
    engine = engine_for(
        adapt(system), Tens(), clock or FakeClock(), timeout_s=timeout_s, progress=progress
    )
    with engine.at_work():
        return engine.run(plan, rule, answers or EveryAnswer())


def test_in_turn_an_answer_brings_the_next_query() -> None:
    clock = FakeClock(1000)
    model = Slow(clock, 5, 7, 9)
    result = load(model, QueryPlan(singles(3)), clock=clock)
    assert result.begin_ns == 1000
    assert result.issued_ns.tolist() == [0, 5, 12]
    assert result.due_ns.tolist() == [0, 5, 12]
    assert result.completed_ns.tolist() == [5, 12, 21]
    assert result.latency_ns.tolist() == [5, 7, 9]
    assert result.sizes.tolist() == [1, 1, 1]
    assert result.stopped == "all 3 samples were issued"
    assert model.asked == [[0], [10], [20]]


def test_queries_of_several_samples_go_together() -> None:
    model = Slow(FakeClock())
    answers = EveryAnswer()
    result = load(model, QueryPlan(batches(np.arange(5), 2)), answers=answers)
    assert model.asked == [[0, 10], [20, 30], [40]]
    assert result.sizes.tolist() == [2, 2, 1]
    assert answers.by_index == {index: 10 * index for index in range(5)}


def test_timed_queries_go_when_they_are_due_or_as_soon_as_possible_after() -> None:
    clock = FakeClock(500)
    model = Slow(clock, 30, 5, 1)
    plan = QueryPlan(singles(4), due_at(0, 10, 20, 100))
    result = load(model, plan, clock=clock)
    assert result.due_ns.tolist() == [0, 10, 20, 100]
    assert result.issued_ns.tolist() == [0, 30, 35, 100]
    assert result.completed_ns.tolist() == [30, 35, 36, 100]
    assert result.latency_ns.tolist() == [30, 25, 16, 0]
    assert result.lateness_ns.tolist() == [0, 20, 15, 0]
    assert result.generator_lateness_ns.tolist() == [0, 0, 0, 0]


def test_offline_all_batches_are_due_at_the_begin() -> None:
    clock = FakeClock()
    plan = QueryPlan(batches(np.arange(6), 2), all_due_at_begin())
    result = load(Slow(clock, 4, 5, 6), plan, clock=clock)
    assert result.due_ns.tolist() == [0, 0, 0]
    assert result.latency_ns.tolist() == [4, 9, 15]
    assert result.completions.samples.tolist() == [2, 2, 2]


def test_a_load_ends_with_the_first_query_issued_after_the_shortest_duration() -> None:
    clock = FakeClock()
    rule = StopRule(min_queries=2, min_duration_ns=100, budget_ns=None)
    result = load(Slow(clock, *[30] * 9), QueryPlan(singles(9)), rule, clock=clock)
    assert result.issued_ns.tolist() == [0, 30, 60, 90, 120]
    assert result.stopped == "5 queries in 150 ns were enough"


def test_a_timed_load_ends_with_the_first_query_due_after_the_shortest_duration() -> None:
    clock = FakeClock()
    rule = StopRule(min_queries=2, min_duration_ns=100, budget_ns=None)
    plan = QueryPlan(singles(9), due_at(0, 40, 80, 130, 150))
    result = load(Slow(clock), plan, rule, clock=clock)
    assert result.due_ns.tolist() == [0, 40, 80, 130]


def test_a_load_has_its_fewest_queries_however_long_they_take() -> None:
    clock = FakeClock()
    rule = StopRule(min_queries=5, min_duration_ns=1, budget_ns=None)
    result = load(Slow(clock, *[100] * 9), QueryPlan(singles(90)), rule, clock=clock)
    assert len(result.issued_ns) == 5


def test_the_budget_ends_a_load_and_what_fell_due_by_then_is_overdue() -> None:
    clock = FakeClock()
    rule = StopRule(min_queries=100, min_duration_ns=1000, budget_ns=100)
    plan = QueryPlan(singles(9), due_at(0, 10, 20, 50, 89, 120, 121))
    result = load(Slow(clock, 60, 60), plan, rule, clock=clock)
    assert result.stopped == "the budget of 100 ns was spent"
    assert result.issued_ns.tolist() == [0, 60, 120]
    assert result.overdue_ns.tolist() == [70, 31]
    assert result.latency_ns.tolist() == [60, 110, 100, 70, 31]


def test_the_budget_ends_while_no_query_is_due() -> None:
    clock = FakeClock()
    rule = StopRule(min_queries=1, min_duration_ns=10**15, budget_ns=10**9)
    result = load(Slow(clock), QueryPlan(singles(9), due_at(5, 10**12)), rule, clock=clock)
    assert result.issued_ns.tolist() == [5]
    assert clock.now_ns == 10**9
    assert result.stopped == "the budget of 1 s was spent"
    late = load(Slow(FakeClock()), QueryPlan(singles(9), due_at(10**12)), rule)
    assert len(late.issued_ns) == 0
    assert late.stopped == "the budget of 1 s was spent"


def test_progress_is_shown_while_no_query_is_due() -> None:
    clock = FakeClock()
    seen: list[tuple[int, float]] = []
    plan = QueryPlan(singles(9), due_at(0, 5 * SLICE_NS // 2))
    load(Slow(clock), plan, clock=clock, progress=lambda n, elapsed_s: seen.append((n, elapsed_s)))
    assert seen == [(1, 0.2), (1, 0.4), (2, 0.5)]


def test_looks_come_after_a_number_of_queries_that_grows() -> None:
    looks: list[int] = []
    load(Slow(FakeClock()), QueryPlan(singles(600)), progress=lambda n, _: looks.append(n))
    assert looks[:4] == [32, 64, 96, 128]
    assert np.diff([*looks[8:], 600]).max() > 32


def test_a_slow_model_is_looked_at_in_time() -> None:
    clock = FakeClock()
    looks: list[float] = []
    load(
        Slow(clock, *[90 * MS] * 7),
        QueryPlan(singles(7)),
        clock=clock,
        progress=lambda _, elapsed_s: looks.append(elapsed_s),
    )
    assert looks == [0.36, 0.63]


@pytest.mark.parametrize("make", [lambda: Slow(FakeClock()), lambda: Recording()])
def test_a_long_gap_is_used_to_look_in(make: Callable[[], Any]) -> None:
    looks: list[int] = []
    times = [*range(0, 555_000, 1000), *range(2_000_000, 2_010_000, 1000)]
    plan = QueryPlan(singles(565), due_at(*times))
    result = load(make(), plan, progress=lambda n, _: looks.append(n))
    # Without the gap the third look would come at 565.
    assert looks == [256, 512, 555, 565]
    assert result.lateness_ns.max() == 0


@pytest.mark.parametrize("make", [lambda: Slow(FakeClock()), lambda: Recording()])
@pytest.mark.parametrize(
    ("waits_us", "look"),
    [
        ({50: 300, 80: 900, 110: 500}, 80),
        ({15: 900, 110: 500}, 110),  # too early
        ({50: 300, 150: 900}, 50),  # too late
        ({50: 90, 110: 99}, 200),  # too short
        ({50: 300, 110: 250_000}, 110),  # longer than a look may be away
        ({20: 250_000, 110: 900_000}, 20),  # what comes after the latest look does not count
    ],
)
def test_a_look_comes_in_the_longest_wait(
    make: Callable[[], Any], waits_us: dict[int, int], look: int
) -> None:
    looks: list[int] = []
    times = np.cumsum([1000 * waits_us.get(number, 1) for number in range(200)])
    plan = QueryPlan(singles(200), due_at(*times.tolist()))
    result = load(make(), plan, progress=lambda n, _: looks.append(n))
    assert looks[0] == look
    assert len(result.issued_ns) == 200
    assert result.lateness_ns.max() == 0


def test_the_first_queries_are_ready_before_the_clock_starts() -> None:
    clock = FakeClock()

    def made_slowly() -> Chunks:
        clock.now_ns += 1000
        yield from singles(2)

    result = load(Slow(clock), QueryPlan(made_slowly(), due_at(0, 10)), clock=clock)
    assert result.issued_ns.tolist() == [0, 10]


def watched(**bounds: str) -> StopRule:
    watch = SequentialDecision({name: at_most(text) for name, text in bounds.items()})
    return StopRule(
        min_queries=459, min_duration_ns=3_000 * MS, budget_ns=10_000 * MS, decide=watch.look
    )


def test_a_bound_that_is_met_ends_the_load_after_the_shortest_duration() -> None:
    clock = FakeClock()
    result = load(
        Slow(clock, *[MS] * 20_000), QueryPlan(singles(20_000)), watched(p99="2 ms"), clock=clock
    )
    assert result.stopped == "p99 ≤ 2 ms certain after 652 queries"
    assert result.duration_s == 3.001


def test_a_bound_that_is_missed_ends_the_load_at_once() -> None:
    clock = FakeClock()
    result = load(
        Slow(clock, *[3 * MS] * 20_000),
        QueryPlan(singles(20_000)),
        watched(p99="2 ms"),
        clock=clock,
    )
    assert result.stopped == "p99 ≤ 2 ms certainly missed after 32 queries"
    assert result.duration_s == 0.096


def test_a_bound_that_stays_open_is_given_up_at_the_budget() -> None:
    clock = FakeClock()
    times = [3 * MS if number % 100 == 50 else MS for number in range(20_000)]
    result = load(Slow(clock, *times), QueryPlan(singles(20_000)), watched(p99="2 ms"), clock=clock)
    assert result.stopped == "the budget of 10 s was spent"
    assert 10 <= result.duration_s < 10.01


def test_a_server_that_falls_behind_is_charged_for_it() -> None:
    """One query a ms, answered in 1.5 ms: the queue grows, and the bound of 20 ms is missed."""
    clock = FakeClock()
    plan = QueryPlan(singles(9000), due_at(*range(0, 9000 * MS, MS)))
    result = load(Slow(clock, *[3 * MS // 2] * 9000), plan, watched(p99="20 ms"), clock=clock)
    assert result.stopped.startswith("p99 ≤ 20 ms certainly missed after")
    assert result.latency_ns[: len(result.issued_ns)].tolist() == [
        MS * 3 // 2 + MS // 2 * number for number in range(len(result.issued_ns))
    ]


def test_an_error_names_the_query_and_its_samples() -> None:
    def model(samples: Sequence[int]) -> Sequence[int]:
        if samples == [420, 430]:
            raise ValueError("no")
        return samples

    with pytest.raises(ValueError, match="no") as raised:
        load(model, QueryPlan(batches(np.arange(90), 2)))
    notes = getattr(
        raised.value, "__notes__", ["the system raised this on query 21 (samples 42, 43)"]
    )
    assert notes == ["the system raised this on query 21 (samples 42, 43)"]


def test_wrong_outputs_end_the_load() -> None:
    result = load(lambda samples: [], QueryPlan(singles(1000)))
    assert [violation.rule for violation in result.violations] == ["one output per sample"]
    assert result.stopped == "a rule was broken: one output per sample"
    assert len(result.issued_ns) == 32


class Recording:
    """A concurrent system that notes what is done to it; a test decides when it answers."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.queries: list[Query] = []

    def start(self) -> None:
        """Take note."""
        self.events.append("start")

    def issue(self, query: Query) -> None:
        """Take note."""
        self.events.append(f"issue {query.id} {query.samples}")
        self.queries.append(query)
        self.answer(query)

    def answer(self, query: Query) -> None:
        """Answer at once."""
        query.complete(query.samples)

    def flush(self) -> None:
        """Take note."""
        self.events.append("flush")

    def stop(self) -> None:
        """Take note."""
        self.events.append("stop")


class InFlush(Recording):
    """Answers everything, with one stamp, when flushed."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock = clock

    def answer(self, query: Query) -> None:
        """Not yet."""

    def flush(self) -> None:
        """Now."""
        super().flush()
        self.clock.now_ns = 1000
        complete_together(self.queries, [query.samples[0] for query in self.queries])


class ByThread(Recording):
    """Answers from a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.line: SimpleQueue[Query | None] = SimpleQueue()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        super().start()
        self.thread.start()

    def answer(self, query: Query) -> None:
        """Leave it to the thread."""
        self.line.put(query)

    def work(self) -> None:
        """Answer until told to stop."""
        while (query := self.line.get()) is not None:
            query.complete(query.samples)

    def stop(self) -> None:
        """Stop the thread."""
        super().stop()
        self.line.put(None)
        self.thread.join()


def test_a_system_may_answer_while_it_takes_the_query() -> None:
    system, clock, answers = Recording(), FakeClock(), EveryAnswer()

    def answer(query: Query) -> None:
        clock.now_ns += 5
        query.complete(query.samples)
        clock.now_ns += 2

    system.answer = answer  # type: ignore[method-assign]
    result = load(system, QueryPlan(singles(3)), clock=clock, answers=answers)
    assert system.events == [
        "start",
        "issue 0 [0]",
        "issue 1 [10]",
        "issue 2 [20]",
        "flush",
        "stop",
    ]
    assert result.issued_ns.tolist() == [0, 7, 14]
    assert result.completed_ns.tolist() == [5, 12, 19]
    assert result.taken_ns.tolist() == [7, 14, 21]
    assert answers.by_index == {0: 0, 1: 10, 2: 20}
    assert result.violations == ()


def test_a_system_may_answer_when_it_is_flushed() -> None:
    clock, answers = FakeClock(), EveryAnswer()
    system = InFlush(clock)
    plan = QueryPlan(singles(4), due_at(0, 10, 20, 30))
    result = load(system, plan, clock=clock, answers=answers)
    assert result.issued_ns.tolist() == [0, 10, 20, 30]
    assert result.completed_ns.tolist() == [1000] * 4
    assert result.latency_ns.tolist() == [1000, 990, 980, 970]
    assert answers.by_index == {0: 0, 1: 10, 2: 20, 3: 30}


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("make", [ByThread, lambda: BatchingServer(list, max_batch=7, workers=2)])
def test_a_system_may_answer_from_a_thread(timed: bool, make: Callable[[], Any]) -> None:
    answers = EveryAnswer()
    arrivals = due_at(*range(0, 500_000, 1000)) if timed else None
    result = load(make(), QueryPlan(singles(500), arrivals), answers=answers)
    assert answers.by_index == {index: 10 * index for index in range(500)}
    assert result.answered.all()
    assert result.violations == ()


def test_in_turn_one_query_is_open_at_a_time() -> None:
    system = Recording()
    most = [0]

    def answer(query: Query) -> None:
        open_ids = len(system.queries) - len(done)
        most[0] = max(most[0], open_ids)
        done.append(query.id)
        query.complete(query.samples)

    done: list[int] = []
    system.answer = answer  # type: ignore[method-assign]
    load(system, QueryPlan(singles(100)))
    assert most == [1]


def test_a_query_that_is_never_completed_is_named() -> None:
    system = Recording()

    def answer(query: Query) -> None:
        if query.id not in (2, 3):
            query.complete(query.samples)

    system.answer = answer  # type: ignore[method-assign]
    plan = QueryPlan(batches(np.arange(12), 2), all_due_at_begin())
    result = load(system, plan, timeout_s=0.01)
    (violation,) = result.violations
    assert violation.rule == "every query is completed"
    assert violation.evidence == (
        "nothing was completed for 0.01 s while 2 queries were open; "
        "the oldest is query 2 (samples 4, 5)"
    )
    assert result.completed_ns.tolist() == [0, 0, NEVER, NEVER, 0, 0]
    assert system.events[-1] == "stop"


def test_in_turn_a_lost_query_ends_the_load() -> None:
    system = Recording()
    system.answer = lambda query: None  # type: ignore[method-assign]
    result = load(system, QueryPlan(singles(9)), timeout_s=0.01)
    assert [violation.rule for violation in result.violations] == ["every query is completed"]
    assert len(result.issued_ns) == 1


def test_under_timed_load_silence_ends_the_load_before_its_queries_end() -> None:
    clock, system = FakeClock(), Recording()
    system.answer = lambda query: None  # type: ignore[method-assign]
    plan = QueryPlan(singles(10**6), iter([np.arange(0, 10**12, 10**6)]))

    def jump(query: Query) -> None:
        clock.now_ns += 2 * MS

    system.answer = jump  # type: ignore[method-assign]
    result = load(system, plan, clock=clock, timeout_s=1.0)
    assert [violation.rule for violation in result.violations] == ["every query is completed"]
    assert 500 < len(result.issued_ns) < 1000


def test_a_query_completed_twice() -> None:
    system = Recording()

    def answer(query: Query) -> None:
        query.complete(query.samples)
        if query.id == 1:
            query.complete(query.samples)

    system.answer = answer  # type: ignore[method-assign]
    result = load(system, QueryPlan(singles(9)))
    (violation,) = result.violations
    assert violation.rule == "every query is completed once"
    assert violation.evidence == "query 1 was completed again"


def test_a_query_of_an_earlier_load_completed_again() -> None:
    system = Recording()
    engine = engine_for(adapt(system), Tens(), FakeClock())
    with engine.at_work():
        first = engine.run(QueryPlan(singles(3)), TO_THE_END, EveryAnswer())
        system.queries[2].complete([1])
        second = engine.run(QueryPlan(singles(3)), TO_THE_END, EveryAnswer())
    assert first.violations == ()
    assert [violation.evidence for violation in second.violations] == [
        "query 2 was completed again"
    ]


def test_a_completion_of_wrong_length() -> None:
    system = Recording()
    system.answer = lambda query: query.complete([1, 2])  # type: ignore[method-assign]
    result = load(system, QueryPlan(singles(9)))
    assert [violation.evidence for violation in result.violations] == [
        "the model gave 2 outputs for 1 sample (sample 0): "
        "return a list with one output for each sample"
    ]


@pytest.mark.parametrize("method", ["start", "issue", "flush", "stop"])
def test_an_error_in_a_method_of_the_system_comes_out(method: str) -> None:
    system, hook = Recording(), threading.excepthook

    def fail(*_: object) -> None:
        raise ValueError(f"{method} failed")

    setattr(system, method, fail)
    with pytest.raises(ValueError, match=f"{method} failed") as raised:
        load(system, QueryPlan(singles(3)))
    assert ("stop" in system.events) == (method in ("issue", "flush"))
    assert threading.excepthook is hook
    if method == "issue":
        note = "the system raised this on query 0 (sample 0)"
        assert getattr(raised.value, "__notes__", [note]) == [note]


def test_the_first_error_is_not_hidden_by_one_in_stop() -> None:
    system = Recording()

    def fail(text: str) -> Callable[..., None]:
        def method(*_: object) -> None:
            raise ValueError(text)

        return method

    system.flush = fail("first")  # type: ignore[method-assign]
    system.stop = fail("second")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="first") as raised:
        load(system, QueryPlan(singles(3)))
    note = "and then the system's stop() raised ValueError('second')"
    assert getattr(raised.value, "__notes__", [note]) == [note]


def test_a_failure_that_the_system_reports_names_the_query() -> None:
    system = Recording()
    system.answer = lambda query: query.fail(OSError("gone"))  # type: ignore[method-assign]
    with pytest.raises(OSError, match="gone") as raised:
        load(system, QueryPlan(singles(3)))
    note = "the system raised this on query 0 (sample 0)"
    assert getattr(raised.value, "__notes__", [note]) == [note]


def test_a_thread_that_dies_ends_the_load_with_its_error() -> None:
    class Dying(ByThread):
        def work(self) -> None:
            self.line.get()
            raise OSError("gone")

    with pytest.raises(OSError, match="gone") as raised:
        load(Dying(), QueryPlan(singles(3)))
    (note,) = getattr(raised.value, "__notes__", ["the thread"])
    assert note.startswith("the thread")


def test_a_sequential_decision_counts_open_queries() -> None:
    """Of queries that are never answered no bound is met; they fail it when they are over it."""
    clock, system = FakeClock(), Recording()
    system.answer = lambda query: None  # type: ignore[method-assign]
    plan = QueryPlan(singles(10**5), iter([np.arange(0, 10**5 * 1000, 1000)]))
    rule = watched(p99="20 ms")
    verdicts: list[Verdict] = []

    def decide(journal: Any) -> tuple[Verdict, str] | None:
        outcome = rule.decide(journal) if rule.decide else None
        if outcome is not None:
            verdicts.append(outcome[0])
        return outcome

    early = StopRule(min_queries=1, min_duration_ns=10**12, budget_ns=10**12, decide=decide)
    result = load(system, plan, early, clock=clock, timeout_s=0.05)
    assert verdicts == [Verdict.FAILED]
    assert result.stopped.startswith("p99 ≤ 20 ms certainly missed")


def test_an_inline_system_is_loaded_inline() -> None:
    engine = engine_for(InlineSystem(list), Tens(), FakeClock())
    result = engine.run(QueryPlan(singles(3)), TO_THE_END, EveryAnswer())
    assert len(result.issued_ns) == 3
