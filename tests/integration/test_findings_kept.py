"""The findings in an item stay within DynamoDB's limits: 400 KB for an item, 4 KB for an expression."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.lifecycle import Status
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.findings import FINDINGS_KEPT
from imdsv2.ledger.record import Record
from imdsv2.ledger.table import Ledger
from imdsv2.ledger.told import Told
from tests.integration.builders import NOW, arn_of, known_finding
from tests.world.ledger_table import TABLE
from tests.world.records import change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imdsv2.domain.request import Finding
    from tests.world.lossy import LossyTable

ARN = arn_of("a")
HOUR = timedelta(hours=1)
MOST = 4096
HELD: dict[str, Any] = {"status": Status.HELD, "decision": "hold", "reason": "v1_in_use", "decided_at": NOW}


def of_ages(ages: Sequence[int], name: str = "x", padding: str = "") -> list[Finding]:
    """Findings that were updated so many hours ago."""
    return [known_finding(f"{name}-{age}{padding}", updated_at=NOW - age * HOUR) for age in ages]


def write(ledger: Ledger, *findings: Finding, **attributes: Any) -> Record:
    """A verdict with findings."""
    assert frozenset() == ledger.write([change(entry_of(ledger), *findings, **(HELD | attributes))], NOW).lost
    return entry_of(ledger)


def entry_of(ledger: Ledger) -> Record:
    """The instance's record."""
    return ledger.read([ARN])[ARN]


def longest(table: LossyTable) -> int:
    """The length of the longest expression that was sent, in bytes."""
    kinds = ("UpdateExpression", "ConditionExpression")
    return max(len(request.get(kind, "").encode()) for request in table.requests for kind in kinds)


def everything() -> dict[str, Any]:
    """A value for every attribute that a record may have, more than any write sets at once."""
    kinds = {each.name: str(each.type).removesuffix(" | None") for each in fields(Record)}
    texts = {name: "text" for name, kind in kinds.items() if kind == "str"}
    times = {name: NOW for name, kind in kinds.items() if kind == "datetime"}
    return {**texts, **times, "watch": "open", **HELD}


def test_as_many_notes_as_an_item_has_findings_are_marked(ledger: Ledger, table: LossyTable) -> None:
    """A hundred and twenty were too many for one expression, for ever."""
    findings = of_ages(range(FINDINGS_KEPT))
    entry = write(ledger, *findings)
    told = Told(record=entry, annotated=frozenset(map(key_of, findings)), notified=True)
    assert frozenset() == ledger.mark_told({ARN: told}, NOW).lost
    marked = entry_of(ledger)
    assert ({}, False) == (marked.owed_notes(), marked.owes_notification())
    assert longest(table) < MOST


def test_notes_of_a_verdict_that_has_changed_are_all_owed_again(ledger: Ledger, table: LossyTable) -> None:
    """The verdict changes after the first part of them is marked: what was marked is taken back too."""
    findings = of_ages(range(FINDINGS_KEPT))
    entry = write(ledger, *findings)
    told = Told(record=entry, annotated=frozenset(map(key_of, findings)), notified=True)
    sent = len(table.tokens)

    def judge_anew(_: object) -> None:
        if len(table.tokens) == sent + 2:
            other = Ledger(table.client, TABLE)
            other.write([change(entry_of(other), reason="no_evidence", changed_at=NOW)], NOW)

    table.refuse = judge_anew
    assert {ARN} == ledger.mark_told({ARN: told}, NOW).overtaken
    assert FINDINGS_KEPT == len(entry_of(ledger).owed_notes())
    assert longest(table) < MOST


def test_a_verdict_takes_as_many_findings_as_are_kept(ledger: Ledger, table: LossyTable) -> None:
    """All of the old ones go, all of the new ones come, and every attribute is set, in expressions of less than 4 KB."""
    write(ledger, *of_ages(range(300, 500)))
    new = of_ages(range(FINDINGS_KEPT), "new")
    entry = write(ledger, *new, **everything())
    assert {key_of(each) for each in new} == set(entry.findings)
    assert longest(table) < MOST


def test_findings_that_follow_a_verdict_do_not_go_into_another(ledger: Ledger, table: LossyTable) -> None:
    """Somebody writes between the verdict and the rest of its findings: the instance counts as overtaken, and is judged again with
    them."""
    write(ledger)
    sent = len(table.tokens)

    def intrude(_: object) -> None:
        if len(table.tokens) == sent + 2:
            other = Ledger(table.client, TABLE)
            other.write([change(entry_of(other), owner="other")], NOW)

    table.refuse = intrude
    made = change(entry_of(ledger), *of_ages(range(120)), **HELD)
    assert {ARN} == ledger.write([made], NOW).overtaken
    assert ("other", 50) == (entry_of(ledger).owner, len(entry_of(ledger).findings))


@pytest.mark.parametrize("attributes", [{}, {"reason": "no_evidence"}])
def test_an_item_that_is_nearly_full_sheds_its_oldest_findings(
    attributes: dict[str, Any], ledger: Ledger, table: LossyTable
) -> None:
    """Ids of an earlier version, which counted characters, not bytes: 180 of 2 KB each. The next write makes room, whether
    or not it brings a finding."""
    wide = of_ages(range(180), padding="\N{WATER WAVE}" * 500)
    write(ledger)
    key = (str(ARN), "current")
    for finding in wide:
        table.items[key]["findings"]["M"][key_of(finding)] = {
            "M": {
                "id": {"S": finding.id},
                "product_arn": {"S": finding.product_arn},
                "region": {"S": finding.region},
                "updated_at": {"S": str(finding.updated_at)},
            }
        }
    assert 370_000 < size(table)
    new = () if attributes else of_ages([0], "new")
    for _ in range(2):
        entry = write(ledger, *new, **attributes)
    assert size(table) < 330_000
    assert {key_of(each) for each in (*new, *wide[:100])} <= set(entry.findings)
    assert key_of(wide[-1]) not in entry.findings


def size(table: LossyTable) -> int:
    """The item's size in bytes, and a little more."""
    return len(json.dumps(table.items[(str(ARN), "current")], ensure_ascii=False).encode())


def test_the_newest_findings_of_a_first_verdict_fit_into_the_item(ledger: Ledger, table: LossyTable) -> None:
    """Whatever their size."""
    entry = write(ledger, *of_ages(range(300), padding="\N{WATER WAVE}" * 500))
    assert 100 < len(entry.findings) < 180
    assert key_of(of_ages([0], padding="\N{WATER WAVE}" * 500)[0]) in entry.findings
    assert size(table) < 330_000


def test_a_finding_that_is_added_meanwhile_makes_room_too(ledger: Ledger) -> None:
    """The item belongs to another run; its oldest findings go, as in a verdict."""
    entry = write(ledger, *of_ages(range(1, FINDINGS_KEPT + 1)))
    late = replace(known_finding("late"), updated_at=None)
    added = ledger.add_finding(entry, late)
    assert added is not None
    assert FINDINGS_KEPT == len(added.findings)
    assert key_of(late) in added.findings
