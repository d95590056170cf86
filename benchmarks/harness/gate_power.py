"""How often the gate raises false alarms, and what it catches, in a simulated suite.

A session compares 500 benchmarks with 20 earlier sessions. The spread between runs differs from
benchmark to benchmark, around 1.25 %; some machines are slower on some days, or have outliers.
Beside the gate stand three usual rules on the same numbers: a t-test at p < 0.05, the same with
Benjamini and Hochberg's correction, and a fixed 10 % on the previous run.

Run it from the repository with ``python -m benchmarks.harness.gate_power``; it takes a minute.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, t

from benchmarks.harness._rows import Row, run
from pytest_aibench.regression.comparison import Change, Evidence
from pytest_aibench.regression.suite import compare_suite

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

N_BENCHMARKS = 500
HISTORY = 20
MEDIAN_SD = 0.0125
SD_OF_LOG_SD = 0.5
OUTLIER = 5.0  # times the usual deviation
N_SLOWED = 10
SLOW_DOWN = 1.05
GOAL_FALSE_ALARMS = 0.1
GOAL_RECALL = 0.8

_PAST = tuple(f"session {i}" for i in range(HISTORY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is simulated.

    Attributes:
        runs: Runs of the candidate in a session.
        rerun: Suspects are run again, as often.
        session_sd: Spread of what all benchmarks of a session share.
        outliers: Share of the runs that lie far off.
    """

    runs: int = 3
    rerun: bool = False
    session_sd: float = 0.0
    outliers: float = 0.0

    def __str__(self) -> str:
        """Like ``1 run and a re-run, sessions differ by 1 %``."""
        parts = [
            f"{self.runs} run{'s' * (self.runs > 1)}{' and a re-run' * self.rerun}",
            f"sessions differ by {self.session_sd:.0%}" * (self.session_sd > 0),
            f"{self.outliers:.0%} of runs far off" * (self.outliers > 0),
        ]
        return ", ".join(filter(None, parts))


CASES = (
    Case(),
    Case(session_sd=0.01),
    Case(runs=1, session_sd=0.01, rerun=True),
    Case(runs=1, outliers=0.03, rerun=True),
)


@dataclass(frozen=True, slots=True)
class Session:
    """Logarithms of the figures of a session, shape (benchmarks, runs).

    Attributes:
        history: One run in each earlier session.
        candidate: The runs to be judged.
        again: As many to confirm them.
    """

    history: Floats
    candidate: Floats
    again: Floats


def simulate(case: Case, n_slowed: int, rng: np.random.Generator) -> Session:
    """Draw a session in which the first ``n_slowed`` benchmarks became 5 % slower."""
    sd = MEDIAN_SD * np.exp(SD_OF_LOG_SD * rng.standard_normal((N_BENCHMARKS, 1)))

    def drawn(runs: int, shared: Floats) -> Floats:
        scale = np.where(rng.random((N_BENCHMARKS, runs)) < case.outliers, OUTLIER * sd, sd)
        return scale * rng.standard_normal((N_BENCHMARKS, runs)) + shared

    past, now = case.session_sd * rng.standard_normal(HISTORY), rng.standard_normal(1)
    history = drawn(HISTORY, past)
    candidate, again = (drawn(case.runs, case.session_sd * now) for _ in range(2))
    for runs in (candidate, again):
        runs[:n_slowed] += np.log(SLOW_DOWN)
    return Session(history, candidate, again)


@dataclass(frozen=True, slots=True)
class Alarms:
    """What a rule said of a session.

    Attributes:
        flagged: Benchmarks that it calls slower, shape (benchmarks,).
        whole_suite: Alarms about the suite as a whole.
    """

    flagged: Flags
    whole_suite: int = 0


def gate(session: Session, case: Case) -> Alarms:
    """Our gate, with its re-run if there is one."""
    found = compare_suite(_evidence(session))
    suspects = {row.evidence.name for row in found.suspects}
    if case.rerun and suspects:
        again = zip(_evidence(session), np.exp(session.again).tolist(), strict=True)
        found = compare_suite(
            [replace(e, again=tuple(runs)) if e.name in suspects else e for e, runs in again]
        )
    flagged = np.array([row.change is Change.REGRESSED for row in found.rows])
    return Alarms(flagged, len(found.regressed) - int(flagged.sum()))


def _evidence(session: Session) -> list[Evidence]:
    pairs = zip(np.exp(session.history).tolist(), np.exp(session.candidate).tolist(), strict=True)
    return [
        Evidence(
            name=str(i),
            metric="p50_ms",
            better="lower",
            baseline=tuple(baseline),
            candidate=tuple(candidate),
            sessions=_PAST,
        )
        for i, (baseline, candidate) in enumerate(pairs)
    ]


def uncorrected(session: Session, case: Case) -> Alarms:
    """Student's t-test with the spread of the history, p < 0.05."""
    return Alarms(_p(session, case) < 0.05)


def corrected(session: Session, case: Case) -> Alarms:
    """The same with Benjamini and Hochberg's correction."""
    return Alarms(false_discovery_control(_p(session, case)) < 0.05)


def fixed(session: Session, case: Case) -> Alarms:
    """More than 10 % above the previous run."""
    return Alarms(session.candidate.mean(axis=1) - session.history[:, -1] > np.log(1.1))


def _p(session: Session, case: Case) -> Floats:
    own = ((session.candidate - session.candidate.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    df = HISTORY + case.runs - 2
    sd = np.sqrt(((HISTORY - 1) * session.history.var(axis=1, ddof=1) + own) / df)
    difference = session.candidate.mean(axis=1) - session.history.mean(axis=1)
    p: Floats = t.sf(difference / (sd * np.sqrt(1 / case.runs + 1 / HISTORY)), df)
    return p


Rule = Callable[[Session, Case], Alarms]
OTHERS: Mapping[str, Rule] = {
    "uncorrected p < 0.05": uncorrected,
    "Benjamini-Hochberg alone": corrected,
    "fixed 10 %": fixed,
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a rule is worth.

    Attributes:
        false_alarms: False alarms in a session without a change.
        recall: Share of the slower benchmarks that it calls so.
    """

    false_alarms: float
    recall: float


def figures(
    case: Case, rules: Sequence[Rule], seed: int, n_quiet: int = 200, n_slowed: int = 40
) -> list[Figures]:
    """Try the rules on the same sessions, quiet ones and such with slower benchmarks."""
    rng = np.random.default_rng(seed)
    quiet = [simulate(case, 0, rng) for _ in range(n_quiet)]
    slowed = [simulate(case, N_SLOWED, rng) for _ in range(n_slowed)]
    return [
        Figures(
            false_alarms=fmean(_count(rule(session, case)) for session in quiet),
            recall=fmean(rule(session, case).flagged[:N_SLOWED].mean() for session in slowed),
        )
        for rule in rules
    ]


def _count(alarms: Alarms) -> int:
    return int(alarms.flagged.sum()) + alarms.whole_suite


def measure() -> list[Row]:
    """The rows of all cases."""
    rules = [gate, *OTHERS.values()]
    return [
        row for seed, case in enumerate(CASES) for row in rows_of(case, figures(case, rules, seed))
    ]


def rows_of(case: Case, found: Sequence[Figures]) -> list[Row]:
    """Ours beside each of the others; goals are set where there is no re-run."""
    ours, others = found[0], list(zip(OTHERS, found[1:], strict=True))
    few = case.rerun or ours.false_alarms <= GOAL_FALSE_ALARMS
    enough = case.rerun or ours.recall >= GOAL_RECALL
    goals = (
        ["none"] * 2 if case.rerun else [f"at most {GOAL_FALSE_ALARMS}", f"at least {GOAL_RECALL}"]
    )
    return [
        *(
            Row(
                f"false alarms, {case}: {name}",
                ours.false_alarms,
                other.false_alarms,
                None,
                goals[0],
                few,
            )
            for name, other in others
        ),
        *(
            Row(f"recall, {case}: {name}", ours.recall, other.recall, None, goals[1], enough)
            for name, other in others
        ),
    ]


def main() -> int:
    """Simulate all cases."""
    return run("False alarms and recall of the gate on a simulated suite.", measure)


if __name__ == "__main__":
    sys.exit(main())
