"""What must never be, whoever died and in whatever order functions ran: at each change, and once all is settled."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from imdsv2.domain.instance import ENFORCED_TAG
from tests.world.life import REJECTED, TOKENLESS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import InstanceArn, Placed
    from tests.proof.crashes.world import World

LOOKBACK = timedelta(days=2)


class Witness:
    """Sees every change of an instance when it is made, and remembers what was wrong about it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.wrong: list[str] = []
        self.changes: list[tuple[InstanceArn, str, bool]] = []
        """Every call that EC2 took: the instance, what was asked, and whether it changed anything."""

    def over(self, ec2: Any, there: Placed, role: str) -> Any:
        """EC2 in a place, seen through a role."""
        return _Watched(self, ec2, there, role)

    def sees(self, there: Placed, role: str, instance_id: str, sent: Mapping[str, Any]) -> None:
        """A change is about to be made."""
        world = self._world
        (arn,) = [each for each in world.instances if (each.instance_id, each.account) == (instance_id, there.account)]
        item, instance, now = world.current(arn), world.instances[arn], world.clock()
        lease, wanted = item.get("lease_until"), str(sent.get("HttpTokens"))
        before = item.get("before") or {}
        metrics = world.cloudwatch(arn).points
        never = {
            "with another option": set(sent) != {"HttpTokens"},
            "outside a lease": lease is None or datetime.fromisoformat(lease) <= now,
        }
        if wanted == "required":
            never |= {
                "by another role": role != "write",
                "not written ahead": item.get("status") != "enforcing",
                "without what was there before": before.get("HttpTokens") != instance.options["HttpTokens"],
                "without its tag": ENFORCED_TAG not in instance.tags,
                "although its software calls IMDSv1": any(
                    value for when, value in metrics.get((TOKENLESS, instance_id), {}).items() if now - when < LOOKBACK
                ),
            }
        else:
            never |= {
                "by another role": role != "rollback",
                "not written ahead": item.get("status") != "rolling_back",
                "without what was there before": before.get("HttpTokens") != "optional",
                "without its tag": ENFORCED_TAG not in instance.tags,
                "though nothing was refused": item.get("undo") is None
                and not any(metrics.get((REJECTED, instance_id), {}).values()),
            }
        self.wrong += [f"{arn.instance_id} set to {wanted} {what}" for what, is_so in never.items() if is_so]
        self.changes.append((arn, wanted, instance.options["HttpTokens"] != wanted))


class _Watched:
    """EC2 under the eyes of the witness."""

    def __init__(self, witness: Witness, ec2: Any, there: Placed, role: str) -> None:
        self._witness, self._ec2, self._there, self._role = witness, ec2, there, role

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ec2, name)

    def modify_instance_metadata_options(
        self,
        InstanceId: str,  # noqa: N803 - AWS's names
        DryRun: bool = False,  # noqa: N803
        **sent: Any,
    ) -> Any:
        """Let the witness look first."""
        if not DryRun:
            self._witness.sees(self._there, self._role, InstanceId, sent)
        return self._ec2.modify_instance_metadata_options(InstanceId=InstanceId, DryRun=DryRun, **sent)
