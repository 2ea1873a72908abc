"""Runs every examination. One that AWS refuses is unproved and does not keep the others from being made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2_cli.doctor import home, nights, organisation, recorders
from imdsv2_cli.doctor import members as accounts
from imdsv2_cli.doctor.finding import Finding, unproved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from imdsv2_cli.base import App

HOME: tuple[tuple[str, Callable[[App], Iterable[Finding]]], ...] = (
    ("version", home.version),
    ("policy", home.policy),
    ("functions", home.functions),
    ("schedules", home.schedules),
    ("queue", home.queue),
    ("events", home.stream),
    ("dead letters", home.dead_letters),
    ("rules", home.rules),
    ("subscriptions", home.subscriptions),
    ("alarms", home.alarms),
    ("last sweep", nights.last_sweep),
    ("Security Hub", organisation.security_hub),
    ("delegated administrator", organisation.delegated_administrator),
    ("Config", recorders.at_home),
    ("StackSets", organisation.stack_sets),
)


def examine(app: App, *, members: bool) -> list[Finding]:
    """Everything that was found, the faults first. Raises Failure if the stack itself is not there."""
    app.outputs  # noqa: B018 - without a stack, nothing else is worth asking
    found = [finding for name, check in HOME for finding in _made(name, check, app)]
    if members:
        found += _made("roles", accounts.roles, app)
    order = ("fault", "unproved", "well")
    return sorted(found, key=lambda each: order.index(each.outcome))


def _made(name: str, check: Callable[[App], Iterable[Finding]], app: App) -> list[Finding]:
    from botocore.exceptions import BotoCoreError, ClientError

    from imdsv2_cli.failure import Failure

    try:
        return list(check(app))
    except (ClientError, BotoCoreError) as error:
        return [
            unproved(
                name, f"It could not be asked ({error}).", "have this allowed for your role, or use another profile"
            )
        ]
    except Failure as failure:
        return [unproved(name, failure.message)]
