"""What an installation takes for its own in events: the rules of its buses and the parser know the same names."""

from __future__ import annotations

from dataclasses import dataclass

CONFIG_RULES = (
    "ec2-imdsv2-check",
    "ec2-launch-template-imdsv2-check",
    "autoscaling-launchconfig-requires-imdsv2",
)
"""AWS's managed rules; Security Hub, conformance packs and organisation rules add text around their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventNames:
    """The custom action's id, and names of Config rules beside those that contain AWS's.

    A name that ends with `*` is a prefix. In these names, upper and lower case are the same, as in the event rules.
    """

    custom_action_id: str
    config_rules: tuple[str, ...] = ()

    def has_rule(self, name: str) -> bool:
        """Whether the Config rule of this name checks for IMDSv2."""
        return any(each in name for each in CONFIG_RULES) or any(
            _fits(name.lower(), each.lower()) for each in self.config_rules
        )


def _fits(name: str, sought: str) -> bool:
    return name.startswith(sought[:-1]) if sought.endswith("*") else name == sought
