"""The modules and tables of ministack that this package uses, named in one place.

ministack has no plug-in interface, so the other modules of this package replace some of its functions and table entries. Its version
is pinned. If a new version moves one of the names below, the server fails to start, which is easier to trace than a failing test.
"""

# ruff: noqa: SLF001 - reaching into ministack is what this module is for

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, TypeAlias

Headers: TypeAlias = dict[str, str]
Response: TypeAlias = tuple[int, Headers, bytes]
Params: TypeAlias = dict[str, list[str]]
Record: TypeAlias = dict[str, Any]
ServiceHandler: TypeAlias = Callable[[str, str, Headers, bytes, Params], Awaitable[Response]]
Ec2Action: TypeAlias = Callable[[Params], Response]

app: Any = import_module("ministack.app")
responses: Any = import_module("ministack.core.responses")
router: Any = import_module("ministack.core.router")
iam_actions: Any = import_module("ministack.core.iam_actions")
iam_evaluator: Any = import_module("ministack.core.iam_evaluator")
lambda_runtime: Any = import_module("ministack.core.lambda_runtime")
autoscaling: Any = import_module("ministack.services.autoscaling")
cloudformation: Any = import_module("ministack.services.cloudformation")
cloudformation_handlers: Any = import_module("ministack.services.cloudformation.handlers")
cloudformation_stacks: Any = import_module("ministack.services.cloudformation.stacks")
cloudwatch: Any = import_module("ministack.services.cloudwatch")
config: Any = import_module("ministack.services.config")
dynamodb: Any = import_module("ministack.services.dynamodb")
ec2: Any = import_module("ministack.services.ec2")
eventbridge: Any = import_module("ministack.services.eventbridge")
iam: Any = import_module("ministack.services.iam")
lambda_svc: Any = import_module("ministack.services.lambda_svc")
organizations: Any = import_module("ministack.services.organizations")
provisioners: Any = import_module("ministack.services.cloudformation.provisioners")
s3: Any = import_module("ministack.services.s3")
ssm: Any = import_module("ministack.services.ssm")
sqs: Any = import_module("ministack.services.sqs")
stepfunctions: Any = import_module("ministack.services.stepfunctions")
sts: Any = import_module("ministack.services.sts")
tagging: Any = import_module("ministack.services.tagging")

SERVICES: dict[str, ServiceHandler] = app.SERVICE_HANDLERS
EC2_ACTIONS: dict[str, Ec2Action] = ec2._ACTION_MAP
EC2_INSTANCES: MutableMapping[str, Record] = ec2._instances
LAUNCH_TEMPLATES: MutableMapping[str, Record] = ec2._launch_templates
EC2_IMAGES: MutableMapping[str, Record] = ec2._images
EC2_TAGS: MutableMapping[str, list[dict[str, str]]] = ec2._tags
STACK_TYPES: dict[str, dict[str, Callable[..., Any]]] = provisioners._RESOURCE_HANDLERS
STACKS: Mapping[str, Record] = cloudformation._stacks
BUSES: Mapping[str, Record] = eventbridge._event_buses
BUS_POLICIES: MutableMapping[str, Record] = eventbridge._event_bus_policies

ec2_instance_xml: Callable[[Record], str] = ec2._instance_xml


def account_id() -> str:
    """The account of the current request."""
    return str(responses.get_account_id())


def region() -> str:
    """The Region of the current request."""
    return str(responses.get_region())


@contextmanager
def acting_in(account: str, in_region: str) -> Iterator[None]:
    """Run the block as if the current request were in this account and Region."""
    with responses.request_scope(account, in_region):
        yield


def emit_event(*, source: str, detail_type: str, detail: str, resources: list[str]) -> None:
    """Put an event of an AWS service on the default bus of the current account and Region."""
    eventbridge._ensure_default_bus()
    entry = {"Source": source, "DetailType": detail_type, "Detail": detail, "Resources": resources}
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
