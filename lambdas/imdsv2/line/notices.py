"""Telling people: one message a verdict and place, with every instance and its reason."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_sns import SNSClient

    from imdsv2.ledger.table import Entry

_INSTANCES_A_MESSAGE = 150
"""Keeps a message well below the 256 KB that SNS takes."""
_SUBJECT_LENGTH = 100

HEADLINES = {
    "enforced": "IMDSv1 switched off",
    "rolled_back": "IMDSv1 switched on again",
    "failed": "IMDSv1 could not be switched off",
    "would_enforce": "IMDSv1 could be switched off (observe mode)",
    "held": "IMDSv1 stays on",
}
"""What people are told about; a skipped instance is nobody's news, and a verified one needs nobody."""
_NO_NEWS = {"verified": "IMDSv1 is off, and nothing has needed it since"}
"""What only the findings say."""
_BROKEN = "Something broke, and IMDSv1 is still off"
_NOT_UNDONE = "IMDSv1 could not be switched on again"
_UNPROVEN = "IMDSv1 is off, and nobody can say that nothing broke"
_NOTICE = "IMDSv1 will be switched off"
_REMINDERS = {"ends": "What keeps IMDSv1 on ends soon", "ended": "What kept IMDSv1 on has ended"}


def headline(entry: Entry) -> str | None:
    """What an entry's news is, in a few words; None where it is none."""
    verdict = entry.attributes
    if verdict.get("left_because") is not None:
        if verdict["left_because"] == "unproven":
            return _UNPROVEN
        return _BROKEN if entry.is_broken else _NOT_UNDONE
    if verdict.get("reminder") is not None:
        return _REMINDERS[verdict["reminder"]]
    if verdict["reason"] == "notice_given":
        return _NOTICE
    return HEADLINES.get(verdict["status"])


class Notices:
    """The notifications topic."""

    def __init__(self, sns: SNSClient, topic_arn: str, ledger_table: str) -> None:
        self._sns = sns
        self._topic_arn = topic_arn
        self._ledger_table = ledger_table

    def note(self, entry: Entry) -> str:
        """What findings with this verdict say; the same for all of them, so that one call can write many."""
        verdict = entry.attributes
        return (
            f"{headline(entry) or _NO_NEWS.get(verdict['status'], 'Nothing to do')}: {verdict['decision']} ({verdict['reason']}). The evidence and what to do are in the DynamoDB table "
            f"{self._ledger_table}, item pk = ARN of the instance, sk = current."
        )

    def publish(self, entries: Iterable[Entry]) -> None:
        """Send one message for entries of one verdict and place (or owner). Raises ClientError."""
        for batch in _batches(entries):
            self._publish_batch(batch)

    def breaker_opened(self, account: str, rollbacks: int) -> None:
        """Tell that nothing more is enforced in an account. Raises ClientError."""
        number = account.rpartition("/")[2]
        subject = f"IMDSv1 stays on in account {number}: {rollbacks} instances broke within a day"
        what = (
            f"The breaker of account {number} is open: nothing is enforced there until a person closes it; rollbacks go on. Find out "
            f'what broke, then invoke the service by hand with {{"close_breaker": {{"account": "{number}"}}, "dry_run": false}}.'
        )
        self._send(subject, what, {"reason": "breaker_open", "account": number})

    def _publish_batch(self, entries: Sequence[Entry]) -> None:
        first = entries[0]
        decision, reason, status = (str(first.attributes[name]) for name in ("decision", "reason", "status"))
        count = "1 instance" if len(entries) == 1 else f"{len(entries)} instances"
        owner = first.attributes.get("told_owner") if reason == "notice_given" else None
        where = f"of {owner}" if owner else f"in {first.arn.account} {first.arn.region}"
        subject = f"{headline(first)}: {count} {where} ({reason})"
        lines = [f"{entry.arn}\n  {entry.attributes['explanation']}" for entry in entries]
        attributes = {
            "decision": decision,
            "reason": reason,
            "status": status,
            **({"owner": owner} if owner else {"account": first.arn.account, "region": first.arn.region}),
        }
        self._send(
            subject,
            "\n\n".join([subject, *lines, f"Evidence and history: DynamoDB table {self._ledger_table}."]),
            attributes,
        )

    def _send(self, subject: str, message: str, attributes: Mapping[str, str]) -> None:
        self._sns.publish(
            TopicArn=self._topic_arn,
            # SNS takes a subject of ASCII in one line.
            Subject=subject.encode("ascii", "replace").decode()[:_SUBJECT_LENGTH],
            Message=message,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    remaining = iter(entries)
    while batch := list(islice(remaining, _INSTANCES_A_MESSAGE)):
        yield batch
