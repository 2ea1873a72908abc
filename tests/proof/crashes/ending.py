"""What has come of it all, without the times, ids and owners that differ from run to run."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.proof.crashes.world import World

_COUNTED = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z|\+00:00)?|, in \d+ separate periods of five minutes"
    r"|(?<=IMDSv1 call)(s were| was)|\b\d[\d.:-]*"
)
"""Times and numbers: a later look counts more calls."""
_WHO = {
    "version",
    "owner",
    "request_id",
    "session",
    "caller",
    "source",
    "evidence",
    "revisit_shard",
    "written_by",
    "pk",
    "sk",
}


def ending(world: World) -> dict[str, Any]:
    """EC2, ledger, findings, messages and breakers, each under a name that says what it is about."""
    told: Counter[str] = Counter()
    for message in world.told:
        for about in message["about"]:
            told[f"told {about[-4:]} {message['news']} ({message['reason']})"] += 1
    state: dict[str, Any] = dict(told)
    for arn, instance in world.instances.items():
        name = arn.instance_id[-2:]
        state[f"{name} options"] = dict(instance.options)
        state[f"{name} tags"] = sorted(instance.tags)
        state[f"{name} history"] = world.history(arn)
        for attribute, value in world.current(arn).items():
            if attribute not in _WHO:
                state[f"{name} {attribute}"] = _timeless(attribute, value)
    for finding, known in world.findings.findings.items():
        state[f"finding {finding[-2:]}"] = known["workflow"], _COUNTED.sub("#", known.get("note", ""))
    for item in world.items():
        if item["pk"] == "accounts":
            state[f"breaker {item['sk']}"] = len(item.get("rollbacks", [])), "breaker_opened_at" in item
        if str(item["pk"]).startswith("cohort#"):
            state[str(item["pk"])] = item.get("canaries"), item.get("broken_by"), item.get("unexplained")
    return state


def differences(expected: Mapping[str, Any], got: Mapping[str, Any], *, told_again: bool) -> list[str]:
    """What is not as it should be. ``told_again``: a message may have been sent once more, because nobody knows that it was."""
    return [
        f"{name}: {got.get(name)!r}, not {expected.get(name)!r}"
        for name in sorted(expected.keys() | got.keys())
        if got.get(name) != expected.get(name)
        and not (told_again and name.startswith("told ") and got.get(name, 0) == expected.get(name, 0) + 1)
    ]


def _timeless(attribute: str, value: Any) -> Any:
    if attribute == "findings":
        return {key: "annotated_at" in each for key, each in value.items()}
    if attribute.endswith("_at") or attribute in {"decided_at", "lease_until", "enforced_key"}:
        return "a time"
    if isinstance(value, str):
        return _COUNTED.sub("#", value)
    if isinstance(value, dict):
        return {name: _timeless(name, each) for name, each in value.items()}
    return value
