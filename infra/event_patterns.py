"""The events that the service processes: one pattern for each form in which a failed check can arrive.

A rule that drops an event costs nothing, so each pattern tests everything that identifies a relevant event. Conditions
on `findings` apply to the same element: EventBridge matches the fields of an array within one element.

No pattern has a wildcard: a bus takes 30 rules with one, all its owners' together, and AWS does not raise that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTROLS = ["EC2.8", "EC2.170", "AutoScaling.3"]
"""About instances, launch templates and launch configurations."""
CONFIG_RULES = ("ec2-imdsv2-check", "ec2-launch-template-imdsv2-check", "autoscaling-launchconfig-requires-imdsv2")
RESOURCE_TYPES = ["AWS::EC2::Instance", "AWS::EC2::LaunchTemplate", "AWS::AutoScaling::LaunchConfiguration"]

LONGEST_PATTERN = 2048
"""Characters that EventBridge takes for a pattern without a raised quota."""

Pattern = dict[str, Any]

# Any account may import its own findings with any text in them; only Security Hub's own carry its product ARN, which
# has no account: `...:securityhub:eu-west-1::product/aws/securityhub`, in every partition.
# The control's id is the same in every standard, consolidated or not; GeneratorId and titles are not.
_OWN_FINDING: Pattern = {
    "ProductArn": [{"suffix": "::product/aws/securityhub"}],
    "Compliance": {"SecurityControlId": CONTROLS},
}

_SECURITY_HUB: Pattern = {
    "source": ["aws.securityhub"],
    "detail-type": ["Security Hub Findings - Imported"],
    "detail": {
        "findings": {
            **_OWN_FINDING,
            "Compliance": {**_OWN_FINDING["Compliance"], "Status": ["FAILED"]},
            "RecordState": ["ACTIVE"],
            "Workflow": {"Status": ["NEW", "NOTIFIED"]},
        }
    },
}

# OCSF: status_id 1 is New, 2 is In Progress.
_SECURITY_HUB_V2: Pattern = {
    "source": ["aws.securityhub"],
    "detail-type": ["Findings Imported V2"],
    "detail": {
        "findings": {
            "metadata": {"product": {"uid": [{"suffix": "::productv2/aws/securityhub"}]}},
            "compliance": {"control": CONTROLS, "status": ["Fail"]},
            "status_id": [1, 2],
        }
    },
}

STARTED: Pattern = {
    "source": ["aws.ec2"],
    "detail-type": ["EC2 Instance State-change Notification"],
    "detail": {"state": ["running"]},
}
"""An instance began to run: a new one of a proved cohort is judged as soon as its evidence can be there."""

_BUILT_IN_RULES: list[Pattern] = [
    pattern
    for rule in CONFIG_RULES
    for pattern in (
        # The rule itself, and conformance packs, which add text behind it.
        {"prefix": rule},
        {"prefix": f"securityhub-{rule}"},
        {"prefix": f"OrgConfigRule-{rule}"},
        # A name of somebody's own in front of it.
        {"suffix": rule},
    )
]
"""A managed rule, many names: Security Hub, conformance packs and organisation rules add text around its name."""


def patterns(custom_action_id: str, config_rule_names: Sequence[str]) -> dict[str, Pattern]:
    """Rule name, without the service's name, to pattern."""
    return {
        "securityhub": _SECURITY_HUB,
        "custom-action": _custom_action(custom_action_id),
        "securityhub-v2": _SECURITY_HUB_V2,
        "config": config_pattern(config_rule_names),
        "started": STARTED,
    }


def _custom_action(action_id: str) -> Pattern:
    """A person selected this finding: its status does not matter, and a suppressed finding is answered too."""
    return {
        "source": ["aws.securityhub"],
        "detail-type": ["Security Hub Findings - Custom Action"],
        "resources": [{"suffix": f":action/custom/{action_id}"}],
        "detail": {"findings": _OWN_FINDING},
    }


def config_pattern(rule_names: Sequence[str]) -> Pattern:
    """Config's compliance changes. ``rule_names``: names beside AWS's own; one that ends with `*` is a prefix."""
    return {
        "source": ["aws.config"],
        "detail-type": ["Config Rules Compliance Change"],
        "detail": {
            "messageType": ["ComplianceChangeNotification"],
            "resourceType": RESOURCE_TYPES,
            "configRuleName": [*_BUILT_IN_RULES, *(_named(each) for each in rule_names)],
            "newEvaluationResult": {"complianceType": ["NON_COMPLIANT"]},
        },
    }


def _named(rule: str) -> Pattern:
    if rule.endswith("*"):
        return {"prefix": {"equals-ignore-case": rule[:-1]}}
    return {"equals-ignore-case": rule}
