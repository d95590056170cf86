"""What can go wrong with a model, a system, data or a clock, and what must come of it."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from pytest_aibench.bounds import Verdict
from pytest_aibench.datasets.base import Dataset
from pytest_aibench.datasets.library import SampleLibrary
from pytest_aibench.loadgen import systems
from pytest_aibench.loadgen.systems import BatchingServer, Query
from pytest_aibench.report.terminal import outcome_text
from pytest_aibench.scenarios import MultiStream, Offline, Scenario, Server, SingleStream
from tests.fakes import FakeClock
from tests.loads import MS, Bench, Taking, last_digits

ACCURACY_CALLS = 2
SERVER = Server(target_qps=1000, latency_bound="50 ms")
ERROR = "error"
"""Not a verdict: the model's own error comes out of the benchmark, and pytest reports it."""

IN_TIME_S = 20.0


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: What, as the table in the documentation says it.
        run: Runs the benchmark that suffers it, for the text of its outcome.
        verdict: What must come of it.
        message: What the user must be told.
    """

    name: str
    run: Callable[[], str]
    verdict: str
    message: str


def judged(model: Any, scenario: Scenario = SERVER, *, clock: Any = None, **options: Any) -> str:
    """The verdict and the text of a benchmark."""
    options = {"timeout": "50 ms", "max_batch": 20, **options}
    outcome = Bench(clock).outcome(model, scenario, **options)
    assert outcome.verdict.value == outcome_text(outcome).split(":", 1)[0]
    return outcome_text(outcome)


def under_load(broken: Callable[[Sequence[Any]], Any]) -> tuple[Taking, FakeClock]:
    """A model that answers rightly alone, and is broken from the tenth call under load on."""
    clock = FakeClock()
    model = Taking(clock, MS // 10)
    warm_up = 10

    def answer(samples: Sequence[Any]) -> Any:
        if len(model.calls) > ACCURACY_CALLS + warm_up + 10:
            return broken(samples)
        return last_digits(samples)

    model.answer = answer
    return model, clock


def inline(broken: Callable[[Sequence[Any]], Any], scenario: Scenario = SERVER) -> str:
    """A fault of an inline model under load."""
    model, clock = under_load(broken)
    return judged(model, scenario, clock=clock, **({"max_batch": 4} if offline(scenario) else {}))


def offline(scenario: Scenario) -> bool:
    """Whether the warm-up is short, as few batches make all samples."""
    return isinstance(scenario, Offline)


def raising(error: BaseException) -> Callable[..., Any]:
    """A function that raises."""

    def function(*_: object) -> Any:
        raise error

    return function


@dataclass
class Served:
    """A concurrent system with a thread; a fault replaces one of its methods."""

    line: SimpleQueue[Query | None] = field(default_factory=SimpleQueue)
    answer: Callable[[Query], None] = lambda query: query.complete(last_digits(query.samples))
    thread: threading.Thread | None = None
    issued: list[Query] = field(default_factory=list)

    def start(self) -> None:
        """Start the thread."""
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self) -> None:
        """Answer until told to stop."""
        while (query := self.line.get()) is not None:
            self.answer(query)

    def issue(self, query: Query) -> None:
        """Leave it to the thread."""
        self.issued.append(query)
        self.line.put(query)

    def flush(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Stop the thread."""
        self.line.put(None)


def with_method(name: str, method: Callable[..., Any]) -> str:
    """A system with another method."""
    system = Served()
    setattr(system, name, method)
    return judged(system, SingleStream())


def dropping(scenario: Scenario) -> str:
    """A system that loses one query."""
    answered = count()

    def answer(query: Query) -> None:
        if next(answered) != 30:
            query.complete(last_digits(query.samples))

    return judged(Served(answer=answer), scenario, max_batch=4)


def answering(answer: Callable[[Query], None]) -> str:
    """A system that answers in its own way."""
    return judged(Served(answer=answer), SingleStream())


def twice(query: Query) -> None:
    """Complete twice."""
    query.complete(last_digits(query.samples))
    query.complete(last_digits(query.samples))


def late_repeat() -> str:
    """Complete the first query of the accuracy pass again under load."""

    def answer(query: Query) -> None:
        query.complete(last_digits(query.samples))
        if len(system.issued) == 30:
            system.issued[0].complete(last_digits(system.issued[0].samples))

    system = Served(answer=answer)
    return judged(system, SingleStream())


def leaving_the_thread() -> str:
    """The system's thread ends without a word."""
    system = Served()

    def work() -> None:
        query = system.line.get()
        assert query is not None
        query.complete(last_digits(query.samples))

    system.work = work  # type: ignore[method-assign]
    return judged(system)


def hanging_in_a_worker() -> str:
    """The model never comes back; it is let go when all is over."""
    release = threading.Event()

    def model(samples: Sequence[Any]) -> list[int]:
        release.wait(IN_TIME_S)
        return last_digits(samples)

    stop_s, systems.STOP_S = systems.STOP_S, 0.01
    try:
        return judged(BatchingServer(model, workers=2), SingleStream())
    finally:
        release.set()
        systems.STOP_S = stop_s


def dataset_that_cannot_be_read() -> str:
    """The samples come from a file that is gone."""

    class Gone:
        shape = (40,)

        def __len__(self) -> int:
            return 40

        def __getitem__(self, index: int) -> Any:
            raise OSError(f"sample {index} is gone")

    samples: Any = Gone()
    broken = Dataset("gone", "test", samples, np.zeros(40), "none", "made up")
    return judged(last_digits, dataset=broken)


def unload_that_fails() -> str:
    """Unloading fails after a good load."""
    unload = SampleLibrary.unload
    SampleLibrary.unload = raising(OSError("cannot unload"))  # type: ignore[method-assign]
    try:
        return judged(last_digits, SingleStream())
    finally:
        SampleLibrary.unload = unload  # type: ignore[method-assign]


def slow_loading() -> str:
    """Loading takes half a minute of the clock, and is in no latency."""
    clock = FakeClock()
    load = SampleLibrary.load

    def slow(self: SampleLibrary, indices: Any) -> None:
        clock.advance(30)
        load(self, indices)

    SampleLibrary.load = slow  # type: ignore[method-assign]
    try:
        return judged(Taking(clock, MS // 10), clock=clock)
    finally:
        SampleLibrary.load = load  # type: ignore[method-assign]


def after_a_fork() -> str:
    """The process was forked before the benchmark; the child runs it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, judged(BatchingServer(last_digits), SingleStream()).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, encoding="utf-8") as answer:
        return answer.read()


def wall_clock_steps() -> str:
    """Someone sets the clock back by a day at every query."""
    now, stepped = time.time, [0.0]

    def model(samples: Sequence[Any]) -> list[int]:
        stepped[0] -= 86_400
        time.time = lambda: now() + stepped[0]
        return last_digits(samples)

    try:
        return judged(model, SingleStream())
    finally:
        time.time = now


class Oversleeping(FakeClock):
    """Wakes 20 ms late, as a paused or starved process does."""

    def sleep_until(self, due: int) -> int:
        """Oversleep."""
        if due > self.now_ns:
            self.now_ns = due + 20 * MS
        return self.now_ns


def collecting_garbage() -> str:
    """A full collection pauses the model for 60 ms at each call under load."""

    def collect(samples: Sequence[Any]) -> list[int]:
        gc.collect(0)
        return last_digits(samples)

    model, clock = under_load(collect)

    def pause(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            clock.now_ns += 60 * MS

    gc.callbacks.append(pause)
    try:
        return judged(model, SingleStream(), clock=clock)
    finally:
        gc.callbacks.remove(pause)


def wrong_in_batches(samples: Sequence[Any]) -> list[int]:
    """One output too few."""
    return last_digits(samples)[1:]


RAISED = "ValueError: no"
UNDER_LOAD = "the system raised this on query"
LOST = "every query is completed: nothing was completed for 0.05 s while"
DIFFERENT = "answers under load are those of the accuracy pass"
PER_SAMPLE = "return a list with one output for each sample"

FAULTS = [
    *(
        Fault(
            f"the model raises under load, {scenario.id}",
            lambda scenario=scenario: inline(raising(ValueError("no")), scenario),  # type: ignore[misc]
            ERROR,
            f"{RAISED}\n{UNDER_LOAD}",
        )
        for scenario in (SingleStream(), MultiStream(), SERVER, Offline(samples=400))
    ),
    Fault(
        "the model raises in the accuracy pass",
        lambda: judged(raising(ValueError("no")), clock=FakeClock()),
        ERROR,
        f"{RAISED}\n{UNDER_LOAD} 0",
    ),
    Fault(
        "the model raises in a worker thread",
        lambda: judged(BatchingServer(raising(ValueError("no")))),
        ERROR,
        f"{RAISED}\n{UNDER_LOAD} 0",
    ),
    Fault(
        "the model runs out of memory",
        lambda: inline(raising(MemoryError("CUDA out of memory"))),
        ERROR,
        f"MemoryError: CUDA out of memory\n{UNDER_LOAD}",
    ),
    Fault(
        "the model calls sys.exit",
        lambda: inline(raising(SystemExit(3))),
        ERROR,
        f"SystemExit: 3\n{UNDER_LOAD}",
    ),
    Fault(
        "Ctrl-C under load",
        lambda: inline(raising(KeyboardInterrupt())),
        ERROR,
        "KeyboardInterrupt:",
    ),
    *(
        Fault(
            f"{name}() of a system raises",
            lambda name=name: with_method(name, raising(ValueError("no"))),  # type: ignore[misc]
            ERROR,
            RAISED,
        )
        for name in ("start", "issue", "flush", "stop")
    ),
    Fault(
        "a system reports that a query failed",
        lambda: answering(lambda query: query.fail(ValueError("no"))),
        ERROR,
        f"{RAISED}\n{UNDER_LOAD} 0",
    ),
    Fault(
        "a thread of a system dies of an error",
        lambda: answering(raising(ValueError("no"))),
        ERROR,
        f"{RAISED}\nthe thread",
    ),
    Fault("a thread of a system ends without a word", leaving_the_thread, "invalid", LOST),
    *(
        Fault(
            f"a query is never completed, {scenario.id}",
            lambda scenario=scenario: dropping(scenario),  # type: ignore[misc]
            "invalid",
            LOST,
        )
        for scenario in (SingleStream(), MultiStream(), SERVER, Offline(samples=400))
    ),
    Fault("the model hangs in a worker thread for good", hanging_in_a_worker, "invalid", LOST),
    Fault(
        "a query is completed twice",
        lambda: answering(twice),
        "invalid",
        "every query is completed once: query 0 was completed again",
    ),
    Fault(
        "a query of an earlier phase is completed again",
        late_repeat,
        "invalid",
        "every query is completed once: query 0 was completed again",
    ),
    Fault(
        "too few outputs",
        lambda: judged(lambda samples: last_digits(samples)[1:], clock=FakeClock()),
        "invalid",
        f"the model gave 19 outputs for 20 samples (samples 1, 5, 13, 30, 11, …): {PER_SAMPLE}",
    ),
    Fault(
        "too many outputs",
        lambda: judged(lambda samples: [*last_digits(samples), 0], clock=FakeClock()),
        "invalid",
        "the model gave 21 outputs for 20 samples",
    ),
    Fault(
        "too few outputs from a worker thread",
        lambda: judged(BatchingServer(wrong_in_batches)),
        "invalid",
        "the model gave 31 outputs for 32 samples",
    ),
    Fault(
        "too few outputs, only under load",
        lambda: inline(lambda samples: []),
        "invalid",
        "the model gave 0 outputs for 1 sample",
    ),
    Fault(
        "outputs that are no list",
        lambda: judged(lambda samples: None, clock=FakeClock()),
        "invalid",
        "one output per sample: the model gave a value of type NoneType for 20 samples",
    ),
    Fault(
        "outputs that are a dict",
        lambda: judged(lambda samples: dict.fromkeys(map(float, samples), 1), clock=FakeClock()),
        "invalid",
        "the model gave a value of type dict for 20 samples",
    ),
    Fault(
        "outputs that are not numbers",
        lambda: judged(lambda samples: [float("nan")] * len(samples), clock=FakeClock()),
        "invalid",
        "outputs are numbers: 40 of 40 outputs hold a NaN; the first is sample",
    ),
    Fault(
        "outputs that are not numbers, only under load",
        lambda: inline(lambda samples: [float("nan")] * len(samples)),
        "invalid",
        DIFFERENT,
    ),
    Fault(
        "answers go to the wrong samples, only under load",
        lambda: inline(lambda samples: last_digits(samples)[::-1], MultiStream()),
        "invalid",
        DIFFERENT,
    ),
    Fault("samples cannot be loaded", dataset_that_cannot_be_read, ERROR, "OSError: sample"),
    Fault("samples cannot be unloaded", unload_that_fails, ERROR, "OSError: cannot unload"),
    Fault("samples are loaded slowly", slow_loading, "passed", "p99"),
    Fault("the process was forked before", after_a_fork, "passed", "p90"),
    Fault("the wall clock is set back", wall_clock_steps, "passed", "p90"),
    Fault(
        "the generator is paused",
        lambda: judged(Taking(clock := Oversleeping(), MS // 10), clock=clock),
        "invalid",
        "the load generator keeps time: the generator, not the model, was late: p99 lateness",
    ),
    Fault("garbage collections pause the model", collecting_garbage, "failed", "p90"),
    Fault(
        "a percentile in percent",
        lambda: judged(last_digits, SingleStream(percentile=90)),
        ERROR,
        "UserError: percentile=90 must lie between 0 and 1: write 0.99 for the 99th percentile",
    ),
    Fault(
        "a model that cannot be asked",
        lambda: judged("model.onnx"),
        ERROR,
        "UserError: cannot load a str: give",
    ),
]


def what_comes_of(fault: Fault) -> tuple[str, str]:
    """The verdict of the benchmark and what the user is told."""
    try:
        text = fault.run()
    except BaseException as error:
        notes = getattr(error, "__notes__", fault.message.split("\n")[1:])
        return ERROR, "\n".join([f"{type(error).__name__}: {error}", *notes])
    return text.partition(":")[0], text


@pytest.mark.timeout(IN_TIME_S)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(fault: Fault) -> None:
    hook = threading.excepthook
    verdict, message = what_comes_of(fault)
    assert verdict == fault.verdict, message
    assert fault.message in message
    assert threading.excepthook is hook
    clock = FakeClock()
    healthy = Bench(clock).outcome(Taking(clock, MS // 10), SERVER)
    assert healthy.verdict is Verdict.PASSED


def test_enough_faults_are_tested_and_the_documentation_lists_them() -> None:
    page = Path(__file__).parents[1].joinpath("docs", "faults.md").read_text(encoding="utf-8")
    rows = {line.split(" | ")[0].removeprefix("| ") for line in page.splitlines()}
    assert len(FAULTS) >= 25
    # Faults that differ in the scenario alone share a row.
    assert {fault.name.partition(", ")[0] for fault in FAULTS} <= rows
