"""What has proved healthy is recalled if it breaks later: every hour CloudWatch is asked which instances refuse calls, for as
long as an enforcement stands. What needs IMDSv1 once a quarter, or at the next reboot, fails long after any watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import REJECTED_CALLS, instances_with_news
from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.domain.instance import InstanceArn, Place

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import Members
    from imdsv2.domain.account import Account
    from imdsv2.ledger.table import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Finds what refuses calls, whether its watch goes on or not."""

    members: Members
    ledger: Ledger
    logger: Logger

    def refusing(self, account: Account) -> dict[Place, list[InstanceArn]]:
        """Instances of an account that were enforced, however long ago, and that have refused calls of late."""
        partition, _, number = account.key.partition("/")
        refusing: dict[Place, list[InstanceArn]] = {}
        for place in (Place(partition, region, number) for region in account.last_enforced):
            named = self._named(place)
            records = self.ledger.read(InstanceArn(partition, place.region, number, each) for each in sorted(named))
            refusing[place] = [
                arn for arn, record in records.items() if record.stands and record.enforced_at is not None
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
