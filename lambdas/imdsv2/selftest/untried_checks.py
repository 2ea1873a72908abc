"""Checks of what a self-test does not try, and why not: they are in the list so that nobody takes their beliefs for proved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imdsv2.selftest.result import Expectation

if TYPE_CHECKING:
    from imdsv2.selftest.result import Result
    from imdsv2.selftest.seen import Seen


def metric_memory(_seen: Seen) -> Result:
    """CloudWatch's memory of datapoints."""
    return Expectation("Datapoints by the hour of 455 days, by five minutes of 63 days.").not_tried(
        "It would take 15 months; CloudWatch takes datapoints of AWS/EC2 from nobody else."
    )


def reboots_on_record(_seen: Seen) -> Result:
    """What CloudTrail tells of a reboot through EC2."""
    return Expectation(
        "An event RebootInstances that names the instance, and a reboot within minutes of it."
    ).not_tried("It would have to reboot an instance, and to wait up to a quarter of an hour for CloudTrail.")


def refusal_when_enforced(_seen: Seen) -> Result:
    """EC2's refusal to make tokens optional where HttpTokensEnforced is on."""
    return Expectation("UnsupportedOperation with httpTokensEnforced in its message.").not_tried(
        "It would have to change the defaults of the whole account."
    )


def refusal_under_declarative_policy(_seen: Seen) -> Result:
    """EC2's refusal of a change under a declarative policy."""
    return Expectation("UnsupportedOperation, with words about a declarative policy.").not_tried(
        "It would have to attach a policy to the account; no error code is published."
    )


def refusal_of_managed_instances(_seen: Seen) -> Result:
    """EC2's refusal of a change of an instance that another service manages."""
    return Expectation("A refusal that names the service, or an instance that shows it as its operator.").not_tried(
        "It would need an instance of EKS Auto Mode or another service of that kind."
    )


def refusal_by_service_control_policy(_seen: Seen) -> Result:
    """EC2's refusal of a change that a service control policy denies."""
    return Expectation(
        "UnauthorizedOperation with `explicit deny in a service control policy` in its message."
    ).not_tried("It would have to attach a policy to the account.")
