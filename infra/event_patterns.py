"""The events that concern us, one pattern for each shape in which a failed check can arrive.

A rule that drops an event costs nothing, so each pattern asks for all that makes an event ours. Conditions on one
element of `findings` hold together: EventBridge matches fields of an array within the same element.
"""

from __future__ import annotations

from typing import Any

from infra.names import CUSTOM_ACTION_ID

CONTROL = "EC2.8"

Pattern = dict[str, Any]

# Any account may import findings of its own, with any text in them; only Security Hub's own carry its product ARN.
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

# A person asks for one finding: its status does not matter here, and a suppressed one gets an answer.
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

# One managed rule, many names: Security Hub, conformance packs and organisation rules put words around its own.
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
"""Rule name, without the service's, to pattern."""
