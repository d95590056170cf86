"""Intended changes: from which run on a figure is judged by its new level, and why.

Each is an immutable file beside the records, so that a store carries its history with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path

from pytest_aibench.results.identity import SeriesKey
from pytest_aibench.results.locations import Store
from pytest_aibench.results.schema import Run, from_json, to_json
from pytest_aibench.results.store import new_run_id

SCHEMA = "aibench.acceptance/1"
SUFFIX = ".accepted.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """One intended change.

    Attributes:
        benchmark: Pattern of benchmark ids, ``*`` for any text.
        metric: Pattern of metrics.
        since: Start of the first run at the new level, ISO 8601 in UTC.
        run_id: That run.
        commit: Its commit; empty where that is unknown.
        reason: Why the change is right, in the words of who accepted it.
        accepted_at: When, ISO 8601.
    """

    schema: str = SCHEMA
    benchmark: str
    metric: str
    since: str
    run_id: str
    commit: str
    reason: str
    accepted_at: str

    def covers(self, key: SeriesKey) -> bool:
        """Whether it is about the series."""
        return matches(key.benchmark, self.benchmark) and matches(key.metric, self.metric)


def accept(store: Store, run: Run, *, benchmark: str, metric: str, reason: str) -> str:
    """Accept the level of a run for all series that the patterns cover; the file's place.

    Raises:
        UserError: The store refuses.
    """
    now = datetime.now(timezone.utc)
    acceptance = Acceptance(
        benchmark=benchmark,
        metric=metric,
        since=run.started_at,
        run_id=run.run_id,
        commit=str(run.environment.subject.get("commit", "")),
        reason=reason,
        accepted_at=now.isoformat(timespec="seconds"),
    )
    name = f"runs/{now:%Y/%m/%d}/{now:%Y%m%dT%H%M%SZ}-{new_run_id()}{SUFFIX}"
    store.create(name, (json.dumps(to_json(acceptance)) + "\n").encode("ascii"))
    return store.where(name)


def read_acceptances(store: Store) -> tuple[list[Acceptance], dict[str, str]]:
    """The acceptances of a store, oldest first, and the files that are none, with the reason."""
    found: list[Acceptance] = []
    skipped: dict[str, str] = {}
    for file in store.files():
        if file.name.endswith(SUFFIX):
            try:
                found.append(_read(store.fetch(file.name)))
            except ValueError as error:
                skipped[file.name] = str(error)
    return found, skipped


def latest(acceptances: Iterable[Acceptance], key: SeriesKey) -> Acceptance | None:
    """The acceptance of the newest level of a series."""
    covering = (acceptance for acceptance in acceptances if acceptance.covers(key))
    return max(covering, key=lambda acceptance: _moment(acceptance.since), default=None)


def is_before(started_at: str, acceptance: Acceptance) -> bool:
    """Whether a run began before the accepted one."""
    return _moment(started_at) < _moment(acceptance.since)


def _read(path: Path) -> Acceptance:
    document = json.loads(path.read_bytes())
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        raise ValueError(f"it is no acceptance of the schema {SCHEMA}")
    acceptance: Acceptance = from_json(Acceptance, document, "acceptance")
    return acceptance


def matches(name: str, pattern: str) -> bool:
    """Whether a name is of a pattern, in which ``*`` and ``?`` stand for other text."""
    # Brackets belong to node ids.
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _moment(text: str) -> datetime:
    # Python 3.10 does not read the suffix Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
