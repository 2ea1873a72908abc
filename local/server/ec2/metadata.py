"""EC2's instance metadata options and the account's defaults for them.

A change on a running instance is briefly `pending`, then `applied`; on a stopped instance it stays `pending` until the start. Options
that are not sent keep their values. Not in AWS: tags of an instance provoke errors that EC2 returns in special situations:

- `local:refuse-without-endpoint` (any value): `HttpTokens` without `HttpEndpoint=enabled` is refused, as was observed in EC2;
- `local:operator`: the instance is managed by this service (`Operator`), and only the service may change it;
- `local:modify-error`: every change is refused with this code, or `code: message`;
- `local:applied-after`: seconds from a change to `applied`, for this instance.

`PUT /_local/declarative-policy` with `account`, `region` and `defaults` puts the defaults there under a declarative policy: neither
they nor the options of any instance can then be changed (`OperationNotPermitted`, with the words of the Organizations User Guide). How
EC2 refuses to change what a service manages is not published; this module returns `UnsupportedOperation`.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Final

from local.server import gateway
from local.server import platform as ms
from local.server.ec2.records import AT_LAUNCH, found, tags_of
from local.server.ec2.wire import Ec2Error, answer, item, one, refuse_dry_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.server.platform import Params, Record, Response

APPLIED_AFTER_SECONDS: Final = float(os.environ.get("LOCAL_METADATA_DELAY", "0.3"))
MAX_HOPS: Final = 64
NO_PREFERENCE: Final = "no-preference"
SWITCH: Final = frozenset({"enabled", "disabled"})
CHOICES: Final = {
    "HttpTokens": frozenset({"optional", "required"}),
    "HttpEndpoint": SWITCH,
    "HttpProtocolIpv6": SWITCH,
    "InstanceMetadataTags": SWITCH,
}
WIRE_NAMES: Final = {
    "HttpTokens": "httpTokens",
    "HttpPutResponseHopLimit": "httpPutResponseHopLimit",
    "HttpEndpoint": "httpEndpoint",
    "HttpProtocolIpv6": "httpProtocolIpv6",
    "InstanceMetadataTags": "instanceMetadataTags",
}
DEFAULTS_WIRE_NAMES: Final = {
    "HttpTokens": "httpTokens",
    "HttpPutResponseHopLimit": "httpPutResponseHopLimit",
    "HttpEndpoint": "httpEndpoint",
    "InstanceMetadataTags": "instanceMetadataTags",
    "HttpTokensEnforced": "httpTokensEnforced",
}
ENDPOINT_REFUSAL: Final = "The HttpEndpoint is not set to 'enabled' in this request. To specify a value for HttpTokens, set HttpEndpoint to 'enabled'."

# (account, Region) -> what ModifyInstanceMetadataDefaults set there.
_defaults: dict[tuple[str, str], dict[str, str]] = {}
# Where a declarative policy set them instead.
_declared: set[tuple[str, str]] = set()


def install() -> None:
    """Add the actions to ministack's."""
    ms.EC2_ACTIONS["ModifyInstanceMetadataOptions"] = modify_options
    ms.EC2_ACTIONS["GetInstanceMetadataDefaults"] = get_defaults
    ms.EC2_ACTIONS["ModifyInstanceMetadataDefaults"] = modify_defaults
    gateway.route("declarative-policy", _declare)


def options_at_launch(params: Params) -> dict[str, str]:
    """The options of a new instance: those that the launch sends, else the account's defaults, else EC2's.

    Tokens beside a disabled endpoint are refused as in a change: Terraform's provider sends none there, because EC2 takes none.
    """
    sent = _sent(params, WIRE_NAMES, "MetadataOptions.")
    _refuse_invalid(sent)
    if "HttpTokens" in sent and sent.get("HttpEndpoint") == "disabled":
        raise Ec2Error("InvalidParameterValue", ENDPOINT_REFUSAL)
    defaults = _defaults_here()
    kept = {name: value for name, value in defaults.items() if name in AT_LAUNCH and value not in {NO_PREFERENCE, "-1"}}
    options = AT_LAUNCH | kept | sent
    if defaults.get("HttpTokensEnforced") == "enabled" and options["HttpTokens"] == "optional":
        raise Ec2Error(
            "UnsupportedOperation",
            "You can't launch instances with IMDSv1 because httpTokensEnforced is enabled for this account. Either launch the instance "
            "with httpTokens=required or contact your account owner to disable httpTokensEnforced using the ModifyInstanceMetadataDefaults "
            "API or the account settings in the EC2 console.",
        )
    return options


def options_xml(element: str, instance: Record) -> str:
    """The XML of the options, with the state of the last change."""
    options = instance["MetadataOptions"]
    fields = [("state", state_of(instance)), *((wire, options[name]) for name, wire in WIRE_NAMES.items())]
    return f"<{element}>{item(fields)}</{element}>"


def state_of(instance: Record) -> str:
    """`pending` until the last change takes effect, then `applied`."""
    return "pending" if time.time() < instance.get("OptionsAppliedAt", 0.0) else "applied"


def in_force(instance: Record) -> dict[str, str]:
    """The options that the instance's metadata service applies: those before the last change while that is pending."""
    before = instance.get("OptionsBefore") if state_of(instance) == "pending" else None
    options: dict[str, str] = before or instance["MetadataOptions"]
    return options


def apply_soon(instance: Record) -> None:
    """Apply a pending change at a start. Software at boot is affected at once, although EC2 reports `applied` a moment later."""
    if state_of(instance) == "pending":
        instance["OptionsAppliedAt"] = time.time() + APPLIED_AFTER_SECONDS
        instance.pop("OptionsBefore", None)


def modify_options(params: Params) -> Response:
    """Change the options of one instance that are sent."""
    instance_id = one(params, "InstanceId")
    if not instance_id:
        raise Ec2Error("MissingParameter", "The request must contain the parameter InstanceId")
    [instance] = found([instance_id])
    sent = _sent(params, WIRE_NAMES)
    _refuse_invalid(sent)
    refuse_dry_run(params)
    tags = tags_of(instance_id)
    _refuse_declared()
    _refuse_state(instance)
    _refuse_as_tagged(tags)
    _refuse_without_endpoint(instance, sent, tags)
    if _defaults_here().get("HttpTokensEnforced") == "enabled" and sent.get("HttpTokens") == "optional":
        raise Ec2Error(
            "UnsupportedOperation",
            "You can't set httpTokens to 'optional' because httpTokensEnforced is enabled for this account.",
        )
    if state_of(instance) == "applied":
        instance["OptionsBefore"] = dict(instance["MetadataOptions"])
    instance["MetadataOptions"].update(sent)
    delay = float(tags.get("local:applied-after", APPLIED_AFTER_SECONDS))
    instance["OptionsAppliedAt"] = time.time() + delay if instance["State"]["Name"] == "running" else float("inf")
    return answer(
        "ModifyInstanceMetadataOptions",
        item([("instanceId", instance_id)])
        + options_xml("instanceMetadataOptions", instance | {"OptionsAppliedAt": float("inf")}),
    )


def get_defaults(params: Params) -> Response:
    """The account's defaults in the Region, without those that were never set."""
    refuse_dry_run(params)
    defaults = {"HttpTokensEnforced": "disabled"} | _defaults_here()
    managed_by = "declarative-policy" if (ms.account_id(), ms.region()) in _declared else "account"
    fields = [
        (DEFAULTS_WIRE_NAMES[name], value) for name, value in defaults.items() if value not in {NO_PREFERENCE, "-1"}
    ]
    return answer(
        "GetInstanceMetadataDefaults", f"<accountLevel>{item([*fields, ('managedBy', managed_by)])}</accountLevel>"
    )


def modify_defaults(params: Params) -> Response:
    """Set or clear (`no-preference`, `-1`) the account's defaults in the Region."""
    refuse_dry_run(params)
    _refuse_declared()
    sent = _sent(params, DEFAULTS_WIRE_NAMES)
    enforced = sent.get("HttpTokensEnforced")
    if enforced not in {None, "enabled", "disabled", NO_PREFERENCE}:
        raise Ec2Error("InvalidParameterValue", f"Invalid value '{enforced}' for HttpTokensEnforced.")
    _refuse_invalid(
        {name: value for name, value in sent.items() if name in WIRE_NAMES and value not in {NO_PREFERENCE, "-1"}}
    )
    _defaults[ms.account_id(), ms.region()] = _defaults_here() | sent
    return answer("ModifyInstanceMetadataDefaults", "<return>true</return>")


def _defaults_here() -> dict[str, str]:
    return _defaults.get((ms.account_id(), ms.region()), {})


def _declare(_method: str, body: bytes) -> Response:
    asked = json.loads(body)
    place = (asked["account"], asked["region"])
    _defaults[place] = asked["defaults"]
    _declared.add(place)
    return gateway.json_response({"defaults": asked["defaults"]})


def _refuse_declared() -> None:
    if (ms.account_id(), ms.region()) in _declared:
        raise Ec2Error("OperationNotPermitted", "This action is denied due to an organizational policy in effect")


def _sent(params: Params, names: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    return {name: value for name in names if (value := one(params, prefix + name)) is not None}


def _refuse_invalid(sent: Mapping[str, str]) -> None:
    for name, value in sent.items():
        if name in CHOICES and value not in CHOICES[name]:
            raise Ec2Error("InvalidParameterValue", f"Invalid value '{value}' for {name}.")
        if name == "HttpPutResponseHopLimit" and not (value.isdigit() and 1 <= int(value) <= MAX_HOPS):
            raise Ec2Error(
                "InvalidParameterValue",
                f"Value ({value}) for parameter httpPutResponseHopLimit is invalid. Expecting 1 to 64.",
            )


def _refuse_state(instance: Record) -> None:
    state = instance["State"]["Name"]
    if state not in {"running", "stopped", "pending", "stopping"}:
        raise Ec2Error(
            "IncorrectInstanceState",
            f"The instance '{instance['InstanceId']}' is {state}: its metadata options cannot be modified.",
        )


def _refuse_as_tagged(tags: Mapping[str, str]) -> None:
    if operator := tags.get("local:operator"):
        raise Ec2Error("UnsupportedOperation", f"The instance is managed by {operator}, which alone may modify it.")
    if refusal := tags.get("local:modify-error"):
        code, _, message = refusal.partition(":")
        raise Ec2Error(code.strip(), message.strip() or "The metadata options of this instance are managed elsewhere.")


def _refuse_without_endpoint(instance: Record, sent: Mapping[str, str], tags: Mapping[str, str]) -> None:
    if "HttpTokens" not in sent or sent.get("HttpEndpoint") == "enabled":
        return
    closed = instance["MetadataOptions"]["HttpEndpoint"] == "disabled"
    if closed or "HttpEndpoint" in sent or "local:refuse-without-endpoint" in tags:
        raise Ec2Error("InvalidParameterValue", ENDPOINT_REFUSAL)
