"""What has to be true once two functions have met and all is settled."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from imdsv2.domain.instance import ENFORCED_TAG
from imdsv2.domain.lifecycle import UNDER_WAY, Status, check
from imdsv2.ledger.table import Ledger
from imdsv2.line.messages import headline
from tests.integration.builders import TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import InstanceArn
    from tests.proof.crashes.world import World


def violations(world: World, arn: InstanceArn) -> list[str]:
    """Everything that is not so."""
    wrong = list(world.witness.wrong)
    instance, item, history = world.instances[arn], world.current(arn), world.history(arn)
    made = Counter(wanted for _, wanted, has_effect in world.witness.changes if has_effect)
    statuses = Counter(history)
    stands = item.get("status") in {"enforced", "verified"}
    is_required = instance.options["HttpTokens"] == "required"
    rolled_back = [
        each
        for each in world.items()
        if each["pk"] == str(arn) and each["sk"].startswith("event#") and each["status"] == "rolled_back"
    ]
    broke = sum(each["reason"] == "broke_before" for each in rolled_back)
    counted = len(world.account_item(arn.account).get("rollbacks", []))
    told = Counter((each["news"], each["reason"]) for each in world.told if str(arn) in each["about"])
    for what, is_so in {
        f"{made['required']} enforcements for {statuses['enforcing']} entered": made["required"]
        > statuses["enforcing"],
        f"{made['optional']} rollbacks for {statuses['rolling_back']} entered": made["optional"]
        > statuses["rolling_back"],
        f"required in EC2, {item.get('status')} in the ledger": is_required and not stands,
        f"required in EC2, watch {item.get('watch')}": is_required
        and item.get("status") == "enforced"
        and item.get("watch") != "open",
        f"optional in EC2, {item.get('status')} in the ledger": not is_required and stands,
        "ours, but unconfirmed": stands and not item.get("confirmed"),
        f"tags {sorted(instance.tags)} though {item.get('status')}": (ENFORCED_TAG in instance.tags) != stands
        and item.get("reason") != "changed_back",  # Whoever opens it leaves our tag on it.
        f"{broke} rollbacks of what broke, {counted} counted": broke > counted
        or counted > broke + (made["optional"] == 0),
        f"still {item.get('status')}": item.get("status") in UNDER_WAY,
        f"history {history}, but {item.get('status')}": (history[-1] if history else None) != item.get("status"),
    }.items():
        if is_so:
            wrong.append(what)
    wrong += _told(told, "IMDSv1 switched on again", len(rolled_back), len(rolled_back))
    # Of a change that was undone before anybody could be told, only its end is told.
    wrong += _told(told, "IMDSv1 switched off", made["required"] if stands else 0, made["required"])
    return wrong + _moves(history) + _owed(world, arn)


def _told(told: Mapping[tuple[str, str], int], news: str, least: int, most: int) -> list[str]:
    """Whether people were told of each change, and once."""
    got = sum(several for (each, _), several in told.items() if each == news)
    if got < least:
        return [f"not told: {news}, {got} messages for {least} changes"]
    return [f"told again: {news}, {got} messages for {most} changes"] if got > most else []


def _moves(history: list[str]) -> list[str]:
    """Moves of the life cycle that are none."""
    wrong = []
    for before, after in zip([None, *history], history, strict=False):
        try:
            check(before, Status(after))
        except Exception as error:  # noqa: BLE001 - whatever it is called
            wrong.append(f"{before} to {after}: {error}")
    return wrong


def _owed(world: World, arn: InstanceArn) -> list[str]:
    record = Ledger(world.table.client, TABLE).read([arn])[arn]
    wrong = [f"note owed: {key}" for key in record.owed_notes()]
    if headline(record) and record.owes_notification():
        wrong.append("message owed")
    return wrong
