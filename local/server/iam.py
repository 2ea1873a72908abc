"""IAM enforcement: corrections and additions to ministack's that the roles of this service need.

ministack evaluates identity policies, trust policies, permission boundaries and most resource policies of API calls. This module adds:

- `aws:ResourceOrgID` is the organisation of the account in the resource's ARN;
- `aws:PrincipalArn` of an assumed role is the ARN of the role, not of the session (AWS compares the role's);
- CreateTags and DeleteTags are checked on every resource that they name, RunInstances on those that it makes or uses;
- ModifyInstanceMetadataOptions carries `ec2:Attribute/<name>` and `ec2:Attribute` (what is sent) and `ec2:MetadataHttpEndpoint`,
  `ec2:MetadataHttpTokens`, `ec2:MetadataHttpPutResponseHopLimit` (the instance's current state);
- ModifyImageAttribute is checked on the image, and carries `ec2:Owner` and `ec2:Attribute`;
- PutParameter carries `ssm:Overwrite`;
- GetCalendarState is checked on the first calendar that it names;
- `aws:ResourceTag/<key>` and `ec2:ResourceTag/<key>` of instances are available, the former of launch templates too, by which their
  changes are checked;
- Security Hub's actions have names, resources, and condition keys for what an update sends (`securityhub:ASFFSyntaxPath/...`,
  `securityhub:OCSFSyntaxPath/...`); the V2 operations are authorised by the older actions on `hubv2`, as in AWS;
- RunInstances carries `ec2:MetadataHttpTokens`, `ec2:MetadataHttpEndpoint` and `ec2:MetadataHttpPutResponseHopLimit` where the launch or its
  launch template says them (whether AWS also fills them from defaults is not documented: here it does not);
- `aws:SecureTransport` is true, although the loopback interface is used without TLS.

Service control policies are added by `organization_policies.py`. Not enforced: calls that AWS services make themselves (EventBridge to a
queue, a key policy's grant to a service), and condition keys that ministack does not know. The tests of the template check those with an
evaluator of IAM policies.
"""

# ruff: noqa: SLF001 - ministack offers no other way in, see platform.py

from __future__ import annotations

import json
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from local.server import platform as ms
from local.server.ec2.images import owner_of
from local.server.ec2.records import tags_of
from local.server.ec2.templates import with_template
from local.server.ec2.wire import many, one, tags

if TYPE_CHECKING:
    from local.server.platform import Headers, Params, Record

ATTRIBUTES: Final = (
    "HttpTokens",
    "HttpEndpoint",
    "HttpPutResponseHopLimit",
    "HttpProtocolIpv6",
    "InstanceMetadataTags",
)
IMAGE_ATTRIBUTES: Final = ("ImdsSupport", "LaunchPermission", "Description")
# APIs that are authorised by another action than their own; botocore's documentation of Security Hub's says so.
KNOWN_TO_IAM_AS: Final = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "securityhub:BatchUpdateFindingsV2": "securityhub:BatchUpdateFindings",
    "securityhub:GetFindingsV2": "securityhub:GetFindings",
}
PRESENT_STATE: Final = ("HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit")
OCSF_FIELDS: Final = ("Comment", "SeverityId", "StatusId")


def install() -> None:
    """Install the corrections."""
    ms.iam_actions.SERVICE_TO_IAM_NAMESPACE["securityhub"] = "securityhub"
    ms.iam_actions._BOTOCORE_SERVICE_MAP["securityhub"] = ["securityhub"]
    _remember_policies()
    _remember_bodies()
    _correct_actions()
    _correct_principal_arn()
    _correct_resources()
    _correct_conditions()
    pin = ms.app.pin_request_origin
    ms.app.pin_request_origin = lambda address, _secure: pin(address, True)


def _remember_policies() -> None:
    """Cache parsed policies, as ministack parses every policy of the caller for every call."""
    read = ms.iam_evaluator.parse_policy_document
    remembered = lru_cache(maxsize=1000)(read)
    ms.iam_evaluator.parse_policy_document = lambda text: remembered(text) if isinstance(text, str) else read(text)


def _remember_bodies() -> None:
    """Cache parsed requests, as ministack parses each several times to learn what it concerns; it only reads them."""
    ms.iam_actions.json = SimpleNamespace(**vars(json) | {"loads": lru_cache(maxsize=8)(json.loads)})


def _correct_actions() -> None:
    extract = ms.iam_actions.extract_iam_action

    def extract_action(
        service: str, method: str, path: str, headers: Headers, body: bytes, params: Params
    ) -> str | None:
        action: str | None = extract(service, method, path, headers, body, params)
        return KNOWN_TO_IAM_AS.get(action or "", action)

    ms.iam_actions.extract_iam_action = extract_action


def _correct_principal_arn() -> None:
    resolve = ms.iam_evaluator._resolve_condition_key

    def resolve_key(key: str, context: Any) -> Any:
        if key.lower() == "aws:resourceorgid":
            owner = str(context.resource_arn).split(":")[4:5]
            return ms.iam_evaluator._principal_org_id(owner[0]) if owner else None
        value = resolve(key, context)
        return _role_arn(value) if key.lower() == "aws:principalarn" else value

    ms.iam_evaluator._resolve_condition_key = resolve_key


def _role_arn(principal: str) -> str:
    if ":assumed-role/" not in principal:
        return principal
    account, role = principal.split(":")[4], principal.split("/")[1]
    return f"arn:aws:iam::{account}:role/{role}"


def _correct_resources() -> None:
    extract, further = ms.iam_actions.extract_resource_arn, ms.iam_actions.verified_access_resource_arns

    def extract_arn(
        service: str, method: str, path: str, headers: Headers, body: bytes, params: Params, region: str, account: str
    ) -> str:
        if service == "securityhub":
            hub = "hubv2/local" if path.startswith("/findingsv2") else "hub/default"
            return f"arn:aws:securityhub:{region}:{account}:{hub}"
        if service == "ssm" and headers.get("x-amz-target", "").endswith(".GetCalendarState"):
            return _document_arn(json.loads(body)["CalendarNames"][0], region, account)
        if service == "ssm" and headers.get("x-amz-target", "").endswith(".SendCommand"):
            return _document_arn(json.loads(body)["DocumentName"], region, account)
        if service == "ec2" and (several := _several_arns(params, region, account)):
            return several[0]
        return str(extract(service, method, path, headers, body, params, region, account))

    def every_arn(params: Params, region: str, account: str) -> list[str]:
        return _several_arns(params, region, account) or list(further(params, region, account))

    ms.iam_actions.extract_resource_arn = extract_arn
    # ministack checks all but the first of these too.
    ms.iam_actions.verified_access_resource_arns = every_arn


def _document_arn(name: str, region: str, account: str) -> str:
    return name if name.startswith("arn:") else f"arn:aws:ssm:{region}:{account}:document/{name}"


def _several_arns(params: Params, region: str, account: str) -> list[str]:
    """The resources of a call that IAM checks on each of them."""
    here = f"arn:aws:ec2:{region}:{account}:"
    if one(params, "Action") == "RunInstances":
        made = [f"{here}{kind}/*" for kind in ("instance", "volume", "network-interface", "security-group")]
        return [
            *made,
            f"{here}subnet/{one(params, 'SubnetId') or '*'}",
            f"arn:aws:ec2:{region}::image/{one(params, 'ImageId')}",
        ]
    if one(params, "Action") in {"CreateLaunchTemplateVersion", "ModifyLaunchTemplate"}:
        return [f"{here}launch-template/{one(params, 'LaunchTemplateId') or '*'}"]
    if one(params, "Action") == "ModifyImageAttribute":
        return [f"arn:aws:ec2:{region}::image/{one(params, 'ImageId')}"]
    if one(params, "Action") not in {"CreateTags", "DeleteTags"}:
        return []
    kinds = ms.ec2._guess_resource_type
    return [f"{here}{kinds(resource)}/{resource}" for resource in many(params, "ResourceId")]


def _correct_conditions() -> None:
    request_context, resource_tags = ms.iam_actions.request_tag_context, ms.tagging.resource_tags

    def context(service: str, action: str, body: bytes, params: Params) -> Record:
        known = dict(request_context(service, action, body, params))
        if service == "ec2":
            return known | _instance_context(params)
        if action == "ssm:PutParameter":
            return known | {"ssm:Overwrite": str(json.loads(body).get("Overwrite", False)).lower()}
        return known | _finding_context(body) if action == "securityhub:BatchUpdateFindings" else known

    def tags(arn: str) -> dict[str, str] | None:
        if (":instance/" in arn or ":launch-template/" in arn) and arn.startswith("arn:aws:ec2:"):
            return tags_of(arn.rpartition("/")[2])
        found: dict[str, str] | None = resource_tags(arn)
        return found

    ms.iam_actions.request_tag_context = context
    ms.tagging.resource_tags = tags


def _finding_context(body: bytes) -> Record:
    context: Record = {}
    for name, value in json.loads(body or b"{}").items():
        if name in OCSF_FIELDS:
            context[f"securityhub:OCSFSyntaxPath/{name}"] = str(value)
        elif isinstance(value, dict):
            context |= {f"securityhub:ASFFSyntaxPath/{name}.{field}": str(sent) for field, sent in value.items()}
    return context


def _instance_context(params: Params) -> Record:
    instance_id = one(params, "InstanceId") or one(params, "ResourceId.1") or one(params, "InstanceId.1") or ""
    context: Record = {f"ec2:ResourceTag/{key}": value for key, value in tags_of(instance_id).items()}
    if one(params, "Action") == "RunInstances":
        return context | _launch_context(params)
    if one(params, "Action") == "ModifyImageAttribute":
        changed = [name for name in IMAGE_ATTRIBUTES if any(each.startswith(f"{name}.") for each in params)]
        return context | {"ec2:Owner": owner_of(one(params, "ImageId") or ""), "ec2:Attribute": changed}
    if one(params, "Action") != "ModifyInstanceMetadataOptions":
        return context
    sent = {name: value for name in ATTRIBUTES if (value := one(params, name)) is not None}
    present = ms.EC2_INSTANCES.get(instance_id, {}).get("MetadataOptions", {})
    context |= {"ec2:Attribute": list(sent)} | {f"ec2:Attribute/{name}": value for name, value in sent.items()}
    return context | {f"ec2:Metadata{name}": present[name] for name in PRESENT_STATE if name in present}


def _launch_context(params: Params) -> Record:
    """Every image here is Amazon's, with a volume of 8 GiB."""
    params = with_template(params)
    marked = {f"aws:RequestTag/{key}": value for key, value in tags(params, "TagSpecification.1.Tag").items()}
    said = {name: value for name in PRESENT_STATE if (value := one(params, f"MetadataOptions.{name}")) is not None}
    options = {f"ec2:Metadata{name}": value for name, value in said.items()}
    return {
        "ec2:InstanceType": one(params, "InstanceType"),
        "ec2:Owner": "amazon",
        "ec2:VolumeSize": "8",
        **options,
        **marked,
    }
