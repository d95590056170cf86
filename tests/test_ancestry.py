"""Which commits may give a baseline, in real repositories."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_aibench.errors import UserError
from pytest_aibench.regression.ancestry import find_ancestry

Git = Callable[..., str]
NO_CI: dict[str, str] = {}


def git_in(folder: Path) -> Git:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=someone", "-c", "user.email=someone@example.org")
        command = ["git", *identity, "-c", "protocol.file.allow=always", *arguments]
        return subprocess.run(
            command, cwd=folder, check=True, capture_output=True, text=True
        ).stdout.strip()

    return git


def commit(git: Git, message: str) -> str:
    git("commit", "--quiet", "--allow-empty", "--message", message)
    return git("rev-parse", "HEAD")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    git_in(folder)("init", "--quiet", "--initial-branch=main")
    return folder


@pytest.fixture
def git(project: Path) -> Git:
    return git_in(project)


def test_a_branch_builds_on_what_it_shares_with_main(project: Path, git: Git) -> None:
    shared = [commit(git, "one"), commit(git, "two")]
    git("checkout", "--quiet", "-b", "change")
    own = commit(git, "three")
    git("checkout", "--quiet", "main")
    later = commit(git, "four")
    git("checkout", "--quiet", "change")

    ancestry = find_ancestry(project, environ=NO_CI)

    assert ancestry.base == shared[1]
    assert ancestry.commits == set(shared)
    assert str(ancestry) == f"main at {shared[1][:7]}"
    assert [ancestry.holds(name) for name in (shared[0], own, later)] == [True, False, False]


def test_on_main_itself_all_its_commits_count(project: Path, git: Git) -> None:
    commits = {commit(git, "one"), commit(git, "two")}
    assert find_ancestry(project, environ=NO_CI).commits == commits


def test_a_rebased_branch_builds_on_its_new_base(project: Path, git: Git) -> None:
    commit(git, "one")
    git("checkout", "--quiet", "-b", "change")
    commit(git, "mine")
    git("checkout", "--quiet", "main")
    newer = commit(git, "two")
    git("checkout", "--quiet", "change")
    git("rebase", "--quiet", "main")
    assert find_ancestry(project, environ=NO_CI).base == newer


def test_a_tag_names_the_runs_up_to_a_release(project: Path, git: Git) -> None:
    released = commit(git, "one")
    git("tag", "v1")
    commit(git, "two")
    ancestry = find_ancestry(project, "v1", NO_CI)
    assert (str(ancestry), ancestry.commits) == (f"v1 at {released[:7]}", frozenset({released}))


def test_a_pull_request_is_compared_with_its_target(project: Path, git: Git) -> None:
    released = commit(git, "one")
    git("branch", "release")
    commit(git, "two")
    assert find_ancestry(project, environ={"GITHUB_BASE_REF": "release"}).base == released


def test_the_remote_says_which_branch_is_the_default(
    project: Path, git: Git, tmp_path: Path
) -> None:
    first = commit(git, "one")
    git("branch", "--move", "main", "trunk")
    git_in(tmp_path)("clone", "--quiet", str(project), "clone")
    clone = tmp_path / "clone"
    commit(git_in(clone), "two")
    ancestry = find_ancestry(clone, environ=NO_CI)
    assert (ancestry.ref, ancestry.base) == ("origin/trunk", first)


def test_a_shallow_clone_says_so(project: Path, git: Git, tmp_path: Path) -> None:
    commit(git, "one")
    last = commit(git, "two")
    git_in(tmp_path)("clone", "--quiet", "--depth=1", f"file://{project}", "clone")
    ancestry = find_ancestry(tmp_path / "clone", environ=NO_CI)
    assert ancestry.commits == {last}
    assert ancestry.note == (
        "the clone is shallow, and knows 1 commits of origin/main: "
        "fetch the whole history (actions/checkout: fetch-depth: 0)"
    )


def test_a_shallow_clone_of_a_branch_shares_nothing_known(
    project: Path, git: Git, tmp_path: Path
) -> None:
    commit(git, "one")
    git("checkout", "--quiet", "-b", "change")
    commit(git, "two")
    options = ("--depth=1", "--no-single-branch", "--branch=change")
    git_in(tmp_path)("clone", "--quiet", *options, f"file://{project}", "clone")
    ancestry = find_ancestry(tmp_path / "clone", "origin/main", NO_CI)
    assert (ancestry.base, ancestry.commits) == ("", frozenset())
    assert ancestry.note == (
        "HEAD and origin/main share no known commit: the clone is shallow: "
        "fetch the whole history (actions/checkout: fetch-depth: 0)"
    )


def test_unrelated_histories_share_nothing(project: Path, git: Git) -> None:
    commit(git, "one")
    git("checkout", "--quiet", "--orphan", "other")
    commit(git, "two")
    note = find_ancestry(project, "main", NO_CI).note
    assert note == "HEAD and main share no known commit: name a branch it comes from"


def test_an_unknown_ref_is_a_mistake(project: Path, git: Git) -> None:
    commit(git, "one")
    with pytest.raises(UserError) as caught:
        find_ancestry(project, "--nonsense", NO_CI)
    assert str(caught.value) == (
        "git knows no branch, tag or commit '--nonsense': fetch it, or name another one"
    )


@pytest.mark.parametrize(
    ("prepared", "why"),
    [("nothing", "there is no git repository"), ("empty", "git gives no commit")],
)
def test_without_commits_all_earlier_runs_count(tmp_path: Path, prepared: str, why: str) -> None:
    if prepared == "empty":
        git_in(tmp_path)("init", "--quiet")
    ancestry = find_ancestry(tmp_path, environ=NO_CI)
    assert ancestry.holds("any")
    assert (str(ancestry), ancestry.note) == (
        "all earlier runs",
        f"{why}, so that all earlier runs count",
    )
    with pytest.raises(UserError) as caught:
        find_ancestry(tmp_path, "main", NO_CI)
    assert str(caught.value) == f"cannot compare with 'main', since {why}: leave the ref out"
