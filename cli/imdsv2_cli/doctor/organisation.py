"""What the service depends on in the organisation: Security Hub and StackSets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2_cli.doctor.finding import Finding, fault, unproved, well

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imdsv2_cli.base import App

_CURRENT, _SUSPENDED = "CURRENT", "SKIPPED_SUSPENDED_ACCOUNT"


def security_hub(app: App) -> Iterator[Finding]:
    """Security Hub is on here, and aggregates its findings here."""
    from botocore.exceptions import ClientError

    hub, here = app.client("securityhub"), app.home
    try:
        hub.describe_hub()
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"InvalidAccessException", "ResourceNotFoundException"}:
            raise
        yield fault(
            "Security Hub",
            f"It is not enabled in {here}.",
            "aws securityhub enable-security-hub; or rely on Config and the sweep",
        )
        return
    yield well("Security Hub", f"It is enabled in {here}.")
    aggregators = hub.list_finding_aggregators()["FindingAggregators"]
    regions = [each["FindingAggregatorArn"].split(":")[3] for each in aggregators]
    if not regions:
        mend = "aws securityhub create-finding-aggregator --region-linking-mode ALL_REGIONS"
        yield unproved(
            "aggregation Region", f"Findings of other Regions do not arrive: nothing is aggregated in {here}.", mend
        )
    elif here not in regions:
        mend = f"deploy the service in {regions[0]}, or aggregate findings in {here}"
        yield fault("aggregation Region", f"Findings are aggregated in {regions[0]}, and never arrive in {here}.", mend)
    else:
        yield well("aggregation Region", f"Findings are aggregated in {here}.")


def delegated_administrator(app: App) -> Iterator[Finding]:
    """The account sees the findings of its organisation's accounts."""
    from botocore.exceptions import ClientError

    try:
        app.client("securityhub").describe_organization_configuration()
    except ClientError as error:
        found = f"Account {app.account} does not administer Security Hub for an organisation ({error.response['Error']['Code']})."
        mend = f"in the management account: aws securityhub enable-organization-admin-account --admin-account-id {app.account}"
        yield unproved("delegated administrator", found, mend)
        return
    yield well("delegated administrator", f"Account {app.account} administers Security Hub for the organisation.")


def stack_sets(app: App) -> Iterator[Finding]:
    """Every account has its roles and every Region its rule, where StackSets bring them."""
    from botocore.exceptions import ClientError

    cloudformation = app.client("cloudformation")
    for name in (f"{app.stack}Member", f"{app.stack}Forwarding"):
        instances: list[dict[str, Any]] | None = None
        for call_as in ("DELEGATED_ADMIN", "SELF"):
            asked = {"StackSetName": name, "CallAs": call_as}
            try:
                pages = cloudformation.get_paginator("list_stack_instances").paginate(**asked)
                instances = [each for page in pages for each in page["Summaries"]]
                break
            except ClientError:
                continue
        if instances is None:
            yield unproved(
                "StackSets",
                f"There is no StackSet {name} that you may read: the accounts' stacks are deployed by hand.",
            )
            continue
        living = [each for each in instances if each.get("StackInstanceStatus", {}).get("DetailedStatus") != _SUSPENDED]
        wrong = [each for each in living if each.get("Status") != _CURRENT]
        for each in wrong:
            where = f"account {each['Account']}, {each['Region']}"
            why = each.get("StatusReason") or each.get("Status")
            yield fault("StackSets", f"{name} in {where}: {why}", _once_more(name, call_as, each))
        yield well("StackSets", f"{name}: {len(living) - len(wrong)} of {len(living)} stacks are current.")


def _once_more(name: str, call_as: str, instance: dict[str, Any]) -> str:
    """How to repeat a roll-out in one account and Region: with the same template, parameters and capabilities."""
    unit = instance.get("OrganizationalUnitId", "ITS-ORGANIZATIONAL-UNIT")
    targets = f"OrganizationalUnitIds={unit},Accounts={instance['Account']},AccountFilterType=INTERSECTION"
    command = f"aws cloudformation update-stack-instances --call-as {call_as} --stack-set-name {name}"
    return f"read the reason, then: {command} --regions {instance['Region']} --deployment-targets {targets}"
