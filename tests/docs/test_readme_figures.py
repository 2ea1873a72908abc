"""The figures of the README are those of the pages that it names: whoever measures anew sees what the README has to say."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, all_pages

PAGES = all_pages()
README = PAGES["README.md"]


def cells(page: str, begins: str) -> list[str]:
    """The cells of the first row of a table that begins so."""
    (row, *_) = re.findall(rf"^\| {re.escape(begins)} *\|(.*)\|$", PAGES[page], re.MULTILINE)
    return [each.strip() for each in row.split("|")]


def test_what_is_compared_is_what_was_simulated() -> None:
    """Medians of instance-hours broken, and of safe instances reached."""
    for ours, theirs in (
        ("this service", "this service, default policy"),
        ("a job that requires tokens after 14 days without a call", "after a clean 14-day window, without a watch"),
        ("all at once", "all at once"),
    ):
        _, hours, *_, reached = cells("docs/safety.md", theirs)
        *_, said_hours, said_reached = cells("README.md", ours)
        assert (hours.partition(" ")[0], reached) == (said_hours, said_reached), ours


def test_the_fleets_are_those_of_the_page() -> None:
    """How many, how large, for how long."""
    assert "simulates 3 fleets of 10,000 instances for 90 days" in PAGES["docs/safety.md"]
    assert "2% of the instances are hidden breakers" in PAGES["docs/safety.md"]
    assert "Three simulated fleets of 10,000 instances, 90 days, medians. 2% of the instances" in README


def test_the_costs_are_those_of_the_page() -> None:
    """Changed in batches and watched to the end; and a month of observing, rounded."""
    enforced, watched = (
        float(cells("docs/cost.md", each)[0])
        for each in ("enforced", "watched after enforcement, until verified twice")
    )
    assert f"costs about {enforced + watched:.2f} USD" in README
    (observing,) = re.findall(r"`observe` costs ([\d.]+) USD a month for 100,000", PAGES["docs/cost.md"])
    assert f"costs about {float(observing):.0f} USD a month" in README


def test_the_demo_is_as_large_as_is_said() -> None:
    """Accounts and Regions of its instances."""
    told = (ROOT / "tests" / "e2e" / "kept" / "demo.json").read_text()
    places = set(re.findall(r"arn:aws:ec2:([a-z0-9-]+):(\d{12}):instance/", told))
    words = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
    regions, accounts = ({each[part] for each in places} for part in (0, 1))
    assert f"in {words[len(accounts)]} accounts and {words[len(regions)]} Regions" in README
