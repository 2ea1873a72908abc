"""The app's templates, resolved as CloudFormation would: references become names and ARNs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SECURITY_ACCOUNT = "111111111111"
MEMBER_ACCOUNT = "222222222222"
ORGANIZATION = "o-a1b2c3d4e5"
REGION = "eu-west-1"

_ARN_SERVICE = {
    "AWS::CloudWatch::Alarm": "cloudwatch:{place}:alarm:{name}",
    "AWS::DynamoDB::Table": "dynamodb:{place}:table/{name}",
    "AWS::Events::EventBus": "events:{place}:event-bus/{name}",
    "AWS::Events::Rule": "events:{place}:rule/{name}",
    "AWS::IAM::Role": "iam::{account}:role/{name}",
    "AWS::KMS::Key": "kms:{place}:key/{name}",
    "AWS::Lambda::Function": "lambda:{place}:function:{name}",
    "AWS::Logs::LogGroup": "logs:{place}:log-group:{name}:*",
    "AWS::S3::Bucket": "s3:::{name}",
    "AWS::SNS::Topic": "sns:{place}:{name}",
    "AWS::SQS::Queue": "sqs:{place}:{name}",
    "AWS::StepFunctions::StateMachine": "states:{place}:stateMachine:{name}",
}
_NAME_PROPERTY = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::Events::EventBus": "Name",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SSM::Parameter": "Name",
    "AWS::StepFunctions::StateMachine": "StateMachineName",
}
_REF_IS_ARN = {"AWS::SNS::Topic", "AWS::StepFunctions::StateMachine"}


_NO_VALUE = {"Ref": "AWS::NoValue"}


@dataclass(frozen=True, kw_only=True)
class Template:
    """A synthesised template, as deployed in one account and Region."""

    document: Json
    account: str
    parameters: dict[str, str]
    region: str = REGION

    @classmethod
    def of(cls, path: Path, *, account: str, region: str = REGION, **parameters: str) -> Template:
        """Read a template file."""
        return cls(document=json.loads(path.read_text()), account=account, region=region, parameters=parameters)

    def resources(self, kind: str) -> dict[str, Json]:
        """Logical id to properties, with every reference resolved."""
        return {
            logical_id: self.resolve(resource.get("Properties", {}))
            for logical_id, resource in self.document["Resources"].items()
            if resource["Type"] == kind
        }

    def one(self, kind: str, **properties: Any) -> Json:
        """The only resource of a type that has these properties."""
        (found,) = (
            each
            for each in self.resources(kind).values()
            if all(each.get(name) == properties[name] for name in properties)
        )
        return found

    def outputs(self) -> dict[str, Any]:
        """Output name to value."""
        return {name: self.resolve(each["Value"]) for name, each in self.document.get("Outputs", {}).items()}

    def policies_of(self, role_name: str) -> list[Json]:
        """The identity policies of a role."""
        (logical_id,) = (
            name for name, role in self.resources("AWS::IAM::Role").items() if role.get("RoleName") == role_name
        )
        return [
            policy["PolicyDocument"]
            for name, policy in self.resources("AWS::IAM::Policy").items()
            if {"Ref": logical_id} in self.document["Resources"][name]["Properties"]["Roles"]
        ]

    def resolve(self, value: Any) -> Any:
        """Replace references and functions by the values they will have."""
        match value:
            case {"Fn::If": [str(condition), then, otherwise]}:
                return self.resolve(then if self._holds(self.document["Conditions"][condition]) else otherwise)
            case {"Ref": "AWS::NoValue"}:
                return value
            case {"Ref": str(name)}:
                return self._reference(name)
            case {"Fn::GetAtt": [str(logical_id), "Arn"]}:
                return self._arn(logical_id)
            case {"Fn::GetAtt": [str(logical_id), "StreamArn"]}:
                return f"{self._arn(logical_id)}/stream/2027-01-01T00:00:00.000"
            case {"Fn::GetAtt": [str(logical_id), _]}:
                return self._name(logical_id)
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(str(self.resolve(part)) for part in parts)
            case dict():
                resolved = {name: self.resolve(each) for name, each in value.items()}
                return {name: each for name, each in resolved.items() if each != _NO_VALUE}
            case list():
                return [self.resolve(each) for each in value]
        return value

    def _holds(self, condition: Json) -> bool:
        match condition:
            case {"Fn::Equals": [one, other]}:
                return bool(self.resolve(one) == self.resolve(other))
            case {"Fn::Not": [negated]}:
                return not self._holds(negated)
            case {"Fn::And": parts}:
                return all(self._holds(part) for part in parts)
        raise AssertionError(f"a condition that the tests do not know: {condition}")

    def _reference(self, name: str) -> str:
        pseudo = {
            "AWS::AccountId": self.account,
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::URLSuffix": "amazonaws.com",
        }
        defaults = {
            key: each["Default"] for key, each in self.document.get("Parameters", {}).items() if "Default" in each
        }
        known: dict[str, str] = {**pseudo, **defaults, **self.parameters}
        if name in known:
            return known[name]
        kind = self.document["Resources"][name]["Type"]
        return self._arn(name) if kind in _REF_IS_ARN else self._name(name)

    def _name(self, logical_id: str) -> str:
        resource = self.document["Resources"][logical_id]
        property_ = _NAME_PROPERTY.get(resource["Type"])
        return str(resource["Properties"].get(property_, logical_id)) if property_ else logical_id

    def _arn(self, logical_id: str) -> str:
        resource = self.document["Resources"][logical_id]
        name = self._name(logical_id)
        if resource["Type"] == "AWS::Events::Rule" and "EventBusName" in resource["Properties"]:
            name = f"{self.resolve(resource['Properties']['EventBusName'])}/{name}"
        place = f"{self.region}:{self.account}"
        return "arn:aws:" + _ARN_SERVICE[resource["Type"]].format(place=place, account=self.account, name=name)


def synthesise(outdir: Path, **context: Any) -> subprocess.CompletedProcess[str]:
    """Run the app without the CDK's command line, with some settings changed."""
    environment = {**os.environ, "CDK_OUTDIR": str(outdir), "CDK_CONTEXT_JSON": json.dumps(context)}
    return subprocess.run(
        [sys.executable, "app.py"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
