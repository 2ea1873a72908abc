"""The parts of the service in the security account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imdsv2_cli.aws import code_of
from imdsv2_cli.doctor.finding import Finding, fault, unproved, well
from imdsv2_cli.failure import Failure
from imdsv2_cli.policies import effective, read_parameter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imdsv2_cli.base import App

FUNCTIONS = ("remediate", "manual", "revisit", "guard", "sweep", "check", "broadcast")
SCHEDULES = ("revisit", "guard", "sweep")
_READS = frozenset({"Enabled", "Creating", "Updating", "Enabling"})
_DEPLOY = "npx cdk deploy, from a checkout of this version"


def version(app: App) -> Iterator[Finding]:
    """The stack and this command line are of the same version."""
    from imdsv2.version import VERSION, VERSION_TAG

    [stack] = app.client("cloudformation").describe_stacks(StackName=app.stack)["Stacks"]
    deployed = next((each["Value"] for each in stack.get("Tags", []) if each["Key"] == VERSION_TAG), None)
    status = stack.get("StackStatus", "")
    if status and not status.endswith("_COMPLETE"):
        yield fault(
            "stack",
            f"The stack {app.stack} is in {status}.",
            f"aws cloudformation describe-stack-events --stack-name {app.stack}",
        )
    deployed = deployed or app.outputs.get("Version")
    if deployed is None:
        yield unproved("version", "The stack does not tell its version.", _DEPLOY)
    elif deployed != VERSION:
        yield fault(
            "version",
            f"The service is of version {deployed}, this command line of {VERSION}.",
            f"{_DEPLOY}; or pip install the other",
        )
    else:
        yield well("version", f"Service and command line are of version {VERSION}.")


def policy(app: App) -> Iterator[Finding]:
    """The service takes the policy; `off` is no fault, but worth a word."""
    try:
        found = read_parameter(app)
        mode = effective(found.document)["mode"]
    except Failure as failure:
        yield fault("policy", failure.message, "imdsv2 policy set --from FILE")
        return
    if found.problem:
        yield fault("policy", f"{found.problem}.", "imdsv2 policy set --from FILE")
        return
    yield well("policy", f"Version {found.version}, mode {mode}.")


def functions(app: App) -> Iterator[Finding]:
    """Every function is there and can be started."""
    client = app.client("lambda")
    for name in FUNCTIONS:
        full = f"{app.prefix}-{name}"
        try:
            found = client.get_function_configuration(FunctionName=full)
        except Exception as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            yield fault("functions", f"There is no function {full}.", _DEPLOY)
            continue
        state, update = found.get("State", "Active"), found.get("LastUpdateStatus", "Successful")
        if state not in {"Active", "Inactive"} or update == "Failed":
            why = found.get("StateReason") or found.get("LastUpdateStatusReason") or f"{state}, {update}"
            yield fault("functions", f"{full} cannot be started: {why}", _DEPLOY)
        else:
            yield well("functions", f"{full} is {state.lower()}.")


def schedules(app: App) -> Iterator[Finding]:
    """Every schedule is enabled."""
    scheduler = app.client("scheduler")
    for name in SCHEDULES:
        full = f"{app.prefix}-{name}"
        try:
            state = scheduler.get_schedule(Name=full)["State"]
        except Exception as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            yield fault("schedules", f"There is no schedule {full}.", _DEPLOY)
            continue
        if state == "ENABLED":
            yield well("schedules", f"{full} is enabled.")
        else:
            yield fault(
                "schedules",
                f"{full} is disabled: nothing is done by itself.",
                "enable it in EventBridge Scheduler, or " + _DEPLOY,
            )


def queue(app: App) -> Iterator[Finding]:
    """The queue of findings is read."""
    yield _read_by(app, "remediate", "queue", "Findings", "the queue")


def stream(app: App) -> Iterator[Finding]:
    """Whoever subscribes gets the events of the ledger."""
    yield _read_by(app, "broadcast", "events", "Events for subscribers", "the ledger's stream")


def _read_by(app: App, function: str, check: str, what: str, source: str) -> Finding:
    """Whether a function is handed what it waits for."""
    full = f"{app.prefix}-{function}"
    mappings = app.client("lambda").list_event_source_mappings(FunctionName=full)["EventSourceMappings"]
    states = {each["UUID"]: each.get("State", "Enabled") for each in mappings}
    # After the ledger was restored there are two, of which the older may have been switched off.
    if _READS & set(states.values()):
        return well(check, f"{what} are read from {source}.")
    for uuid, state in states.items():
        mend = f"aws lambda update-event-source-mapping --uuid {uuid} --enabled"
        return fault(check, f"{what} are not read from {source}: {state}.", mend)
    return fault(check, f"{full} does not read {source}.", _DEPLOY)


def dead_letters(app: App) -> Iterator[Finding]:
    """No message waits in the dead-letter queue."""
    url = app.stack_output("FindingsDeadLetterQueueUrl")
    asked = app.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    waiting = int(asked["Attributes"]["ApproximateNumberOfMessages"])
    if not waiting:
        yield well("dead letters", "None waits.")
        return
    source, to = (app.outputs.get(name, name) for name in ("FindingsDeadLetterQueueArn", "FindingsQueueArn"))
    mend = f"find the cause (attributes field and reason); then: aws sqs start-message-move-task --source-arn {source} --destination-arn {to}"
    what = "1 message waits" if waiting == 1 else f"{waiting} messages wait"
    yield fault("dead letters", f"{what} in {url}.", mend)


def rules(app: App) -> Iterator[Finding]:
    """The rules that hand events to the queue are enabled."""
    events = app.client("events")
    pages = app.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=app.stack)
    found = [
        each for page in pages for each in page["StackResourceSummaries"] if each["ResourceType"] == "AWS::Events::Rule"
    ]
    for each in found:
        bus, _, name = each["PhysicalResourceId"].rpartition("|")
        rule = events.describe_rule(Name=name.rpartition("/")[2], **({"EventBusName": bus} if bus else {}))
        if rule["State"] == "DISABLED":
            mend = f"aws events enable-rule --name {rule['Name']}{f' --event-bus-name {bus}' if bus else ''}"
            yield fault("rules", f"The rule {rule['Name']} is disabled: its events are lost.", mend)
        else:
            yield well("rules", f"{rule['Name']} is enabled.")


def subscriptions(app: App) -> Iterator[Finding]:
    """Somebody gets the messages and alarms."""
    topic = app.stack_output("NotificationsTopicArn")
    pages = app.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
    found = [each for page in pages for each in page["Subscriptions"]]
    confirmed = [each for each in found if each["SubscriptionArn"].startswith("arn:")]
    if confirmed:
        yield well("subscriptions", f"{len(confirmed)} get messages and alarms.")
        return
    waits = f" To be confirmed by the link in the mail: {len(found)}." if found else ""
    mend = f"aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint YOUR-ADDRESS"
    yield fault("subscriptions", f"Nobody gets the messages and alarms.{waits}", mend)


def alarms(app: App) -> Iterator[Finding]:
    """No alarm is raised, and every one notifies somebody."""
    pages = app.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{app.prefix}-")
    found: list[dict[str, Any]] = [each for page in pages for each in page["MetricAlarms"]]
    for each in found:
        name = each["AlarmName"]
        if not each.get("ActionsEnabled", True):
            yield fault(
                "alarms", f"{name} notifies nobody.", f"aws cloudwatch enable-alarm-actions --alarm-names {name}"
            )
        if each.get("StateValue") == "ALARM":
            why = each.get("AlarmDescription") or each.get("StateReason", "")
            yield fault(
                "alarms", f"{name} is raised. {why}", f"docs/operations.md, {name.removeprefix(f'{app.prefix}-')}"
            )
    if not found:
        yield fault("alarms", "There are none.", _DEPLOY)
    else:
        raised = sum(each.get("StateValue") == "ALARM" for each in found)
        yield well("alarms", f"{len(found) - raised} of {len(found)} are quiet.")
