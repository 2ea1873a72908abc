"""The report in headless Chromium: it renders, filters and sorts, complains of nothing, loads nothing, and axe finds nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2_cli.report import page
from imdsv2_cli.report.numbers import count
from tests.cli.browser import Browser, axe, chromium, ids
from tests.cli.test_report import HOSTILE, days
from tests.world.rows import required, row, swept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
PROGRAM = chromium()

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium: apt-get install chromium")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser with an empty profile."""
    assert PROGRAM is not None
    with Browser(PROGRAM, tmp_path / "profile") as made:
        yield made


def opened(browser: Browser, folder: Path, *rows: dict[str, str], **fields: Any) -> None:
    """Open the page of a fleet."""
    file = folder / "report.html"
    file.write_text(page.render(count(rows, AT), swept(rows, nights=days(*range(60, 30, -1)), **fields)))
    browser.open(file)


def fleet(number: int = 250) -> list[dict[str, str]]:
    """Instances of two owners and reasons, some hostile by name."""
    several = [
        row(
            each,
            owner="red" if each % 5 == 0 else "blue",
            reason="v1_in_use" if each % 2 else "no_evidence",
            calls=each,
            name=HOSTILE if each == 7 else f"web-{each}",
        )
        for each in range(1, number + 1)
    ]
    exempt = row(9001, reason="exempt", decision="skip", ends_on="2026-12-05")
    broken = required(9002, status="enforced", broken_at="2026-11-28T03:00:00Z", left_because="policy")
    return [*several, exempt, broken]


SHOWN = "[...document.querySelectorAll('#instances tbody tr')].map(line => line.cells[2].textContent)"
STATUS = "document.getElementById('shown').textContent"


def choose(browser: Browser, name: str, value: str) -> None:
    """Set a field of the filters, as a person does."""
    browser.run(
        f"(() => {{ const field = document.getElementById('filters').elements['{name}']; field.value = {value!r};"
        " field.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def test_the_page_filters_sorts_and_turns_pages(browser: Browser, tmp_path: Path) -> None:
    """Nothing is loaded, and the console stays empty."""
    opened(browser, tmp_path, *fleet())
    assert "1 to 100 of 251 (251 in all)" == browser.run(STATUS)
    browser.run("document.getElementById('on').click()")
    assert browser.run(STATUS).startswith("101 to 200")
    choose(browser, "owner", "red")
    assert "1 to 50 of 50 (251 in all)" == browser.run(STATUS)
    choose(browser, "reason", "v1_in_use")
    assert "1 to 25 of 25 (251 in all)" == browser.run(STATUS)
    browser.run("document.querySelectorAll('#instances th button')[8].click()")
    browser.run("document.querySelectorAll('#instances th button')[8].click()")
    assert "descending" == browser.run("document.querySelectorAll('#instances th')[8].getAttribute('aria-sort')")
    assert f"i-{245:017x}" == browser.run(SHOWN)[0]
    choose(browser, "search", "WEB-245")
    assert [f"i-{245:017x}"] == browser.run(SHOWN)
    browser.run("document.querySelector('#filters button[type=reset]').click()")
    assert browser.run(f"new Promise(done => setTimeout(() => done({STATUS}), 50))").startswith("1 to 100 of 251")
    assert [] == browser.complaints
    assert {"file"} == {url.partition(":")[0] for url in browser.loaded} - {"data"}


def test_hostile_names_stay_text(browser: Browser, tmp_path: Path) -> None:
    """In the static rows and in those that the script draws."""
    opened(browser, tmp_path, *fleet(), unreachable={"444444444444": HOSTILE})
    choose(browser, "search", "onerror")
    assert [f"i-{7:017x}"] == browser.run(SHOWN)
    assert 0 == browser.run("document.querySelectorAll('img').length")
    assert [] == browser.complaints


def test_the_keyboard_reaches_everything(browser: Browser, tmp_path: Path) -> None:
    """The first stop skips to the report; a header sorts on Enter."""
    opened(browser, tmp_path, *fleet(20))
    browser.press("Tab")
    assert "Skip to the report" == browser.run("document.activeElement.textContent")
    browser.run("document.querySelectorAll('#instances th button')[3].focus()")
    browser.press("Enter")
    assert "ascending" == browser.run("document.querySelectorAll('#instances th')[3].getAttribute('aria-sort')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Browser, tmp_path: Path, scheme: str) -> None:
    """WCAG 2.2 AA, with every fold open."""
    script = axe()
    if script is None:
        pytest.skip("axe-core is not installed: npm ci")
    if scheme == "dark":
        browser.dark()
    opened(browser, tmp_path, *fleet(), unreachable={"444444444444": "no role"})
    browser.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    browser.run(script.read_text("utf-8") + "; null")
    found = browser.run("axe.run(document, {resultTypes: ['violations']}).then(all => all.violations)")
    assert [] == ids(found)


def test_a_large_page_opens_at_once(browser: Browser, tmp_path: Path) -> None:
    """20,000 instances: a second on an idle machine, which this one need not be."""
    file = tmp_path / "report.html"
    file.write_text(page.render(count(fleet(20_000), AT), swept()))
    began = time.monotonic()
    browser.open(file)
    took = browser.run("performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart")
    assert browser.run(STATUS).startswith("1 to 100 of 20000")
    print(f"{took} ms, {time.monotonic() - began:.1f} s in all")  # noqa: T201 - for whoever measures
    assert took < 5000
