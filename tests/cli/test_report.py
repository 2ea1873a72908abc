"""The report without a browser: what it counts, that it needs no network, and that nothing in it is taken for markup."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from imdsv2.domain.verdict import Reason
from imdsv2_cli.report import markdown, page
from imdsv2_cli.report.advice import ADVICE
from imdsv2_cli.report.forecast import FEWEST_NIGHTS, forecast
from imdsv2_cli.report.numbers import count
from tests.world.rows import night, required, row, swept

AT = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
HOSTILE = "</script><img src=x onerror=alert(1)>=cmd|' /c calc'!A1\x1b]0;owned\x07&amp;`*|"
VOID = {"meta", "link", "input", "img", "br"}


class Page(HTMLParser):
    """A page as its tags: that they fit, their attributes, and the text of the tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.script: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert [] == self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID and not (self.open and self.open[-1] == "svg" and tag in {"path", "line"}):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.script[str(self.tags[-1][1].get("id"))] = data


def days(*allowed: int) -> list[dict[str, Any]]:
    """Nights up to yesterday."""
    first = date(2026, 11, 28) - timedelta(days=len(allowed) - 1)
    return [night((first + timedelta(days=number)).isoformat(), each) for number, each in enumerate(allowed)]


def rendered(*rows: dict[str, str], **fields: Any) -> str:
    """The page of a fleet."""
    return page.render(count(rows, AT), swept(rows, **fields))


def test_the_page_counts_every_instance_once() -> None:
    """By state, account, owner and reason; the sources by what they would bring back."""
    rows = [
        row(1),
        row(2, owner="", account="333333333333"),
        required(3),
        required(4, enforced_at="", status="", decision="skip", reason="already_required"),
        row(5, http_endpoint="disabled", decision="skip", reason="endpoint_disabled", calls=""),
        row(6, decision="enforce", reason="unused", status="would_enforce", calls=0, calls_by_hour=""),
    ]
    numbers = count(rows, AT)
    assert {"held": 2, "verified": 1, "required": 1, "disabled": 1, "would_enforce": 1} == dict(numbers.states)
    assert (6, 3) == (numbers.instances, numbers.allowed)
    assert {"v1_in_use": 2, "unused": 1} == dict(numbers.reasons)
    assert {"blue": 5, "333333333333": 1} == {name: each.total() for name, each in numbers.by["owner"].items()}
    assert [(3, 2), (1, 1)] == [(each.brings, each.open) for each in numbers.sources()]
    assert (8, 16) == (numbers.week[5], numbers.week[29])
    assert 2 == len(numbers.callers)


def test_what_was_done_and_what_ends_is_told() -> None:
    """In the last month; exemptions of the next."""
    rows = [
        required(1, verified_at="2026-11-11T03:00:00Z"),
        required(2, enforced_at="2026-06-01T03:00:00Z"),
        required(3, status="enforced", broken_at="2026-11-28T03:00:00Z", left_because="policy"),
        row(4, status="rolled_back", reason="broke_before", rolled_back_at="2026-11-20T03:00:00Z"),
        row(5, reason="exempt", decision="skip", ends_on="2026-12-05"),
        row(6, reason="exempt", decision="skip", ends_on="2027-12-05"),
    ]
    numbers = count(rows, AT)
    assert [("tokens required", 2, 3), ("proved healthy (verified)", 1, 2), ("rolled back", 1, 1)] == page.changed(
        numbers
    )
    assert ["2026-12-05"] == [each["ends_on"] for each in numbers.exemptions]
    assert [3] == [int(each["instance_id"][2:], 16) for each in numbers.left_broken]


@pytest.mark.parametrize("column", ["name", "owner", "cohort", "source", "reason", "account"])
def test_texts_of_others_are_text(column: str) -> None:
    """Whatever a tag holds: no element, no attribute, no end of the script, no escape for a terminal."""
    clean, hostile = (
        rendered(row(1)),
        rendered(row(1, **{column: HOSTILE}), unreachable={"1": HOSTILE}, errors={"2": HOSTILE}),
    )
    tags = [tag for tag, _ in Page(hostile).tags]
    assert "img" not in tags
    assert Page(clean).tags.count(("script", {})) == Page(hostile).tags.count(("script", {})) == 1
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", hostile)
    assert not [name for _, given in Page(hostile).tags for name in given if name.startswith("on")]


def test_texts_of_others_are_text_in_markdown() -> None:
    """Neither a table's cell nor an element."""
    text = markdown.render(count([row(1, owner=HOSTILE, name=HOSTILE)], AT), swept(unreachable={"1": HOSTILE}))
    assert "<img" not in text.replace("\\<", "")
    for line in text.splitlines():
        assert line.startswith("|") == line.endswith("|") or not line.startswith("|")
    assert "\x1b" not in text


def test_the_page_needs_no_network() -> None:
    """No address is loaded; the policy of its content forbids it, and allows its own script and style only by their hashes."""
    tags = Page(rendered(row(1), nights=days(*range(40, 20, -1)))).tags
    for tag, given in tags:
        for name in ("src", "href", "action", "style"):
            assert not (given.get(name) or "").startswith(("http", "//", "javascript")), (tag, given)
        assert "style" not in given
    [policy] = [str(given["content"]) for _, given in tags if given.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def test_the_page_can_be_read_aloud_and_by_keyboard() -> None:
    """A language, one first heading, named charts and regions, labelled fields, headers of columns."""
    text = rendered(row(1), required(2), nights=days(*range(40, 20, -1)))
    tags = Page(text).tags
    assert ("html", {"lang": "en"}) in tags
    assert 1 == sum(tag == "h1" for tag, _ in tags)
    assert {"header", "main", "footer", "nav"} <= {tag for tag, _ in tags}
    assert all(given.get("role") == "img" for tag, given in tags if tag == "svg")
    assert (
        text.count("<svg")
        == text.count("</title>") - text.count("</title></rect>") - text.count("</title></circle>") - 1
    )
    assert all(given.get("scope") == "col" for tag, given in tags if tag == "th")
    assert all(
        given.get("aria-label") and given.get("tabindex") == "0" for _, given in tags if given.get("role") == "region"
    )
    assert text.count("<label>") == sum(tag in {"input", "select"} for tag, _ in tags)
    linked = {str(given["href"])[1:] for tag, given in tags if tag == "a"}
    assert linked <= {given.get("id") for _, given in tags}


def test_the_data_of_the_script_are_the_rows() -> None:
    """Words that repeat are there once."""
    rows = [row(number, owner=f"team-{number % 3}") for number in range(200)]
    data = json.loads(Page(rendered(*rows)).script["data"])
    owner = data["columns"].index("owner")
    assert {"team-0", "team-1", "team-2"} == set(data["words"][owner])
    assert 200 == len(data["rows"])
    assert {each["instance_id"] for each in rows} == {
        each[data["columns"].index("instance_id")] for each in data["rows"]
    }


def test_a_large_fleet_fits_into_a_mail() -> None:
    """20,000 instances that allow IMDSv1, with long names: less than 5 MB, within seconds."""
    rows = (
        row(number, name=f"worker-{number}.service.example.internal", owner=f"team-{number % 90}")
        for number in range(20_000)
    )
    began = time.process_time()
    text = page.render(count(rows, AT), swept(nights=days(*range(900, 800, -1))))
    assert len(text.encode()) < 5_000_000
    assert time.process_time() - began < 10


def test_an_empty_fleet_has_a_page() -> None:
    """Before the first sweep, and with nothing in it."""
    for known in (None, swept()):
        text = page.render(count([], AT), known)
        Page(text)
        assert "No instance that allows IMDSv1 is known to use it." in text
        assert markdown.render(count([], AT), known)


def test_every_reason_has_advice() -> None:
    """A reason that is added needs a line."""
    assert set(Reason) == set(ADVICE)


def test_a_steady_descent_is_carried_on() -> None:
    """Ten a night from 200: zero in three weeks or so, and no wide range."""
    found = forecast(days(*range(400, 199, -10)))
    assert date(2026, 12, 18) == found.zero == found.earliest == found.latest
    assert "2026-12-18" in found.sentence()


def test_an_uneven_descent_has_a_wide_range() -> None:
    """The more the nights differ, the less is certain; the range holds the middle."""
    steps = [0, -60, 10, -5, -40, 25, -30, 0, -70, 20, -10, -45, 5, -20]
    allowed = [900]
    for step in steps:
        allowed.append(allowed[-1] + step)
    found = forecast(days(*allowed))
    assert found.earliest is not None
    assert found.zero is not None
    assert found.earliest < found.zero
    assert found.latest is None or found.zero < found.latest
    assert all(each.low <= each.middle <= each.high for each in found.points)


@pytest.mark.parametrize(
    ("allowed", "says"),
    [
        ([300] * (FEWEST_NIGHTS - 1), "needs the numbers"),
        ([300] * 20, "not reached within a year"),
        ([*range(300, 320)], "not reached within a year"),
        ([5, 3, 0], "Nothing allows IMDSv1"),
        ([], "needs the numbers"),
    ],
)
def test_where_nothing_can_be_foretold_that_is_said(allowed: list[int], says: str) -> None:
    """No date is made up."""
    found = forecast(days(*allowed))
    assert says in found.sentence()
    assert found.zero is None


def test_what_is_left_out_allows_imdsv1_and_a_disabled_endpoint_does_not() -> None:
    """They were one state, so that an account full of exempt instances came after one with a single held one."""
    left_out = [
        row(each, account="333333333333", decision="skip", reason=reason)
        for each, reason in enumerate(("exempt", "out_of_scope", ""))
    ]
    closed = [row(each, account="444444444444", http_endpoint="disabled", decision="skip") for each in range(10, 15)]
    numbers = count([*left_out, *closed, row(20)], AT)
    assert {"left_out": 3, "disabled": 5, "held": 1} == dict(numbers.states)
    text = page.render(numbers, swept([]))
    table = text[text.index("Instances by account</caption>") :]
    order = [table.index(f"<td>{each * 12}</td>") for each in "324"]
    assert sorted(order) == order
    assert all(each in text for each in ("left out, or not judged", "endpoint disabled"))


def test_a_table_that_is_cut_says_so() -> None:
    """An auditor would take the first fifty for all."""
    rows = [row(each, source=f"launch_template:lt-{each}") for each in range(51)]
    for text in (rendered(*rows), markdown.render(count(rows, AT), swept(rows))):
        assert 2 == text.count("The first 50 of 51")
    for text in (rendered(*rows[:50]), markdown.render(count(rows[:50], AT), swept(rows[:50]))):
        assert "The first 50" not in text


def test_what_is_left_broken_is_in_markdown_as_well() -> None:
    """It is what somebody has to do first."""
    rows = [required(1, status="enforced", broken_at="2026-11-28T03:00:00Z", left_because="policy")]
    assert "## Left broken" in markdown.render(count(rows, AT), swept(rows))
    assert "## Left broken" not in markdown.render(count([], AT), swept([]))
