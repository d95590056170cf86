"""The HTML report in a real browser: headless Chromium, driven by Selenium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_aibench.report.page import Page, render
from pytest_aibench.report.page_data import History
from tests.report_pages import HARDWARE, example_page, key, noisy_points, peak_history, point

if TYPE_CHECKING:
    from selenium.webdriver.remote.webdriver import WebDriver

pytest.importorskip("selenium", reason="the page is looked at with selenium")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None or shutil.which("chromedriver") is None,
        reason="the page is looked at in Chromium: install chromium and its chromedriver",
    ),
    # It outlives single tests, and closes its sockets when it is collected.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

QUIET = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
)
MANY_SERIES, MANY_RUNS = 500, 1000

Open = Callable[..., "WebDriver"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    for argument in (*QUIET, *root, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def look(browser: WebDriver, tmp_path: Path) -> Iterator[Open]:
    """Opens a page, and in the end checks that the browser had nothing to complain about."""
    browser.get("about:blank")
    complaints(browser)

    def open_page(
        page: Page, width: int = 1280, scheme: str = "light", at: str = "", scripts: bool = True
    ) -> WebDriver:
        file = tmp_path / "report.html"
        file.write_bytes(render(page).encode("utf-8", "xmlcharrefreplace"))
        emulate(browser, width, scheme, scripts)
        browser.get(file.as_uri() + at)
        return browser

    yield open_page
    assert complaints(browser) == []


def emulate(browser: WebDriver, width: int, scheme: str, scripts: bool) -> None:
    command: Any = browser.execute_cdp_cmd
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    command("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    command("Emulation.setEmulatedMedia", {"features": features})
    command("Emulation.setScriptExecutionDisabled", {"value": not scripts})


def script(browser: WebDriver, text: str, *arguments: object) -> Any:
    """What a script in the page returns."""
    return browser.execute_script(text, *arguments)


def complaints(browser: WebDriver) -> list[str]:
    """What the browser's console showed since the last call."""
    entries: Any = browser.get_log("browser")  # type: ignore[attr-defined]
    return [entry["message"] for entry in entries]


def seen(browser: WebDriver, selector: str) -> list[str]:
    """Texts of the elements that are shown."""
    found: list[str] = script(
        browser,
        "return [...document.querySelectorAll(arguments[0])]"
        ".filter((node) => node.checkVisibility()).map((node) => node.textContent)",
        selector,
    )
    return found


def settle(browser: WebDriver) -> None:
    """Wait for two frames, in which charts near the window are drawn."""
    browser.execute_async_script(
        "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(arguments[0], 20)))"
    )


def press(browser: WebDriver, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(browser).send_keys(*keys).perform()
    settle(browser)


def choose(browser: WebDriver, name: str, value: str) -> None:
    script(
        browser,
        "const [name, value] = arguments; const field = document.getElementById(name);"
        "field.value = value; field.dispatchEvent(new Event('input', { bubbles: true }));",
        name,
        value,
    )
    settle(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_every_section_shows_and_fits(look: Open, width: int, scheme: str) -> None:
    browser = look(example_page(), width, scheme)
    settle(browser)
    titles = ["History", "Latency in the last run", "Latency by load", "Quality against speed"]
    assert seen(browser, "h2") == [*titles, "Environment", "Latest figures"]
    assert script(browser, "return document.documentElement.scrollWidth") == width
    script(browser, "document.getElementById('peaks').scrollIntoView()")
    settle(browser)
    settle(browser)
    for section in ("peaks", "tradeoff"):
        assert seen(browser, f"#{section} svg")


def test_nothing_is_requested(look: Open) -> None:
    browser = look(example_page(2, 5))
    settle(browser)
    entries = script(browser, "return performance.getEntriesByType('resource')")
    assert entries == []


def test_hostile_names_are_shown_as_they_are(look: Open) -> None:
    names = [
        "</script><script>alarm=1</script>",
        "<img src=x onerror=alarm=1>",
        "\"'><svg onload=alarm=1>",
    ]
    histories = [
        History(key=key(name, name, name), points=[point(0, 1.0, commit=name, invalid=name)])
        for name in sorted(names)
    ]
    page = Page(title=names[0], made_at="2026-11-22T19:00:00", histories=histories)
    browser = look(page, at="#open=0")
    settle(browser)
    assert script(browser, "return typeof alarm") == "undefined"
    assert seen(browser, "h1") == names[:1]
    assert sorted(seen(browser, "#history h3")) == sorted(names)


def test_filters_by_name_hardware_and_verdict(look: Open) -> None:
    browser = look(example_page(6, 20))
    assert seen(browser, "#shown") == ["14 of 26 series"]
    choose(browser, "name", "P99 single")
    assert seen(browser, "#history h3") == [
        "inference object_detection-single_stream-4",
        "inference image_classification-single_stream-0",
    ]
    choose(browser, "hardware", HARDWARE[1])
    assert seen(browser, "#shown") == ["0 of 26 series"]
    assert seen(browser, "#history") == []
    choose(browser, "name", "")
    script(browser, "document.querySelector('#verdicts [value=invalid]').click()")
    assert seen(browser, "#history .mark") == ["! invalid"] * 2
    assert seen(browser, "#verdicts [aria-pressed=true]") == ["! invalid2"]
    assert browser.current_url.endswith(f"#hardware={HARDWARE[1]}&verdict=invalid")


def test_a_linked_view_is_the_same_view(look: Open) -> None:
    browser = look(example_page(6, 20), at="#name=top1&verdict=passed&all=1")
    assert seen(browser, "#shown") == ["5 of 26 series"]


def test_the_keyboard_reaches_everything(look: Open) -> None:
    from selenium.webdriver.common.keys import Keys

    browser = look(example_page(2, 100))
    press(browser, "/")
    assert browser.switch_to.active_element.get_attribute("id") == "name"
    press(browser, "p99")
    script(browser, "document.querySelector('#history a').focus()")
    press(browser, Keys.ENTER)
    assert seen(browser, "dialog[open] #detail-title") == seen(browser, "#history h3")[:1]
    assert browser.switch_to.active_element.text.startswith("p99")
    script(browser, "document.querySelector('dialog [role=slider]').focus()")
    assert seen(browser, ".readout")[0].startswith("100 of 100: ")
    press(browser, Keys.HOME, *[Keys.ARROW_RIGHT] * 40)
    (readout,) = seen(browser, ".readout")
    assert readout.startswith("41 of 100: ")
    assert "torch 2.12.1 → 2.13.0" in readout
    slider = browser.switch_to.active_element
    assert slider.get_attribute("aria-valuetext") == readout
    press(browser, Keys.ESCAPE)
    assert seen(browser, "dialog") == []
    assert browser.current_url.endswith("#name=p99")


def test_details_name_the_change_and_what_changed_with_it(look: Open) -> None:
    page = example_page(12, 100)
    place, history = next((i, h) for i, h in enumerate(page.histories) if h.changes)
    browser = look(page, 400, at=f"#open={place}")
    settle(browser)
    (change,) = history.changes
    ratio = change.after / change.before - 1
    (text,) = seen(browser, "dialog td .worse, dialog td .better")
    assert f"{100 * abs(ratio):.3g} % {'worse' if ratio > 0 else 'better'}" in text
    assert "unit.hostname node-1 → node-0" in seen(browser, "dialog td")
    assert len(seen(browser, "dialog svg .change")) == 1
    assert [words[:5] for words in seen(browser, "dialog svg g text.factor-sign")] == ["torch"]


def test_without_scripts_the_table_is_there(look: Open) -> None:
    page = example_page(2, 5)
    browser = look(page, scripts=False)
    assert seen(browser, "h2") == ["Latest figures"]
    rows = seen(browser, "#figures tbody tr")
    assert len(rows) == len(page.histories)
    assert "p99_ms" in rows[1]


def test_many_series_and_runs(look: Open, record_property: Callable[[str, object], None]) -> None:
    points = noisy_points(MANY_RUNS)
    histories = [
        History(key=key(f"t.py::test[{n:03}]", "p99_ms"), points=points) for n in range(499)
    ]
    histories.append(peak_history(1, "t.py::test_peak", HARDWARE[1], 10))
    page = Page(title="Many", made_at="2026-11-22T19:00:00", histories=histories)
    assert len(render(page)) < 10e6
    browser = look(page)
    settle(browser)
    load_ms = script(browser, "return performance.getEntriesByType('navigation')[0].loadEventEnd")
    record_property("load_ms", load_ms)
    assert seen(browser, "#shown") == [f"{MANY_SERIES} series"]
    assert 3 <= len(seen(browser, "#history .plot svg")) <= 40
    choose(browser, "name", "[417]")
    assert seen(browser, "#history h3") == ["test 417"]
