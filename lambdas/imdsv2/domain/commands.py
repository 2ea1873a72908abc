"""Commands to the service as its texts name them: a payload of the manual function that does what the text says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imdsv2.domain.instance import Instance, InstanceArn

CALLER = "YOUR NAME"
"""Stands for the person who pastes it; the request id tells the true one."""


def command(name: str, arn: InstanceArn, **fields: Any) -> str:
    """A command about one instance."""
    return _payload({name: {"targets": [str(arn)]}}, fields)


def account_command(name: str, account: str) -> str:
    """A command about an account."""
    return _payload({name: {"account": account}}, {})


def how_to_restart(instance: Instance) -> str:
    """How boot software runs again, and the service learns of it: a reboot does not show in EC2."""
    said = command("mended", instance.arn)
    if in_group(instance) or instance.stoppable:
        return f"{how_to_move(instance)}, or reboot it and then say so: {said}"
    return f"reboot it and then say so: {said}"


def how_to_move(instance: Instance) -> str:
    """How it comes to run elsewhere: a group replaces what is stopped, and not everything can be stopped."""
    if in_group(instance):
        return "let its Auto Scaling group replace it (a group replaces what is stopped)"
    return "stop and start it" if instance.stoppable else "reboot it"


def in_group(instance: Instance) -> bool:
    """Whether an Auto Scaling group keeps it."""
    return "aws:autoscaling:groupName" in instance.tags


def _payload(what: dict[str, Any], fields: dict[str, Any]) -> str:
    return json.dumps({**what, **fields, "dry_run": False, "caller": CALLER})
