"""After the verdict is in the ledger: the note on its findings, and the message to people. What fails here stays owed
and is made up for by the next event or revisit; it never undoes a verdict."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from imdsv2.aws.errors import describe_error
from imdsv2.domain.lifecycle import UNDER_WAY, Status
from imdsv2.domain.verdict import Reason
from imdsv2.ledger.table import Told
from imdsv2.line.notices import headline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.security_hub import SecurityHub
    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.table import Entry, Ledger
    from imdsv2.line.notices import Notices


class Teller:
    """Tells Security Hub and people what the ledger says."""

    def __init__(self, ledger: Ledger, hub: SecurityHub, notices: Notices, logger: Logger) -> None:
        self._ledger = ledger
        self._hub = hub
        self._notices = notices
        self._logger = logger

    def tell(self, arns: Iterable[InstanceArn], now: datetime, *, workflow: bool) -> None:
        """Pay what is owed for the present verdicts of instances. ``workflow``: whether NEW findings become NOTIFIED.

        The ledger is read afresh, because findings may have been added while the verdict was being reached. Raises
        ClientError where the ledger fails.
        """
        settled = set(Status) - UNDER_WAY
        entries = [each for each in self._ledger.read(arns).values() if each.status in settled]
        annotated = self._annotate(entries, workflow=workflow)
        notified = self._notify([each for each in entries if headline(each) and each.owes_notification()])
        told = {
            entry.arn: Told(entry=entry, annotated=frozenset(annotated[entry.arn]), notified=entry.arn in notified)
            for entry in entries
        }
        self._ledger.mark_told(told, now)

    def breaker_opened(self, account: Account) -> None:
        """Tell people that an account's breaker has opened; the alarm tells too, should this fail."""
        try:
            self._notices.breaker_opened(account.key, len(account.rollbacks))
        except (ClientError, BotoCoreError) as error:
            self._logger.warning("people not told", extra={"problem": describe_error(error), "account": account.key})

    def _annotate(self, entries: Iterable[Entry], *, workflow: bool) -> defaultdict[InstanceArn, set[str]]:
        by_note: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry.owed_notes():
                by_note[self._notices.note(entry)].append(entry)
        annotated: defaultdict[InstanceArn, set[str]] = defaultdict(set)
        for note, several in by_note.items():
            accounts = {finding: entry.arn.account for entry in several for finding in entry.owed_notes().values()}
            done = self._hub.annotate(accounts, note, workflow=workflow)
            for entry in several:
                annotated[entry.arn] |= {key for key, finding in entry.owed_notes().items() if finding in done}
        return annotated

    def _notify(self, entries: Iterable[Entry]) -> set[InstanceArn]:
        groups: dict[tuple[str, ...], list[Entry]] = defaultdict(list)
        for entry in entries:
            verdict = [str(entry.attributes[name]) for name in ("status", "decision", "reason")]
            # Whoever owns instances in many places gets one message; others are told place by place.
            owner = entry.attributes.get("told_owner") if entry.attributes["reason"] == Reason.NOTICE_GIVEN else None
            place = (owner,) if owner else (entry.arn.account, entry.arn.region)
            groups[(*place, str(headline(entry)), *verdict)].append(entry)
        return {arn for several in groups.values() for arn in self._publish(several)}

    def _publish(self, entries: Sequence[Entry]) -> list[InstanceArn]:
        try:
            self._notices.publish(entries)
        except (ClientError, BotoCoreError) as error:
            self._logger.warning("people not told", extra={"problem": describe_error(error), "instances": len(entries)})
            return []
        return [entry.arn for entry in entries]
