"""The environment of a record, and git's part in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_aibench.results import environment, git
from pytest_aibench.results.environment import collect, gather, machine_state
from pytest_aibench.results.schema import to_json
from pytest_aibench.telemetry import nvml
from tests.fakes import A100, FakeClock, fake_pynvml

Git = Callable[..., str]

CI_VARIABLES = (*git._CI_COMMIT, *git._CI_BRANCH)


@pytest.fixture(autouse=True)
def outside_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CI_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    return root


@pytest.fixture
def run_git(root: Path) -> Git:
    person = {"NAME": "A", "EMAIL": "a@example.org", "DATE": "2026-01-02T03:04:05Z"}
    names = {
        f"GIT_{who}_{key}": value
        for who in ("AUTHOR", "COMMITTER")
        for key, value in person.items()
    }
    environ = git._environ_without_git(os.environ) | names
    environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

    def run(*arguments: str | Path, cwd: Path = root) -> str:
        command = ["git", "-c", "protocol.file.allow=always", *map(str, arguments)]
        done = subprocess.run(
            command, cwd=cwd, env=environ, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def repo(root: Path, run_git: Git) -> Path:
    run_git("init", "--quiet", "--initial-branch=main")
    (root / "model.py").write_text("x = 1\n")
    run_git("add", ".")
    run_git("commit", "--quiet", "--message=one")
    return root


def facts(folder: Path) -> dict[str, Any]:
    repository = git.find_repository(folder)
    assert repository is not None
    return repository.facts()


def test_a_branch(repo: Path, run_git: Git) -> None:
    commit = run_git("rev-parse", "HEAD")
    inside = repo / "deep" / "er"
    inside.mkdir(parents=True)
    assert facts(inside) == {"commit": commit, "branch": "main", "shallow": False, "parents": []}
    assert git.status(inside) == {"commit": commit, "branch": "main", "dirty": False}


def test_a_branch_with_a_slash_and_a_parent(repo: Path, run_git: Git) -> None:
    first = run_git("rev-parse", "HEAD")
    run_git("checkout", "--quiet", "-b", "feature/fast")
    run_git("commit", "--quiet", "--allow-empty", "--message=two")
    found = facts(repo)
    assert (found["branch"], found["parents"]) == ("feature/fast", [first])
    assert found["commit"] == run_git("rev-parse", "HEAD")


def test_a_merge_has_two_parents(repo: Path, run_git: Git) -> None:
    first = run_git("rev-parse", "HEAD")
    run_git("checkout", "--quiet", "-b", "side")
    run_git("commit", "--quiet", "--allow-empty", "--message=side")
    side = run_git("rev-parse", "HEAD")
    run_git("checkout", "--quiet", "main")
    run_git("merge", "--quiet", "--no-ff", "--message=merge\n\nparent of nobody", "side")
    assert facts(repo)["parents"] == [first, side]


def test_packed_refs_and_objects(repo: Path, run_git: Git) -> None:
    run_git("tag", "--annotate", "--message=tag", "v1")
    blob = run_git("hash-object", "model.py")
    run_git("update-ref", "refs/backup/refs/heads/main", blob)
    run_git("gc", "--quiet")
    assert not (repo / ".git/refs/heads/main").exists()
    commit = run_git("rev-parse", "HEAD")
    assert facts(repo) == {"commit": commit, "branch": "main", "shallow": False}


def test_a_detached_head(repo: Path, run_git: Git) -> None:
    run_git("checkout", "--quiet", "--detach")
    found = facts(repo)
    assert found["commit"] == run_git("rev-parse", "HEAD")
    assert "branch" not in found
    assert "branch" not in git.status(repo)


def test_a_branch_that_links_to_another(repo: Path, run_git: Git) -> None:
    run_git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    run_git("symbolic-ref", "HEAD", "refs/heads/alias")
    assert facts(repo)["commit"] == run_git("rev-parse", "main")


def test_branches_that_link_in_a_circle_end(repo: Path) -> None:
    (repo / ".git/refs/heads/main").write_text("ref: refs/heads/main\n")
    assert "commit" not in facts(repo)


def test_no_commit_yet(root: Path, run_git: Git) -> None:
    run_git("init", "--quiet", "--initial-branch=main")
    assert facts(root) == {"branch": "main", "shallow": False}
    assert git.status(root) == {"branch": "main", "dirty": False}


def test_a_worktree(repo: Path, run_git: Git, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    run_git("worktree", "add", "--quiet", "-b", "other", tree)
    run_git("commit", "--quiet", "--allow-empty", "--message=two", cwd=tree)
    assert (tree / ".git").is_file()
    found = facts(tree)
    assert (found["branch"], found["commit"]) == ("other", run_git("rev-parse", "other"))
    assert found["parents"] == [facts(repo)["commit"]]


def test_a_submodule(repo: Path, run_git: Git, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    run_git("init", "--quiet", cwd=outer)
    run_git("submodule", "--quiet", "add", repo, "inner", cwd=outer)
    assert (outer / "inner/.git").is_file()
    assert facts(outer / "inner")["commit"] == run_git("rev-parse", "HEAD")


def test_a_shallow_clone(repo: Path, run_git: Git, tmp_path: Path) -> None:
    run_git("commit", "--quiet", "--allow-empty", "--message=two")
    clone = tmp_path / "clone"
    run_git("clone", "--quiet", "--depth=1", repo.as_uri(), clone)
    found = facts(clone)
    assert (found["shallow"], found["commit"]) == (True, run_git("rev-parse", "HEAD"))


def test_branches_in_a_reftable_are_left_to_git(repo: Path) -> None:
    (repo / ".git/reftable").mkdir()
    (repo / ".git/HEAD").write_text("ref: refs/heads/.invalid\n")
    assert facts(repo) == {"shallow": False}


def test_a_dirty_tree(repo: Path) -> None:
    (repo / "results.json").write_text("untracked")
    assert git.status(repo)["dirty"] is False
    (repo / "model.py").write_text("x = 2\n")
    assert git.status(repo)["dirty"] is True


def test_a_git_hook_does_not_lead_elsewhere(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    assert git.status(repo)["branch"] == "main"


def test_a_watcher_named_by_the_repository_is_not_started(
    repo: Path, run_git: Git, tmp_path: Path
) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    hook.chmod(0o755)
    run_git("config", "core.fsmonitor", hook)
    git.status(repo)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        (
            {"GITHUB_SHA": "abc", "GITHUB_REF_NAME": "main", "GITHUB_HEAD_REF": ""},
            {"commit": "abc", "branch": "main"},
        ),
        (
            {"GITHUB_SHA": "abc", "GITHUB_REF_NAME": "7/merge", "GITHUB_HEAD_REF": "topic"},
            {"commit": "abc", "branch": "topic"},
        ),
        (
            {"CI_COMMIT_SHA": "def", "CI_COMMIT_REF_NAME": "main"},
            {"commit": "def", "branch": "main"},
        ),
    ],
)
def test_ci_facts(environ: dict[str, str], expected: dict[str, str]) -> None:
    assert git.ci_facts(environ) == expected


def subject(rootdir: Path) -> dict[str, Any]:
    return collect(rootdir, {}, {}).subject


def test_the_repository_outranks_ci(
    repo: Path, run_git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SHA", "abc")
    monkeypatch.setenv("GITHUB_REF_NAME", "topic")
    commit = run_git("rev-parse", "HEAD")
    assert (subject(repo)["commit"], subject(repo)["branch"]) == (commit, "main")
    run_git("checkout", "--quiet", "--detach")
    assert (subject(repo)["commit"], subject(repo)["branch"]) == (commit, "topic")


def test_without_a_repository_ci_tells(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_SHA", "abc")
    found = collect(root, {}, {})
    assert found.subject == {"commit": "abc"}
    assert found.state["unavailable"]["git"] == "not in a git repository"
    assert "git_status" not in found.state["unavailable"]


def test_without_git_only_dirty_is_missing(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = collect(repo, {}, {})
    assert set(found.subject) == {"commit", "branch", "shallow", "parents"}
    assert "git" in found.state["unavailable"]["git_status"]


def test_a_refusal_of_git_is_one_line(repo: Path) -> None:
    (repo / ".git/config").write_text("[core\n")
    assert "bad config line 1" in collect(repo, {}, {}).state["unavailable"]["git_status"]


def test_a_provider_that_fails_leaves_a_reason() -> None:
    def fail() -> dict[str, Any]:
        raise PermissionError("first line\nsecond line")

    def fail_silently() -> dict[str, Any]:
        raise KeyError

    gathered = gather({"a": fail, "b": fail_silently, "c": lambda: {"fact": 1}})
    assert gathered.facts == {"fact": 1}
    assert gathered.unavailable == {"a": "first line", "b": "KeyError"}


def test_a_slow_provider_is_named_and_its_facts_kept() -> None:
    clock = FakeClock()

    def take(seconds: float, fact: str) -> dict[str, Any]:
        clock.advance(seconds)
        return {fact: True}

    providers = {"quick": lambda: take(0.05, "a"), "slow": lambda: take(0.0801, "b")}
    gathered = gather(providers, clock=clock.seconds)
    assert gathered.facts == {"a": True, "b": True}
    assert gathered.slow_ms == {"slow": 80.1}
    assert gathered.unavailable == {}


def test_a_slow_provider_that_fails_is_named_twice() -> None:
    clock = FakeClock()

    def hang() -> dict[str, Any]:
        clock.advance(5)
        raise TimeoutError("gave up")

    gathered = gather({"driver": hang}, clock=clock.seconds)
    assert (gathered.unavailable, gathered.slow_ms) == ({"driver": "gave up"}, {"driver": 5000.0})


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"handle 0": 400_000, "handle 1": 300_000}
    answers = A100 | {"nvmlDeviceGetPowerManagementLimit": limits}
    monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml(answers, gpus=2))
    monkeypatch.setattr(nvml, "_sees_all_processes", lambda: True)


@pytest.mark.usefixtures("two_gpus")
def test_the_groups(repo: Path) -> None:
    found = collect(repo, {"scale": "embedded", "--device": "cuda"}, {"load_1min": 0.5})
    assert found.hw["gpu_count"] == 2
    assert found.hw["gpu_product"] == "NVIDIA A100-SXM4-40GB"
    assert found.hw["gpu_power_limit_w"] == [400.0, 300.0]
    assert {"cpu_model", "cpu_threads", "memory_gib"} <= set(found.hw)
    assert found.unit["gpu_uuids"] == [A100["nvmlDeviceGetUUID"]] * 2
    assert found.sw["driver"] == "570.86.15"
    assert {"python", "pytest", "numpy", "scipy", "os", "kernel"} <= set(found.sw)
    assert found.sw["pytest"] == pytest.__version__
    assert found.subject["dirty"] is False
    assert found.harness["--device"] == "cuda"
    assert found.state["before"] == {"load_1min": 0.5}
    assert len(found.state["after"]["gpus"]) == 2


@pytest.mark.usefixtures("two_gpus")
def test_the_environment_is_strict_json(repo: Path) -> None:
    found = to_json(collect(repo, {"scale": "embedded"}, machine_state()))
    text = json.dumps(found, allow_nan=False)
    assert json.loads(text) == found


def test_without_gpus_a_reason_stands_in_the_state(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = fake_pynvml({}, fault="Driver Not Loaded")
    monkeypatch.setitem(sys.modules, "pynvml", module)
    found = collect(repo, {}, machine_state())
    assert found.state["unavailable"] == {"gpu": "Driver Not Loaded"}
    assert not any(name.startswith("gpu") for name in found.hw)
    assert "gpus" not in found.state["after"]
    assert json.dumps(to_json(found), allow_nan=False)


def test_torch_is_asked_only_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert environment._torch_build() == {}
    assert "torch" not in sys.modules
    loaded = SimpleNamespace(
        version=SimpleNamespace(cuda="12.8", hip=None),
        backends=SimpleNamespace(cudnn=SimpleNamespace(version=lambda: 91002)),
        get_num_threads=lambda: 8,
    )
    monkeypatch.setitem(sys.modules, "torch", loaded)
    assert environment._torch_build() == {"cuda": "12.8", "cudnn": 91002, "torch_threads": 8}


def test_packages_that_are_not_installed_are_left_out() -> None:
    assert environment._versions(("pytest", "no-such-package")) == {"pytest": pytest.__version__}
