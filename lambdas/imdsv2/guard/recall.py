"""Recall: detects late breakage. Every hour, CloudWatch is asked which enforced instances reject calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import REJECTED_CALLS, instances_with_news
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.instance import InstanceArn, Place

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.account import Account
    from imdsv2.ledger.policy import PolicySource
    from imdsv2.ledger.table import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Finds enforced instances that reject calls, whether or not they are still under watch. ``now``: the clock."""

    members: Members
    ledger: Ledger
    policies: PolicySource
    now: Callable[[], datetime]
    logger: Logger

    def refusing(self, account: Account) -> dict[Place, list[InstanceArn]]:
        """The account's enforced instances that rejected calls recently, by account and Region. Only enforcements
        within the last `lookback_days` count: what runs once per window has run by then."""
        now = self.now()
        oldest = now - timedelta(days=self.policies.current(now).policy.lookback_days)
        partition, _, number = account.key.partition("/")
        refusing: dict[Place, list[InstanceArn]] = {}
        lately = [region for region, when in account.last_enforced.items() if when >= oldest]
        for place in (Place(partition, region, number) for region in lately):
            named = self._named(place)
            records = self.ledger.read(InstanceArn(partition, place.region, number, each) for each in sorted(named))
            refusing[place] = [
                arn
                for arn, record in records.items()
                if record.stands and record.enforced_at is not None and record.enforced_at >= oldest
            ]
        return {place: arns for place, arns in refusing.items() if arns}

    def _named(self, place: Place) -> set[str]:
        """Ids of instances in this place that rejected calls in the last three hours; empty if the call fails."""
        try:
            return set(instances_with_news(self.members.cloudwatch(place), REJECTED_CALLS))
        except CALL_FAILURES as error:
            self.logger.warning(
                "not known which instances refuse calls",
                extra={"account": place.account, "region": place.region, "problem": describe_error(error)},
            )
            return set()
