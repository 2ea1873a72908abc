"""What the service meets besides its ledger: the member accounts, Systems Manager and the topic, in memory."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from tests.world.refusal import refusal
from tests.world.scaling import Scaling
from tests.world.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.domain.instance import Placed
    from tests.world.cloudwatch import CloudWatch
    from tests.world.ec2 import Ec2


Metrics = TypeVar("Metrics", bound="CloudWatch")


@dataclass(frozen=True)
class Place(Generic[Metrics]):
    """What there is in one account and Region."""

    ec2: Ec2[Any]
    cloudwatch: Metrics
    cloudtrail: Trail = field(default_factory=Trail)


class Unpaced:
    """What member accounts say of quotas and time: there is enough of both."""

    def turn(self, there: Placed, operation: str) -> AbstractContextManager[None]:
        """No quota to wait for."""
        return nullcontext()

    def has_time(self) -> bool:
        """However long it takes."""
        return True


class MemberClients(Unpaced):
    """The member accounts, by account and Region; those that are closed let no role in."""

    def __init__(self, places: Mapping[tuple[str, str], Place[Any]]) -> None:
        self.places = places
        self.closed: set[str] = set()

    def ec2(self, there: Placed, role: str) -> EC2Client:
        """EC2 where something lies. Raises ClientError where the account is closed."""
        if there.account in self.closed:
            raise refusal("AccessDenied", "no", "AssumeRole", status=403)
        return cast("EC2Client", self.places[there.account, there.region].ec2)

    def ec2_of_sources(self, there: Placed, role: str) -> EC2Client:
        """The same: it knows all calls."""
        return self.ec2(there, role)

    def cloudwatch(self, there: Placed) -> CloudWatchClient:
        """CloudWatch where something lies."""
        return cast("CloudWatchClient", self.places[there.account, there.region].cloudwatch)

    def other(self, service: str, there: Placed) -> Scaling | Trail:
        """Auto Scaling or CloudTrail where something lies."""
        place = self.places[there.account, there.region]
        if service == "cloudtrail":
            return place.cloudtrail
        assert service == "autoscaling"
        return Scaling(place.ec2)

    def session_name(self, there: Placed, role: str) -> str:
        """The name of the session."""
        return "session"


@dataclass(frozen=True, slots=True)
class Ssm:
    """Systems Manager, whose parameters and calendars are looked up at each call."""

    parameter: Callable[[str], str]
    is_open: Callable[[str], bool]

    def get_parameter(self, *, Name: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        """A parameter as it stands; its version stands still, so that the last reading of it is the newest."""
        dated = {"Version": 1, "LastModifiedDate": datetime(2026, 1, 1, tzinfo=UTC)}
        return {"Parameter": {"Value": self.parameter(Name), **dated}}

    def get_parameter_history(self, *, Name: str) -> dict[str, Any]:  # noqa: N803 - AWS's names
        """The one writing of a parameter that there is."""
        (written,) = self.get_parameter(Name=Name).values()
        return {"Parameters": [{**written, "LastModifiedUser": "arn:aws:iam::111111111111:user/owner"}]}

    def get_calendar_state(self, *, CalendarNames: list[str]) -> dict[str, Any]:  # noqa: N803
        """Open, if all of the calendars are."""
        return {"State": "OPEN" if all(map(self.is_open, CalendarNames)) else "CLOSED"}


@dataclass(frozen=True, slots=True)
class Sns:
    """The topic; each message goes to one subscriber."""

    deliver: Callable[[Mapping[str, Any]], None]

    def publish(self, **message: Any) -> None:
        """Hand a message on, as it was sent."""
        self.deliver(message)
