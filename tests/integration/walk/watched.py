"""AWS as the service meets it on the walk: the world in memory, with a fault at each point and the judge at each change."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError, ReadTimeoutError

from imdsv2.domain.instance import ENFORCED_TAG, ROLLED_BACK_TAG
from imdsv2.errors import LedgerContended
from tests.integration.walk.faults import Part
from tests.world.ec2 import Ec2
from tests.world.edge import MemberClients
from tests.world.refusal import refusal
from tests.world.security_hub import Findings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_ec2 import EC2Client

    from imdsv2.domain.instance import Placed
    from tests.integration.walk.machine import Machine
    from tests.integration.walk.world import World

AWS_FAILURES = (ClientError, ReadTimeoutError, LedgerContended)
"""What a run may raise because AWS failed."""

_OWN_TAGS: Mapping[str, set[str]] = {"write": {ENFORCED_TAG, ROLLED_BACK_TAG}, "rollback": {ROLLED_BACK_TAG}}
"""What the policy of a role lets it write."""


class WatchedMembers(MemberClients):
    """The member accounts, whose EC2 is watched."""

    def __init__(self, world: World) -> None:
        super().__init__(world.places)
        self._world = world

    def ec2(self, there: Placed, role: str) -> EC2Client:
        """EC2 through a role. Raises ClientError where the account is closed."""
        if there.account in self.closed:
            self._world.faulted = True
        super().ec2(there, role)
        return cast("EC2Client", WatchedEc2(self._world, self._world.places[there.account, there.region].ec2, role))


class WatchedEc2:
    """EC2 in one account, through one role, with what the role's policy allows."""

    def __init__(self, world: World, ec2: Ec2[Machine], role: str) -> None:
        self._world, self._ec2, self._role = world, ec2, role

    def describe_instances(self, **asked: Any) -> dict[str, Any]:
        """Pass `describe`."""
        self._world.passing("describe")
        shown = {each: self._world.as_shown(machine) for each, machine in self._ec2.instances.items()}
        return Ec2(shown).describe_instances(**asked)

    def describe_images(self, **asked: Any) -> dict[str, Any]:
        """Pass `describe`."""
        self._world.passing("describe")
        return self._ec2.describe_images(**asked)

    def create_tags(self, **asked: Any) -> None:
        """Pass `tag` and `tagged`; only the keys of the role's own may be written."""
        self._world.passing("tag")
        for tag in asked["Tags"]:
            if tag["Key"] not in _OWN_TAGS.get(self._role, set()):
                self._world.complain(f"tag {tag['Key']} written by role {self._role}")
        self._change_tags(self._ec2.create_tags, asked)
        self._world.passing("tagged")

    def delete_tags(self, **asked: Any) -> None:
        """Pass `untag` and `untagged`."""
        self._world.passing("untag")
        self._change_tags(self._ec2.delete_tags, asked)
        self._world.passing("untagged")

    def _change_tags(self, change: Callable[..., None], asked: Mapping[str, Any]) -> None:
        """For all of the instances, unless one fails."""
        world, named = self._world, [*asked["Resources"]]
        machines = [self._ec2.instances[each] for each in named if each in self._ec2.instances]
        for each in machines:
            each.is_about_to_change(world.clock())
        arns = {str(each.arn): each.instance_id for each in machines}
        if world.fails(Part.TAGS, arns):
            raise refusal("UnauthorizedOperation", "no", "CreateTags", status=403)
        failing = world.fails(Part.HALF_OF_TAGS, arns)
        if failing is None:
            change(**asked)
            return
        done = named.index(arns[failing]) + (change == self._ec2.create_tags)
        if done:
            change(**{**asked, "Resources": named[:done]})
        raise refusal("InternalError", "no", "CreateTags", status=500)

    def modify_instance_metadata_options(
        self,
        InstanceId: str,  # noqa: N803 - AWS's names
        DryRun: bool = False,  # noqa: N803
        **sent: Any,
    ) -> None:
        """Pass `modify` and `modified`, and have the judge look at a change first."""
        if DryRun:
            self._ec2.modify_instance_metadata_options(InstanceId=InstanceId, DryRun=True, **sent)
        self._world.passing("modify")
        machine = self._ec2.instances[InstanceId]
        if self._role == "rollback" and ENFORCED_TAG not in machine.tags:
            raise refusal("UnauthorizedOperation", "no", "ModifyInstanceMetadataOptions", status=403)
        restores = sent.get("HttpTokens") == "optional"
        judge = self._world.judge.judge_return if restores else self._world.judge.judge_enforcement
        judge(machine, self._role, sent)
        machine.is_about_to_change(self._world.clock())
        seen = dict(self._world.as_shown(machine).options)
        self._ec2.modify_instance_metadata_options(InstanceId=InstanceId, **sent)
        machine.ours = sent["HttpTokens"]
        if restores:
            machine.held, machine.standing = True, False
        else:
            machine.left, machine.meddled = seen | sent, False
        if self._world.passing("modified"):
            self._ec2.modify_instance_metadata_options(InstanceId=InstanceId, **sent)


class WatchedFindings(Findings):
    """Security Hub, which may fail or die before a note is written."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def batch_update_findings(self, **asked: Any) -> dict[str, Any]:
        """Pass `annotate`."""
        self._world.passing("annotate")
        return super().batch_update_findings(**asked)


class Log:
    """Takes what is logged; an exception that nobody meant is wrong."""

    def __init__(self, world: World) -> None:
        self._world = world

    def exception(self, message: str, **_: Any) -> None:
        """A group or a place failed: only AWS may make it."""
        error = sys.exc_info()[1]
        if not (self._world.faulted and isinstance(error, AWS_FAILURES)):
            self._world.complain(f"{message}: {error!r}")

    def warning(self, message: str, **_: Any) -> None:
        """Expected trouble."""

    error = info = warning
