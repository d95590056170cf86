"""Which commits a change builds on: their runs may be its baseline.

Asks git, so only where a comparison is wanted.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pytest_aibench.errors import UserError
from pytest_aibench.results import git

MOST_COMMITS = 5000
"""Of a longer history only the newest count: no baseline reaches further back."""

_DEEPEN = "fetch the whole history (actions/checkout: fetch-depth: 0)"
_HASH = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestry:
    """The commits that the change under test builds on.

    Attributes:
        ref: The branch, tag or commit compared with; empty where there is no git.
        base: The newest commit that the change shares with it; empty where there is none.
        commits: The base and what came before it.
        note: What is unknown, and how to mend it.
    """

    ref: str = ""
    base: str = ""
    commits: frozenset[str] = frozenset()
    note: str = ""

    def holds(self, commit: str) -> bool:
        """Whether a run on the commit may be a baseline; without git every one may."""
        return not self.ref or commit in self.commits

    def __str__(self) -> str:
        """``main at 1a2b3c4``."""
        return f"{self.ref} at {self.base[:7]}" if self.ref else "all earlier runs"


def find_ancestry(
    rootdir: Path, ref: str = "", environ: Mapping[str, str] = os.environ
) -> Ancestry:
    """The commits up to the merge base of HEAD and a ref.

    Args:
        rootdir: A folder of the project under test.
        ref: A branch, tag or commit; by default the branch that the project merges to.
        environ: Where CI names that branch.

    Raises:
        UserError: git knows no such ref.
    """
    if git.find_repository(rootdir) is None:
        return _without_git(ref, "there is no git repository")
    if not _commit_of(rootdir, "HEAD"):
        return _without_git(ref, "git gives no commit")
    known = ref or _default_branch(rootdir, environ)
    if not _commit_of(rootdir, known):
        raise UserError(
            f"git knows no branch, tag or commit {known!r}: fetch it, or name another one"
        )
    return _ancestry(rootdir, known)


def _without_git(ref: str, why: str) -> Ancestry:
    if ref:
        raise UserError(f"cannot compare with {ref!r}, since {why}: leave the ref out")
    return Ancestry(note=f"{why}, so that all earlier runs count")


def _ancestry(rootdir: Path, ref: str) -> Ancestry:
    base = _answer(rootdir, "merge-base", "HEAD", _commit_of(rootdir, ref))
    shallow = _answer(rootdir, "rev-parse", "--is-shallow-repository") == "true"
    if not base:
        mend = f"the clone is shallow: {_DEEPEN}" if shallow else "name a branch it comes from"
        return Ancestry(ref=ref, note=f"HEAD and {ref} share no known commit: {mend}")
    listed = _answer(rootdir, "rev-list", f"--max-count={MOST_COMMITS}", base).split()
    note = f"the clone is shallow, and knows {len(listed)} commits of {ref}: {_DEEPEN}"
    return Ancestry(ref=ref, base=base, commits=frozenset(listed), note=note if shallow else "")


def _default_branch(rootdir: Path, environ: Mapping[str, str]) -> str:
    """The first known of: a pull request's target, the remote's default, the usual names."""
    return next(filter(lambda name: _commit_of(rootdir, name), _candidates(rootdir, environ)))


def _candidates(rootdir: Path, environ: Mapping[str, str]) -> Iterator[str]:
    for name in ("GITHUB_BASE_REF", "CI_MERGE_REQUEST_TARGET_BRANCH_NAME"):
        if target := environ.get(name):
            yield from (f"origin/{target}", target)
    remote = _answer(rootdir, "rev-parse", "--abbrev-ref", "origin/HEAD")
    if remote and remote != "origin/HEAD":
        yield remote
    yield from ("main", "master", "HEAD")


def _commit_of(rootdir: Path, ref: str) -> str:
    commit = _answer(rootdir, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    return commit if _HASH.fullmatch(commit) else ""


def _answer(rootdir: Path, *arguments: str) -> str:
    """What git answers, or nothing where it refuses: it has no such thing then."""
    try:
        return git.ask(rootdir, *arguments).strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
