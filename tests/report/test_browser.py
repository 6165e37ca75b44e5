"""The report in a real browser: it says nothing, asks for nothing, fits its window, and is pictured to be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from redwhale.core.console import Console
from redwhale.report import report
from tests.report import chromium
from tests.report.chromium import Browser
from tests.report.test_report import SECTIONS, recipe_of

pytestmark = pytest.mark.browser
QUIET = Console(quiet=True, json_output=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = chromium.find()
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(chromium.NAMES)} is installed, and CHROMIUM names none")
    with chromium.opened(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "보고서.html"
    report.write(recipe_of(finished), path, console=QUIET)
    return path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_silent(browser: Browser, page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    browser.show(page, width=width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    ids = browser.evaluate("[...document.querySelectorAll('main > section')].map(one => one.id).join()")
    assert ids.split(",") == SECTIONS
    heights = browser.evaluate("[...document.querySelectorAll('main > section')].map(one => one.offsetHeight).join()")
    assert min(map(int, heights.split(","))) > 40
    picture = browser.picture()
    (tmp_path / f"{width}-{'dark' if dark else 'light'}.png").write_bytes(picture)
    assert picture.startswith(b"\x89PNG") and len(picture) > 50_000
    said = [one for one in browser.events if one["method"] in (
        "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"
    )]  # fmt: skip
    assert not said, said
    asked = [one["params"]["request"]["url"] for one in browser.events if one["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]


def test_wide_tables_scroll_in_their_own_box(browser: Browser, page: Path) -> None:
    browser.show(page, width=390, dark=False)
    boxes = browser.evaluate(
        "[...document.querySelectorAll('.table')].map(box => [box.clientWidth, box.scrollWidth].join(' ')).join()"
    )
    widths = [tuple(map(int, box.split())) for box in boxes.split(",")]
    assert all(shown <= 390 for shown, _ in widths) and any(shown < whole for shown, whole in widths)


def test_the_window_decides_which_plot_is_shown(browser: Browser, page: Path) -> None:
    for width, shown in ((1280, "wide"), (390, "narrow")):
        browser.show(page, width=width, dark=False)
        sizes = browser.evaluate(
            "['wide', 'narrow'].filter(name => document.querySelector(`.both .${name}`).offsetHeight > 0).join()"
        )
        assert sizes == shown


def test_dark_and_light_differ_in_ground_and_ink(browser: Browser, page: Path) -> None:
    found = []
    for dark in (False, True):
        browser.show(page, width=1280, dark=dark)
        ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        ink = browser.evaluate("getComputedStyle(document.querySelector('.plot svg text')).fill")
        found.append((ground, ink))
    assert found[0][0] == "rgb(255, 255, 255)" and found[0][0] != found[1][0] and found[0][1] != found[1][1]


def test_it_prints(browser: Browser, page: Path) -> None:
    browser.show(page, width=1280, dark=True)
    printed = browser.pdf()
    assert printed.startswith(b"%PDF") and len(printed) > 50_000
