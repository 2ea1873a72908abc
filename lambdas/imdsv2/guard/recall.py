"""What has proved healthy is recalled if it breaks later: every hour CloudWatch is asked which instances refuse calls, for as
long as an enforcement stands. What needs IMDSv1 once a quarter, or at the next reboot, fails long after any watch. Where a watch
goes on, it is asked at every pass, so that only what is named has to be read. Where the guard has not run for longer than the last
hours that CloudWatch lists, the list of the last two weeks is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imdsv2.aws.cloudwatch import REJECTED_CALLS, instances_with_news
from imdsv2.aws.errors import CALL_FAILURES, describe_error, may_pass
from imdsv2.domain.instance import InstanceArn, Place

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aws_lambda_powertools import Logger

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.account import Account
    from imdsv2.ledger.table import Ledger


@dataclass(slots=True, kw_only=True)
class Refusing:
    """Instances that refuse calls, by place. ``arns``: those that were enforced, and are to be recalled. ``named``: ids of all; a
    place of which that is not known is not there. ``failed``: how many places failed, those that could not be asked included;
    ``to_repeat``: whether CloudWatch has to be asked again at the next pass."""

    arns: dict[Place, list[InstanceArn]] = field(default_factory=dict)
    named: dict[Place, frozenset[str]] = field(default_factory=dict)
    failed: int = 0
    to_repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """Finds what refuses calls, whether its watch goes on or not."""

    clients: MemberClients
    ledger: Ledger
    logger: Logger

    def refusing(self, account: Account, watched: Iterable[Place], *, recalls: bool, lately: bool = True) -> Refusing:
        """Instances of an account that have refused calls of late. A place of which that cannot be said fails alone.

        Args:
            account: the account.
            watched: where instances are under watch.
            recalls: whether instances are recalled that were enforced however long ago, wherever they are.
            lately: whether the last hours are enough, because an earlier pass has seen what was before.
        """
        partition, _, number = account.key.partition("/")
        found = Refusing()
        everywhere = (Place(partition, region, number) for region in account.last_enforced)
        for place in dict.fromkeys((*(everywhere if recalls else ()), *watched)):
            try:
                named, may_ask_again = self._named(place, lately=lately)
                found.to_repeat |= may_ask_again and recalls
                found.failed += may_ask_again
                if named is None:
                    continue
                found.named[place] = named
                arns = self._enforced(place, named) if recalls else []
            except Exception:
                self.logger.exception("nothing recalled", extra={"account": number, "region": place.region})
                found.failed += 1
                continue
            if arns:
                found.arns[place] = arns
        return found

    def _named(self, place: Place, *, lately: bool) -> tuple[frozenset[str] | None, bool]:
        """Ids of instances in this place that rejected calls in the last three hours, or not ``lately``, in the last two weeks. If the
        call fails: None, and whether it may succeed at the next pass. What is not permitted (member roles of an older stack) is not
        asked again within the hour."""
        try:
            return frozenset(instances_with_news(self.clients.cloudwatch(place), REJECTED_CALLS, lately=lately)), False
        except CALL_FAILURES as error:
            self.logger.warning(
                "not known which instances refuse calls",
                extra={"account": place.account, "region": place.region, "problem": describe_error(error)},
            )
            return None, may_pass(error)

    def _enforced(self, place: Place, named: Iterable[str]) -> list[InstanceArn]:
        arns = map(place.instance, sorted(named))
        records = self.ledger.read(arns).items()
        return [arn for arn, record in records if record.stands and record.enforced_at is not None]
