"""What each page of the manual takes for granted when its first command is pasted: a policy, and what has happened to the fleet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local.demo import software
from tests.e2e import planting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.e2e.desk import Desk


def launched(desk: Desk) -> None:
    """Instances of which the service has not heard."""
    desk.launch()


def enforced(desk: Desk) -> None:
    """The service has required tokens where nothing speaks against it."""
    desk.launch()
    desk.judge()


def swept(desk: Desk) -> None:
    """The same, after the first night."""
    desk.launch()
    desk.sweep()


def _waiting(desk: Desk) -> None:
    """Changes wait for approval."""
    desk.policy(approval="required")
    swept(desk)


def _undone(desk: Desk) -> None:
    """Somebody has had an instance put back."""
    enforced(desk)
    desk.world.ask({"undo": {"targets": [desk.fleet["web-1"].arn]}, "dry_run": False, "caller": "alice"})


def _broken(desk: Desk) -> None:
    """Software of three instances broke without IMDSv1: they are put back, and the account's breaker is open."""
    swept(desk)
    for name in ("web-1", "shop-1", "shop-2"):
        desk.world.reject(desk.fleet[name])
    desk.world.guard()


def _observing(desk: Desk) -> None:
    """A new deployment, which has judged its instances for a night and changed nothing."""
    desk.policy(mode="observe")
    swept(desk)


def _partly(desk: Desk) -> None:
    """One instance is enforced; other changes wait for approval."""
    desk.launch()
    desk.judge("web-2")
    desk.policy(approval="required")
    desk.judge(*desk.fleet.keys() - {"web-2"})


def _planted(desk: Desk) -> None:
    """Software calls IMDSv1 on an instance that Systems Manager manages."""
    desk.launch()
    desk.subject = "agent"
    desk.fleet["agent"] = agent = desk.world.launch_one(name="agent", tags=planting.MANAGED, calls=planting.CALLED)
    desk.judge()
    command = software.write(desk.folder, "collector.py")
    desk.running.enter_context(software.running(desk.world.cloud, agent, *command))


def _templates(desk: Desk) -> None:
    """A repository with a template that requires tokens."""
    data = {"MetadataOptions": {"HttpTokens": "required"}}
    resource = {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}}
    (desk.folder / "launch.template.json").write_text(json.dumps({"Resources": {"Template": resource}}))


def _cleared_out(desk: Desk) -> None:
    """An account and Region in which nothing allows IMDSv1."""
    desk.fleet["vault"] = desk.world.launch_one(name="vault", options={"HttpTokens": "required"})
    desk.judge()


STAGES: Mapping[str, Callable[[Desk], None]] = {
    "README.md": _observing,
    "docs/cli.md": _partly,
    "docs/culprit.md": _planted,
    "docs/decide.md": _waiting,
    "docs/disaster.md": enforced,
    "docs/fleet.md": swept,
    "docs/gate.md": _templates,
    "docs/graduation.md": _cleared_out,
    "docs/guardrails.md": enforced,
    "docs/incident.md": swept,
    "docs/install.md": _observing,
    "docs/mend.md": _undone,
    "docs/rollout.md": swept,
    "docs/operations.md": _broken,
    "docs/owners.md": enforced,
    "docs/undo.md": enforced,
    "docs/uninstall.md": enforced,
}
"""By page; every other one begins with instances of which the service has not heard."""

LAST = ("docs/guardrails.md", "docs/disaster.md", "docs/uninstall.md", "docs/deployment.md")
"""Pages that take something away which others need, in this order."""
