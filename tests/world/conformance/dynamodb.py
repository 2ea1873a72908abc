"""Checks of DynamoDB: what the ledger writes, what it refuses to write, and what its indexes find, by the ledger's own calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.domain.cohort import Cohort
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Finding
from imdsv2.ledger.account import Accounts
from imdsv2.ledger.cohort import Cohorts
from imdsv2.ledger.finding_key import key_of
from imdsv2.ledger.last_good_policy import LastGoodPolicy
from imdsv2.ledger.record import Record
from imdsv2.ledger.record_values import OPEN, OVER
from imdsv2.ledger.table import Ledger
from imdsv2.ledger.told import Told
from tests.world.conformance.clouds import REGION
from tests.world.ledger_table import TABLE
from tests.world.records import change

if TYPE_CHECKING:
    from imdsv2.ledger.change import Change
    from tests.world.conformance.clouds import Cloud

MEMBER = "222222222222"
OTHER = "333333333333"
ONE, TWO, ABROAD = (
    InstanceArn.of(region=REGION, account=account, instance_id=f"i-0123456789abcdef{number}")
    for number, account in enumerate((MEMBER, MEMBER, OTHER))
)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HELD: dict[str, Any] = {"status": Status.HELD, "decision": "hold", "reason": "v1_in_use", "decided_at": NOW}


def items_as_written(cloud: Cloud) -> Any:
    """Times, numbers, nested documents and findings; a changed status leaves an event."""
    ledger = _ledger(cloud)
    evidence = {"coverage": 0.99, "tokenless_calls": 0, "last_tokenless_call": None}
    lost = ledger.write(
        [_change(ledger, ONE, _finding(1), evidence=evidence, confirmed=True, owner="somebody")], NOW
    ).lost
    later = NOW + timedelta(minutes=1)
    lost |= ledger.write([_change(ledger, ONE, _finding(2), status=Status.WOULD_ENFORCE, owner=None)], later).lost
    return lost, ledger.read([ONE, TWO]), _items(cloud, ONE)


def a_change_that_was_overtaken(cloud: Cloud) -> Any:
    """Nothing of it is written, and the others of its transaction are."""
    ledger = _ledger(cloud)
    stale = [_change(ledger, arn, owner="late") for arn in (ONE, TWO)]
    ledger.write([_change(ledger, ONE, owner="quick")], NOW)
    return ledger.write(stale, NOW).lost, _items(cloud, ONE), _items(cloud, TWO)


def a_finding_more(cloud: Cloud) -> Any:
    """Added to an item that is there, and to no other."""
    ledger = _ledger(cloud)
    ledger.write([_change(ledger, ONE, _finding(1))], NOW)
    added = ledger.add_finding(ledger.read([ONE])[ONE], _finding(2))
    return added, ledger.add_finding(Record(arn=TWO, version=1), _finding(3)), _items(cloud, TWO)


def who_was_told(cloud: Cloud) -> Any:
    """Noted on the item and on its findings; taken back where the verdict has changed meanwhile."""
    ledger, finding = _ledger(cloud), _finding(1)
    ledger.write([_change(ledger, ONE, finding), _change(ledger, TWO, finding)], NOW)
    before = ledger.read([ONE, TWO])
    told = {
        arn: Told(record=record, annotated=frozenset({key_of(finding)}), notified=True)
        for arn, record in before.items()
    }
    ledger.mark_told(told, NOW)
    ledger.write([_change(ledger, TWO, owner="somebody")], NOW)
    ledger.mark_told(told, NOW + timedelta(minutes=1))
    return ledger.read([ONE, TWO])


def what_is_due(cloud: Cloud) -> Any:
    """Up to a time, the longest overdue first, as many as are wanted; only the first to claim one gets it."""
    ledger = _ledger(cloud)
    for arn, minutes in ((ONE, 2), (TWO, 1), (ABROAD, 9)):
        ledger.write([_change(ledger, arn, revisit_at=NOW + timedelta(minutes=minutes))], NOW)
    due = ledger.indexes.due(NOW + timedelta(minutes=5), 10)
    claims = [ledger.claim(due, NOW + timedelta(minutes=30)) for _ in range(2)]
    later = NOW + timedelta(hours=1)
    return (
        list(due.items()),
        claims,
        list(ledger.indexes.due(later, 2).items()),
        list(ledger.indexes.due(NOW, 10).items()),
    )


def what_waits_in_an_account(cloud: Cloud) -> Any:
    """Those of no other account, nor those that have nothing to wait for."""
    ledger = _ledger(cloud)
    ledger.write([_change(ledger, arn, revisit_at=NOW) for arn in (ONE, ABROAD)], NOW)
    ledger.write([_change(ledger, TWO)], NOW)
    before = ledger.indexes.waiting(f"aws/{MEMBER}")
    ledger.write([_change(ledger, ONE, revisit_at=None)], NOW)
    return before, ledger.indexes.waiting(f"aws/{MEMBER}"), ledger.indexes.waiting(f"aws/{OTHER}")


def what_was_enforced(cloud: Cloud) -> Any:
    """What is still watched, and everything since a time, with the attributes that the index has."""
    ledger = _ledger(cloud)
    for arn, watch, hours in ((ONE, OPEN, 1), (TWO, OVER, 3), (ABROAD, OPEN, 2)):
        enforced = {"watch": watch, "enforced_at": NOW - timedelta(hours=hours), "cohort": "web"}
        ledger.write([_change(ledger, arn, **enforced)], NOW)
    account = f"aws/{MEMBER}"
    since = [ledger.indexes.enforced_since(account, NOW - timedelta(hours=hours)) for hours in (4, 2)]
    return ledger.indexes.watched(account), since


def the_last_good_policy(cloud: Cloud) -> Any:
    """None before there is one, then the newest."""
    cloud.create_ledger()
    kept = LastGoodPolicy(cloud.dynamodb, TABLE)
    seen = [kept.read()]
    for mode, version in (("observe", 1), ("enforce", 2), ("older", 1)):
        kept.keep(mode, NOW, version, NOW)
        seen.append(kept.read())
    return seen


def the_accounts(cloud: Cloud) -> Any:
    """Claimed by one pass of the guard at a time; caps are counted."""
    cloud.create_ledger()
    accounts = Accounts(cloud.dynamodb, TABLE)
    reservations = [accounts.reserve(ONE, 3, 4, NOW, NOW)[0] for _ in range(2)]
    for each in reservations * 2:
        accounts.settle(ONE, each, [NOW] * (each.count - 1), NOW)
    reserved = [each.count for each in reservations]
    before = accounts.of(ONE)
    claims = [accounts.claim(before, NOW) for _ in range(2)]
    again = [accounts.claim(accounts.of(ONE), NOW + timedelta(minutes=1)), accounts.claim(before, NOW)]
    return reserved, claims, again, accounts.all(), accounts.of(ABROAD)


def the_cohorts(cloud: Cloud) -> Any:
    """Saved by whoever has read the last version."""
    cloud.create_ledger()
    cohorts = Cohorts(cloud.dynamodb, TABLE)
    new = Cohort(key="web", canaries=(ONE,), wanted=1)
    saved = [cohorts.save(new) for _ in range(2)]
    known = cohorts.read(["web", "other"])
    saved += [cohorts.save(known["web"]) for _ in range(2)]
    return saved, known, cohorts.read(["web"])


def _ledger(cloud: Cloud) -> Ledger:
    cloud.create_ledger()
    return Ledger(cloud.dynamodb, TABLE)


def _change(ledger: Ledger, arn: InstanceArn, *findings: Finding, **attributes: Any) -> Change:
    return change(ledger.read([arn])[arn], *findings, **(HELD | attributes))


def _finding(number: int) -> Finding:
    name = f"arn:aws:securityhub:{REGION}:{MEMBER}:security-control/EC2.8/finding/{number}"
    product = f"arn:aws:securityhub:{REGION}::product/aws/securityhub"
    return Finding(id=name, product_arn=product, region=REGION, updated_at=NOW)


def _items(cloud: Cloud, arn: InstanceArn) -> list[dict[str, Any]]:
    """Every item of an instance as it is stored; the ids of events and writes are drawn by lot."""
    asked = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": str(arn)}}}
    items = cloud.dynamodb.query(TableName=TABLE, **asked)["Items"]
    drawn = {"written_by": {"S": ""}}
    return [
        {**item, **(drawn if "written_by" in item else {}), "sk": {"S": "#".join(item["sk"]["S"].split("#")[:2])}}
        for item in items
    ]
