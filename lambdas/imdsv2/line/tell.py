"""The last step of the line: notes on findings, and notifications. A failure never undoes a verdict; what could not be
sent remains due, and is sent with the next event, or at a revisit within 15 minutes. What is not urgent is left to the digest
(`sweep.digest`), if the policy says so."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.security_hub import Annotated
from imdsv2.domain.batches import batched
from imdsv2.domain.gates import notice, notice_undelivered, with_notice
from imdsv2.domain.lifecycle import UNDER_WAY, Status
from imdsv2.domain.policy import Digest
from imdsv2.ledger.told import Told
from imdsv2.line.messages import INSTANCES_A_MESSAGE, breaker_opened, headline, message, owner_told
from imdsv2.line.note import note
from imdsv2.line.notices import notice_delivered
from imdsv2.line.urgent import is_urgent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.security_hub import SecurityHub
    from imdsv2.aws.topic import Topic
    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger
    from imdsv2.line.messages import Directions


class Teller:
    """Informs Security Hub and people of what the ledger says. ``now``: the clock."""

    def __init__(
        self,
        ledger: Ledger,
        hub: SecurityHub,
        topic: Topic,
        directions: Directions,
        logger: Logger,
        policies: PolicySource,
        now: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._hub = hub
        self._topic = topic
        self._directions = directions
        self._logger = logger
        self._policies = policies
        self._now = now

    def tell(
        self,
        arns: Iterable[InstanceArn],
        now: datetime,
        *,
        workflow: bool,
        paid: Mapping[InstanceArn, frozenset[str]] | None = None,
    ) -> None:
        """Send what is due for the current verdicts. ``workflow``: whether NEW findings become NOTIFIED. ``paid``: what else these
        records owed and owe no longer, which is recorded with it.

        The ledger is read again, because findings may have been added in the meantime. What could not be sent is tried again
        within 15 minutes. Raises ClientError if the ledger fails.
        """
        settled = set(Status) - UNDER_WAY
        records = {each.arn: each for each in self._ledger.read(arns).values() if each.status in settled}
        owing = [each for each in records.values() if each.has_news and each.owes_notification()]
        left = self._left_to_the_digest(owing, now)
        due = [each for each in owing if each.arn not in left]
        sent = self._notify(due, now)
        told_at = max(self._now(), now)
        after = records | {arn: self._delivered(each, told_at) for arn, each in sent.items()}
        unsent = {each.arn: each for each in due if each.arn not in sent}
        after |= {arn: _undelivered(each) for arn, each in unsent.items() if each.owes_notice}
        annotated, refused = self._annotate(after.values(), workflow=workflow)
        told = {}
        for arn, record in records.items():
            untold = after[arn].owed_notes().keys() - annotated[arn] - refused[arn]
            told[arn] = Told(
                record=record,
                annotated=frozenset(annotated[arn]),
                notified=arn in sent or arn in left,
                paid=(paid or {}).get(arn, frozenset()),
                changed=after[arn],
                still_owes=bool(untold) or arn in unsent,
            )
        self._ledger.mark_told(told, told_at).logged(self._logger)  # What is not marked is told again.

    def _left_to_the_digest(self, owing: Iterable[Record], now: datetime) -> set[InstanceArn]:
        """What the digest tells in place of a message of its own: it reads the events of the trail, which are written with the verdicts,
        so that nothing is lost if this invocation ends here."""
        can_wait = {each.arn for each in owing if not is_urgent(each)}
        return can_wait if can_wait and self._policies.current(now).policy.digest is Digest.DAILY else set()

    def _delivered(self, record: Record, now: datetime) -> Record:
        """The record of which people have been told. ``record``: as it was told."""
        if not record.owes_notice:
            return record
        hours = self._policies.current(now).policy.notice_hours
        return notice_delivered(record, str(record.explanation), hours, now)

    def breaker_opened(self, account: Account) -> bool:
        """Notify people that an account's circuit breaker has opened. Returns whether that went out; the alarm says it too."""
        try:
            self._topic.send(breaker_opened(account, self._directions))
        except CALL_FAILURES as error:
            self._logger.warning("people not told", extra={"problem": describe_error(error), "account": account.key})
            return False
        return True

    def _annotate(
        self, records: Iterable[Record], *, workflow: bool
    ) -> tuple[defaultdict[InstanceArn, set[str]], defaultdict[InstanceArn, set[str]]]:
        """Write the notes that are owed. Returns the keys of the findings that have theirs, and of those that will not get one."""
        texts: dict[Finding, str] = {}
        accounts: dict[Finding, str] = {}
        owing = [each for each in records if each.owed_notes()]
        for record in owing:
            text = note(record)
            texts |= dict.fromkeys(record.owed_notes().values(), text)
            accounts |= dict.fromkeys(record.owed_notes().values(), record.arn.account)
        result = self._written(texts, accounts, workflow=workflow)
        annotated: defaultdict[InstanceArn, set[str]] = defaultdict(set)
        refused: defaultdict[InstanceArn, set[str]] = defaultdict(set)
        for record in owing:
            annotated[record.arn] |= {key for key, finding in record.owed_notes().items() if finding in result.done}
            refused[record.arn] |= {key for key, finding in record.owed_notes().items() if finding in result.refused}
        return annotated, refused

    def _written(self, texts: Mapping[Finding, str], accounts: Mapping[Finding, str], *, workflow: bool) -> Annotated:
        try:
            return self._hub.annotate(texts, accounts, workflow=workflow) if texts else Annotated()
        except Exception:
            # Whatever Security Hub answers: that the messages have been sent must still be recorded.
            self._logger.exception("findings not annotated")
            return Annotated()

    def _notify(self, records: Iterable[Record], now: datetime) -> dict[InstanceArn, Record]:
        """Send messages. Returns the records of which people were told, as they were told."""
        groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
        for record in records:
            verdict = [str(each) for each in (record.status, record.decision, record.reason)]
            # A notice is one message for all accounts and Regions; other messages are grouped by account, Region and owner.
            owner = owner_told(record)
            place = (owner,) if owner else (record.arn.account, record.arn.region, str(record.belongs_to))
            groups[(*place, str(headline(record)), *verdict)].append(self._announced(record, now))
        sent: dict[InstanceArn, Record] = {}
        for batch in (each for several in groups.values() for each in batched(several, INSTANCES_A_MESSAGE)):
            try:
                self._topic.send(message(batch, self._directions))
            except CALL_FAILURES as error:
                problem = {"problem": describe_error(error), "instances": len(batch)}
                self._logger.warning("people not told", extra=problem)
                if not isinstance(error, ClientError):
                    break  # The topic does not answer; each further message would wait as long.
            else:
                sent |= {record.arn: record for record in batch}
        return sent

    def _announced(self, record: Record, now: datetime) -> Record:
        """The record with the notice as it is sent now, if that is due: it counts from its delivery."""
        if not record.owes_notice:
            return record
        policy = self._policies.current(now).policy
        text = notice(policy, now + timedelta(hours=policy.notice_hours), str(record.told_owner), record.arn)
        return replace(record, explanation=with_notice(str(record.explanation), text))


def _undelivered(record: Record) -> Record:
    text = notice_undelivered(str(record.told_owner))
    return replace(record, explanation=with_notice(str(record.explanation), text))
