"""Checks what the write and rollback roles of an account may do, with dry runs against EC2. Nothing is changed.

The roles' policies depend on EC2 condition keys that AWS documents only briefly. Whether EC2 sends them can only be
verified in an account, with one instance whose metadata endpoint is enabled and one whose endpoint is disabled. The
rollback role must be permitted to roll back an instance that has the service's tag and an enabled endpoint, and no
other.

IAM: ``ec2:DescribeInstances`` for the read role; the other roles need no additional permissions.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import ClientError

from imdsv2.aws.ec2 import describe
from imdsv2.aws.errors import CALL_FAILURES, describe_error, error_code
from imdsv2.aws.metadata_options import PLANNED_CALL
from imdsv2.domain.instance import ENFORCED_TAG, ROLLED_BACK_TAG, Instance, Unreachable
from imdsv2.errors import InvalidRequest, TargetRefused
from imdsv2.people.request import parse_order
from imdsv2.people.versions import versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_ec2 import EC2Client

    from imdsv2.aws.sessions import MemberClients, Role
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.domain.request import Request

_PERMITTED = "DryRunOperation"
_REFUSED = "UnauthorizedOperation"
_ENDPOINTS = ("enabled", "disabled")
_OTHER_TAG = "imdsv2:none-of-ours"
_GO_BACK = {"HttpTokens": "optional"}
_AT_ONCE = 16
"""Instances, mostly of as many accounts: some hundreds of accounts, one after another, would take longer than a function may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A dry run through a role, and whether EC2 must permit or deny it."""

    role: Role
    operation: Literal["modify_instance_metadata_options", "create_tags", "delete_tags"]
    sends: Mapping[str, Any]
    permitted: bool

    @classmethod
    def to_modify(cls, role: Role, sends: Mapping[str, str | int], *, permitted: bool) -> Probe:
        """A probe that changes metadata options."""
        return cls(role=role, operation="modify_instance_metadata_options", sends=sends, permitted=permitted)

    @classmethod
    def to_tag(cls, role: Role, key: str, *, permitted: bool) -> Probe:
        """A probe that writes a tag."""
        return cls(role=role, operation="create_tags", sends=_tag(key), permitted=permitted)

    @classmethod
    def to_untag(cls, role: Role, key: str, *, permitted: bool) -> Probe:
        """A probe that removes a tag."""
        return cls(role=role, operation="delete_tags", sends=_tag(key), permitted=permitted)


def _tag(key: str) -> Mapping[str, Any]:
    return {"Tags": [{"Key": key, "Value": "dry run"}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """The result for one instance; ``problem``: why the probes could not be made or completed."""

    name: str
    arn: InstanceArn | None = None
    endpoint: str | None = None
    answers: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether every probe was made and got the expected answer."""
        return self.problem is None and all(each["passed"] for each in self.answers)

    def document(self) -> dict[str, Any]:
        """The instance's entry in the answer."""
        return {
            "target": self.name,
            "endpoint": self.endpoint,
            "passed": self.passed,
            "checks": [dict(each) for each in self.answers],
            "problem": self.problem,
        }


def _probes_for(instance: Instance) -> list[Probe]:
    opened = instance.options.http_endpoint == "enabled"
    ours = ENFORCED_TAG in instance.tags
    return [*_of_write(opened=opened), *_of_rollback(opened=opened, ours=ours)]


def _of_write(*, opened: bool) -> list[Probe]:
    return [
        Probe.to_modify("write", PLANNED_CALL, permitted=opened),
        Probe.to_modify("write", {**PLANNED_CALL, "HttpEndpoint": "enabled"}, permitted=opened),
        Probe.to_modify("write", _GO_BACK, permitted=False),
        Probe.to_modify("write", {**PLANNED_CALL, "HttpEndpoint": "disabled"}, permitted=False),
        Probe.to_modify("write", {**PLANNED_CALL, "HttpPutResponseHopLimit": 2}, permitted=False),
        Probe.to_tag("write", ENFORCED_TAG, permitted=True),
        Probe.to_tag("write", _OTHER_TAG, permitted=False),
        Probe.to_untag("write", ENFORCED_TAG, permitted=True),
        Probe.to_untag("write", _OTHER_TAG, permitted=False),
    ]


def _of_rollback(*, opened: bool, ours: bool) -> list[Probe]:
    return [
        Probe.to_modify("rollback", _GO_BACK, permitted=opened and ours),
        Probe.to_modify("rollback", PLANNED_CALL, permitted=False),
        # EC2 may demand the endpoint beside the tokens.
        Probe.to_modify("rollback", {**_GO_BACK, "HttpEndpoint": "enabled"}, permitted=opened and ours),
        Probe.to_modify("rollback", {**_GO_BACK, "HttpEndpoint": "disabled"}, permitted=False),
        Probe.to_modify("rollback", {**_GO_BACK, "HttpPutResponseHopLimit": 2}, permitted=False),
        Probe.to_tag("rollback", ROLLED_BACK_TAG, permitted=True),
        Probe.to_tag("rollback", ENFORCED_TAG, permitted=False),
        Probe.to_untag("rollback", ENFORCED_TAG, permitted=True),
        Probe.to_untag("rollback", ROLLED_BACK_TAG, permitted=False),
    ]


def check(clients: MemberClients, event: object) -> dict[str, Any]:
    """Run the probes for each instance under ``targets``, in the formats of a manual invoke.

    Returns the answer; ``unproved`` lists the kind of instance that is still missing for each account, ``versions`` what
    each account's roles are of. Raises InvalidRequest, which names the field.
    """
    if isinstance(event, dict) and (unknown := sorted(str(name) for name in event.keys() - {"targets"})):
        raise InvalidRequest(unknown[0][:100], "is no field; known is targets")
    order = parse_order(event)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        examined = list(pool.map(partial(_examine, clients), order.names, order.targets))
    unproved = _unproved(examined)
    return {
        "passed": not unproved and all(each.passed for each in examined),
        "unproved": unproved,
        "versions": versions(clients, [each.arn for each in examined if each.arn is not None]),
        "results": [each.document() for each in examined],
    }


def _examine(clients: MemberClients, name: str, target: Request | TargetRefused) -> Examined:
    if isinstance(target, TargetRefused):
        return Examined(name=name, problem=str(target))
    arn = target.arn
    try:
        seen = describe(clients.ec2(arn, "read"), [arn])[arn]
        if isinstance(seen, Unreachable):
            return Examined(name=name, arn=arn, problem=seen.problem)
        if not isinstance(seen, Instance):
            return Examined(name=name, arn=arn, problem="There is no such instance.")
        answers = [_answer(clients.ec2(arn, probe.role), arn.instance_id, probe) for probe in _probes_for(seen)]
    except CALL_FAILURES as error:
        return Examined(name=name, arn=arn, problem=describe_error(error))
    return Examined(name=name, arn=arn, endpoint=seen.options.http_endpoint, answers=answers)


def _answer(ec2: EC2Client, instance_id: str, probe: Probe) -> dict[str, Any]:
    """Run one probe. Raises ClientError for an error that neither permits nor denies, BotoCoreError for no answer."""
    modifies = probe.operation == "modify_instance_metadata_options"
    whom: dict[str, Any] = {"InstanceId": instance_id} if modifies else {"Resources": [instance_id]}
    must_be = _PERMITTED if probe.permitted else _REFUSED
    said = "nothing"
    try:
        getattr(ec2, probe.operation)(**whom, **probe.sends, DryRun=True)
    except ClientError as error:
        said = error_code(error)
        if said not in {_PERMITTED, _REFUSED}:
            raise
    return {
        "role": probe.role,
        "operation": probe.operation,
        "sends": dict(probe.sends),
        "must_be": must_be,
        "answer": said,
        "passed": said == must_be,
    }


def _unproved(examined: Sequence[Examined]) -> list[str]:
    """For each account, a request to name the kind of instance (endpoint enabled or disabled) that is missing."""
    kinds: dict[str, set[str | None]] = {}
    for each in examined:
        if each.arn is not None:
            kinds.setdefault(each.arn.account, set()).add(each.endpoint)
    return [
        f"Account {account}: name an instance whose metadata endpoint is {endpoint} too."
        for account, seen in kinds.items()
        for endpoint in _ENDPOINTS
        if endpoint not in seen
    ]
