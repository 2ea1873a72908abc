"""What the code takes for granted, and no self-test tries."""

from __future__ import annotations

from imdsv2.selftest import untried_checks, witnesses
from imdsv2.selftest.belief import Belief

UNTRIED_BELIEFS: tuple[Belief, ...] = (
    Belief(
        id="metric-memory",
        statement="CloudWatch keeps datapoints by the hour for 455 days, and by five minutes for 63 days.",
        witness=witnesses.RETENTION,
        check=untried_checks.metric_memory,
        if_wrong="It takes hours that CloudWatch has forgotten for gaps, and holds the instance as `no_evidence`.",
    ),
    Belief(
        id="refusal-when-enforced",
        statement="Under HttpTokensEnforced, EC2 refuses to make tokens optional with UnsupportedOperation and words about it.",
        witness=witnesses.RECORDED,
        check=untried_checks.refusal_when_enforced,
        if_wrong="The rollback fails all the same; people are told EC2's own words in place of the remedy.",
    ),
    Belief(
        id="refusal-under-declarative-policy",
        statement="Under a declarative policy, EC2's refusal of a change says so.",
        witness=witnesses.NONE,
        check=untried_checks.refusal_under_declarative_policy,
        if_wrong="It records `failed` with EC2's code in place of `managed_elsewhere`.",
    ),
    Belief(
        id="refusal-of-managed-instances",
        statement="EC2's refusal to change an instance that a service manages, or the instance's operator, says so.",
        witness=witnesses.NONE,
        check=untried_checks.refusal_of_managed_instances,
        if_wrong="It records `failed` with EC2's code in place of `managed_elsewhere`.",
    ),
    Belief(
        id="refusal-by-service-control-policy",
        statement="EC2's refusal under a service control policy names the kind of policy.",
        witness=witnesses.RECORDED,
        check=untried_checks.refusal_by_service_control_policy,
        if_wrong="People are told that a permission is missing, not where it is denied.",
    ),
    Belief(
        id="listed-for-two-weeks",
        statement="ListMetrics lists an instance with refused calls for two weeks after the last of them.",
        witness=witnesses.LIST_METRICS,
        check=untried_checks.listed_for_two_weeks,
        if_wrong="It overlooks refused calls for up to a week, and may require tokens again where software broke.",
        for_safety=True,
    ),
    Belief(
        id="stopped-without-cpu",
        statement="CPUUtilization has no datapoint for hours in which an instance is stopped.",
        witness=witnesses.NONE,
        check=untried_checks.stopped_without_cpu,
        if_wrong="It takes hours in which an instance was stopped for gaps in its evidence, and holds it as `no_evidence`.",
    ),
    Belief(
        id="credentials-run-out",
        statement="Credentials that the metadata service has handed out end within hours, well within a watch.",
        witness=witnesses.CREDENTIALS,
        check=untried_checks.credentials_run_out,
        if_wrong="It verifies an instance whose software still works with older credentials; only the recall of late breakage sees it break.",
        for_safety=True,
    ),
    Belief(
        id="key-finding-fields",
        statement="Security Hub's IAM keys carry the fields of a finding that a call writes, of the older and of the newer one.",
        witness=witnesses.HUB_KEYS,
        check=untried_checks.key_finding_fields,
        if_wrong="Only the code, and no role, keeps the functions from rating, closing or suppressing a finding.",
    ),
    Belief(
        id="key-image-attribute",
        statement="The IAM key `ec2:Attribute` carries the attribute that ModifyImageAttribute sends.",
        witness=witnesses.NONE,
        check=untried_checks.key_image_attribute,
        if_wrong="Only the code, and no role, keeps the service from changing other attributes of an AMI.",
    ),
    Belief(
        id="scaling-asks-for-the-caller",
        statement="Auto Scaling asks EC2 in the caller's name, and through a service, whether a launch template may be used.",
        witness=witnesses.NONE,
        check=untried_checks.scaling_asks_for_the_caller,
        if_wrong="A group cannot be pointed to another version by its number; the service puts back what it had changed, and says so.",
    ),
    Belief(
        id="scaling-tells-of-ends",
        statement="Auto Scaling's activities tell in known words which instances a group has launched and ended.",
        witness=witnesses.NONE,
        check=untried_checks.scaling_tells_of_ends,
        if_wrong="Of the members that a group has ended, it knows only those that it saw while they lived.",
    ),
    Belief(
        id="alarms-fill-gaps",
        statement="Alarms fill gaps in the metrics of Lambda with zeros.",
        witness=witnesses.NONE,
        check=untried_checks.alarms_fill_gaps,
        if_wrong="That a function is silent is told after half an hour in place of 15 minutes.",
    ),
)
