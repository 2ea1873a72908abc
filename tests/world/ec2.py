"""EC2 in memory: the instances of one account and Region, their metadata options and tags, and what EC2 refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

MOST_TAGS = 50
AWS_OWN_TAGS = "aws:"
"""The prefix of tags that AWS sets; they do not count as an instance's (EC2 User Guide, Tag restrictions)."""
INSTANCES_A_PAGE = 1000
CHANGEABLE = {"pending", "running", "stopping", "stopped"}
OPEN_OPTIONS: Mapping[str, Any] = {"HttpTokens": "optional", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1}
"""What EC2 gives an instance whose launch says nothing."""
ENDPOINT_CLOSED = (
    "The HttpEndpoint is not set to 'enabled' in this request. "
    "To specify a value for HttpTokens, set HttpEndpoint to 'enabled'."
)


class Described(Protocol):
    """An instance as far as EC2's calls need it."""

    tags: dict[str, str]

    @property
    def state(self) -> str:
        """`running`, `stopped`, ..."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Its metadata options, by EC2's names."""

    def change_options(self, sent: Mapping[str, Any]) -> None:
        """Change those that are sent and leave the others."""

    def shown(self) -> dict[str, Any]:
        """The instance in the words of DescribeInstances."""


@dataclass(slots=True, kw_only=True)
class Instance:
    """One instance. Changes are applied at once while it runs, else at its next start."""

    instance_id: str
    image: str
    launched_at: datetime
    first_launched_at: datetime
    state: str = "running"
    stopped_at: datetime | None = None
    """Or when it was terminated."""
    rebooted_at: datetime | None = None
    """The last reboot through EC2, which EC2 does not show."""
    options: dict[str, Any] = field(default_factory=lambda: dict(OPEN_OPTIONS))
    options_pending: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    def stop(self, now: datetime) -> None:
        """Its user stops it."""
        self.state, self.stopped_at = "stopped", now

    def start(self, now: datetime) -> None:
        """It starts again, with the options that it has been given meanwhile."""
        self.state, self.stopped_at, self.launched_at, self.options_pending = "running", None, now, False

    def terminate(self, now: datetime) -> None:
        """Its user terminates it; EC2 shows it for a while longer."""
        self.state, self.stopped_at = "terminated", now

    def change_options(self, sent: Mapping[str, Any]) -> None:
        """Change those that are sent and leave the others."""
        self.options |= sent
        self.options_pending = self.state != "running"

    def shown(self) -> dict[str, Any]:
        """The instance in the words of DescribeInstances."""
        reason = f"User initiated ({self.stopped_at:%Y-%m-%d %H:%M:%S} GMT)" if self.stopped_at else ""
        interface = {"Attachment": {"DeviceIndex": 0, "AttachTime": self.first_launched_at}}
        return {
            "InstanceId": self.instance_id,
            "State": {"Name": self.state},
            "LaunchTime": self.launched_at,
            "ImageId": self.image,
            "StateTransitionReason": reason,
            "NetworkInterfaces": [] if self.state == "terminated" else [interface],
            "MetadataOptions": {**self.options, "State": "pending" if self.options_pending else "applied"},
            "Tags": as_tags(self.tags),
        }


AnInstance = TypeVar("AnInstance", bound=Described)

_FILTERS: Mapping[str, Callable[[Described], str]] = {
    "instance-id": lambda each: str(each.shown()["InstanceId"]),
    "instance-state-name": lambda each: each.state,
    "metadata-options.http-tokens": lambda each: str(each.options["HttpTokens"]),
    "image-id": lambda each: str(each.shown().get("ImageId", "")),
}


def _filter(name: str) -> Callable[[Described], str]:
    """What a filter compares; the values of those that are used here hold no wildcards."""
    if not name.startswith("tag:"):
        return _FILTERS[name]
    key = name.removeprefix("tag:")
    return lambda each: next((tag["Value"] for tag in each.shown()["Tags"] if tag["Key"] == key), "")


class Ec2(Generic[AnInstance]):
    """EC2 in one account and Region. Its calls have boto3's names and arguments, and raise ClientError."""

    def __init__(self, instances: Mapping[str, AnInstance]) -> None:
        self.instances = dict(instances)
        """By id; one that is taken out is one that EC2 has forgotten."""

    def describe_instances(
        self,
        InstanceIds: Sequence[str] = (),  # noqa: N803 - AWS's names
        Filters: Sequence[Mapping[str, Any]] = (),  # noqa: N803
        MaxResults: int | None = None,  # noqa: N803
        NextToken: str = "",  # noqa: N803
        IncludeManagedResources: bool = False,  # noqa: N803 - nothing here is hidden
    ) -> dict[str, Any]:
        """By ids, or page by page in the order of launch; the token is the id after which the next page begins."""
        if InstanceIds and MaxResults is not None:
            message = "The parameter instancesSet cannot be used with the parameter maxResults"
            raise refusal("InvalidParameterCombination", message, "DescribeInstances")
        chosen = self._known(InstanceIds, "DescribeInstances") if InstanceIds else self._listed(Filters, NextToken)
        page: list[dict[str, Any]] = []
        for instance in chosen:
            if len(page) == (MaxResults or INSTANCES_A_PAGE):
                return {"Reservations": [{"Instances": page}], "NextToken": page[-1]["InstanceId"]}
            page.append(instance.shown())
        return {"Reservations": [{"Instances": page}]}

    def describe_images(
        self,
        *,
        Filters: Sequence[Mapping[str, Any]],  # noqa: N803
        IncludeDeprecated: bool = False,  # noqa: N803
        IncludeDisabled: bool = False,  # noqa: N803
    ) -> dict[str, Any]:
        """No AMI: those of the instances have been deregistered, and nobody can say whose they were."""
        return {"Images": []}

    def create_tags(self, *, Resources: Sequence[str], Tags: Sequence[Mapping[str, str]]) -> None:  # noqa: N803
        """Tag instances, all of them or none."""
        tags = {tag["Key"]: tag["Value"] for tag in Tags}
        instances = self._known(Resources, "CreateTags")
        if any(_own_tags(each.tags | tags) > MOST_TAGS for each in instances):
            raise refusal(
                "TagLimitExceeded", "The maximum number of Tags for a resource has been reached.", "CreateTags"
            )
        for each in instances:
            each.tags.update(tags)

    def delete_tags(self, *, Resources: Sequence[str], Tags: Sequence[Mapping[str, str]]) -> None:  # noqa: N803
        """Remove tags, where they are there and, if a value is sent, have that value."""
        for each in self._known(Resources, "DeleteTags"):
            for tag in Tags:
                if tag.get("Value") in {None, each.tags.get(tag["Key"])}:
                    each.tags.pop(tag["Key"], None)

    def modify_instance_metadata_options(self, *, InstanceId: str, DryRun: bool = False, **sent: Any) -> dict[str, Any]:  # noqa: N803
        """Change the options that are sent."""
        operation = "ModifyInstanceMetadataOptions"
        (instance,) = self._known([InstanceId], operation)
        if not 1 <= sent.get("HttpPutResponseHopLimit", 1) <= 64:
            raise refusal("InvalidParameterValue", "The hop limit must be from 1 to 64.", operation)
        if "HttpTokens" in sent and sent.get("HttpEndpoint", instance.options["HttpEndpoint"]) != "enabled":
            raise refusal("InvalidParameterValue", ENDPOINT_CLOSED, operation)
        if DryRun:
            message = "Request would have succeeded, but DryRun flag is set."
            raise refusal("DryRunOperation", message, operation, status=412)
        if instance.state not in CHANGEABLE:
            message = f"The instance '{InstanceId}' is {instance.state}: its metadata options cannot be modified."
            raise refusal("IncorrectInstanceState", message, operation)
        instance.change_options(sent)
        return {"InstanceId": InstanceId, "InstanceMetadataOptions": {**instance.options, "State": "pending"}}

    def with_tag(self, key: str, value: str) -> Iterable[tuple[str, AnInstance]]:
        """The instances that bear a tag, those that have ended included, by id."""
        of = _filter(f"tag:{key}")
        return [(instance_id, each) for instance_id, each in self.instances.items() if of(each) == value]

    def _known(self, ids: Sequence[str], operation: str) -> list[AnInstance]:
        malformed = [each for each in ids if not re.fullmatch(r"i-([0-9a-f]{8}|[0-9a-f]{17})", each)]
        if malformed:
            raise refusal("InvalidInstanceID.Malformed", f'Invalid id: "{malformed[0]}"', operation)
        unknown = [each for each in ids if each not in self.instances]
        if unknown:
            several = f"s '{', '.join(unknown)}' do" if unknown[1:] else f" '{unknown[0]}' does"
            raise refusal("InvalidInstanceID.NotFound", f"The instance ID{several} not exist", operation)
        return [self.instances[each] for each in ids]

    def _listed(self, filters: Sequence[Mapping[str, Any]], after: str) -> Iterator[AnInstance]:
        ids = list(self.instances)
        wanted = [(_filter(each["Name"]), set(each["Values"])) for each in filters]
        for instance_id in ids[ids.index(after) + 1 if after else 0 :]:
            instance = self.instances[instance_id]
            if all(of(instance) in values for of, values in wanted):
                yield instance


def _own_tags(tags: Mapping[str, str]) -> int:
    return sum(not key.startswith(AWS_OWN_TAGS) for key in tags)


def as_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as AWS lists them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]
