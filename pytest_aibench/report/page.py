"""The HTML report: one page that needs no network, made from values alone."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from pytest_aibench.report.page_data import History, bound_check, page_data, runs_of, verdict

if TYPE_CHECKING:
    from pytest_aibench.results.schema import CheckEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the report shows.

    Attributes:
        title: Its heading.
        made_at: ISO 8601, UTC.
        histories: One per series, in the order of their keys; each has a point.
        left_out: Files of the store that were left out, and why.
    """

    title: str
    made_at: str
    histories: Sequence[History]
    left_out: Mapping[str, str] = field(default_factory=dict)


def render(page: Page) -> str:
    """The page as HTML.

    Style and script are named by their hashes in the content security policy, so that the browser
    runs nothing else, whatever the names in the records contain.
    """
    style, script, template = (_asset(f"page.{kind}") for kind in ("css", "js", "html"))
    return Template(template).substitute(
        policy=_policy(style, script),
        title=escape(page.title),
        subtitle=escape(_subtitle(page)),
        rows="\n".join(_row(number, history) for number, history in enumerate(page.histories)),
        left_out=_left_out(page.left_out),
        data=_inert_json(page_data(page.histories)),
        style=style,
        script=script,
    )


def _asset(name: str) -> str:
    # Hashes hold for the text as browsers see it, with `\n` alone.
    return files(__package__).joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src '{_source(style)}'; script-src '{_source(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _inert_json(value: object) -> str:
    """JSON that cannot end the element it stands in, nor open a comment there."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _subtitle(page: Page) -> str:
    runs = runs_of(page.histories)
    if not runs:
        return "no records yet: run benchmarks, then make this page again"
    first, last = runs[0], runs[-1]
    return " · ".join(
        (
            f"{len(runs)} runs from {first.started_at[:10]} to {last.started_at[:10]}",
            f"last commit {last.commit[:10] or 'unknown'} {last.branch}".rstrip(),
            f"made {page.made_at[:16].replace('T', ' ')} UTC",
        )
    )


def _row(number: int, history: History) -> str:
    key, point, check = history.key, history.points[-1], bound_check(history)
    cells = (
        escape(key.benchmark),
        escape(key.hardware),
        escape(key.metric),
        f"{point.value:.4g}",
        _interval(point.low, point.high),
        escape(_bound(check)),
        escape(verdict(history)),
        f"{escape(point.started_at[:10])} {escape(point.commit[:10])}",
    )
    tags = ('<td class="number">' if place == 3 else "<td>" for place in range(len(cells)))
    content = "".join(f"{tag}{cell}</td>" for tag, cell in zip(tags, cells, strict=True))
    return f'<tr data-series="{number}">{content}</tr>'


def _interval(low: float | None, high: float | None) -> str:
    ends = ["?" if end is None else f"{end:.4g}" for end in (low, high)]
    return "" if low is None and high is None else f"[{', '.join(ends)}]"


def _bound(check: CheckEntry | None) -> str:
    return "" if check is None else check.bound


def _left_out(reasons: Mapping[str, str]) -> str:
    if not reasons:
        return ""
    items: Iterable[str] = (
        f"<li>{escape(name)}: {escape(reason)}</li>" for name, reason in reasons.items()
    )
    return f"<section><h2>Left out</h2><ul>{''.join(items)}</ul></section>"
