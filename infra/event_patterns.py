"""The events that the service processes: one pattern for each form in which a failed check can arrive.

A rule that drops an event costs nothing, so each pattern tests everything that identifies a relevant event. Conditions
on `findings` apply to the same element: EventBridge matches the fields of an array within one element.
"""

from __future__ import annotations

from typing import Any

from infra.names import CUSTOM_ACTION_ID

CONTROL = "EC2.8"

Pattern = dict[str, Any]

# Any account may import its own findings with any text in them; only Security Hub's own carry its product ARN.
# The control's id is the same in every standard, consolidated or not; GeneratorId and titles are not.
_OWN_FINDING: Pattern = {
    "ProductArn": [{"wildcard": "arn:*:securityhub:*::product/aws/securityhub"}],
    "Compliance": {"SecurityControlId": [CONTROL]},
}

SECURITY_HUB: Pattern = {
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

# A person selected this finding: its status does not matter, and a suppressed finding is answered too.
CUSTOM_ACTION: Pattern = {
    "source": ["aws.securityhub"],
    "detail-type": ["Security Hub Findings - Custom Action"],
    "resources": [{"wildcard": f"arn:*:securityhub:*:*:action/custom/{CUSTOM_ACTION_ID}"}],
    "detail": {"findings": _OWN_FINDING},
}

# OCSF: status_id 1 is New, 2 is In Progress.
SECURITY_HUB_V2: Pattern = {
    "source": ["aws.securityhub"],
    "detail-type": ["Findings Imported V2"],
    "detail": {
        "findings": {
            "metadata": {"product": {"uid": [{"wildcard": "arn:*:securityhub:*::productv2/aws/securityhub"}]}},
            "compliance": {"control": [CONTROL], "status": ["Fail"]},
            "status_id": [1, 2],
        }
    },
}

# One managed rule, many names: Security Hub, conformance packs and organisation rules add text around its name.
CONFIG: Pattern = {
    "source": ["aws.config"],
    "detail-type": ["Config Rules Compliance Change"],
    "detail": {
        "messageType": ["ComplianceChangeNotification"],
        "resourceType": ["AWS::EC2::Instance"],
        "configRuleName": [{"wildcard": "*ec2-imdsv2-check*"}],
        "newEvaluationResult": {"complianceType": ["NON_COMPLIANT"]},
    },
}

PATTERNS: dict[str, Pattern] = {
    "securityhub": SECURITY_HUB,
    "custom-action": CUSTOM_ACTION,
    "securityhub-v2": SECURITY_HUB_V2,
    "config": CONFIG,
}
"""Rule name, without the service's name, to pattern."""
