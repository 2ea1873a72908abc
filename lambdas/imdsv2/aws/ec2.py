"""Describes EC2 instances in batches; one unknown id does not fail the rest of its batch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from imdsv2.aws.errors import CALL_FAILURES, describe_error, error_code, is_throttling, may_pass
from imdsv2.aws.isolating import NO_SUCH_INSTANCE, Answer, isolate
from imdsv2.aws.listing import Access, Listing
from imdsv2.aws.pages import listed, pages
from imdsv2.domain.batches import batched
from imdsv2.domain.instance import Instance, InstanceArn, MetadataOptions, Missing, Place, Target, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import DescribeInstancesResultTypeDef, InstanceTypeDef

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.instance import Placed

IDS_A_CALL = 1000
"""Maximum number of ids or results per DescribeInstances call (EC2 API reference)."""

_MANAGED_TOO: Any = {"IncludeManagedResources": True}
"""EC2 leaves out instances that an AWS service manages and hides; without this, they would count as gone."""

_OPTIONS_UNKNOWN = (
    "EC2 does not show its metadata options; without them nothing is changed. It is looked at again by itself; if that stays so, look "
    "at the instance in EC2."
)

_INSTANCE_ID = re.compile(r"i-[0-9a-zA-Z]+")
"""In messages of InvalidInstanceID.NotFound and .Malformed, which the code identifies: "The instance IDs 'i-..., i-...' do not
exist" (recorded in https://github.com/getmoto/moto/issues/4903). Ids that it names and were not asked for change nothing."""
_STOPPED_AT = re.compile(r"\((\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}) (?:GMT|UTC)\)")
"""EC2 API reference, Instance: StateTransitionReason, e.g. "User initiated (2026-01-31 07:00:00 GMT)"; it may be empty."""


def look(clients: MemberClients, arns: Sequence[InstanceArn]) -> dict[InstanceArn, Target]:
    """Describe instances of one account and Region with its read role; Unreachable if the role cannot be assumed."""
    if not arns:
        return {}
    try:
        ec2 = clients.ec2(arns[0], "read")
    except CALL_FAILURES as error:
        return {arn: unreachable(arn, error) for arn in arns}
    return describe(ec2, arns)


def describe(ec2: EC2Client, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Target]:
    """Describe instances of one account and Region. Never raises: an instance that cannot be read is Unreachable.

    An instance is Missing if EC2 does not know its id, or leaves it out of a complete answer.
    """
    wanted = {arn.instance_id: arn for arn in arns}
    found: dict[InstanceArn, Target] = {}
    for batch in batched(wanted, IDS_A_CALL):
        answer = _answer(ec2, batch)
        if answer.may_be_of_some_ids:
            answer = isolate(partial(_answer, ec2), answer)
        found |= {wanted[each]: _target(wanted[each], answer) for each in batch}
    return found


def _target(arn: InstanceArn, answer: Answer) -> Target:
    if arn.instance_id in answer.seen:
        try:
            seen = _instance(arn, answer.seen[arn.instance_id])
        except KeyError as error:
            return unreachable(arn, ResponseParserError(f"EC2 shows it without {error}"))
        return seen if _shows_what_counts(seen) else Unreachable(arn=arn, problem=_OPTIONS_UNKNOWN, passes=True)
    if arn.instance_id in answer.failed:
        return unreachable(arn, answer.failed[arn.instance_id])
    return Missing(arn=arn)


def _shows_what_counts(instance: Instance) -> bool:
    """Whether EC2 shows whether an instance requires tokens, or needs none: what it does not show is neither open nor closed, and nobody
    can say whether it is still as it was left. Where the endpoint alone is not shown, EC2 refuses what it would have to be sent for."""
    options = instance.options
    settled = options.http_tokens == "required" or options.http_endpoint == "disabled"
    ended = instance.state in {"terminated", "shutting-down"}
    return ended or settled or options.http_tokens == "optional"


def instances_of(ec2: EC2Client, place: Placed, name: str, values: Sequence[str]) -> list[Instance]:
    """All instances of an account and Region, in whatever state, for which a filter has one of up to 200 values. Raises ClientError
    or BotoCoreError."""
    return _listed(ec2, place, [_filter(name, values)])


def running_instances(ec2: EC2Client, place: Placed) -> list[Instance]:
    """All running instances of an account and Region that allow IMDSv1. Raises ClientError or BotoCoreError."""
    return _listed(
        ec2,
        place,
        [
            {"Name": "instance-state-name", "Values": ["running"]},
            {"Name": "metadata-options.http-tokens", "Values": ["optional"]},
        ],
    )


def every_instance(ec2: EC2Client, place: Placed) -> list[Instance]:
    """All instances of an account and Region that exist, whatever they allow. Raises ClientError or BotoCoreError."""
    return select_instances(ec2, place, {})


def select_instances(ec2: EC2Client, place: Placed, wanted: Mapping[str, Sequence[str]]) -> list[Instance]:
    """All instances of an account and Region that exist and fit every filter: its name, and up to 200 values of which one must fit.
    Raises ClientError or BotoCoreError."""
    states = {"instance-state-name": ["pending", "running", "stopping", "stopped"]}
    return _listed(ec2, place, [_filter(name, values) for name, values in (states | dict(wanted)).items()])


def _filter(name: str, values: Sequence[str]) -> dict[str, Any]:
    # In a filter, these stand for other characters.
    return {"Name": name, "Values": [re.sub(r"([\\*?])", r"\\\1", value) for value in values]}


def _listed(ec2: EC2Client, place: Placed, filters: Sequence[Mapping[str, Any]]) -> list[Instance]:
    found: list[Instance] = []
    for page in pages(ec2.describe_instances, **_MANAGED_TOO, MaxResults=IDS_A_CALL, Filters=filters):
        found += parsed(place, _instances_on(page))
    return found


def list_instances(ec2: EC2Client, note: Callable[[Sequence[InstanceTypeDef]], None] | None = None) -> Listing:
    """List all instances of a place by what their options allow; of what it shows twice, what allows more counts.

    Only ids are kept, so even a large Region needs little memory. The listing is complete before anything is changed:
    EC2 does not document how a page token behaves when instances change in between. Raises ClientError or
    BotoCoreError. ``note`` is handed every page, as EC2 sent it.
    """
    request: dict[str, Any] = {
        **_MANAGED_TOO,
        "MaxResults": IDS_A_CALL,
        "Filters": [{"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]}],
    }

    def take(page: DescribeInstancesResultTypeDef) -> list[str]:
        shown = _instances_on(page)
        if note is not None:
            note(shown)
        # In one text: ids as objects of their own would keep, each a part, the memory that a page takes while it is parsed.
        return [" ".join(each["InstanceId"] for each in shown if _access(each) is access) for access in Access]

    found: dict[str, Access] = {}
    for access, texts in zip(
        Access, zip(*map(take, pages(ec2.describe_instances, **request)), strict=True), strict=True
    ):
        found |= dict.fromkeys(" ".join(texts).split(), access)
    return Listing(found)


def _access(seen: InstanceTypeDef) -> Access:
    options = seen.get("MetadataOptions", {})
    if options.get("HttpTokens") == "required":
        return Access.TOKEN_REQUIRED
    return Access.ENDPOINT_DISABLED if options.get("HttpEndpoint") == "disabled" else Access.WITHOUT_TOKEN


def parsed(place: Placed, shown: Iterable[InstanceTypeDef]) -> list[Instance]:
    """Instances of an account and Region as EC2 shows them. Raises ResponseParserError where it shows too little of one."""
    try:
        return [_instance(Place.of(place).instance(each["InstanceId"]), each) for each in shown]
    except KeyError as missing:
        raise ResponseParserError(f"EC2 shows an instance without {missing}") from missing


def unreachable(arn: InstanceArn, error: Exception) -> Unreachable:
    """The target for an instance whose account or Region cannot be read."""
    problem = (
        f"EC2 in account {arn.account}, {arn.region} cannot be read ({describe_error(error)}); deploy the member roles "
        "there and enable the Region, or exclude it in the policy."
    )
    return Unreachable(arn=arn, problem=problem, throttled=is_throttling(error), passes=may_pass(error))


def _answer(ec2: EC2Client, instance_ids: Sequence[str]) -> Answer:
    """Describe the ids that EC2 knows. Unknown ids fail the whole call; the error names them, so retry without them."""
    known = instance_ids
    while known:
        try:
            return Answer(seen={each["InstanceId"]: each for each in _pages(ec2, known)})
        except CALL_FAILURES as error:
            fewer = [instance_id for instance_id in known if instance_id not in _unknown_ids(error)]
            if len(fewer) == len(known):
                return Answer(failed=dict.fromkeys(known, error))
            known = fewer
    return Answer()


def _unknown_ids(error: Exception) -> set[str]:
    if not isinstance(error, ClientError) or error_code(error) not in NO_SUCH_INSTANCE:
        return set()
    return set(_INSTANCE_ID.findall(error.response["Error"]["Message"]))


def _pages(ec2: EC2Client, instance_ids: Sequence[str]) -> Iterator[InstanceTypeDef]:
    for page in pages(ec2.describe_instances, InstanceIds=instance_ids, **_MANAGED_TOO):
        yield from _instances_on(page)


def _instances_on(page: DescribeInstancesResultTypeDef) -> list[InstanceTypeDef]:
    """The instances on a page. Raises ResponseParserError where it has no list of them, or one has no id."""
    found = [each for reservation in listed(page, "Reservations") for each in listed(reservation, "Instances")]
    if not all("InstanceId" in each for each in found):
        raise ResponseParserError("EC2 shows an instance without its id")
    return found


def _instance(arn: InstanceArn, seen: InstanceTypeDef) -> Instance:
    options = seen.get("MetadataOptions", {})
    state = seen["State"]["Name"]
    return Instance(
        arn=arn,
        state=state,
        launched_at=seen["LaunchTime"],
        first_launched_at=_first_launch(seen),
        stopped_at=_stop_time(seen.get("StateTransitionReason", "")) if state == "stopped" else None,
        options=MetadataOptions(
            http_tokens=options.get("HttpTokens", "unknown"),
            http_endpoint=options.get("HttpEndpoint", "unknown"),
            hop_limit=options.get("HttpPutResponseHopLimit", 0),
            state=options.get("State", "unknown"),
        ),
        image_id=seen.get("ImageId", ""),
        tags={tag["Key"]: tag["Value"] for tag in seen.get("Tags", [])},
        managed_by=_manager(seen),
        hibernates=seen.get("HibernationOptions", {}).get("Configured", False),
        stoppable=seen.get("RootDeviceType", "ebs") == "ebs" and seen.get("InstanceLifecycle") != "spot",
        has_role="IamInstanceProfile" in seen,
    )


def _first_launch(seen: InstanceTypeDef) -> datetime | None:
    """The primary network interface is attached at the first launch and stays for good; LaunchTime moves. An instance with
    several network cards has an interface of device 0 on each, in no certain order. Where in doubt, the earlier time counts."""
    attachments = [interface.get("Attachment", {}) for interface in seen.get("NetworkInterfaces", [])]
    primary = [each for each in attachments if each.get("DeviceIndex") == 0 and each.get("NetworkCardIndex", 0) == 0]
    attached = [each["AttachTime"] for each in primary if "AttachTime" in each]
    return min([*attached, seen["LaunchTime"]]) if attached else None


def _stop_time(reason: str) -> datetime | None:
    """Parse the stop time, which EC2 gives only inside a text, and sometimes not at all."""
    match = _STOPPED_AT.search(reason)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _manager(seen: InstanceTypeDef) -> str | None:
    operator = seen.get("Operator", {})
    return operator.get("Principal", "another AWS service") if operator.get("Managed") else None
