"""The command ``aibench ab``: two interpreters, revisions or environments, measured in turns."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_aibench.commands import add_store
from pytest_aibench.commands.compare import INCONCLUSIVE, REGRESSED, UNFIT
from pytest_aibench.errors import UserError

if TYPE_CHECKING:
    from pytest_aibench.regression.comparison import Comparison
    from pytest_aibench.regression.paired import PairedReport
    from pytest_aibench.results.locations import Store
    from pytest_aibench.results.schema import Json, Run

MOST_PAIRS = 20
LEAST_PAIRS = 4
SCHEMA = "aibench.ab/1"

_HERE = "here"
_HOW = "python=FILE, venv=FOLDER, rev=REVISION or env=NAME=VALUE"
_KEYS = ("python", "venv", "rev", "env")
_NEXT_KEY = re.compile(rf",(?=(?:{'|'.join(_KEYS)})=)")
_SOFTWARE = ("sw",)
_HASH = re.compile(r"\b([0-9a-f]{7})[0-9a-f]{33,57}\b")
_LAST_LINES = 15
_LAST_WORDS_S = 5.0
_HEADERS = ("benchmark", "metric", "A", "B", "B against A", "verdict")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Define the command's options."""
    add_store(parser)
    for side, who in (("a", "the side compared with"), ("b", "the side under test")):
        parser.add_argument(
            f"--{side}",
            action="append",
            metavar="SPEC",
            help=f"{who}: python=FILE, venv=FOLDER, rev=REVISION, env=NAME=VALUE, several with "
            f"commas, or '{_HERE}' for what is here (default)",
        )
    parser.add_argument(
        "--max-pairs",
        type=int,
        default=MOST_PAIRS,
        metavar="N",
        help="stop after so many pairs of sessions (default: %(default)s)",
    )
    parser.add_argument(
        "--min-pairs",
        type=int,
        default=LEAST_PAIRS,
        metavar="N",
        help="do not stop before so many (default: %(default)s, fewer decide nothing)",
    )
    parser.add_argument("--budget", metavar="TIME", help="stop in time, like '30 min'")
    parser.add_argument(
        "--floor", metavar="SHARE", help="smallest change worth an alarm, like '3 %%'"
    )
    parser.add_argument(
        "--vary", default="", metavar="FACTORS", help="more that may differ, like sw.driver"
    )
    parser.add_argument("pytest_args", nargs="*", metavar="-- PYTEST ARGS", help="for each session")


def run(parsed: argparse.Namespace) -> int:
    """Measure both sides in turns, say what came of it, and keep it.

    Returns:
        0: B is not worse. 1: it is. 3: undecided. 4: no valid comparison.

    Raises:
        UserError: A side cannot be had or does not run.
    """
    from tempfile import TemporaryDirectory

    from pytest_aibench.regression.paired import compare_sides
    from pytest_aibench.results.locations import open_store
    from pytest_aibench.results.store import new_run_id

    a, b = _sides(parsed)
    limits = _limits(parsed)
    vary = (*vary_of(a, b), *filter(None, map(str.strip, parsed.vary.split(","))))
    judge = partial(compare_sides, vary=vary, floor=_floor(parsed.floor))
    folder = f"{open_store(parsed.store).location}/ab/{new_run_id()}"
    with _cancellable(), ExitStack() as stack:
        temporary = Path(stack.enter_context(TemporaryDirectory(prefix="aibench-ab-")))
        sessions = [
            stack.enter_context(_session(side, parsed.pytest_args, folder, temporary))
            for side in (a, b)
        ]
        trial = take_turns(sessions[0].measure, sessions[1].measure, judge, limits, _say)
    if trial.report is None:
        print("interrupted before the first pair was complete: nothing to report")
        return INCONCLUSIVE
    status = exit_status(trial.report)
    print("\n".join(report_lines(a, b, trial, trial.report)))
    print(f"report: {_keep(open_store(folder), _document(a, b, trial, status))}")
    return status


@contextmanager
def _cancellable() -> Iterator[None]:
    """Treat SIGTERM, by which CI systems cancel, as Ctrl-C, so that no work tree stays behind."""
    import signal

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _keep(store: Store, document: Json) -> str:
    import json

    store.create("report.json", json.dumps(document, allow_nan=False).encode())
    return store.where("report.json")


def _say(line: str) -> None:
    print(line, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one side runs with.

    Attributes:
        name: ``A`` or ``B``.
        spec: As it was asked for.
        python: The interpreter.
        rev: The git revision; empty for the working tree.
        env: Environment variables beside those of this process.
    """

    name: str
    spec: str = _HERE
    python: str = sys.executable
    rev: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


def _sides(parsed: argparse.Namespace) -> tuple[Side, Side]:
    if not parsed.a and not parsed.b:
        raise UserError(f"nothing to compare: say what differs, like --b venv=.venv-new ({_HOW})")
    return parse_side("A", parsed.a or []), parse_side("B", parsed.b or [])


def parse_side(name: str, words: Sequence[str]) -> Side:
    """Read the values of ``--a`` or ``--b``.

    Raises:
        UserError: A word is not understood, or there is no such interpreter.
    """
    parts = [part for word in words for part in _NEXT_KEY.split(word) if part not in ("", _HERE)]
    chosen: dict[str, str] = {}
    env: dict[str, str] = {}
    for part in parts:
        key, _, value = part.partition("=")
        variable, equals, content = value.partition("=")
        if key not in _KEYS or not value or (key == "env" and not (variable and equals)):
            raise UserError(f"--{name.lower()} {part!r}: use {_HOW}")
        if key == "env":
            env[variable] = content
        else:
            chosen[key] = value
    return Side(
        name=name,
        spec=",".join(parts) or _HERE,
        python=_interpreter(name, chosen),
        rev=chosen.get("rev", ""),
        env=env,
    )


def _interpreter(name: str, chosen: Mapping[str, str]) -> str:
    if "venv" in chosen:
        inside = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
        wanted = str(Path(chosen["venv"], *inside))
    else:
        wanted = chosen.get("python", sys.executable)
    found = shutil.which(wanted)
    if found is None:
        raise UserError(f"--{name.lower()}: there is no interpreter {wanted}: create it first")
    return os.path.abspath(found)


def vary_of(a: Side, b: Side) -> tuple[str, ...]:
    """Factors in which the sides are meant to differ.

    A variable may choose other libraries or numbers of threads, which then are its consequence.
    """
    from pytest_aibench.results.identity import DEFAULT_VARY

    software = _SOFTWARE if a.python != b.python or a.env != b.env else ()
    return (*software, *(DEFAULT_VARY if a.rev != b.rev else ()))


def _varied_env(a: Side, b: Side) -> dict[str, tuple[str, str]]:
    def of(side: Side, variable: str) -> str:
        return side.env.get(variable, os.environ.get(variable, "unset"))

    pairs = {name: (of(a, name), of(b, name)) for name in {**a.env, **b.env}}
    return {f"env.{name}": pair for name, pair in pairs.items() if pair[0] != pair[1]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When to stop.

    Attributes:
        min_pairs: Not before so many pairs, unless more would be in vain.
        max_pairs: After so many.
        budget_s: Before this time is over; None for no such limit.
    """

    min_pairs: int = LEAST_PAIRS
    max_pairs: int = MOST_PAIRS
    budget_s: float | None = None

    def reached(self, report: PairedReport, elapsed_s: float) -> str:
        """Why to stop now; empty to go on."""
        if not report.rows:
            return "no figure that gates was measured"
        if report.confounded:
            return "the comparison is confounded"
        if report.decided and report.pairs >= self.min_pairs:
            return "every figure is decided"
        if report.pairs >= self.max_pairs:
            return f"{self.max_pairs} pairs are measured"
        with_another = elapsed_s * (report.pairs + 1) / report.pairs
        if self.budget_s is not None and with_another > self.budget_s:
            return "another pair would exceed the budget"
        return ""


def _limits(parsed: argparse.Namespace) -> Limits:
    from pytest_aibench.units import parse_duration_s

    if not 1 <= parsed.min_pairs <= parsed.max_pairs:
        raise UserError(
            f"--min-pairs {parsed.min_pairs} --max-pairs {parsed.max_pairs}: "
            "give 1 pair at least, and no fewer at most"
        )
    budget = parsed.budget
    return Limits(
        min_pairs=parsed.min_pairs,
        max_pairs=parsed.max_pairs,
        budget_s=None if budget is None else parse_duration_s(budget, "--budget"),
    )


def _floor(text: str | None) -> float | None:
    from pytest_aibench.units import RATIO, parse_quantity

    if text is None:
        return None
    quantity = parse_quantity(text)
    if quantity.unit != RATIO or not 0 < quantity.value < 1:
        raise UserError(f"--floor {text!r}: write a share like '3 %'")
    return quantity.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Runs pytest on one side, again and again.

    Attributes:
        side: Which.
        command: The command line.
        cwd: Where.
        environ: All environment variables.
        store: Where the records go.
        log: Takes the output of the latest session.
    """

    side: Side
    command: Sequence[str]
    cwd: Path
    environ: Mapping[str, str]
    store: Store
    log: Path

    def measure(self) -> Run:
        """The record of one session; benchmarks that fail were measured all the same.

        Raises:
            UserError: pytest could not run, or left no record.
        """
        from pytest_aibench.results.store import read_run, run_files

        before = {file.name for file in run_files(self.store)}
        status = self._status()
        new = [file.name for file in run_files(self.store) if file.name not in before]
        if status not in (0, 1) or not new:
            raise UserError(self._trouble(status))
        return read_run(self.store.fetch(new[-1]))

    def _status(self) -> int:
        """Exit status of a session; after Ctrl-C, which reaches it too, it may finish."""
        import subprocess

        with self.log.open("wb") as log:
            process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                return process.wait()
            finally:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LAST_WORDS_S)
                process.kill()
                process.wait()

    def _trouble(self, status: int) -> str:
        lines = self.log.read_text("utf-8", errors="replace").splitlines()[-_LAST_LINES:]
        what = f"side {self.side.name} ({self.side.spec}) does not run: pytest ended with {status}"
        return "\n  ".join([f"{what} and left no usable record; its last lines:", *lines])


@contextmanager
def _session(
    side: Side, pytest_args: Sequence[str], folder: str, temporary: Path
) -> Iterator[Session]:
    """What runs a side's sessions; its work tree is there as long."""
    from pytest_aibench.results.locations import open_store

    store = open_store(f"{folder}/{side.name.lower()}")
    options = [f"--aibench-store={store.location}"]
    environ = {**os.environ, "AIBENCH_NO_STORE": "0", **side.env}
    with ExitStack() as stack:
        cwd = Path.cwd()
        if side.rev:
            tree = temporary / side.name.lower()
            cwd = stack.enter_context(_work_tree(side, cwd, tree))
            # Else an editable installation would bring the code of the main checkout.
            paths = (str(tree), str(tree / "src"), environ.get("PYTHONPATH"))
            environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        yield Session(
            side=side,
            command=(side.python, "-m", "pytest", *pytest_args, *options),
            cwd=cwd,
            environ=environ,
            store=store,
            log=temporary / f"{side.name.lower()}.log",
        )


@contextmanager
def _work_tree(side: Side, cwd: Path, tree: Path) -> Iterator[Path]:
    """Check the revision out beside the repository; the folder in it that stands for ``cwd``."""
    import subprocess

    from pytest_aibench.results import git

    try:
        top = git.ask(cwd, "rev-parse", "--show-toplevel").strip()
        commit = git.ask(cwd, "rev-parse", "--verify", f"{side.rev}^{{commit}}").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"--{side.name.lower()} rev={side.rev}: {error}") from error
    try:
        _git(top, "add", "--detach", str(tree), commit)
        yield tree / cwd.resolve().relative_to(Path(top).resolve())
    finally:
        with suppress(UserError):
            _git(top, "remove", "--force", str(tree))


def _git(top: str, *arguments: str) -> None:
    """``git worktree``, which may take its time."""
    import subprocess

    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", top, "worktree", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"git worktree {arguments[0]} failed: {done.stderr.strip()}")


Measure = Callable[[], "Run"]
Judge = Callable[[Sequence["Run"], Sequence["Run"]], "PairedReport"]


@dataclass(slots=True)
class Trial:
    """What was measured.

    Attributes:
        a: Sessions of side A.
        b: Sessions of side B.
        report: What the complete pairs show; None before the first.
        ended: Why no more was measured.
    """

    a: list[Run] = field(default_factory=list)
    b: list[Run] = field(default_factory=list)
    report: PairedReport | None = None
    ended: str = ""


def take_turns(
    measure_a: Measure,
    measure_b: Measure,
    judge: Judge,
    limits: Limits,
    say: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Trial:
    """Measure A B B A A B B A … until the limits are reached, or Ctrl-C is pressed.

    Args:
        measure_a: Runs a session of side A.
        measure_b: Runs one of side B.
        judge: Compares the sessions of both sides.
        limits: When to stop.
        say: Takes a line of progress for each session.
        clock: Seconds.
    """
    trial, began = Trial(), clock()
    sides = {"A": (trial.a, measure_a), "B": (trial.b, measure_b)}
    try:
        for number, side in enumerate(cycle("ABBA"), 1):
            started = clock()
            sessions, measure = sides[side]
            sessions.append(measure())
            line = f"session {number} ({side}): {clock() - started:.1f} s"
            if len(trial.a) == len(trial.b):
                trial.report = judge(trial.a, trial.b)
                line += f"; {_standing(trial.report)}"
                trial.ended = limits.reached(trial.report, clock() - began)
            say(line)
            if trial.ended:
                break
    except KeyboardInterrupt:
        trial.ended = "interrupted"
    return trial


def _standing(report: PairedReport) -> str:
    """How many figures are decided, and the worst of those that are not, or of all."""
    from pytest_aibench.regression.comparison import Change

    open_ones = report.having(Change.INCONCLUSIVE)
    standing = f"{len(report.rows) - len(open_ones)} of {len(report.rows)} figures decided"
    worst = max(open_ones or report.rows, key=_worsening, default=None)
    return standing if worst is None else f"{standing}; {_name(worst)} {worst.text}"


def _worsening(row: Comparison) -> float:
    return row.evidence.sign * (row.effect or 0.0)


def _name(row: Comparison) -> str:
    return f"{row.evidence.name.rpartition('::')[2]} {row.evidence.metric}"


def exit_status(report: PairedReport) -> int:
    """0 not worse, 1 regressed, 3 inconclusive, 4 invalid or confounded."""
    from pytest_aibench.regression.comparison import Change

    if report.having(Change.REGRESSED):
        return REGRESSED
    if not report.rows or report.having(Change.INVALID, Change.CONFOUNDED):
        return UNFIT
    return 0 if report.decided else INCONCLUSIVE


def report_lines(a: Side, b: Side, trial: Trial, report: PairedReport) -> Iterator[str]:
    """The report for a terminal: the sides, what differs, a table, reasons, the verdict."""
    yield ""
    yield from (f"{side.name}: {side.spec}" for side in (a, b))
    yield f"varied: {_differences({**_varied_env(a, b), **report.varied})}"
    if report.rows:
        yield _table(report.rows)
    reasons: dict[str, list[str]] = {}
    for row in report.rows:
        reasons.setdefault(row.reason, []).append(_name(row))
    yield from (f"{', '.join(names)}: {reason}" for reason, names in reasons.items())
    yield from report.notes
    yield f"{report.pairs} pairs: {trial.ended}"
    yield _conclusion(report)


def _differences(varied: Mapping[str, tuple[str, str]]) -> str:
    pairs = ", ".join(f"{name}: {before} → {after}" for name, (before, after) in varied.items())
    return _HASH.sub(r"\1", pairs) or "nothing that a record knows of"


def _table(rows: Sequence[Comparison]) -> str:
    from tabulate import tabulate

    cells = [
        (
            row.evidence.name.rpartition("::")[2],
            row.evidence.metric,
            _middle(row.evidence.baseline),
            _middle(row.evidence.candidate),
            row.text,
            row.change.value,
        )
        for row in rows
    ]
    return tabulate(cells, _HEADERS, "simple", disable_numparse=True)


def _middle(values: Sequence[float]) -> str:
    from statistics import median

    return f"{median(values):.4g}" if values else "-"


def _conclusion(report: PairedReport) -> str:
    from pytest_aibench.regression.comparison import Change

    if worse := report.having(Change.REGRESSED):
        return f"B is worse than A: {', '.join(map(_name, worse))}"
    if report.confounded:
        names = ",".join(name.partition(" ")[0] for name in report.confounded)
        return f"no verdict: if this is what you test, add --vary {names}"
    if not report.rows:
        return "no verdict: choose benchmarks that leave a latency, a throughput or a score"
    if invalid := report.having(Change.INVALID, Change.CONFOUNDED):
        return f"no verdict on {', '.join(map(_name, invalid))}"
    if open_ones := report.having(Change.INCONCLUSIVE):
        return f"inconclusive: {_remedy(open_ones)}"
    better = report.having(Change.IMPROVED)
    return f"B is {'better than' if better else 'not worse than'} A"


def _remedy(open_ones: Sequence[Comparison]) -> str:
    """How many pairs would decide."""
    needed = [row.runs_needed for row in open_ones if row.runs_needed is not None]
    if len(needed) < len(open_ones):
        return "the spread is too large, or not known yet: give a larger --floor or more pairs"
    return f"about {max(needed)} pairs would decide: --max-pairs {max(needed)}"


def _document(a: Side, b: Side, trial: Trial, status: int) -> dict[str, Json]:
    """The report as it is kept beside the records."""
    from pytest_aibench.results.schema import to_json

    report = to_json(trial.report)
    return {
        "schema": SCHEMA,
        "a": a.spec,
        "b": b.spec,
        "ended": trial.ended,
        "exit_status": status,
        **report,
        "varied": {**_varied_env(a, b), **report["varied"]},
        "runs": {"a": [run.run_id for run in trial.a], "b": [run.run_id for run in trial.b]},
    }
