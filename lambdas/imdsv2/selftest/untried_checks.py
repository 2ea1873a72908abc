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


def refusal_when_enforced(_seen: Seen) -> Result:
    """EC2's refusal to make tokens optional where HttpTokensEnforced is on."""
    return Expectation("UnsupportedOperation with httpTokensEnforced in its message.").not_tried(
        "It would have to change the defaults of the whole account."
    )


def refusal_under_declarative_policy(_seen: Seen) -> Result:
    """EC2's refusal of a change under a declarative policy."""
    return Expectation("OperationNotPermitted, or words about a policy of the organisation.").not_tried(
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


def listed_for_two_weeks(_seen: Seen) -> Result:
    """How long ListMetrics lists an instance whose calls were refused."""
    return Expectation("It is listed two weeks later, asked without RecentlyActive.").not_tried(
        "It would take two weeks."
    )


def stopped_without_cpu(_seen: Seen) -> Result:
    """What CloudWatch has of an instance that does not run."""
    return Expectation("No datapoint in whole hours between a stop and a start.").not_tried(
        "It would take two hours more; its instance is stopped for a few minutes."
    )


def credentials_run_out(_seen: Seen) -> Result:
    """How long software works on with the credentials that it has."""
    return Expectation("They end after six hours or so.").not_tried(
        "It would take a day, and an instance profile, which none of its instances has."
    )


def key_finding_fields(_seen: Seen) -> Result:
    """The IAM keys by which the functions' roles are kept from fields of findings."""
    return Expectation("A call that writes another field than note and workflow is denied.").not_tried(
        "It would have to write to a finding; Security Hub has no dry run."
    )


def key_image_attribute(_seen: Seen) -> Result:
    """The IAM key by which the source role is kept to `ImdsSupport`."""
    return Expectation("A dry run of ModifyImageAttribute with another attribute is denied.").not_tried(
        "It would need an AMI of the account, of which the self-test makes none."
    )


def scaling_asks_for_the_caller(_seen: Seen) -> Result:
    """In whose name Auto Scaling asks EC2 for a launch template."""
    return Expectation("UpdateAutoScalingGroup is permitted to the source role.").not_tried(
        "It would need a group with a launch template, of which the self-test makes none."
    )


def scaling_tells_of_ends(_seen: Seen) -> Result:
    """The words of Auto Scaling's activities."""
    return Expectation("Activities name the instances that a group has launched and ended.").not_tried(
        "It would need a group that replaces its instances, of which the self-test makes none."
    )


def alarms_fill_gaps(_seen: Seen) -> Result:
    """What alarms make of a function that is silent."""
    return Expectation("The alarm is raised 15 minutes after the last invocation.").not_tried(
        "It would have to keep a function of the service from running."
    )
