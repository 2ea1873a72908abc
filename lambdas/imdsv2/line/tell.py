"""The last step of the line: notes on findings, and notifications. A failure never undoes a verdict; what could not be
sent remains due, and is sent with the next event or revisit."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from imdsv2.aws.errors import describe_error
from imdsv2.domain.lifecycle import UNDER_WAY, Status
from imdsv2.ledger.record import Told
from imdsv2.line.messages import breaker_opened, headline, messages, owner_told
from imdsv2.line.note import note

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.security_hub import SecurityHub
    from imdsv2.aws.topic import Topic
    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger


class Teller:
    """Informs Security Hub and people of what the ledger says."""

    def __init__(self, ledger: Ledger, hub: SecurityHub, topic: Topic, ledger_table: str, logger: Logger) -> None:
        self._ledger = ledger
        self._hub = hub
        self._topic = topic
        self._ledger_table = ledger_table
        self._logger = logger

    def tell(self, arns: Iterable[InstanceArn], now: datetime, *, workflow: bool) -> None:
        """Send what is due for the current verdicts. ``workflow``: whether NEW findings become NOTIFIED.

        The ledger is read again, because findings may have been added in the meantime. Raises ClientError if the ledger
        fails.
        """
        settled = set(Status) - UNDER_WAY
        records = [each for each in self._ledger.read(arns).values() if each.status in settled]
        annotated = self._annotate(records, workflow=workflow)
        notified = self._notify([each for each in records if headline(each) and each.owes_notification()])
        told = {
            record.arn: Told(record=record, annotated=frozenset(annotated[record.arn]), notified=record.arn in notified)
            for record in records
        }
        self._ledger.mark_told(told, now)

    def breaker_opened(self, account: Account) -> None:
        """Notify people that an account's circuit breaker has opened; if this fails, the alarm still does."""
        try:
            self._topic.send(breaker_opened(account))
        except (ClientError, BotoCoreError) as error:
            self._logger.warning("people not told", extra={"problem": describe_error(error), "account": account.key})

    def _annotate(self, records: Iterable[Record], *, workflow: bool) -> defaultdict[InstanceArn, set[str]]:
        texts: dict[Finding, str] = {}
        accounts: dict[Finding, str] = {}
        owing = [each for each in records if each.owed_notes()]
        for record in owing:
            text = note(record, self._ledger_table)
            texts |= dict.fromkeys(record.owed_notes().values(), text)
            accounts |= dict.fromkeys(record.owed_notes().values(), record.arn.account)
        done = self._hub.annotate(texts, accounts, workflow=workflow) if texts else set()
        annotated: defaultdict[InstanceArn, set[str]] = defaultdict(set)
        for record in owing:
            annotated[record.arn] |= {key for key, finding in record.owed_notes().items() if finding in done}
        return annotated

    def _notify(self, records: Iterable[Record]) -> set[InstanceArn]:
        groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
        for record in records:
            verdict = [str(each) for each in (record.status, record.decision, record.reason)]
            # An owner gets one message for all accounts and Regions; other messages are grouped by account and Region.
            owner = owner_told(record)
            place = (owner,) if owner else (record.arn.account, record.arn.region)
            groups[(*place, str(headline(record)), *verdict)].append(record)
        return {arn for several in groups.values() for arn in self._publish(several)}

    def _publish(self, records: Sequence[Record]) -> list[InstanceArn]:
        try:
            for message in messages(records, self._ledger_table):
                self._topic.send(message)
        except (ClientError, BotoCoreError) as error:
            self._logger.warning("people not told", extra={"problem": describe_error(error), "instances": len(records)})
            return []
        return [record.arn for record in records]
