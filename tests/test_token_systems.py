"""Generators of tokens as systems: every token is stamped when it comes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest

from pytest_aibench.bounds import Verdict, at_least, at_most
from pytest_aibench.datasets.base import Dataset
from pytest_aibench.errors import UserError
from pytest_aibench.inference.result import LoadResult
from pytest_aibench.inference.runner import LoadGenerator
from pytest_aibench.loadgen.effort import Effort
from pytest_aibench.loadgen.token_figures import Slo
from pytest_aibench.loadgen.token_systems import TokenServer, TokenSystem, async_token_system
from pytest_aibench.outcome import Outcome, judge_all
from pytest_aibench.scenarios import MultiStream, Offline, SingleStream
from tests.fakes import FakeClock
from tests.systems import WAIT_S, asking

LENGTHS = Dataset(
    name="lengths",
    split="test",
    samples=np.array([2, 3, 5, 4]),
    references=np.zeros(4, np.int64),
    licence="none",
    source="made here",
)


def count(sample: int) -> Iterator[int]:
    yield from range(int(sample))


async def count_slowly(sample: int) -> AsyncIterator[int]:
    for token in range(int(sample)):
        await asyncio.sleep(0)
        yield token


def test_every_token_is_stamped_when_it_comes() -> None:
    clock = FakeClock()

    def model(sample: int) -> Iterator[str]:
        clock.advance(0.5)
        yield "a"
        clock.advance(0.2)
        yield "b"
        clock.advance(0.1)

    with asking(TokenSystem(TokenServer(model)), clock.now) as asker:
        asker.issue(0)
        completion = asker.answer()
    assert completion.outputs == [["a", "b"]]
    (trace,) = completion.tokens
    assert (trace.arrivals_ns, trace.n_tokens) == ([500_000_000, 700_000_000], 2)
    assert completion.at_ns == 800_000_000


def test_async_tokens_are_stamped_when_they_come() -> None:
    clock = FakeClock()

    async def model(sample: int) -> AsyncIterator[int]:
        for token in range(2):
            clock.advance(0.5)
            yield token

    with asking(async_token_system(model, lambda: clock.advance(1)), clock.now) as asker:
        asker.issue(0)
        completion = asker.answer()
    assert completion.outputs == [[0, 1]]
    assert completion.tokens[0].arrivals_ns == [1_500_000_000, 3_000_000_000]


def test_the_device_has_settled_before_a_token_is_stamped() -> None:
    clock = FakeClock()
    with asking(TokenSystem(TokenServer(count), lambda: clock.advance(1)), clock.now) as asker:
        asker.issue(2)
        assert asker.answer().tokens[0].arrivals_ns == [1_000_000_000, 2_000_000_000]


@pytest.mark.parametrize("workers", [1, 3])
def test_outputs_of_a_query_are_in_the_order_of_its_samples(workers: int) -> None:
    with asking(TokenSystem(TokenServer(count, workers))) as asker:
        for _ in range(20):
            assert asker.ask(3, 0, 1, 2) == [[0, 1, 2], [], [0], [0, 1]]


def test_workers_share_the_samples_of_a_query() -> None:
    meeting = threading.Barrier(3, timeout=WAIT_S)

    def model(sample: int) -> Iterator[int]:
        meeting.wait()
        yield sample

    with asking(TokenSystem(TokenServer(model, workers=3))) as asker:
        assert asker.ask(1, 2, 3) == [[1], [2], [3]]


def test_an_exception_between_tokens_fails_the_query_and_the_worker_goes_on() -> None:
    def model(sample: int) -> Iterator[float]:
        yield 1.0
        yield 1 / sample

    with asking(TokenSystem(TokenServer(model))) as asker:
        with pytest.raises(ZeroDivisionError):
            asker.ask(0)
        assert asker.ask(2) == [[1.0, 0.5]]


def test_an_exception_between_async_tokens_fails_the_query() -> None:
    async def model(sample: int) -> AsyncIterator[float]:
        yield 1 / sample

    with asking(async_token_system(model)) as asker:
        with pytest.raises(ZeroDivisionError):
            asker.ask(2, 0)
        assert asker.ask(2) == [[0.5]]


def test_stopping_ends_an_answer_at_its_next_token() -> None:
    ends: list[str] = []
    asked = threading.Event()

    def endless(sample: int) -> Iterator[int]:
        try:
            while True:
                asked.set()
                yield sample
        finally:
            ends.append("closed")

    with asking(TokenSystem(TokenServer(endless))) as asker:
        asker.issue(1)
        asker.system.flush()
        assert asked.wait(WAIT_S)
    assert ends == ["closed"]
    assert asker.inbox.empty()


def test_stopping_does_not_wait_for_a_generator_that_hangs() -> None:
    released = threading.Event()

    def hang(sample: int) -> Iterator[int]:
        released.wait(WAIT_S)
        yield sample

    system = TokenSystem(TokenServer(hang, workers=2))
    with asking(system) as asker:
        asker.issue(1)
        asker.issue(1)
    assert asker.inbox.empty()
    released.set()
    with asking(system) as asker:
        assert asker.ask(5) == [[5]]


def test_a_server_has_at_least_one_worker() -> None:
    with pytest.raises(UserError, match="workers=0 must be at least 1"):
        TokenServer(count, workers=0)


def generator_of_loads() -> LoadGenerator:
    def settle(result: LoadResult, outcome: Outcome) -> None:
        """Judged by the test itself."""

    effort = Effort("test", 0.0, 5.0, sequential=False)
    return LoadGenerator(effort=effort, settle=settle, memory={})


@pytest.mark.parametrize("model", [count, count_slowly, TokenServer(count, workers=2)])
@pytest.mark.parametrize("scenario", [SingleStream(), MultiStream(), Offline(samples=400)])
def test_a_load_of_tokens_is_judged_like_any_other(
    model: object, scenario: SingleStream | MultiStream | Offline
) -> None:
    slo = Slo(ttft="10 s", tpot="10 s")
    result = generator_of_loads().run(model, LENGTHS, scenario, max_batch=4, slo=slo)
    required = {"tpot_p50": at_most("1 s"), "goodput": at_least(0.5), "ttft_p50": at_most("10 s")}
    outcome = judge_all(result, required)
    assert outcome.violations == ()
    assert outcome.verdict is Verdict.PASSED
    is_offline = isinstance(scenario, Offline)
    assert [name for name, _ in outcome.not_judged] == ["goodput", "ttft_p50"] * is_offline
    tokens_per_s, samples_per_s = result.estimate("tokens_per_s"), result.estimate("throughput")
    assert tokens_per_s.value is not None
    assert samples_per_s.value is not None
    assert tokens_per_s.value > 2 * samples_per_s.value


def test_an_answer_without_a_token_makes_the_run_invalid() -> None:
    def mute(sample: int) -> Iterator[int]:
        yield from range(int(sample) - 2)

    result = generator_of_loads().run(mute, LENGTHS, SingleStream())
    outcome = judge_all(result, {"ttft_p50": at_most("1 s")})
    assert outcome.verdict is Verdict.INVALID
    assert [(v.rule, v.evidence) for v in outcome.violations] == [
        ("every answer has tokens", "sample 0 was answered without a token")
    ]
