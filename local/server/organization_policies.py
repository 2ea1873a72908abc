"""Policies of the organisation: ministack keeps and attaches them, this module takes them from CloudFormation and evaluates service control
policies, for everybody in the accounts to which they are attached (by the root, the unit or the account), beside the callers' own policies.

As in AWS, they bind nobody in the management account, and no call that a service makes itself (e.g. launches of Auto Scaling). Not as in
AWS: they do not bind those who call with an account's own key of twelve digits; declarative policies do nothing, because
`/_local/declarative-policy` (`ec2/metadata.py`) sets what one would.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from local.server import platform as ms
from local.server.organizations import HOME, MANAGEMENT, MEMBERS, ROOT, UNIT

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.server.platform import Response

Properties: TypeAlias = dict[str, Any]

SERVICE_CONTROL: Final = "SERVICE_CONTROL_POLICY"
FULL_ACCESS: Final = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'


def install() -> None:
    """Register the resource type, and evaluate what is attached."""
    ms.STACK_TYPES["AWS::Organizations::Policy"] = {"create": _create, "update": _update, "delete": _delete}
    resolve = ms.iam_evaluator.resolve_principal

    def resolve_in_organization(access_key_id: str, account_id: str, credential: Any = None) -> Any:
        principal = resolve(access_key_id, account_id, credential)
        # None: whoever has all rights, and is not asked for policies. Who could not be recognised has no policies at all.
        if getattr(principal, "policies", None) is not None and principal.account in MEMBERS:
            principal.limits += [_parsed(content) for content in _binding(principal.account)]
        return principal

    ms.iam_evaluator.resolve_principal = resolve_in_organization


def _binding(account: str) -> list[str]:
    """The service control policies that bind a member account."""
    with ms.acting_in(MANAGEMENT, HOME):
        return [
            policy["_Content"]
            for policy in ms.organizations._policies.values()
            if policy["Type"] == SERVICE_CONTROL
            and {account, UNIT, ROOT}.intersection(ms.organizations._attachments.get(policy["Id"]) or [])
        ]


def _parsed(content: str) -> list[Any]:
    """Statements that limit: beside every policy there is one that allows everything, as AWS attaches it."""
    parse = ms.iam_evaluator.parse_policy_document
    return [parse(FULL_ACCESS), parse(content)]


def _create(_logical_id: str, properties: Properties, _stack: str) -> tuple[str, Properties]:
    taken = {name: properties[name] for name in ("Name", "Type")}
    taken |= {"Description": properties.get("Description", ""), "Content": _content(properties)}
    policy_id = str(_answer(ms.organizations._create_policy, taken)["Policy"]["PolicySummary"]["Id"])
    for target in properties.get("TargetIds", []):
        _answer(ms.organizations._attach_policy, {"PolicyId": policy_id, "TargetId": target})
    return policy_id, {"Id": policy_id}


def _update(
    physical_id: str, _old: Properties, new: Properties, _stack: str, _logical_id: str = ""
) -> tuple[str, Properties]:
    _answer(ms.organizations._update_policy, {"PolicyId": physical_id, "Content": _content(new)})
    before, after = _attached(physical_id), set(new.get("TargetIds", []))
    for change, targets in (("_detach_policy", before - after), ("_attach_policy", after - before)):
        for target in sorted(targets):
            _answer(getattr(ms.organizations, change), {"PolicyId": physical_id, "TargetId": target})
    return physical_id, {"Id": physical_id}


def _delete(physical_id: str, _properties: Properties) -> None:
    for target in sorted(_attached(physical_id)):
        _answer(ms.organizations._detach_policy, {"PolicyId": physical_id, "TargetId": target})
    _answer(ms.organizations._delete_policy, {"PolicyId": physical_id})


def _attached(policy_id: str) -> set[str]:
    """To what it is attached now, also by hand."""
    return set(ms.organizations._attachments.get(policy_id) or [])


def _content(properties: Properties) -> str:
    content = properties["Content"]
    return content if isinstance(content, str) else json.dumps(content)


def _answer(ask: Callable[[Properties], Response], payload: Properties) -> Properties:
    """What Organizations answers. Raises ValueError with its refusal, by which the resource fails."""
    status, _, body = ask(payload)
    answer: Properties = json.loads(body) if body else {}
    if status != 200:
        raise ValueError(f"{answer.get('__type')}: {answer.get('message') or answer.get('Message')}")
    return answer
