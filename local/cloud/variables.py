"""The variables that commands in the documentation use, and the outputs of the stack that they hold."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OUTPUT_OF: Final = {
    "LEDGER_TABLE": "LedgerTableName",
    "FINDINGS_QUEUE_ARN": "FindingsQueueArn",
    "FINDINGS_DEAD_LETTER_QUEUE_ARN": "FindingsDeadLetterQueueArn",
    "NOTIFICATIONS_TOPIC_ARN": "NotificationsTopicArn",
    "POLICY_PARAMETER": "PolicyParameterName",
    "SWEEP_STATE_MACHINE_ARN": "SweepStateMachineArn",
    "SWEEP_BUCKET": "SweepBucketName",
    "SELFTEST_STATE_MACHINE_ARN": "SelfTestStateMachineArn",
}
"""Variable to output. The self-test's is there only if it is deployed."""


def of_outputs(outputs: Mapping[str, str]) -> dict[str, str]:
    """The variables with their values, for the outputs that a stack has."""
    return {name: outputs[output] for name, output in OUTPUT_OF.items() if output in outputs}


def export_lines(variables: Mapping[str, str]) -> Iterator[str]:
    """The variables as lines that a shell evaluates; values are quoted where a shell would split or expand them."""
    for name, value in variables.items():
        yield f"export {name}={shlex.quote(value)}"
