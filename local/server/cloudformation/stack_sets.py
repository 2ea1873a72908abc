"""Service-managed StackSets: deploys the template to the accounts that the named units have at that time, and lists its stacks."""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import organizations as organization
from local.server import platform as ms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from local.server.platform import Params, Response

Properties: TypeAlias = dict[str, Any]
Created: TypeAlias = tuple[str, Properties]
Place: TypeAlias = tuple[str, str]

TYPE: Final = "AWS::CloudFormation::StackSet"

# Name of a StackSet -> its id and where its stacks are.
_sets: dict[str, tuple[str, list[Place]]] = {}


def install() -> None:
    """Register the resource type with ministack."""
    ms.STACK_TYPES[TYPE] = {"create": _create, "update": _update, "delete": _delete}
    # The stacks that it makes have a loop of their own to run on, which the server's cannot lend.
    on_thread = ms.cloudformation_stacks._runs_on_worker_thread
    ms.cloudformation_stacks._runs_on_worker_thread = lambda kind: kind == TYPE or on_thread(kind)
    ms.cloudformation_handlers._ACTION_HANDLERS["ListStackInstances"] = _list


def _create(_logical_id: str, properties: Properties, _stack: str) -> Created:
    if (properties["PermissionModel"], properties["CallAs"]) != ("SERVICE_MANAGED", "SELF"):
        raise ValueError("the local security account manages its organisation: call_as takes SELF here")
    physical_id = f"{properties['StackSetName']}:{uuid.uuid4()}"
    _deploy(physical_id, properties)
    return physical_id, {"StackSetId": physical_id}


def _update(physical_id: str, old: Properties, new: Properties, _stack: str, _logical_id: str = "") -> Created:
    _delete(physical_id, old)
    _deploy(physical_id, new)
    return physical_id, {"StackSetId": physical_id}


def _delete(physical_id: str, properties: Properties) -> None:
    asyncio.run(_everywhere(_places(properties), ms.cloudformation_handlers._delete_stack, physical_id, {}))


def _deploy(physical_id: str, properties: Properties) -> None:
    request = {"TemplateBody": [properties["TemplateBody"]]}
    for number, capability in enumerate(properties.get("Capabilities", []), 1):
        request[f"Capabilities.member.{number}"] = [capability]
    for number, parameter in enumerate(properties.get("Parameters", []), 1):
        for name, value in parameter.items():
            request[f"Parameters.member.{number}.{name}"] = [value]
    places = _places(properties)
    _sets[properties["StackSetName"]] = physical_id, places
    asyncio.run(_everywhere(places, ms.cloudformation_handlers._create_stack, physical_id, request))
    failed = [place for place in places if _status(place, physical_id) != "CREATE_COMPLETE"]
    tolerated = properties.get("OperationPreferences", {}).get("FailureTolerancePercentage", 0)
    if 100 * len(failed) > tolerated * len(places):
        raise ValueError(f"no stack came about in {', '.join('/'.join(place) for place in failed)}")


async def _everywhere(
    places: Iterable[Place], call: Callable[[Params], Any], physical_id: str, request: Params
) -> None:
    for place in places:
        with ms.acting_in(*place):
            call({**request, "StackName": [_stack_name(physical_id, place)]})
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))


def _places(properties: Properties) -> list[Place]:
    places = []
    for group in properties["StackInstancesGroup"]:
        targets = group["DeploymentTargets"]
        accounts = organization.accounts_in(targets["OrganizationalUnitIds"])
        left_out = targets.get("Accounts", []) if targets.get("AccountFilterType") == "DIFFERENCE" else []
        places += [(account, region) for account in accounts if account not in left_out for region in group["Regions"]]
    return places


def _status(place: Place, physical_id: str) -> str | None:
    with ms.acting_in(*place):
        stack: Properties = ms.STACKS.get(_stack_name(physical_id, place), {})
        return stack.get("StackStatus")


def _stack_name(physical_id: str, place: Place) -> str:
    """A name that is unique to the account and Region, as names that a stack derives from its own must differ between Regions."""
    return f"StackSet-{physical_id.partition(':')[0]}-{uuid.uuid5(uuid.NAMESPACE_URL, '/'.join((physical_id, *place)))}"


def _list(params: Params) -> Response:
    """ListStackInstances, in one page."""
    name = params["StackSetName"][0]
    physical_id, places = _sets.get(name, ("", []))
    if not physical_id:
        refusal: Response = ms.cloudformation_handlers._error(
            "StackSetNotFoundException", f"StackSet {name} not found", 404
        )
        return refusal
    members = "".join(f"<member>{_instance_xml(physical_id, place)}</member>" for place in places)
    answer: Response = ms.cloudformation_handlers._xml(
        200,
        "ListStackInstancesResponse",
        f"<ListStackInstancesResult><Summaries>{members}</Summaries></ListStackInstancesResult>",
    )
    return answer


def _instance_xml(physical_id: str, place: Place) -> str:
    good = _status(place, physical_id) == "CREATE_COMPLETE"
    detail = "<StackInstanceStatus><DetailedStatus>SUCCEEDED</DetailedStatus></StackInstanceStatus>" if good else ""
    status = "CURRENT" if good else "OUTDATED"
    return f"<StackSetId>{physical_id}</StackSetId><Account>{place[0]}</Account><Region>{place[1]}</Region><Status>{status}</Status>{detail}"
