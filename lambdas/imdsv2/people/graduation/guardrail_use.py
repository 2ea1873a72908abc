"""What is known of instances' use of IMDSv1 where the ledger's verdict does not say: exempt ones, those that wait, those never judged; and
of those on which tokens were required so lately that credentials which IMDSv1 delivered may still be in use. Only reads.

First what the ledger says, then what the evidence of cohorts remembers, then CloudWatch.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import REJECTED_CALLS, TOKENLESS_CALLS, read
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.evidence.hours import HOUR, Hours, at
from imdsv2.domain.evidence.pool import Trace
from imdsv2.domain.instance import Place
from imdsv2.domain.texts.words import day, minute
from imdsv2.source.impact import Known
from imdsv2.source.verdict import Word, word_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from mypy_boto3_cloudwatch import CloudWatchClient

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.evidence.hours import Series
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.ledger.pool import Pools
    from imdsv2.ledger.record import Record
    from imdsv2.ledger.table import Ledger

_AT_ONCE = 500
CREDENTIALS_LIVE = timedelta(days=1)
"""Credentials of a role work for six hours and some; a day is certainly enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the ledger says of an instance. ``since``: from when on its calls count, None for the whole window; ``changed_at``: when its
    verdict last changed."""

    word: Word
    cohort: str | None = None
    since: datetime | None = None
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """Asks. Methods may raise ClientError if the ledger fails."""

    clients: MemberClients
    ledger: Ledger
    pools: Pools

    def told(self, arns: Sequence[InstanceArn]) -> dict[InstanceArn, Told]:
        """What the ledger says of those that it knows. Records are read some at a time: there may be a hundred thousand."""
        found: dict[InstanceArn, Told] = {}
        for first in range(0, len(arns), _AT_ONCE):
            records = self.ledger.read(arns[first : first + _AT_ONCE])
            found |= {arn: _told(record) for arn, record in records.items() if record.version}
        return found

    def of(
        self, unclear: Iterable[InstanceArn], told: Mapping[InstanceArn, Told], since: datetime, now: datetime
    ) -> Known:
        """The calls of instances since then, and what was seen of those of which no call is known."""
        asked = {arn: told.get(arn) for arn in unclear}
        calls = self._remembered(asked, since)
        begins = {arn: _begin(known, since) for arn, known in asked.items() if arn not in calls}
        quiet: dict[InstanceArn, str] = {}
        for place, spans in _batches(begins, now):
            cloudwatch, problem = self._cloudwatch(place)
            if cloudwatch is None:
                quiet |= dict.fromkeys(spans, problem)
                continue
            accepted, refused = (read(cloudwatch, metric, spans) for metric in (TOKENLESS_CALLS, REJECTED_CALLS))
            for arn in spans:
                trace = _newest(arn, accepted[arn], refused[arn])
                if trace is not None:
                    calls[arn] = trace
                else:
                    quiet[arn] = _quiet(accepted[arn], refused[arn], begins[arn])
        return Known(calls=calls, quiet=quiet)

    def closed_lately(
        self, arns: Iterable[InstanceArn], told: Mapping[InstanceArn, Told], now: datetime
    ) -> dict[InstanceArn, str]:
        """Of instances that require tokens: those whose calls IMDSv1 answered so lately that what it delivered may still be in use, each
        with until when. Asked are those of which the ledger has said something new since."""
        begin = now - CREDENTIALS_LIVE
        lately = {
            arn: begin
            for arn in arns
            if arn in told and (changed := told[arn].changed_at) is not None and changed > begin
        }
        found = {}
        for place, spans in _batches(lately, now):
            cloudwatch, _ = self._cloudwatch(place)
            for arn, series in (read(cloudwatch, TOKENLESS_CALLS, spans) if cloudwatch is not None else {}).items():
                used = [hour for hour, value in series.values.items() if value]
                if used:
                    over = at(max(used) + 1) + CREDENTIALS_LIVE
                    found[arn] = (
                        "Tokens are required by now, and IMDSv1 answered it less than a day ago: credentials that it delivered may be in "
                        f"use. Wait until {minute(over)}."
                    )
        return found

    def _remembered(self, asked: Mapping[InstanceArn, Told | None], since: datetime) -> dict[InstanceArn, Trace]:
        """The calls that the evidence of their cohorts remembers."""
        cohorts = {known.cohort for known in asked.values() if known is not None and known.cohort is not None}
        found = {}
        for pool in self.pools.read(cohorts).values() if cohorts else ():
            for member in pool.members:
                if member.arn in asked:
                    traces = member.traces(_begin(asked[member.arn], since), pool.settled_at)
                    if traces:
                        found[member.arn] = max(traces, key=lambda each: each.over_at)
        return found

    def _cloudwatch(self, place: Place) -> tuple[CloudWatchClient | None, str]:
        """The client, or why CloudWatch is not asked."""
        if not self.clients.has_time():
            return None, "there was no time left to ask CloudWatch; ask about this account and Region alone"
        try:
            return self.clients.cloudwatch(place), ""
        except CALL_FAILURES as error:
            return None, f"CloudWatch cannot be asked ({describe_error(error)}); deploy the member roles there"


def _told(record: Record) -> Told:
    return Told(
        word=word_of(record),
        cohort=record.cohort,
        since=record.mended_at,
        changed_at=record.changed_at,
    )


def _begin(known: Told | None, since: datetime) -> datetime:
    """From when on calls count: what a person has said to be mended since is over."""
    return max(since, known.since) if known is not None and known.since is not None else since


def _batches(begins: Mapping[InstanceArn, datetime], now: datetime) -> Iterator[tuple[Place, dict[InstanceArn, Hours]]]:
    """The hours to look at, of some instances of one account and Region at a time: their values take memory."""
    by_place: dict[Place, dict[InstanceArn, Hours]] = defaultdict(dict)
    end = math.ceil(now.timestamp() / HOUR)
    for arn, begin in begins.items():
        first = math.ceil(begin.timestamp() / HOUR)
        by_place[Place(arn.partition, arn.region, arn.account)][arn] = Hours(min(first, end), end)
    for place, spans in by_place.items():
        arns = list(spans)
        for begin_at in range(0, len(arns), _AT_ONCE):
            yield place, {arn: spans[arn] for arn in arns[begin_at : begin_at + _AT_ONCE]}


def _newest(arn: InstanceArn, accepted: Series, refused: Series) -> Trace | None:
    """The calls that were answered, else those that were refused; None if there are none. Part of an answer is enough to know of a
    call."""
    for series, is_refused in ((accepted, False), (refused, True)):
        used = {hour: value for hour, value in series.values.items() if value}
        if used:
            return Trace(arn=arn, calls=math.ceil(sum(used.values())), last=at(max(used)), refused=is_refused)
    return None


def _quiet(accepted: Series, refused: Series, begin: datetime) -> str:
    """What was seen instead of calls."""
    if (problem := accepted.problem or refused.problem) is not None:
        return f"CloudWatch did not answer in full ({problem}); ask again"
    if not accepted.values:
        return "it publishes no metric of its calls"
    return f"in {len(accepted.values)} hours that were observed since {day(begin)} it made no call"
