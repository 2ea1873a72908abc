"""The service's own account: its ledger, functions, policy, StackSets and Security Hub, and the results in S3."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES, describe_error
from imdsv2.aws.pages import pages
from imdsv2.domain.policy import Mode, Policy
from imdsv2.errors import PolicyRefused
from imdsv2.selftest.seen import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imdsv2.domain.instance import InstanceArn

_LONGEST_PARAMETER = 4096
"""Characters of a parameter of the standard tier (Systems Manager quotas)."""

_FILTER_OF_NOTHING = {
    "CompositeFilters": [
        {
            "StringFilters": [
                {"FieldName": "finding_info.uid", "Filter": {"Value": "imdsv2-selftest", "Comparison": "EQUALS"}}
            ],
            "Operator": "OR",
        }
    ]
}
"""In the form in which the service asks for findings by id; no finding has this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of what the stack created. ``stack_sets``: empty if the service deploys nothing to members."""

    bucket: str
    table: str
    parameter: str
    manual: str
    check: str
    role: str
    stack_sets: tuple[str, ...]
    call_as: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Names:
        """Raises KeyError, which names the variable."""
        return cls(
            bucket=environment["SELFTEST_BUCKET"],
            table=environment["LEDGER_TABLE"],
            parameter=environment["POLICY_PARAMETER"],
            manual=environment["MANUAL_FUNCTION"],
            check=environment["CHECK_FUNCTION"],
            role=environment["SELFTEST_ROLE"],
            stack_sets=tuple(environment["STACK_SETS"].split()),
            call_as=environment["STACK_SETS_CALL_AS"],
        )


class Home:
    """Calls with the function's own role. Every method may raise one of CALL_FAILURES, unless it says otherwise.

    Args:
        clients: clients by botocore's name of their service.
        names: the names of what the stack created.
    """

    def __init__(self, clients: Mapping[str, Any], names: Names) -> None:
        self._clients = clients
        self.names = names

    def read(self, key: str) -> Any:
        return json.loads(self._clients["s3"].get_object(Bucket=self.names.bucket, Key=key)["Body"].read())

    def write(self, key: str, text: str, content_type: str = "application/json") -> None:
        self._clients["s3"].put_object(Bucket=self.names.bucket, Key=key, Body=text.encode(), ContentType=content_type)

    def invoke(self, function: str, payload: object) -> dict[str, Any]:
        """A function's answer; what it raised comes as `{"error": {"code", "message"}}`, like its own refusals."""
        answer = self._clients["lambda"].invoke(FunctionName=function, Payload=json.dumps(payload))
        document = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            return {"error": {"code": str(answer["FunctionError"]), "message": str(document.get("errorMessage"))}}
        return dict(document)

    def entries(self, role: str, arn: InstanceArn) -> Iterator[Entry]:
        """All items of the ledger about an instance."""
        asked = {"KeyConditionExpression": "pk = :pk", "ExpressionAttributeValues": {":pk": {"S": str(arn)}}}
        for item in self._clients["dynamodb"].query(TableName=self.names.table, ConsistentRead=True, **asked)["Items"]:
            key = item["sk"]["S"]
            at = item["decided_at"]["S"] if key == "current" and "decided_at" in item else key.split("#")[1:2]
            if at:
                yield _entry(role, item, at if isinstance(at, str) else at[0])

    def policy(self) -> Policy:
        """The policy in the parameter. Raises PolicyRefused too."""
        value = self._clients["ssm"].get_parameter(Name=self.names.parameter)["Parameter"]["Value"]
        return Policy.from_json(value)

    def set_observe(self) -> str:
        """Set the policy's mode to `observe` if it enforces; says what was done. Raises nothing."""
        ssm = self._clients["ssm"]
        try:
            text = ssm.get_parameter(Name=self.names.parameter)["Parameter"]["Value"]
            mode = Policy.from_json(text).mode
            if mode is not Mode.ENFORCE:
                return f"The policy's mode was {mode} and stays so."
            changed = {**json.loads(text), "mode": str(Mode.OBSERVE)}
            written = json.dumps(changed, indent=2)
            if len(written) > _LONGEST_PARAMETER:
                written = json.dumps(changed, separators=(",", ":"))
            ssm.put_parameter(Name=self.names.parameter, Value=written, Type="String", Overwrite=True)
        except (*CALL_FAILURES, PolicyRefused) as error:
            return f'The policy could not be changed ({describe_error(error)}): set "mode": "observe" by hand.'
        return 'The policy\'s mode was set to "observe": nothing more is enforced until you set "enforce" again.'

    def stack_instances(self) -> list[dict[str, Any]]:
        """Every instance of the service's StackSets: account, Region and its state."""
        list_instances = self._clients["cloudformation"].list_stack_instances
        return [
            {
                "stack_set": name,
                "account": each.get("Account"),
                "region": each.get("Region"),
                "status": each.get("Status"),
                "detail": each.get("StackInstanceStatus", {}).get("DetailedStatus"),
                "reason": each.get("StatusReason"),
            }
            for name in self.names.stack_sets
            for page in pages(list_instances, StackSetName=name, CallAs=self.names.call_as)
            for each in page["Summaries"]
        ]

    def hub_v2(self) -> None:
        """Raises an error if the newer Security Hub is not on."""
        self._clients["securityhub"].describe_security_hub_v2()

    def findings_v2(self) -> None:
        """Ask the newer Security Hub for a finding that does not exist, as the service asks for findings."""
        self._clients["securityhub"].get_findings_v2(Filters=_FILTER_OF_NOTHING, MaxResults=1)


def _entry(role: str, item: Mapping[str, Any], at: str) -> Entry:
    def text(name: str) -> str:
        return str(item.get(name, {}).get("S", ""))

    findings = item.get("findings", {}).get("M", {}).values()
    hubs = sorted({each["M"]["product_arn"]["S"] for each in findings if "product_arn" in each.get("M", {})})
    when = datetime.fromisoformat(at)
    return Entry(
        role=role, at=when, status=text("status"), reason=text("reason"), source=text("source"), hubs=tuple(hubs)
    )
