"""The HTML report as text: safe against hostile names, complete without a browser, compact."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from array import array
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from pytest_aibench.report.page import Page, render
from pytest_aibench.report.page_data import History, page_data, verdict
from tests.records import benchmark
from tests.report_pages import (
    HARDWARE,
    changed,
    check,
    dataset,
    example_page,
    key,
    load_histories,
    metric,
    peak_history,
    point,
)

HOSTILE = (
    "t.py::test[</script><script>alarm=1</script>]",
    "t.py::test[<!--<script>]",
    "t.py::test[\"'><img src=x onerror=alarm=1>]",
    "t.py::test[$title ${data} \u2028 \ud800]",
)


class Elements(HTMLParser):
    """What a browser makes of a page: its tags, and the text by tag."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note a text under the element before it."""
        self.texts.append((self.tags[-1][0] if self.tags else "", data))

    def text(self, tag: str) -> list[str]:
        """Texts that follow the start of such elements."""
        return [text.strip() for name, text in self.texts if name == tag and text.strip()]


def page_of(*histories: History, title: str = "Benchmarks") -> Page:
    return Page(title=title, made_at="2026-11-22T19:00:00+00:00", histories=histories)


def short_history(name: str = "t.py::test[a]", figure: str = "p99_ms", **facts: Any) -> History:
    return History(key=key(name, figure), points=[point(0, 12.5), point(1, 13.25)], **facts)


def embedded(page: Page) -> Any:
    """The data in the page as its script reads them."""
    scripts = re.findall(r'<script type="application/json" id="data">(.*?)</script>', render(page))
    assert len(scripts) == 1
    return json.loads(scripts[0])


def column(kind: str, text: str) -> list[float]:
    return list(array(kind, base64.b64decode(text)))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    entry = replace(benchmark(name), checks=[check("p99", "s", name, 1.0, name, 0.5)])
    page = replace(page_of(short_history(name, entry=entry), title=name), left_out={name: name})
    harmless = replace(page_of(short_history(), title="x"), left_out={"a": "b"})
    tags = [tag for tag, _ in Elements(render(page)).tags]
    assert tags == [tag for tag, _ in Elements(render(harmless)).tags]
    assert embedded(page)["benchmarks"][0]["name"] == name
    assert [text for text in Elements(render(page)).text("td") if name in text] == [name] * 3


def test_the_policy_allows_this_style_and_this_script_alone() -> None:
    page = render(example_page(1, 3))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    style, script = (
        re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL) for tag in ("style", "script")
    )
    sources = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (*style, *script)
    ]
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{sources[0]}'; script-src 'sha256-{sources[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_nothing_is_fetched() -> None:
    elements = Elements(render(example_page(2, 3)))
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in elements.tags}
    assert not [attributes for _, attributes in elements.tags if "src" in attributes]


def test_without_script_the_latest_figures_are_a_table() -> None:
    history = load_histories(1, "t.py::test_load[a]", HARDWARE[0], "failed", 4)[1]
    last = history.points[-1]
    cells = Elements(render(page_of(history))).text("td")
    limit = history.entry and history.entry.checks[0].bound
    assert cells == [
        "t.py::test_load[a]",
        HARDWARE[0],
        "p99_ms",
        f"{last.value:.4g}",
        f"[{last.low:.4g}, {last.high:.4g}]",
        limit,
        "failed",
        f"2026-01-06 {last.commit[:10]}",
    ]


def test_open_intervals_and_unjudged_figures_leave_their_cells_open() -> None:
    points = [point(0, 5.0, low=None, high=6.0), point(1, 5.0, low=None, high=None)]
    half = History(key=key("a", "x"), points=points[:1])
    none = History(key=key("a", "y"), points=points)
    cells = Elements(render(page_of(half, none))).text("td")
    assert "[?, 6]" in cells
    assert cells.count("5") == 2
    assert len(cells) == 11


def test_the_subtitle_says_which_runs_are_shown() -> None:
    (subtitle,) = [
        text for text in Elements(render(page_of(short_history()))).text("p") if "made" in text
    ]
    assert subtitle == (
        "2 runs from 2026-01-05 to 2026-01-05 · last commit 0000000000 main"
        " · made 2026-11-22 19:00 UTC"
    )


def test_a_page_without_records_says_so() -> None:
    assert "no records yet: run benchmarks, then make this page again" in render(page_of())


def test_files_left_out_are_named_with_the_reason() -> None:
    page = replace(page_of(short_history()), left_out={"a.json": "truncated"})
    assert "a.json: truncated" in Elements(render(page)).text("li")
    assert "Left out" not in render(page_of(short_history()))


def test_columns_hold_every_figure() -> None:
    points = [point(0, 1.5), point(1, 2.5, low=None, high=1e300), point(2, 3.5, invalid="shared")]
    history = History(key=key("a", "p99_ms"), points=points, changes=[changed(points, 1)])
    (series,) = embedded(page_of(history))["series"]
    assert column("f", series["values"]) == [1.5, 2.5, 3.5]
    low, high = column("f", series["low"]), column("f", series["high"])
    assert low[0] == pytest.approx(1.47)
    assert math.isnan(low[1])
    assert math.isnan(high[1])
    assert series["invalid"] == {"2": "shared"}
    assert series["changes"] == [
        {
            "index": 1,
            "before": 1.5,
            "after": 3.0,
            "ratio": 2.0,
            "interval": [1.98, 2.02],
            "worse": True,
            "confirmed": True,
        }
    ]
    assert (series["n"], series["latest"]) == (3, [3.5, 3.5 * 0.98, 3.5 * 1.02])


def test_figures_without_intervals_take_no_room_for_them() -> None:
    history = History(key=key("a", "x"), points=[point(0, 1.0, low=None, high=None)])
    (series,) = page_data([history])["series"]
    assert (series["low"], series["high"]) == (None, None)


def test_runs_and_environments_are_written_once() -> None:
    data = page_data(load_histories(3, "t.py::test", HARDWARE[0], "passed", 100))
    assert data["lists"] == [data["lists"][0]]
    assert column("I", data["lists"][0]) == list(range(100))
    assert len(data["runs"]["id"]) == 100
    # Two hosts by turns, an upgrade of torch, one of the driver.
    assert len(data["environments"]) == 6
    assert not [name for name in data["environments"][0] if name.startswith("subject.")]


def test_runs_stand_in_the_order_of_time_whatever_their_offset() -> None:
    late = point(0, 1.0, started_at="2026-01-01T10:00:00-05:00")
    early = point(1, 1.0, started_at="2026-01-01T14:00:00Z")
    data = page_data([History(key=key("a", "x"), points=[early, late])])
    assert data["runs"]["id"] == ["RUN00001", "RUN00000"]


@pytest.mark.parametrize(
    ("figure", "name", "unit", "limit"),
    [
        ("p99_ms", "p99", "s", 20.0),
        ("time_to_quality_s", "time_to_quality", "s", 0.02),
        ("throughput_samples_per_s", "throughput", "samples/s", 0.02),
        ("top1", "top1", "", 0.02),
        ("goodput_qps", "goodput", "", None),
        ("p50_ms", "p99", "s", None),
    ],
)
def test_a_bound_is_in_the_unit_of_its_figure(
    figure: str, name: str, unit: str, limit: float | None
) -> None:
    entry = replace(benchmark("a"), checks=[check(name, unit, "≤ it", 0.02, "passed", 0.01)])
    (series,) = page_data([short_history(figure=figure, entry=entry)])["series"]
    assert series["bound"] == (None if limit is None else {"limit": limit, "text": "≤ it"})


@pytest.mark.parametrize(
    ("entry", "expected"),
    [(None, ""), (benchmark("a", "failed"), ""), (benchmark("a", "invalid"), "invalid")],
)
def test_a_figure_without_bound_has_the_verdict_of_a_broken_run_alone(
    entry: Any, expected: str
) -> None:
    assert verdict(short_history(entry=entry)) == expected


def test_the_latest_entry_stands_for_the_benchmark() -> None:
    old, new = (replace(benchmark("a"), precision=precision) for precision in ("fp32", "bf16"))
    histories = [
        History(key=key("a", "p50_ms"), points=[point(1, 1.0)], entry=new),
        History(key=key("a", "p99_ms"), points=[point(0, 1.0)], entry=old),
    ]
    (found,) = page_data(histories)["benchmarks"]
    assert found["precision"] == "bf16"


def test_histogram_and_quality_against_speed() -> None:
    histories = load_histories(2, "t.py::test", HARDWARE[0], "passed", 5)
    (found,) = page_data(histories)["benchmarks"]
    assert found["histogram"]["n"] == sum(found["histogram"]["counts"]) == 2030
    tradeoff = found["tradeoff"]
    assert (tradeoff["quality"], tradeoff["speed"]) == ("top1", "throughput_samples_per_s")
    assert [len(figure) for figure in tradeoff["at"]] == [3, 3]


def test_the_curve_of_a_peak() -> None:
    (found,) = page_data([peak_history(1, "t.py::test_peak", HARDWARE[0], 5)])["benchmarks"]
    peak = found["peak"]
    assert (peak["unit"], peak["bound_ms"], len(peak["curve"])) == ("queries/s", 100.0, 8)
    assert all(passed == (latency_ms < 100) for _, latency_ms, passed, _ in peak["curve"])
    assert [replication for *_, replication in peak["curve"]] == [False] * 5 + [True] * 3


def test_a_quality_that_was_not_measured_stands_beside_no_speed() -> None:
    entry = replace(
        benchmark("a"),
        dataset=dataset("digits"),
        checks=[check("top1", "", "≥ 0.9", 0.9, "failed", 0.0)],
        metrics={"top1": replace(metric(0.0), value=None), "tokens_per_s": metric(5.0)},
    )
    (found,) = page_data([short_history(entry=entry)])["benchmarks"]
    assert found["tradeoff"] is None
