"""``aibench ab``: sides, turns, limits, what is said and kept, and nothing left behind."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_aibench.cli import main
from pytest_aibench.commands import ab
from pytest_aibench.commands.ab import Limits, Side, Trial, parse_side, take_turns, vary_of
from pytest_aibench.errors import UserError
from pytest_aibench.regression.comparison import Change, Comparison, Evidence
from pytest_aibench.regression.paired import PairedReport, compare_sides
from pytest_aibench.results.identity import DEFAULT_VARY
from pytest_aibench.results.schema import Environment, Metric, Run
from tests.acceptance.conftest import TINY
from tests.records import benchmark, run_of, stored

NOW = Side(name="A")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder; temporary files have one of their own."""
    for name in [name for name in os.environ if name.startswith("AIBENCH_")]:
        monkeypatch.delenv(name)
    temporary, project = tmp_path / "temporary", tmp_path / "project"
    temporary.mkdir()
    project.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))  # locks of devices lie there
    monkeypatch.chdir(project)
    return project


def test_a_side_is_what_is_here_by_default() -> None:
    assert parse_side("A", []) == parse_side("A", ["here"]) == NOW


def test_a_side_may_combine_all(folder: Path) -> None:
    python = folder / "new" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    spec = "venv=new,rev=v1.2,env=X=1,2,env=Y="
    assert parse_side("B", [spec, "env=Z=a=b"]) == Side(
        name="B",
        spec=f"{spec},env=Z=a=b",
        python=str(python),
        rev="v1.2",
        env={"X": "1,2", "Y": "", "Z": "a=b"},
    )
    assert parse_side("B", [f"python={sys.executable}"]).python == sys.executable


HOW = "use python=FILE, venv=FOLDER, rev=REVISION or env=NAME=VALUE"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("pyton=x", f"--b 'pyton=x': {HOW}"),
        ("v1.2", f"--b 'v1.2': {HOW}"),
        ("rev=", f"--b 'rev=': {HOW}"),
        ("env=X", f"--b 'env=X': {HOW}"),
        ("env==1", f"--b 'env==1': {HOW}"),
        ("venv=no", "--b: there is no interpreter no/bin/python: create it first"),
        ("python=./no", "--b: there is no interpreter ./no: create it first"),
    ],
)
def test_sides_that_cannot_be(spec: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_side("B", [spec])
    assert str(raised.value) == message


def test_what_the_sides_declare() -> None:
    assert vary_of(NOW, NOW) == ()
    assert vary_of(NOW, replace(NOW, python="other")) == ("sw",)
    assert vary_of(NOW, replace(NOW, env={"X": "1"})) == ("sw",)
    assert vary_of(NOW, replace(NOW, rev="v1")) == DEFAULT_VARY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to compare: say what differs, like --b venv=.venv-new"),
        (["--b=here", "--max-pairs=3"], "--min-pairs 4 --max-pairs 3: give 1 pair at least"),
        (["--b=here", "--budget=30"], "--budget='30' needs a time unit"),
        (["--b=here", "--floor=5 ms"], "--floor '5 ms': write a share like '3 %'"),
        (["--b=rev=v1"], "--b rev=v1: fatal: not a git repository"),
    ],
)
def test_mistakes(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ab", *arguments]) == 2
    assert f"aibench: {message}" in capsys.readouterr().err


def session(value: float, torch: str = "2.9", run_id: str = "R") -> Run:
    entry = replace(
        benchmark("t.py::test"), metrics={"peak_qps": Metric(value=value, better="higher", n=9)}
    )
    facts: dict[str, Any] = {"hw": {}, "unit": {}, "subject": {}, "harness": {}, "state": {}}
    run = run_of(entry, run_id=run_id)
    return replace(run, environment=Environment(sw={"torch": torch}, **facts))


def judge(a: Any, b: Any) -> PairedReport:
    return compare_sides(a, b, vary=())


def turns(a: Callable[[], Run], b: Callable[[], Run], limits: Limits) -> tuple[Trial, list[str]]:
    """A trial whose clock ticks a second whenever it is read."""
    said: list[str] = []
    ticks = itertools.count()
    trial = take_turns(a, b, judge, limits, said.append, clock=lambda: float(next(ticks)))
    return trial, said


def test_turns_until_all_is_decided() -> None:
    trial, said = turns(lambda: session(100), lambda: session(90), Limits())
    assert said == [
        "session 1 (A): 1.0 s",
        "session 2 (B): 1.0 s; 0 of 1 figures decided; test peak_qps -10.0 %",
        "session 3 (B): 1.0 s",
        "session 4 (A): 1.0 s; 0 of 1 figures decided; test peak_qps -10.0 %",
        "session 5 (A): 1.0 s",
        "session 6 (B): 1.0 s; 0 of 1 figures decided; test peak_qps -10.0 %",
        "session 7 (B): 1.0 s",
        "session 8 (A): 1.0 s; 1 of 1 figures decided; test peak_qps -10.0 % [-10.0 %, -10.0 %]",
    ]
    assert trial.ended == "every figure is decided"
    assert trial.report is not None
    assert ab.exit_status(trial.report) == 1


def test_progress_shows_what_is_undecided() -> None:
    found = report(row(Change.NOT_WORSE, effect=0.5), row(Change.INCONCLUSIVE, effect=-0.1))
    assert ab._standing(found) == "1 of 2 figures decided; test p50_ms -10.0 %"
    assert ab._standing(report()) == "0 of 0 figures decided"


def test_no_end_before_the_least_pairs() -> None:
    trial, said = turns(lambda: session(100), lambda: session(100), Limits(min_pairs=6))
    assert (len(said), trial.ended) == (12, "every figure is decided")


def noisy() -> Callable[[], Run]:
    values = itertools.cycle([100.0, 140.0, 120.0])
    return lambda: session(next(values))


@pytest.mark.parametrize(
    ("limits", "pairs", "ended"),
    [
        (Limits(max_pairs=5), 5, "5 pairs are measured"),
        (Limits(budget_s=16), 3, "another pair would exceed the budget"),
        (Limits(budget_s=1), 1, "another pair would exceed the budget"),
    ],
)
def test_limits(limits: Limits, pairs: int, ended: str) -> None:
    measure = noisy()
    trial, said = turns(measure, measure, limits)
    assert (len(said), trial.ended) == (2 * pairs, ended)
    assert trial.report is not None
    assert (trial.report.pairs, ab.exit_status(trial.report)) == (pairs, 3)


def test_what_would_be_in_vain_ends_at_once() -> None:
    trial, said = turns(lambda: session(1), lambda: session(1, torch="2.8"), Limits())
    assert (len(said), trial.ended) == (2, "the comparison is confounded")
    nothing = replace(session(1), benchmarks=[])
    trial, said = turns(lambda: nothing, lambda: nothing, Limits())
    assert (len(said), trial.ended) == (2, "no figure that gates was measured")


def test_ctrl_c_keeps_complete_pairs() -> None:
    runs: Iterator[Run] = iter([session(1)] * 2)

    def interrupted() -> Run:
        try:
            return next(runs)
        except StopIteration:
            raise KeyboardInterrupt from None

    trial, said = turns(lambda: session(1), interrupted, Limits())
    assert (len(trial.a), len(trial.b), len(said)) == (3, 2, 5)
    assert trial.ended == "interrupted"
    assert trial.report is not None
    assert trial.report.pairs == 2


def row(change: Change, runs_needed: int | None = None, **changes: Any) -> Comparison:
    evidence = Evidence(
        name="t.py::test", metric="p50_ms", better="lower", baseline=(1.0,), candidate=(1.0,)
    )
    found = Comparison(evidence=evidence, change=change, reason="so", runs_needed=runs_needed)
    return replace(found, **changes)


def report(*rows: Comparison, **changes: Any) -> PairedReport:
    empty = PairedReport(pairs=4, rows=rows, varied={}, confounded={}, notes=())
    return replace(empty, **changes)


@pytest.mark.parametrize(
    ("found", "status", "conclusion"),
    [
        (report(row(Change.NOT_WORSE)), 0, "B is not worse than A"),
        (report(row(Change.NOT_WORSE), row(Change.IMPROVED)), 0, "B is better than A"),
        (
            report(row(Change.INVALID), row(Change.REGRESSED), row(Change.INCONCLUSIVE)),
            1,
            "B is worse than A: test p50_ms",
        ),
        (
            report(row(Change.INCONCLUSIVE, 9), row(Change.INCONCLUSIVE, 31)),
            3,
            "inconclusive: about 31 pairs would decide: --max-pairs 31",
        ),
        (
            report(row(Change.INCONCLUSIVE, 9), row(Change.INCONCLUSIVE)),
            3,
            "inconclusive: the spread is too large, or not known yet: "
            "give a larger --floor or more pairs",
        ),
        (
            report(row(Change.INVALID), row(Change.NOT_WORSE)),
            4,
            "no verdict on test p50_ms",
        ),
        (
            report(
                row(Change.CONFOUNDED), confounded={"sw.x": ("1", "2"), "sw.y of A": ("1", "2")}
            ),
            4,
            "no verdict: if this is what you test, add --vary sw.x,sw.y",
        ),
        (
            report(),
            4,
            "no verdict: choose benchmarks that leave a latency, a throughput or a score",
        ),
    ],
)
def test_conclusions(found: PairedReport, status: int, conclusion: str) -> None:
    assert ab.exit_status(found) == status
    *_, last = ab.report_lines(NOW, NOW, Trial(ended="enough"), found)
    assert last == conclusion


def test_what_is_said_and_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = itertools.count()

    def measure(self: ab.Session) -> Run:
        slow = self.environ.get("SLOW", "")
        return session(80 if slow else 100, torch=slow or "2.9", run_id=f"R{next(ids)}")

    monkeypatch.setattr(ab.Session, "measure", measure)
    monkeypatch.delenv("SLOW", raising=False)
    assert main(["ab", "--b", "env=SLOW=yes", "--", "-m", "server"]) == 1
    out = capsys.readouterr().out
    (kept,) = folder.glob(".aibench/ab/*/report.json")
    assert (
        out[out.index("\nA: ") :]
        == f"""
A: here
B: env=SLOW=yes
varied: env.SLOW: unset → yes, sw.torch: 2.9 → yes
benchmark    metric    A    B    B against A                 verdict
-----------  --------  ---  ---  --------------------------  ---------
test         peak_qps  100  80   -20.0 % [-20.0 %, -20.0 %]  regressed
test peak_qps: over 2.0 %, p = 0.004
4 pairs: every figure is decided
B is worse than A: test peak_qps
report: {kept}
"""
    )
    document = json.loads(kept.read_text())
    assert document["schema"] == "aibench.ab/1"
    assert (document["a"], document["b"], document["exit_status"]) == ("here", "env=SLOW=yes", 1)
    assert document["varied"]["env.SLOW"] == ["unset", "yes"]
    assert document["rows"][0]["change"] == "regressed"
    assert document["runs"] == {"a": ["R0", "R3", "R4", "R7"], "b": ["R1", "R2", "R5", "R6"]}


def test_ctrl_c_before_the_first_pair(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: ab.Session) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(ab.Session, "measure", interrupted)
    assert main(["ab", "--b=here"]) == 3
    assert capsys.readouterr().out == (
        "interrupted before the first pair was complete: nothing to report\n"
    )
    assert list(folder.iterdir()) == []


def fake_python(folder: Path, status: int, record: Path | None = None) -> Path:
    """An interpreter that leaves a record at once, and ends with that status."""
    python = folder / "python"
    keep = f"mkdir -p $store/runs/2026/03/01 && cp {record} $store/runs/2026/03/01/1-R$$.json"
    lines = [
        "#!/bin/sh",
        "for store; do :; done",
        "store=${store#--aibench-store=}",
        "echo first",
        "echo $2 $3 into $store",
        keep if record else "",
        f"exit {status}",
    ]
    python.write_text("\n".join(lines))
    python.chmod(0o755)
    return python


@pytest.mark.parametrize("status", [0, 1])
def test_benchmarks_that_fail_were_measured(
    folder: Path, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    python = fake_python(folder, status, stored(folder / "other", session(1)))
    sides = [f"--a=python={python}", f"--b=python={python}"]
    assert main(["ab", *sides, "--", "some.py"]) == 0
    assert "4 pairs: every figure is decided\nB is not worse than A" in capsys.readouterr().out
    assert len(list(folder.glob(".aibench/ab/*/[ab]/runs/2026/03/01/*.json"))) == 8


@pytest.mark.parametrize(("status", "keeps"), [(4, False), (0, False), (2, True)])
def test_a_side_that_does_not_run(
    folder: Path, status: int, keeps: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    record = stored(folder / "other", session(1)) if keeps else None
    python = fake_python(folder, status, record)
    assert main(["ab", f"--a=python={python}", "--", "some.py"]) == 2
    err = capsys.readouterr().err
    (store,) = (folder / ".aibench" / "ab").iterdir() if keeps else re.findall("into (.*)/a", err)
    assert err == (
        f"aibench: side A (python={python}) does not run: pytest ended with {status} and left no "
        f"usable record; its last lines:\n  first\n  pytest some.py into {store}/a\n"
    )


def test_a_session_that_is_cancelled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The interpreter stops its parent, and would then take forever."""
    python = folder / "python"
    python.write_text("#!/bin/sh\nkill -TERM $PPID\nexec sleep 600\n")
    python.chmod(0o755)
    monkeypatch.setattr(ab, "_LAST_WORDS_S", 0.01)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["ab", f"--a=python={python}"]) == 3
    assert "interrupted before the first pair" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) == before


MODEL = """
from pathlib import Path
import os

def right(samples):
    return [sample % 10 for sample in samples]

with Path(os.environ["SEEN"]).open("a") as seen:
    seen.write("VERSION ")
"""
BENCHMARK = """
import pytest
from pytest_aibench import Offline, at_least
from model import right

@pytest.mark.dataset("tiny")
def test_model(loadgen, dataset):
    loadgen.run(right, dataset, Offline(min_duration="1 ms")).require(top1=at_least(1.1))
"""


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    done = subprocess.run(["git", *identity, *arguments], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_two_revisions(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sub = folder / "sub"
    (sub / "src").mkdir(parents=True)
    (folder / "src").mkdir()
    (sub / "tiny.py").write_text(TINY)
    (sub / "conftest.py").write_text("import tiny")
    (sub / "test_it.py").write_text(BENCHMARK)
    git("init", "-q")
    for version in ("old", "new"):
        (folder / "src" / "model.py").write_text(MODEL.replace("VERSION", version))
        git("add", "-A")
        git("commit", "-q", "-m", version)
    seen, main_checkout = folder / "seen.txt", folder / "src"
    monkeypatch.setenv("SEEN", str(seen))
    monkeypatch.setenv("AIBENCH_DEVICE", "cpu")
    monkeypatch.setenv("AIBENCH_EFFORT", "quick")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:randomly -p no:cacheprovider")
    monkeypatch.setenv("PYTHONPATH", str(main_checkout))  # as an editable installation does
    monkeypatch.chdir(sub)
    arguments = ["--a=rev=HEAD~1", "--min-pairs=1", "--max-pairs=1", "--store=../kept"]
    assert main(["ab", *arguments, "--", "test_it.py"]) == 3
    out = capsys.readouterr().out
    assert seen.read_text() == "old new "
    before, after = git("rev-parse", "HEAD~1", "HEAD").split()
    assert f"subject.commit: {before[:7]} → {after[:7]}, " in out
    assert "test_model[cpu]  throughput_samples_per_s" in out
    assert len(list(folder.glob("kept/ab/*/[ab]/runs/*/*/*/*.json"))) == 2
    assert len(git("worktree", "list").splitlines()) == 1
    assert list((folder.parent / "temporary").glob("aibench-ab-*")) == []
