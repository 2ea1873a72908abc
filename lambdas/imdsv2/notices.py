"""Telling people: one message a verdict and place, with every instance and its reason."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_sns import SNSClient

    from imdsv2.ledger import Entry

_INSTANCES_A_MESSAGE = 150
"""Keeps a message well below the 256 KB that SNS takes."""
_SUBJECT_LENGTH = 100

HEADLINES = {
    "enforced": "IMDSv1 switched off",
    "failed": "IMDSv1 could not be switched off",
    "would_enforce": "IMDSv1 could be switched off (observe mode)",
    "held": "IMDSv1 stays on",
}
"""What people are told about; a skipped instance is nobody's news."""


class Notices:
    """The notifications topic."""

    def __init__(self, sns: SNSClient, topic_arn: str, ledger_table: str) -> None:
        self._sns = sns
        self._topic_arn = topic_arn
        self._ledger_table = ledger_table

    def note(self, entry: Entry) -> str:
        """What findings with this verdict say; the same for all of them, so that one call can write many."""
        verdict = entry.attributes
        headline = HEADLINES.get(verdict["status"], "Nothing to do")
        return (
            f"{headline}: {verdict['decision']} ({verdict['reason']}). The evidence and what to do are in the DynamoDB table "
            f"{self._ledger_table}, item pk = ARN of the instance, sk = current."
        )

    def publish(self, entries: Iterable[Entry]) -> None:
        """Send one message for entries of one account, Region and verdict. Raises ClientError."""
        for batch in _batches(entries):
            self._publish_batch(batch)

    def _publish_batch(self, entries: Sequence[Entry]) -> None:
        first = entries[0]
        decision, reason, status = (str(first.attributes[name]) for name in ("decision", "reason", "status"))
        count = "1 instance" if len(entries) == 1 else f"{len(entries)} instances"
        subject = f"{HEADLINES[status]}: {count} in {first.arn.account} {first.arn.region} ({reason})"
        lines = [f"{entry.arn}\n  {entry.attributes['explanation']}" for entry in entries]
        attributes = {
            "decision": decision,
            "reason": reason,
            "status": status,
            "account": first.arn.account,
            "region": first.arn.region,
        }
        self._sns.publish(
            TopicArn=self._topic_arn,
            Subject=subject[:_SUBJECT_LENGTH],
            Message="\n\n".join([subject, *lines, f"Evidence and history: DynamoDB table {self._ledger_table}."]),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )


def _batches(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    remaining = iter(entries)
    while batch := list(islice(remaining, _INSTANCES_A_MESSAGE)):
        yield batch
