"""The commit under test, read from the repository's files, and whether the tree is dirty.

Layout of the files: gitrepository-layout(5).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = "ref: "
_BRANCH = "refs/heads/"
_MAX_LINKS = 5
_ANSWER_S = 5.0
_CI_COMMIT = ("GITHUB_SHA", "CI_COMMIT_SHA")
# A pull request runs on a merge that has no branch; its source branch says more.
_CI_BRANCH = ("GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME")


@dataclass(frozen=True, slots=True)
class Repository:
    """The folders of a repository.

    Attributes:
        private: What belongs to this checkout: HEAD. Another folder than ``.git`` in worktrees
            and submodules.
        common: What all its worktrees share: branches, objects.
    """

    private: Path
    common: Path

    def facts(self) -> dict[str, Any]:
        """``commit``, ``branch``, ``shallow``, ``parents``, as far as files tell them."""
        facts: dict[str, Any] = {"shallow": (self.common / "shallow").exists()}
        if (self.common / "reftable").is_dir():
            # HEAD is a dummy file then, and the branches are in a binary format.
            return facts
        head = _read(self.private / "HEAD")
        if head.startswith(_REF + _BRANCH):
            facts["branch"] = head.removeprefix(_REF + _BRANCH)
        commit = self._resolve(head)
        if commit:
            facts |= {"commit": commit, **self._parents(commit)}
        return facts

    def _resolve(self, value: str) -> str | None:
        for _ in range(_MAX_LINKS):
            if not value.startswith(_REF):
                return value if _HASH.fullmatch(value) else None
            ref = value.removeprefix(_REF)
            value = _read(self.private / ref) or _read(self.common / ref) or self._packed(ref)
        return None

    def _packed(self, ref: str) -> str:
        lines = _read(self.common / "packed-refs").splitlines()
        return next((line.split()[0] for line in lines if line.endswith(f" {ref}")), "")

    def _parents(self, commit: str) -> dict[str, list[str]]:
        """The commit's parents where its object is not packed, as it is where it was made."""
        try:
            packed = (self.common / "objects" / commit[:2] / commit[2:]).read_bytes()
        except OSError:
            return {}
        headers, _, _ = zlib.decompress(packed).partition(b"\n\n")
        lines = headers.decode(errors="replace").splitlines()
        return {"parents": [line.split()[1] for line in lines if line.startswith("parent ")]}


def find_repository(rootdir: Path) -> Repository | None:
    """The repository that the folder is in."""
    for folder in (rootdir, *rootdir.parents):
        private = _private_folder(folder / ".git")
        if private is not None:
            common = _read(private / "commondir")
            return Repository(private, private / common)
    return None


def _private_folder(dot_git: Path) -> Path | None:
    if dot_git.is_dir():
        return dot_git
    kind, _, folder = _read(dot_git).partition("gitdir: ")
    return dot_git.parent / folder if folder and not kind else None


def ci_facts(environ: Mapping[str, str]) -> dict[str, str]:
    """``commit`` and ``branch`` as GitHub or GitLab name them to a job."""
    candidates = {"commit": _CI_COMMIT, "branch": _CI_BRANCH}
    found = {
        fact: _first(environ.get(name) for name in names) for fact, names in candidates.items()
    }
    return {fact: value for fact, value in found.items() if value}


def status(rootdir: Path) -> dict[str, Any]:
    """``dirty``, with ``commit`` and ``branch`` beside it, as git itself sees them.

    Starts a process: only for when no benchmark runs any more. Untracked files do not count:
    benchmarks write some.

    Raises:
        OSError: git is missing or refuses.
        subprocess.TimeoutExpired: git takes longer than 5 s.
    """
    return parse_status(
        ask(rootdir, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    )


def ask(rootdir: Path, *arguments: str) -> str:
    """What git answers in the folder, without touching its locks or starting its helpers.

    Raises:
        OSError: git is missing or refuses; the message is the first line it printed.
        subprocess.TimeoutExpired: git takes longer than 5 s.
    """
    import subprocess

    # A repository may name a program to watch its files; a benchmark must not start it.
    quiet = ("--no-optional-locks", "-c", "core.fsmonitor=false")
    done = subprocess.run(
        ["git", *quiet, *arguments],
        cwd=rootdir,
        env=_environ_without_git(os.environ),
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_ANSWER_S,
        check=False,
    )
    if done.returncode:
        raise OSError(done.stderr.strip().split("\n")[0])
    return done.stdout


def parse_status(text: str) -> dict[str, Any]:
    """Read the output of ``git status --porcelain=v2 --branch``."""
    lines = text.splitlines()
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    commit, branch = headers.get("branch.oid", ""), headers.get("branch.head", "")
    facts: dict[str, Any] = {"dirty": any(not line.startswith("#") for line in lines)}
    # Words in brackets, "(initial)" and "(detached)", stand for "none".
    facts |= {"commit": commit} if _HASH.fullmatch(commit) else {}
    return facts | ({"branch": branch} if branch and branch != "(detached)" else {})


def _environ_without_git(environ: Mapping[str, str]) -> dict[str, str]:
    """Without the variables by which a git hook, running pytest, names its own repository."""
    return {name: value for name, value in environ.items() if not name.startswith("GIT_")}


def _first(values: Iterable[str | None]) -> str | None:
    return next(filter(None, values), None)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
