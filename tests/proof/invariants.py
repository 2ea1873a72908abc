"""What holds after every run, whatever failed in it: the service's nevers, as far as they show in AWS and in the ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

ENFORCED_TAG = "imdsv2:enforced-at"
ROLLED_BACK_TAG = "imdsv2:rolled-back-at"
PUT_BACK = "IMDSv1 switched on again"
"""How the message about a rollback begins."""
SWITCHED_OFF = "IMDSv1 switched off"
NOTICE = "IMDSv1 will be switched off"
DIGEST = "IMDSv2 digest"


_STANDING = {"enforced", "verified"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A change of metadata options that had an effect: by which role, what was sent, and what stood in EC2 and in the
    ledger (its item, as DynamoDB has it) before."""

    at: datetime
    arn: str
    role: str
    sent: Mapping[str, Any]
    before: Mapping[str, Any]
    tags: Mapping[str, str]
    item: Mapping[str, Any]

    @property
    def enforces(self) -> bool:
        """Whether tokens became required."""
        return self.sent.get("HttpTokens") == "required"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An instance at the end: options and tags as EC2 has them, its item in plain values, notes on its findings."""

    arn: str
    options: Mapping[str, Any]
    tags: Mapping[str, str]
    item: Mapping[str, Any]
    notes: Sequence[str | None] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A message to people."""

    at: datetime
    subject: str
    text: str

    def says(self, headline: str, arn: str) -> bool:
        """Whether it says this of an instance; a digest has a line for each."""
        name = arn.rpartition("/")[2]
        in_line = any(name in line and headline in line for line in self.text.splitlines())
        return (self.subject.startswith(headline) and arn in self.text) or (self.subject.startswith(DIGEST) and in_line)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """A world at the end of a run, after what failed has had the time to be made good.

    Args:
        instances: those that still exist.
        accounts: the accounts' items in plain values, by number.
        published: the messages to people, in order.
        notice: how long before a change its owner has to have been told.
        effects: all changes of metadata options, in order.
        complaints: exceptions that nobody meant, and what else went wrong on the way.
        undelivered: findings that no verdict answers, because their message was given up.
        may_repeat: whether the answer to a publication was lost, so that people may hear something twice.
        opened_by_others: ARNs of instances that somebody else has put back.
    """

    instances: Sequence[Seen]
    accounts: Mapping[str, Mapping[str, Any]]
    published: Sequence[Told]
    effects: Sequence[Effect]
    complaints: Sequence[str] = ()
    undelivered: Sequence[str] = ()
    may_repeat: bool = False
    notice: timedelta = timedelta()
    opened_by_others: frozenset[str] = field(default_factory=frozenset)


def violations(end: End) -> list[str]:
    """Everything that is wrong, in sentences without times, sorted."""
    found = {
        *_of_effects(end.effects),
        *_of_rollbacks(end),
        *_of_enforcements(end),
        *(f"nobody meant: {each}" for each in end.complaints),
        *(f"a finding is lost: {each}" for each in end.undelivered),
    }
    for seen in end.instances:
        last = next((each for each in reversed(end.effects) if each.arn == seen.arn), None)
        ours = last is not None and last.enforces
        if seen.arn not in end.opened_by_others:
            found.update(f"{_name(seen.arn)}: {problem}" for problem in _of_instance(seen, last, ours=ours))
    return sorted(found)


def uncounted(accounts: Mapping[str, Mapping[str, Any]], effects: Sequence[Effect], since: datetime) -> list[str]:
    """Accounts whose hourly cap has counted fewer enforcements than there were since a time, which is less than an hour ago."""
    made = Counter(each.arn.split(":")[4] for each in effects if each.enforces and each.at >= since)
    counted = {
        account: sum(int(count) for minutes in item.get("enforcements", {}).values() for count in minutes.values())
        + sum(int(reserved["count"]) for reserved in item.get("reserved", {}).values())
        for account, item in accounts.items()
    }
    return [
        f"account {account[:4]}: {number} were enforced, the cap has counted {counted.get(account, 0)}"
        for account, number in sorted(made.items())
        if counted.get(account, 0) < number
    ]


def _of_effects(effects: Sequence[Effect]) -> Iterator[str]:
    made = Counter((each.arn, each.enforces) for each in effects)
    for (arn, enforces), count in made.items():
        if count > 1:
            yield f"{_name(arn)}: {'enforced' if enforces else 'put back'} {count} times"
    for each in effects:
        item = plain(each.item)
        verb = "enforced" if each.enforces else "put back"
        for what, is_so in (_against_enforcement if each.enforces else _against_return)(each, item).items():
            if is_so:
                yield f"{_name(each.arn)}: {verb} {what}"


def _against_enforcement(effect: Effect, item: Mapping[str, Any]) -> dict[str, bool]:
    recorded = {name: str(value) for name, value in (item.get("before") or {}).items()}
    return {
        "by another role": effect.role != "write",
        "with other options": set(effect.sent) - {"HttpTokens", "HttpEndpoint"} != set(),
        "though its endpoint was closed": effect.before.get("HttpEndpoint") != "enabled",
        "before that was written ahead": item.get("status") != "enforcing",
        "without what was there before": any(str(effect.before[name]) != recorded.get(name) for name in effect.before),
        "outside a lease": not _is_leased(item, effect.at),
        "without its tag": ENFORCED_TAG not in effect.tags,
    }


def _against_return(effect: Effect, item: Mapping[str, Any]) -> dict[str, bool]:
    return {
        "by another role": effect.role != "rollback",
        "with other options": set(effect.sent) - {"HttpTokens", "HttpEndpoint"} != set(),
        "before that was written ahead": item.get("status") != "rolling_back",
        "outside a lease": not _is_leased(item, effect.at),
        "without its tag": ENFORCED_TAG not in effect.tags,
    }


def _of_instance(seen: Seen, last: Effect | None, *, ours: bool) -> list[str]:
    item, status = seen.item, seen.item.get("status")
    required = seen.options["HttpTokens"] == "required"
    standing, returned = ours and required, last is not None and not last.enforces
    ended = item.get("watch") != "open" and not (item.get("verified_at") or item.get("left_because"))
    found = {
        f"is {status} for ever": status in {"enforcing", "rolling_back"},
        f"tokens are required by us, its record says {status} ({item.get('reason')})": standing
        and status not in _STANDING,
        "tokens are required by us, and it was never watched": standing and "enforced_at" not in item,
        "tokens are required by us, and its record says unconfirmed": standing and item.get("confirmed") is False,
        "tokens are required by us, and its watch ended without a word": standing and ended,
        "its enforcement has no tag, so it cannot be put back": standing and ENFORCED_TAG not in seen.tags,
        "keeps the tag of an enforcement that does not stand": not required and ENFORCED_TAG in seen.tags,
        "was put back, and has no tag that says so": returned and ROLLED_BACK_TAG not in seen.tags,
        f"was put back, and its record says {status}": returned and status != "rolled_back",
        "has a finding without a note": any(note is None for note in seen.notes),
        "has a finding and no verdict": not item and bool(seen.notes),
    }
    return [problem for problem, is_so in found.items() if is_so]


def _of_enforcements(end: End) -> Iterator[str]:
    for effect in (each for each in end.effects if each.enforces):
        told_before = [each.at for each in end.published if each.says(NOTICE, effect.arn)]
        if end.notice and not any(each <= effect.at - end.notice for each in told_before):
            yield f"{_name(effect.arn)}: was enforced without its owner's having been told in time"
        is_standing = any(seen.arn == effect.arn and seen.item.get("status") in _STANDING for seen in end.instances)
        if is_standing and not any(each.says(SWITCHED_OFF, effect.arn) for each in end.published):
            yield f"{_name(effect.arn)}: stays enforced, and nobody was told"


def _of_rollbacks(end: End) -> Iterator[str]:
    returned = {each.arn for each in end.effects if not each.enforces}
    items = {seen.arn: seen.item for seen in end.instances}
    broke = Counter(arn.split(":")[4] for arn in returned if items.get(arn, {}).get("broken_at"))
    for account in {arn.split(":")[4] for arn in returned}:
        counted = len(end.accounts.get(account, {}).get("rollbacks", []))
        if counted != broke[account]:
            yield f"account {account[:4]}: {broke[account]} broke and were put back, {counted} are counted"
    for arn in returned:
        told = sum(each.says(PUT_BACK, arn) for each in end.published)
        if told == 0:
            yield f"{_name(arn)}: was put back, and nobody was told"
        if told > 1 and not end.may_repeat:
            yield f"{_name(arn)}: was put back, and people were told {told} times"


def _is_leased(item: Mapping[str, Any], now: datetime) -> bool:
    return bool(item.get("lease_until")) and datetime.fromisoformat(item["lease_until"]) > now


def _name(arn: str) -> str:
    """Account and instance in few characters."""
    parts = arn.split(":")
    return f"{parts[4][:1]}/{arn.rpartition('/')[2][-2:]}" if len(parts) > 4 else arn


def plain(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item in plain values."""
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def of_accounts(items: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The accounts' items among all items, by number."""
    values = [plain(each) for each in items if each["pk"] == {"S": "accounts"}]
    return {str(each["sk"]).rpartition("/")[2]: each for each in values}
