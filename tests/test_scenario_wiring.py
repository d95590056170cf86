"""What the settings of a scenario do to a load: order, ends, calls, arrivals, users."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_aibench.datasets.base import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.inference.runner import LoadGenerator
from pytest_aibench.loadgen.arrivals import (
    Arrivals,
    Constant,
    Gamma,
    Poisson,
    Ramp,
    Replay,
    Steps,
    ThinkingUsers,
)
from pytest_aibench.loadgen.decision import FixedEstimator
from pytest_aibench.loadgen.effort import Effort, StopRule
from pytest_aibench.loadgen.engine import MOST_AT_ONCE, engine_for
from pytest_aibench.loadgen.journal import EveryAnswer, Load
from pytest_aibench.loadgen.mlperf_settings import loadgen_name
from pytest_aibench.loadgen.order import OrderSettings, Selection, query_chunks, sample_sets
from pytest_aibench.loadgen.plan import Chunks, QueryPlan
from pytest_aibench.loadgen.systems import ConcurrentSystem, Query, adapt
from pytest_aibench.scenarios import (
    MultiStream,
    Offline,
    Scenario,
    Seeds,
    Server,
    SingleStream,
    Users,
)
from tests.fakes import FakeClock

US = 1_000
TO_THE_END = StopRule(min_queries=10**9, min_duration_ns=2**62, budget_ns=None)
V61 = Seeds()


class Model:
    """Takes so many ns per call, and notes the calls."""

    def __init__(self, clock: FakeClock, takes_ns: int = 0) -> None:
        self.clock = clock
        self.takes_ns = takes_ns
        self.calls: list[list[int]] = []

    def __call__(self, samples: Sequence[Any]) -> list[int]:
        """Echo."""
        self.calls.append([int(sample) for sample in samples])
        self.clock.now_ns += self.takes_ns
        return self.calls[-1]


class Served:
    """A concurrent system of so many servers; it knows beforehand when each query is done."""

    def __init__(self, clock: FakeClock, takes_ns: Sequence[int], servers: int = 1) -> None:
        self.clock = clock
        self.takes_ns = takes_ns
        self.free_ns = [0] * servers
        self.calls: list[list[int]] = []

    def start(self) -> None:
        """Nothing to do."""

    def issue(self, query: Query) -> None:
        """Answer when the first free server is done with it."""
        self.calls.append([int(sample) for sample in query.samples])
        server = int(np.argmin(self.free_ns))
        begun = max(self.free_ns[server], self.clock.now())
        self.free_ns[server] = begun + self.takes_ns[query.id % len(self.takes_ns)]
        query.complete(query.samples, at_ns=self.free_ns[server])

    def flush(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""


class Silent(Served):
    """Never answers."""

    def issue(self, query: Query) -> None:
        """Take note."""
        self.calls.append([int(sample) for sample in query.samples])


class Indices:
    """Samples that are their own index."""

    def take(self, indices: Any, /) -> list[int]:
        """The samples."""
        return list(indices)


def numbers(n: int) -> Dataset:
    return Dataset("numbers", "test", np.arange(n), np.arange(n), licence="CC0-1.0", source="here")


def generator_on(clock: FakeClock, effort: Effort | None = None) -> LoadGenerator:
    return LoadGenerator(
        effort=effort or Effort("test", min_duration_s=1e-6, budget_s=None, sequential=False),
        settle=lambda result, outcome: None,
        memory={},
        clock=clock,
    )


def run(
    scenario: Scenario,
    *,
    n: int = 10,
    loaded: int | None = None,
    takes_ns: int = US,
    max_batch: int = 4,
    effort: Effort | None = None,
) -> tuple[LoadResult, list[list[int]]]:
    """Load a model; the result, and the calls of the load without those before it."""
    clock = FakeClock()
    model = Model(clock, takes_ns)
    result = generator_on(clock, effort).run(
        model, numbers(n), scenario, max_batch=max_batch, performance_samples=loaded
    )
    n_calls = len(set(result.load.issued_ns.tolist()))
    return result, model.calls[-n_calls:]


def flat(calls: list[list[int]]) -> list[int]:
    return [sample for call in calls for sample in call]


def play(
    system: Any,
    plan: QueryPlan,
    clock: FakeClock,
    rule: StopRule = TO_THE_END,
    *,
    timeout_s: float = 10.0,
) -> Load:
    engine = engine_for(adapt(system), Indices(), clock, timeout_s=timeout_s)
    with engine.at_work():
        return engine.run(plan, rule, EveryAnswer())


def singles(n: int) -> Chunks:
    return iter([np.arange(n)[:, np.newaxis]])


def due_at(*times_ns: int) -> Chunks:
    return iter([np.array(times_ns)])


def server(**changed: Any) -> Server:
    options: dict[str, Any] = {"target_qps": 1000, "latency_bound": "1 s"}
    return Server(**{**options, **changed})


# The order of samples and the end of the load.


def test_single_stream_under_equal_issue_is_the_official_one() -> None:
    scenario = SingleStream(min_queries=12, selection="equal_issue")
    result, calls = run(scenario, loaded=5)
    assert flat(calls) == [3, 4, 2, 0, 1, 2, 4, 0, 1, 3, 0, 2, 1, 3, 4]
    assert result.settings["min_queries"] == 15
    assert result.load.stopped == "15 queries in 15 µs were enough"


def test_single_stream_under_equal_issue_has_one_more_pass_than_a_multiple() -> None:
    result, _ = run(SingleStream(min_queries=10, selection="equal_issue"), loaded=5)
    assert len(result.load.issued_ns) == 15


def test_a_server_under_equal_issue_keeps_its_fewest_queries_and_issues_whole_sets() -> None:
    for fewest, n_queries in ((10, 10), (11, 15)):
        scenario = server(min_queries=fewest, selection="equal_issue")
        result, calls = run(scenario, loaded=5)
        assert result.settings["min_queries"] == fewest
        assert len(result.load.issued_ns) == n_queries
        assert set(Counter(flat(calls)).values()) == {n_queries // 5}
        order = OrderSettings(
            total=10, performance_count=5, selection=Selection.EQUAL_ISSUE, min_queries=fewest
        )
        (loaded,) = sample_sets(order)
        assert flat(calls) == next(query_chunks(order, loaded, n_queries)).ravel().tolist()


@pytest.mark.parametrize(
    "scenario",
    [
        SingleStream(min_queries=1, min_duration="1 ms", selection="equal_issue"),
        server(target_qps=10_000, min_queries=1, min_duration="60 ms", selection="equal_issue"),
        Users(count=3, min_queries=1, min_duration="1 ms", selection="equal_issue"),
    ],
    ids=lambda scenario: scenario.name,
)
@pytest.mark.parametrize("loaded", [7, 300])
def test_under_equal_issue_a_load_ends_with_the_first_whole_pass_after_its_duration(
    scenario: Scenario, loaded: int
) -> None:
    result, calls = run(scenario, n=loaded, takes_ns=7 * US)
    n_queries = len(result.load.issued_ns)
    assert n_queries % loaded == 0
    assert set(Counter(flat(calls)).values()) == {n_queries // loaded}
    assert scenario.min_duration is not None
    shortest_ns = {"1 ms": 10**6, "60 ms": 6 * 10**7}[scenario.min_duration]
    assert result.load.due_ns[-1] >= shortest_ns
    if n_queries > loaded:
        assert result.load.due_ns[-1 - loaded] < shortest_ns


def test_the_budget_ends_a_load_within_a_pass() -> None:
    scenario = SingleStream(max_duration="30 us", selection="equal_issue")
    result, _ = run(scenario, n=40)
    assert result.load.stopped == "the budget of 30 µs was spent"
    assert len(result.load.issued_ns) == 31


def test_unique_is_one_pass() -> None:
    for scenario in (SingleStream(selection="unique"), server(selection="unique")):
        result, calls = run(scenario, n=10)
        assert sorted(flat(calls)) == list(range(10))
        assert result.load.stopped == "all 10 samples were issued"
    result, calls = run(MultiStream(samples_per_query=4, selection="unique"), n=10)
    assert len(calls) == 3


def test_the_same_sample_again_and_again() -> None:
    for scenario in (SingleStream(selection="same"), server(selection="same")):
        _, calls = run(scenario, n=10)
        (first,) = sample_sets(OrderSettings(total=10))
        assert set(flat(calls)) == {first[0]}


@pytest.mark.parametrize(
    ("selection", "issued", "samples"),
    [
        ("random", 13, [1, 1, 1, 1, 1, 1, 1, 2, 2, 2]),
        ("unique", 10, [1] * 10),
        ("equal_issue", 20, [2] * 10),
        ("same", 13, [13]),
    ],
)
def test_offline_selections(selection: Any, issued: int, samples: list[int]) -> None:
    result, calls = run(Offline(samples=13, selection=selection), n=10)
    assert sorted(Counter(flat(calls)).values()) == samples
    assert result.settings["samples_per_query"] == len(flat(calls)) == issued
    (order,) = sample_sets(OrderSettings(total=10, offline=True))
    if selection in ("random", "unique"):
        assert flat(calls) == np.resize(order, issued).tolist()


def test_offline_has_at_least_its_fewest_samples() -> None:
    quick = Effort("test", min_duration_s=1e-6, budget_s=None, sequential=True)
    few, _ = run(Offline(min_queries=17), n=10, effort=quick)
    assert few.settings["samples_per_query"] == 17
    # 4 samples take 1 µs, so 1.1 ms are 4400 samples, less what 10 samples in 3 calls are slower.
    many, _ = run(Offline(min_queries=17, min_duration="1 ms"), n=10, effort=quick)
    assert many.settings["samples_per_query"] == 3667


# Queries that go together.


def test_queries_that_are_due_go_in_one_call_each_with_its_own_due_time() -> None:
    clock = FakeClock(500)
    model = Model(clock, 30)
    plan = QueryPlan(singles(6), due_at(0, 10, 20, 35, 60, 100), coalesce=True)
    load = play(model, plan, clock)
    assert model.calls == [[0], [1, 2], [3, 4], [5]]
    assert load.due_ns.tolist() == [0, 10, 20, 35, 60, 100]
    assert load.issued_ns.tolist() == [0, 30, 30, 60, 60, 100]
    assert load.completed_ns.tolist() == [30, 60, 60, 90, 90, 130]
    assert load.latency_ns.tolist() == [30, 50, 40, 55, 30, 30]
    assert load.sizes.tolist() == [1] * 6
    assert load.generator_lateness_ns.tolist() == [0] * 6


def test_a_concurrent_system_gets_one_query_with_the_samples_of_all() -> None:
    clock = FakeClock()
    system = Served(clock, [5])
    answers = EveryAnswer()

    def slow_issue(query: Query) -> None:
        Served.issue(system, query)
        clock.now_ns += 30

    system.issue = slow_issue  # type: ignore[method-assign]
    engine = engine_for(adapt(system), Indices(), clock)
    plan = QueryPlan(singles(5), due_at(0, 10, 20, 35, 100), coalesce=True)
    with engine.at_work():
        load = engine.run(plan, TO_THE_END, answers)
    assert system.calls == [[0], [1, 2], [3], [4]]
    assert load.issued_ns.tolist() == [0, 30, 30, 60, 100]
    assert load.taken_ns.tolist() == [30, 60, 60, 90, 130]
    assert load.completed_ns.tolist() == [5, 35, 35, 65, 105]
    assert load.latency_ns.tolist() == [5, 25, 15, 30, 5]
    assert load.violations == ()
    assert answers.by_index == {index: index for index in range(5)}


@pytest.mark.parametrize("answers_later", [False, True])
def test_all_that_have_fallen_due_go_in_one_call_however_many(answers_later: bool) -> None:
    n = 5 * MOST_AT_ONCE
    clock = FakeClock()
    model: Any = Served(clock, [7]) if answers_later else Model(clock, n)
    if answers_later:

        def slow_issue(query: Query) -> None:
            Served.issue(model, query)
            clock.now_ns += n

        model.issue = slow_issue
    plan = QueryPlan(singles(n), due_at(*range(n)), coalesce=True)
    load = play(model, plan, clock)
    assert model.calls == [[0], list(range(1, n))]
    assert len(load.issued_ns) == n


def test_wrong_outputs_of_queries_that_went_together() -> None:
    clock = FakeClock()
    plan = QueryPlan(singles(3), due_at(0, 0, 0), coalesce=True)
    load = play(lambda samples: samples[1:], plan, clock)
    (violation,) = load.violations
    assert violation.rule == "one output per sample"
    assert "2 outputs for 3 samples (samples 0, 1, 2)" in violation.evidence


def test_an_error_names_all_queries_that_went_together() -> None:
    def model(samples: Sequence[int]) -> Sequence[int]:
        raise ValueError("no")

    plan = QueryPlan(singles(3), due_at(0, 0, 0), coalesce=True)
    with pytest.raises(ValueError, match="no") as raised:
        play(model, plan, FakeClock())
    note = "the system raised this on query 0 (samples 0, 1, 2)"
    assert getattr(raised.value, "__notes__", [note]) == [note]


def test_a_server_scenario_lets_queries_go_together() -> None:
    scenario = server(target_qps=10**6, min_queries=200, coalesce=True)
    result, calls = run(scenario, takes_ns=10 * US)
    assert max(map(len, calls)) > 4
    assert len(flat(calls)) == len(result.load.issued_ns)
    assert result.violations == ()
    alone, calls = run(server(target_qps=10**6, min_queries=200), takes_ns=10 * US)
    assert {len(call) for call in calls} == {1}
    assert alone.load.latency_ns.max() > result.load.latency_ns.max()


# Queries that are unanswered.


def outstanding(system: ConcurrentSystem, clock: FakeClock, most: int) -> Load:
    plan = QueryPlan(singles(9), due_at(*range(0, 90, 10)), max_async=most)
    return play(system, plan, clock, timeout_s=0.01)


def test_too_many_outstanding_queries_end_the_load() -> None:
    clock = FakeClock()
    system = Silent(clock, [])
    load = outstanding(system, clock, 3)
    (violation,) = load.violations
    assert violation.rule == "too many outstanding queries"
    assert violation.evidence == (
        "4 of 4 queries were unanswered after an issue, allowed 3 (max_async): "
        "lower the rate or raise max_async"
    )
    assert load.stopped == "a rule was broken: too many outstanding queries"
    assert system.calls == [[0], [1], [2], [3]]


def test_as_many_outstanding_queries_as_allowed_do_not_end_the_load() -> None:
    clock = FakeClock()
    assert outstanding(Served(clock, [5]), clock, 1).violations == ()
    load = outstanding(Silent(clock, []), clock, 9)
    assert [violation.rule for violation in load.violations] == ["every query is completed"]


def test_queries_that_went_together_are_outstanding_together() -> None:
    clock = FakeClock()
    plan = QueryPlan(singles(9), due_at(*[0] * 9), coalesce=True, max_async=8)
    load = play(Silent(clock, []), plan, clock)
    assert load.violations[0].evidence.startswith("9 of 9 queries were unanswered")


def test_a_server_scenario_limits_the_queries_that_are_outstanding() -> None:
    clock = FakeClock()
    scenario = server(target_qps=10**7, min_queries=100, max_async=3)
    system = Served(clock, [1])

    def answer_the_first(query: Query) -> None:
        if query.id < 12:  # all of the accuracy pass and of the warm-up
            query.complete(query.samples)

    system.issue = answer_the_first  # type: ignore[method-assign]
    result = generator_on(clock).run(system, numbers(10), scenario)
    (violation,) = result.violations
    assert violation.rule == "too many outstanding queries"


# Other arrivals.


@pytest.mark.parametrize(
    ("arrivals", "short_id", "ends"),
    [
        (Constant(qps=50), "server-constant-50qps", False),
        (Gamma(qps=50, burstiness=0.5), "server-gamma-50qps-0.5", False),
        (Poisson(qps=50), "server-poisson-50qps", False),
        (Ramp(0, 100, "30 s"), "server-ramp-0-100qps-30s", True),
        (Steps(((10, "30 s"), (50, "5 s"))), "server-steps-10qps_30s-50qps_5s", True),
        (Replay("day.txt"), "server-replay-day.txt", True),
    ],
)
def test_arrivals_are_named(arrivals: Arrivals, short_id: str, ends: bool) -> None:
    scenario = Server(arrivals=arrivals, latency_bound="100 ms")
    assert scenario.id == short_id
    assert scenario.ends is ends
    assert hash(scenario) == hash(Server(arrivals=arrivals, latency_bound="100 ms"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target_qps": 5, "arrivals": Constant(5)},
            "give target_qps or arrivals, not both: arrivals have their own rate",
        ),
        ({}, "a server needs target_qps=50 or arrivals=Gamma(qps=50, burstiness=0.5)"),
        ({"arrivals": 5}, "arrivals=5: use Constant, Gamma, Ramp, Steps or Replay"),
    ],
)
def test_mistakes_with_arrivals(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        Server(latency_bound="100 ms", **options)
    assert str(raised.value) == message


def test_a_server_follows_its_arrivals() -> None:
    arrivals = Gamma(qps=10_000, burstiness=0.5)
    result, _ = run(Server(arrivals=arrivals, latency_bound="1 s", min_queries=50))
    expected = next(arrivals.chunks(V61.schedule, 1000))
    due_ns = result.load.due_ns
    assert due_ns.tolist() == expected[: len(due_ns)].tolist()
    settings = json.loads(json.dumps(result.settings))
    assert settings["arrivals"] == {"process": "gamma", "qps": 10_000, "burstiness": 0.5}
    assert settings["target_qps"] is None
    poisson, _ = run(server(min_queries=5))
    assert poisson.settings["arrivals"] == {"process": "poisson", "qps": 1000}


@pytest.mark.parametrize("sequential", [False, True])
def test_arrivals_that_end_are_played_to_their_end(tmp_path: Path, sequential: bool) -> None:
    path = tmp_path / "day.txt"
    path.write_text("\n".join(str(second / 1e4) for second in range(2000)))
    effort = Effort("test", min_duration_s=1e-3, budget_s=1e-2, sequential=sequential)
    for arrivals, n_queries in (
        (Replay(str(path)), 2000),
        (Ramp(0, 20_000, "200 ms"), None),
        (Steps(((10_000, "100 ms"), (5_000, "200 ms"))), None),
    ):
        scenario = Server(arrivals=arrivals, latency_bound="1 s")
        result, _ = run(scenario, effort=effort)
        times = np.concatenate(list(arrivals.chunks(V61.schedule, 500)))
        assert n_queries in (None, len(times))
        assert result.load.due_ns.tolist() == times.tolist()
        assert result.load.stopped == f"the arrivals ended after {len(times)} queries"
        assert result.settings["min_duration_s"] is None
        assert isinstance(result.estimator, FixedEstimator)
        json.dumps(result.settings)


def test_max_duration_ends_arrivals_before_their_end() -> None:
    arrivals = Ramp(10_000, 10_000, "200 ms")
    scenario = Server(arrivals=arrivals, latency_bound="1 s", max_duration="50 ms")
    result, _ = run(scenario)
    assert result.load.stopped == "the budget of 50 ms was spent"


def test_loadgen_has_only_poisson_arrivals() -> None:
    scenario = Server(arrivals=Constant(50), latency_bound="1 s")
    message = "the scenario server-constant-50qps is not MLPerf's: it has no LoadGen settings"
    with pytest.raises(UserError) as raised:
        loadgen_name(scenario)
    assert str(raised.value) == message


# Users.


def test_users_start_staggered_and_ask_again_after_thinking() -> None:
    clock = FakeClock(1000)
    load = play(Model(clock, 10), QueryPlan(singles(6), ThinkingUsers(2, 100)), clock)
    assert load.due_ns.tolist() == [0, 50, 110, 160, 220, 270]
    assert load.completed_ns.tolist() == [10, 60, 120, 170, 230, 280]
    assert load.latency_ns.tolist() == [10] * 6
    assert load.stopped == "all 6 samples were issued"


def test_users_queue_at_an_inline_system() -> None:
    clock = FakeClock()
    load = play(Model(clock, 100), QueryPlan(singles(7), ThinkingUsers(3, 30)), clock)
    assert load.due_ns.tolist() == [0, 10, 20, 130, 230, 330, 430]
    assert load.issued_ns.tolist() == [0, 100, 200, 300, 400, 500, 600]
    assert load.latency_ns.tolist() == [100, 190, 280, 270, 270, 270, 270]
    assert load.generator_lateness_ns.tolist() == [0] * 7


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("think_ns", [0, 50, 1000])
@pytest.mark.parametrize("servers", [0, 1, 3])
def test_littles_law(count: int, think_ns: int, servers: int) -> None:
    """Users = rate * (latency + think time), exactly: each user's time is one or the other."""
    clock = FakeClock()
    takes_ns = [70, 110, 20, 200]
    system: Any = Served(clock, takes_ns, servers) if servers else Model(clock, 90)
    n = 2000
    load = play(system, QueryPlan(singles(n), ThinkingUsers(count, think_ns)), clock)
    assert load.violations == ()
    # While the load lasts, every user waits or thinks; what begins or ends it is cut off.
    first, last = int(load.due_ns[count - 1]), int(load.due_ns.max())
    waiting = np.clip(load.completed_ns, first, last) - np.clip(load.due_ns, first, last)
    thought = load.completed_ns + think_ns
    thinking = np.clip(thought, first, last) - np.clip(load.completed_ns, first, last)
    # A user who has not asked yet at `first` is the last one, who asks just then.
    assert waiting.sum() + thinking.sum() == count * (last - first)
    rate = n / load.due_ns.max()
    cycle = load.latency_ns.mean() + think_ns
    assert rate * cycle == pytest.approx(count, rel=0.02)


def test_each_user_has_one_query_unanswered() -> None:
    clock = FakeClock()
    load = play(Served(clock, [70, 10], 3), QueryPlan(singles(500), ThinkingUsers(4, 20)), clock)
    moments = np.concatenate([load.due_ns, load.completed_ns])
    steps = np.repeat([1, -1], len(load.due_ns))
    assert np.cumsum(steps[np.lexsort((steps, moments))]).max() == 4


def test_users_who_get_no_answer() -> None:
    clock = FakeClock()
    plan = QueryPlan(singles(9), ThinkingUsers(2, 10))
    load = play(Silent(clock, []), plan, clock, timeout_s=0.3)
    (violation,) = load.violations
    assert violation.rule == "every query is completed"
    assert len(load.issued_ns) == 2


def test_users_are_a_scenario() -> None:
    scenario = Users(
        count=8, think_time="100 us", latency_bound="10 ms", percentile=0.9, min_queries=100
    )
    assert (scenario.id, scenario.name, scenario.ends) == ("users-8", "users", False)
    assert scenario.think_time_s == pytest.approx(1e-4)
    result, _ = run(scenario, takes_ns=20 * US)
    # Eight users at one server of 20 µs: it is never idle, so the rest of 160 µs is waiting.
    latency_ns = result.load.completed_ns - result.load.due_ns
    assert set(latency_ns[8:].tolist()) == {60 * US}
    assert result.estimate("p90").value == pytest.approx(60e-6)
    assert list(result.bounds) == ["p90"]
    json.dumps(result.settings)
    with pytest.raises(UserError, match="count=0 must be a whole number of at least 1"):
        Users(count=0)
    with pytest.raises(UserError, match="think_time='100' needs a time unit"):
        Users(count=1, think_time="100")


def test_a_late_generator_spoils_the_latencies_of_users() -> None:
    class Oversleeping(FakeClock):
        """Wakes a ms late."""

        def sleep_until(self, due: int) -> int:
            """Oversleep."""
            late = self.now_ns < due
            return FakeClock.sleep_until(self, due + 1_000_000 if late else due)

    clock = Oversleeping()
    scenario = Users(count=2, think_time="10 ms", latency_bound="5 ms", min_queries=50)
    result = generator_on(clock).run(Model(clock), numbers(10), scenario)
    assert [violation.rule for violation in result.violations] == ["the load generator keeps time"]
