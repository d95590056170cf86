"""The workflows and the action: linted, free of injections, and their commands run.

A runner is played by `Job`: it runs the scripts of steps with bash, in the environment that GitHub
gives them.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_aibench.report.comparison import MARKER
from pytest_aibench.results.locations import open_store
from pytest_aibench.results.schema import Run
from pytest_aibench.results.store import read_run, write_run
from tests.acceptance.test_compare import FAST, RUNS, SLOW, earlier
from tests.records import stored_files

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PAGE = ROOT / "docs" / "github-actions.md"
TOOLS = Path(sys.executable).parent

BENCHMARK = """
import numpy as np
from pytest_aibench import SingleStream, at_least
from pytest_aibench.datasets import Dataset

samples = np.arange(50)
counted = Dataset("tiny", "test", samples, samples % 10, "CC0-1.0", "counted")

def right(samples):
    return [sample % 10 for sample in samples]

def test_tiny(loadgen):
    scenario = SingleStream(min_duration="10 ms", min_queries=1000)
    loadgen.run(right, counted, scenario).require(top1=at_least(0.97))
"""
STUB = """#!/usr/bin/env bash
printf '%s\\n' "$(basename "$0") $*" >> "$CALLS"
if [[ "$*" == *--jq* ]]; then echo "$FOUND"; fi
exit "${STUB_STATUS:-0}"
"""
UNUSED = ("randomly", "cacheprovider", "benchmark", "hypothesispytest", "anyio", "xdist")
"""Plugins that would leave files in the project, or take their time."""

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
_BLOCK = re.compile(r"```yaml\n(.*?)```", re.DOTALL)

Step = Mapping[str, Any]
Document = Mapping[Any, Any]

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def document(path: Path) -> Document:
    loaded: Document = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def action() -> Document:
    return document(ROOT / "action.yml")


def workflow(name: str) -> Document:
    return document(ROOT / ".github" / "workflows" / f"{name}.yml")


def steps_of(loaded: Document) -> list[Step]:
    """The steps of a workflow's jobs, or of an action."""
    parts = loaded["jobs"].values() if "jobs" in loaded else [loaded["runs"]]
    return [step for part in parts for step in part["steps"]]


def step_called(loaded: Document, name: str) -> Step:
    (step,) = [step for step in steps_of(loaded) if step.get("name") == name]
    return step


@dataclass(kw_only=True)
class Job:
    """A runner's view of a job.

    Attributes:
        workspace: The checkout.
        temporary: For files outside of it.
        context: Values of expressions, like ``inputs.store``.
        environ: Environment variables of each step.
    """

    workspace: Path
    temporary: Path
    context: dict[str, str]
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, step: Step) -> subprocess.CompletedProcess[str]:
        """Run the step's script, and remember its outputs."""
        output = self._file("output")
        output.write_text("")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=self.workspace,
            env={**self._given(), **self._own(step)},
            capture_output=True,
            text=True,
            check=False,
        )
        for line in output.read_text().splitlines():
            name, _, value = line.partition("=")
            self.context[f"steps.{step.get('id')}.outputs.{name}"] = value
        return done

    def text(self, name: str) -> str:
        """What steps wrote to ``$GITHUB_NAME``."""
        return self._file(name).read_text(encoding="utf-8")

    def value(self, expression: str) -> str:
        """The first of the alternatives that is not empty."""
        names = map(str.strip, expression.split("||"))
        values = (n[1:-1] if n.startswith("'") else self.context.get(n, "") for n in names)
        return next(filter(None, values), "")

    def _file(self, name: str) -> Path:
        path = self.temporary / f"github-{name}"
        path.touch()
        return path

    def _given(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIBENCH_", "GITHUB_"))}
        files = ("output", "env", "path", "step_summary")
        return {
            **kept,
            **{f"GITHUB_{name.upper()}": str(self._file(name)) for name in files},
            "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_REPOSITORY": "someone/project",
            "GITHUB_RUN_ID": "77",
            "GITHUB_RUN_ATTEMPT": "1",
            "RUNNER_TEMP": str(self.temporary),
            "TMPDIR": str(self.temporary),
            "XDG_DATA_HOME": str(self.temporary),
            "AIBENCH_CACHE": str(self.temporary / "cache"),
            "AIBENCH_EFFORT": "quick",
            **self.environ,
        }

    def _own(self, step: Step) -> dict[str, str]:
        def filled(text: str) -> str:
            return _EXPRESSION.sub(lambda match: self.value(match[1]), text)

        return {name: filled(str(value)) for name, value in step.get("env", {}).items()}


def stub(job: Job, *names: str) -> Path:
    """Replace commands by one that records its calls; the file with them."""
    folder, calls = job.temporary / "stubs", job.temporary / "calls"
    folder.mkdir(exist_ok=True)
    for name in names:
        path = folder / name
        path.write_text(STUB)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    job.environ |= {
        "PATH": f"{folder}{os.pathsep}{TOOLS}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(calls),
        "FOUND": "",
    }
    return calls


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return new_job(tmp_path)


def new_job(folder: Path, **inputs: str) -> Job:
    defaults = {name: given["default"] for name, given in action()["inputs"].items()}
    chosen = {**defaults, "device": "cpu", **inputs}
    for name in ("workspace", "temporary"):
        (folder / name).mkdir()
    return Job(
        workspace=folder / "workspace",
        temporary=folder / "temporary",
        context={f"inputs.{name}": value for name, value in chosen.items()},
    )


def git(job: Job, *arguments: str) -> None:
    who = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
    subprocess.run(["git", *who, *arguments], cwd=job.workspace, check=True, capture_output=True)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A project with one commit, and the record of a session on it."""
    job = new_job(tmp_path_factory.mktemp("real"), compare="")
    (job.workspace / "benchmarks").mkdir()
    (job.workspace / "benchmarks" / "test_tiny.py").write_text(BENCHMARK)
    (job.workspace / "pytest.ini").write_text(
        "[pytest]\naddopts = " + " ".join(f"-p no:{name}" for name in UNUSED) + "\n"
    )
    (job.workspace / ".gitignore").write_text(".aibench\n__pycache__\n")
    git(job, "init", "--initial-branch=main")
    git(job, "add", ".")
    git(job, "commit", "--message=first")
    finished(job)
    (path,) = stored_files(job.workspace / ".aibench")
    run = read_run(path)
    shutil.rmtree(job.workspace / ".aibench")
    return job.workspace, run


def finished(job: Job) -> dict[str, subprocess.CompletedProcess[str]]:
    """Run the action's scripts, but for the look at the machine, which takes seconds."""
    scripts = [step for step in steps_of(action()) if "run" in step]
    return {s["name"]: job.run(s) for s in scripts if s["name"] != "Look at the machine"}


def pull_request(folder: Path, real: tuple[Path, Run], factor: float, **inputs: str) -> Job:
    """A change of a project whose history was faster or slower by a factor."""
    project, run = real
    job = new_job(folder, **inputs)
    shutil.copytree(project, job.workspace, dirs_exist_ok=True)
    store = open_store(job.workspace / ".aibench")
    for number in range(RUNS):
        write_run(store, before(run, number, factor))
    git(job, "checkout", "-b", "change")
    git(job, "commit", "--allow-empty", "--message=second")
    job.environ |= {"GITHUB_BASE_REF": "main"}
    return job


def before(real: Run, number: int, factor: float, **sw: str) -> Run:
    """One of the runs of earlier workflows."""
    return replace(earlier(real, number, factor, sw), group_id=f"github-{number}-1")


Finished = tuple[Job, dict[str, "subprocess.CompletedProcess[str]"]]


@pytest.fixture(scope="module")
def regressed(real: tuple[Path, Run], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    job = pull_request(tmp_path_factory.mktemp("regressed"), real, FAST)
    return job, finished(job)


@pytest.fixture(scope="module")
def passed(real: tuple[Path, Run], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("passed")
    job = pull_request(folder, real, SLOW, args="benchmarks -m 'not  nothing' -k \"tiny\"")
    return job, finished(job)


@needs_bash
def test_a_regression_fails_the_run_and_the_gate(regressed: Finished) -> None:
    job, done = regressed
    assert done["Run the benchmarks"].returncode == 1
    assert "regressed: p50_ms" in done["Run the benchmarks"].stdout
    assert done["Hold the run against its history"].returncode == 1
    assert job.context["steps.gate.outputs.verdict"] == "regressed"


@needs_bash
def test_the_summary_tells_what_regressed(regressed: Finished) -> None:
    job, _ = regressed
    summary = job.text("step_summary")
    assert summary.startswith(f"{MARKER}\n\n### AI benchmarks: 2 regressed, 1 not worse; ")
    assert "compared with main at " in summary
    assert "| `test_tiny[cpu]` | p50_ms " in summary
    assert (
        "aibench accept 'benchmarks/test_tiny.py::test_tiny[cpu]' --metric p50_ms --reason"
        in summary
    )


@needs_bash
def test_the_record_and_the_report_are_ready_for_upload(regressed: Finished) -> None:
    job, done = regressed
    record = Path(job.context["steps.measure.outputs.record"])
    assert (job.workspace / record).is_file()
    assert record.stem.endswith("-" + job.context["steps.measure.outputs.run"])
    assert done["Write the report"].returncode == 0
    folder = Path(job.context["steps.places.outputs.folder"])
    expected = {"pytest.log", "report.html", "summary.md", record.name}
    assert {path.name for path in folder.iterdir()} == expected
    assert "someone/project" in (folder / "report.html").read_text(encoding="utf-8")


@needs_bash
def test_a_run_that_is_not_worse_passes(passed: Finished) -> None:
    job, done = passed
    assert {name: step.returncode for name, step in done.items()} == dict.fromkeys(done, 0)
    assert job.context["steps.gate.outputs.verdict"] == "fine"
    assert "### AI benchmarks: 2 improved, 1 not worse; " in job.text("step_summary")


@needs_bash
@pytest.mark.parametrize(("strict", "status"), [("false", 0), ("true", 4)])
def test_another_environment_warns_and_fails_only_if_told_to(
    passed: Finished, real: tuple[Path, Run], tmp_path: Path, strict: str, status: int
) -> None:
    measured, _ = passed
    job = new_job(tmp_path, strict=strict)
    job.workspace, job.context["steps.places.outputs.folder"] = measured.workspace, str(tmp_path)
    store = tmp_path / "store"
    for number in range(RUNS):
        write_run(open_store(store), before(real[1], number, 1, python="CPython 2.7"))
    write_run(open_store(store), real[1])
    job.context |= {
        "steps.places.outputs.store": str(store),
        "steps.measure.outputs.run": real[1].run_id,
    }
    gate = job.run(step_called(action(), "Hold the run against its history"))
    assert gate.returncode == status, gate.stderr
    assert job.context["steps.gate.outputs.verdict"] == "unfit"
    assert "confounded by sw.python: CPython 2.7 →" in job.text("step_summary")
    assert ("::warning::" in gate.stdout) is (strict == "false")


@needs_bash
def test_a_branch_that_git_does_not_know_is_a_mistake(passed: Finished, tmp_path: Path) -> None:
    measured, _ = passed
    job = replace(measured, context={**measured.context, "inputs.compare": "$(touch hacked)"})
    gate = job.run(step_called(action(), "Hold the run against its history"))
    assert gate.returncode == 2
    assert "git knows no branch, tag or commit '$(touch hacked)'" in gate.stderr
    assert not (job.workspace / "hacked").exists()


@needs_bash
def test_without_aibench_the_action_says_what_to_install(job: Job) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    (job.temporary / "bash").symlink_to(bash)
    job.environ["PATH"] = str(job.temporary)
    done = job.run(step_called(action(), "Look at the machine"))
    assert done.returncode == 2
    assert "::error::there is no aibench: install pytest-aibench" in done.stdout


@needs_bash
def test_the_machine_is_looked_at(job: Job) -> None:
    calls = stub(job, "aibench")
    assert job.run(step_called(action(), "Look at the machine")).returncode == 0
    assert calls.read_text() == "aibench doctor\n"


@needs_bash
def test_records_that_wait_are_no_failure(job: Job) -> None:
    calls = stub(job, "aibench")
    job.environ["STUB_STATUS"] = "1"
    done = job.run(step_called(action(), "Send records that could not be stored"))
    assert done.returncode == 0
    assert done.stdout.startswith("::warning::records wait on this machine")
    assert calls.read_text() == "aibench push\n"


@needs_bash
@pytest.mark.parametrize(
    ("line", "record", "run"),
    [
        ("record: .aibench/runs/2026/11/22/20261122T1Z-01M8.json", ".aibench/runs/", "01M8"),
        ("record: s3://b/r/runs/20261122T1Z-01M8.json", "s3://b/r/runs/", "01M8"),
        (
            "cannot reach s3://b/r: no network; this record waits in /home/me/20261122T1Z-01M8.json"
            ": send it with `aibench push`",
            "/home/me/20261122T1Z-01M8.json",
            "01M8",
        ),
        ("no record was kept (--aibench-no-store)", "", ""),
    ],
)
def test_the_record_is_found_wherever_it_is(job: Job, line: str, record: str, run: str) -> None:
    stub(job, "pytest")
    (job.temporary / "stubs" / "pytest").write_text(f"#!/bin/sh\ncat <<'E'\n{line}\nE\nexit 5\n")
    job.context["steps.places.outputs.folder"] = str(job.temporary)
    done = job.run(step_called(action(), "Run the benchmarks"))
    assert done.returncode == 5
    assert job.context["steps.measure.outputs.record"].startswith(record)
    assert job.context["steps.measure.outputs.run"] == run


@needs_bash
@pytest.mark.parametrize("name", ["benchmarks", "driver-upgrade"])
def test_the_project_is_installed_for_the_later_steps(job: Job, name: str) -> None:
    calls = stub(job, "pip", "python3")
    binaries = job.temporary / "venv" / "bin"
    binaries.mkdir(parents=True)
    shutil.copy(job.temporary / "stubs" / "pip", binaries)
    job.context["vars.AIBENCH_PACKAGES"] = "fsspec s3fs"
    assert job.run(step_called(workflow(name), "Install the project")).returncode == 0
    assert calls.read_text().splitlines() == [
        f"python3 -m venv {job.temporary}/venv",
        "pip install --quiet -c constraints.txt -e .[suite] fsspec s3fs",
    ]
    assert job.text("path") == f"{binaries}\n"


COMMENTS = "repos/someone/project/issues"


@needs_bash
@pytest.mark.parametrize(
    ("found", "last_call"),
    [
        ("", f"--method POST {COMMENTS}/5/comments"),
        ("31\n32", f"--method PATCH {COMMENTS}/comments/31"),
    ],
)
def test_a_pull_request_has_one_comment(job: Job, found: str, last_call: str) -> None:
    calls = stub(job, "gh")
    job.environ["FOUND"] = found
    job.context["github.event.pull_request.number"] = "5"
    for name in ("aibench-cuda-bf16", "aibench-cuda-fp32"):
        folder = job.workspace / "results" / name
        folder.mkdir(parents=True)
        (folder / "summary.md").write_text(f"{MARKER}\n\n### AI benchmarks: 1 regressed\n")
    done = job.run(step_called(workflow("benchmarks"), "Write or update the comment"))
    assert done.returncode == 0, done.stderr
    asked, told = calls.read_text().splitlines()
    assert asked.startswith(f"gh api --paginate {COMMENTS}/5/comments --jq .[] | select(")
    assert told == f"gh api {last_call} --silent -F body=@comment.md"
    assert (job.workspace / "comment.md").read_text().splitlines() == [
        MARKER,
        "",
        "**aibench-cuda-bf16**",
        "",
        "### AI benchmarks: 1 regressed",
        "",
        "**aibench-cuda-fp32**",
        "",
        "### AI benchmarks: 1 regressed",
    ]


@needs_bash
def test_no_comment_where_nothing_was_compared(job: Job) -> None:
    calls = stub(job, "gh")
    done = job.run(step_called(workflow("benchmarks"), "Write or update the comment"))
    assert (done.returncode, done.stdout) == (0, "nothing was compared\n")
    assert not calls.exists()


@needs_bash
@pytest.mark.parametrize(("ends_with", "status"), [("1", 0), ("2", 1)])
def test_a_driver_is_measured_in_sessions_of_their_own(
    job: Job, ends_with: str, status: int
) -> None:
    calls = stub(job, "pytest")
    job.environ |= {"SESSIONS": "2", "STUB_STATUS": ends_with}
    done = job.run(step_called(workflow("driver-upgrade"), "Measure"))
    assert done.returncode == status
    expected = [f"pytest benchmarks --aibench-group driver-77-{n}" for n in (1, 2)]
    assert calls.read_text().splitlines() == (expected if status == 0 else expected[:1])


def with_driver(real: Run, number: int, factor: float, driver: str, group: str) -> Run:
    run = before(real, number, factor, driver=driver)
    return replace(run, group_id=f"driver-{group}-{number + 1}")


@needs_bash
@pytest.mark.parametrize(
    ("factor", "status", "headline"),
    [(1.0, 0, "1 inconclusive, 2 not worse"), (3.0, 1, "2 regressed, 1 not worse")],
)
def test_drivers_are_compared(
    job: Job, real: tuple[Path, Run], factor: float, status: int, headline: str
) -> None:
    store = open_store(job.workspace / ".aibench")
    for number in range(5):
        write_run(store, with_driver(real[1], number, 1.0, "570.86", "76"))
        write_run(store, with_driver(real[1], number, factor, "580.95", "77"))
    job.environ |= {"BEFORE": "76", "SESSIONS": "5"}
    done = job.run(
        step_called(workflow("driver-upgrade"), "Compare with the run before the upgrade")
    )
    assert done.returncode == status, done.stderr
    assert f"### AI benchmarks: {headline}; compared with " in job.text("step_summary")


def documents() -> Iterator[tuple[str, Document]]:
    """Every workflow, the action, and the examples of the documentation."""
    for path in (*WORKFLOWS, ROOT / "action.yml"):
        yield path.name, document(path)
    for number, text in enumerate(examples()):
        yield f"example {number}", yaml.safe_load(text)


def examples() -> list[str]:
    """Whole workflows in the documentation."""
    blocks = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    return [block for block in blocks if "\njobs:" in block]


every_document = pytest.mark.parametrize("loaded", [pytest.param(d, id=n) for n, d in documents()])


@every_document
def test_scripts_hold_no_expressions(loaded: Document) -> None:
    assert [s["run"] for s in steps_of(loaded) if "${{" in s.get("run", "")] == []


@every_document
def test_actions_have_a_version(loaded: Document) -> None:
    used = [step["uses"] for step in steps_of(loaded) if "uses" in step]
    assert [name for name in used if name != "./" and not re.search(r"@v\d", name)] == []


@every_document
def test_workflows_ask_for_few_permissions(loaded: Document) -> None:
    if "jobs" not in loaded:
        assert all(step["shell"] == "bash" for step in steps_of(loaded) if "run" in step)
        return
    assert loaded["permissions"] in ({}, {"contents": "read"})
    # YAML 1.1 reads the key "on" as true.
    assert "pull_request_target" not in loaded[True]
    writing = [
        (name, job["permissions"])
        for name, job in loaded["jobs"].items()
        if "write" in job.get("permissions", {}).values()
    ]
    assert writing in ([], [("comment", {"pull-requests": "write"})])


def test_the_code_of_forks_does_not_reach_the_runners() -> None:
    measuring = workflow("benchmarks")["jobs"]["benchmarks"]
    own = "github.event.pull_request.head.repo.full_name == github.repository"
    assert f"(github.event_name != 'pull_request' || {own})" in measuring["if"]


def test_baselines_need_the_whole_history() -> None:
    checkouts = {
        name: step["with"]["fetch-depth"]
        for name, loaded in documents()
        for step in steps_of(loaded)
        if step.get("uses", "").startswith("actions/checkout@") and "with" in step
    }
    assert checkouts == {"benchmarks.yml": 0, "driver-upgrade.yml": 0, "example 0": 0}


def test_every_input_is_documented() -> None:
    page = PAGE.read_text(encoding="utf-8")
    given = (*action()["inputs"], *action()["outputs"])
    assert [name for name in given if f"\n| `{name}` | " not in page] == []


def as_workflow(loaded: Document) -> str:
    """The action as a workflow that can be called, since actionlint reads no actions."""
    inputs = {name: {**given, "type": "string"} for name, given in loaded["inputs"].items()}
    outputs = {name: given["value"] for name, given in loaded["outputs"].items()}
    job = {"runs-on": "ubuntu-latest", "outputs": outputs, "steps": loaded["runs"]["steps"]}
    return yaml.safe_dump({"on": {"workflow_call": {"inputs": inputs}}, "jobs": {"action": job}})


def linted() -> Iterator[tuple[str, str]]:
    """Names and texts of all that actionlint can read."""
    for path in WORKFLOWS:
        yield path.name, path.read_text(encoding="utf-8")
    yield "action.yml", as_workflow(action())
    for number, text in enumerate(examples()):
        yield f"example {number}", text


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in linted()])
def test_actionlint_finds_nothing(text: str, tmp_path: Path) -> None:
    actionlint = shutil.which("actionlint", path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if actionlint is None:
        pytest.skip("there is no actionlint: run `pip install -r requirements-lint.txt`")
    path = tmp_path / "workflow.yml"
    path.write_text(text, encoding="utf-8")
    # Not every version knows that jobs can queue, as they can since May 2026.
    ignored = ('unexpected key "queue" for "concurrency"', 'label "gpu" is unknown')
    options = [word for pattern in ignored for word in ("-ignore", pattern)]
    done = subprocess.run(
        [actionlint, *options, str(path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""
