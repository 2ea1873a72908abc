"""Commands to the service as its texts name them: a payload of the manual function that does what the text says."""

from __future__ import annotations

import json
from datetime import UTC
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import date, datetime

    from imdsv2.domain.instance import Instance, InstanceArn

CALLER = "YOUR NAME"
"""Stands for the person who pastes it; the request id tells the true one."""

_JSON = json.JSONDecoder()


def command(name: str, arn: InstanceArn, **fields: Any) -> str:
    """A command about one instance."""
    return _payload({name: {"targets": [str(arn)]}}, fields)


def hold_command(arn: InstanceArn, owner: str, until: date) -> str:
    """A hold of one instance for its owner."""
    printable = "".join(each if each.isprintable() else " " for each in owner)
    return command("hold", arn, owner=printable, reason="YOUR REASON", until=until.isoformat())


def account_command(name: str, account: str) -> str:
    """A command about an account."""
    return _payload({name: {"account": account}}, {})


def cohort_command(name: str, key: str) -> str:
    """A command about a cohort, by its key."""
    return _payload({name: {"cohort": key}}, {})


def mended(arn: InstanceArn, now: datetime) -> str:
    """How to say that software was updated and run anew. The time is that of the text: where nobody puts the time of the start or
    reboot in its place, the evidence begins sooner, and so takes in more."""
    said = command("mended", arn, at=f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:00Z}")
    return f"say so, with the time at which it ran anew as `at`: {said}"


def how_to_restart(instance: Instance, now: datetime) -> str:
    """How boot software runs again, and the service learns of it: a reboot does not show in EC2."""
    said = mended(instance.arn, now)
    if in_group(instance) or instance.stoppable:
        return f"{how_to_move(instance)}, or reboot it and then {said}"
    return f"reboot it and then {said}"


def how_to_show_a_start(instance: Instance, now: datetime) -> str:
    """How the boot software of an instance is seen to run, the gentlest way first, with AWS's own commands at the end: a short text
    may leave these out."""
    at = f"--region {instance.arn.region} --instance-ids {instance.arn.instance_id}"
    moves = in_group(instance) or instance.stoppable
    lines = [f"aws ec2 reboot-instances {at}"]
    if instance.stoppable and not in_group(instance):
        several = ("stop-instances", "wait instance-stopped", "start-instances")
        lines.append(" && ".join(f"aws ec2 {each} {at}" for each in several))
    return (
        "reboot it through EC2, which is the gentlest: it keeps its host and addresses, and CloudTrail tells the service within a day"
        f"{f'; or {how_to_move(instance)}' if moves else ''}. After a reboot from inside, which nobody records, {mended(instance.arn, now)}. "
        f"Its evidence then begins there. By AWS's command line: {'; or: '.join(lines)}"
    )


def how_to_move(instance: Instance) -> str:
    """How it comes to run elsewhere: a group replaces what is stopped, and not everything can be stopped."""
    if in_group(instance):
        return "let its Auto Scaling group replace it (a group replaces what is stopped)"
    return "stop and start it" if instance.stoppable else "reboot it"


def in_group(instance: Instance) -> bool:
    """Whether an Auto Scaling group keeps it."""
    return "aws:autoscaling:groupName" in instance.tags


def commands_in(text: str) -> list[tuple[int, int]]:
    """Where each command in a text begins and ends."""
    spans, end = [], 0
    while (start := text.find("{", end)) >= 0:
        try:
            _, end = _JSON.raw_decode(text, start)
        except ValueError:  # A brace of some other text.
            end = start + 1
        else:
            spans.append((start, end))
    return spans


def _payload(what: dict[str, Any], fields: dict[str, Any]) -> str:
    """As JSON that stands between single quotes in a shell, whatever the names in it hold."""
    return json.dumps({**what, **fields, "dry_run": False, "caller": CALLER}).replace("'", "\\u0027")
