"""A small stack with the kinds of resources that the service's stack has, to try the chain of the local AWS by itself."""

from __future__ import annotations

import io
import json
import sysconfig
import zipfile
from typing import Any

BUS = "chain-bus"
CODE_BUCKET = "chain-code"
CODE_KEY = "code.zip"
WINDOW_SECONDS = 1

# Appends what it was given to a table, through its own role; a message that says so fails alone.
CONSUMER = """
import json, os, sys
sys.path.append(os.environ["SITE"])
import boto3

def handler(event, context):
    table = boto3.client("dynamodb")
    failed = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        if body["detail"].get("fail"):
            failed.append({"itemIdentifier": record["messageId"]})
            continue
        table.put_item(TableName=os.environ["TABLE"], Item={
            "pk": {"S": body["id"]}, "sk": {"S": "seen"}, "batch": {"N": str(len(event["Records"]))},
            "account": {"S": body["account"]}, "request": {"S": context.aws_request_id},
            "left": {"N": str(context.get_remaining_time_in_millis())}, "region": {"S": os.environ["AWS_REGION"]},
            "due": {"N": "1"}, "at": {"S": "2026-01-01T00:00:00Z"},
        })
    return {"batchItemFailures": failed}

def probe(event, context):
    import botocore.exceptions
    if event.get("import"):
        try:
            __import__(event["import"])
        except ImportError:
            return {"found": False}
        return {"found": True}
    arguments = event["arguments"]
    session = boto3.Session()
    if role := event.get("role"):
        found = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName=context.aws_request_id, **event.get("assume", {}))["Credentials"]
        session = boto3.Session(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
    try:
        getattr(session.client(event["service"]), event["operation"])(**arguments)
    except botocore.exceptions.ClientError as refusal:
        return refusal.response["Error"]["Code"]
    return "ok"

def custom(event, context):
    import urllib.request
    answer = {"Status": "SUCCESS", "PhysicalResourceId": "made-by-us", "StackId": event["StackId"], "RequestId": event["RequestId"],
              "LogicalResourceId": event["LogicalResourceId"], "Data": {"Echo": event["ResourceProperties"]["Word"]}}
    request = urllib.request.Request(event["ResponseURL"], data=json.dumps(answer).encode(), method="PUT")
    urllib.request.urlopen(request).close()
"""


def code() -> bytes:
    """The functions' asset."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("chain.py", CONSUMER)
    return buffer.getvalue()


def template() -> str:
    """The stack's template."""
    resources = {**_storage(), **_functions(), **_events()}
    outputs = {
        "Queue": {"Value": {"Ref": "Queue"}},
        "DeadLetters": {"Value": {"Ref": "DeadLetters"}},
        "Table": {"Value": {"Ref": "Table"}},
        "Probe": {"Value": {"Ref": "Probe"}},
        "Echo": {"Value": {"Fn::GetAtt": ["Made", "Echo"]}},
    }
    return json.dumps({"Resources": resources, "Outputs": outputs})


def _storage() -> dict[str, Any]:
    return {
        "Key": {
            "Type": "AWS::KMS::Key",
            "Properties": {"KeyPolicy": _policy([{**_allow(["kms:*"]), "Principal": {"AWS": _root()}}])},
        },
        "DeadLetters": {"Type": "AWS::SQS::Queue", "Properties": {"KmsMasterKeyId": _arn("Key")}},
        "Queue": {
            "Type": "AWS::SQS::Queue",
            "Properties": {
                "KmsMasterKeyId": _arn("Key"),
                "VisibilityTimeout": 1,
                "RedrivePolicy": {"deadLetterTargetArn": _arn("DeadLetters"), "maxReceiveCount": 2},
            },
        },
        "Table": {
            "Type": "AWS::DynamoDB::Table",
            "Properties": {
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [
                    {"AttributeName": name, "AttributeType": kind}
                    for name, kind in (("pk", "S"), ("sk", "S"), ("due", "N"), ("at", "S"))
                ],
                "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
                "GlobalSecondaryIndexes": [
                    {
                        "IndexName": "due",
                        "KeySchema": [
                            {"AttributeName": "due", "KeyType": "HASH"},
                            {"AttributeName": "at", "KeyType": "RANGE"},
                        ],
                        "Projection": {"ProjectionType": "KEYS_ONLY"},
                    }
                ],
            },
        },
    }


def _functions() -> dict[str, Any]:
    consumer = [
        _allow(["dynamodb:PutItem"], _arn("Table")),
        _allow(["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], _arn("Queue")),
    ]
    probe = [
        _allow(["sts:AssumeRole"], "arn:aws:iam::*:role/chain-*"),
        _allow(["ssm:GetCalendarState"], "arn:aws:ssm:*:*:document/chain-*"),
        _allow(
            ["securityhub:GetFindings"], {"Fn::Sub": "arn:aws:securityhub:${AWS::Region}:${AWS::AccountId}:hub/default"}
        ),
    ]
    return {
        "ConsumerRole": _role("chain-fn-consumer", consumer),
        "ProbeRole": _role("chain-fn-probe", probe),
        "Consumer": _function("chain.handler", "ConsumerRole", {"TABLE": {"Ref": "Table"}}),
        "Probe": _function("chain.probe", "ProbeRole", {}),
        "Maker": _function("chain.custom", "ProbeRole", {}),
        "Made": {"Type": "Custom::Thing", "Properties": {"ServiceToken": _arn("Maker"), "Word": "hello"}},
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": _arn("Queue"),
                "FunctionName": {"Ref": "Consumer"},
                "BatchSize": 500,
                "MaximumBatchingWindowInSeconds": WINDOW_SECONDS,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
            },
        },
    }


def _events() -> dict[str, Any]:
    rule = {"EventPattern": {"source": ["aws.config"]}, "Targets": [{"Id": "queue", "Arn": _arn("Queue")}]}
    from_member = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
        "Action": "events:PutEvents",
        "Resource": _arn("Bus"),
        "Condition": {"StringEquals": {"events:source": "aws.config"}},
    }
    return {
        "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": BUS}},
        "BusPolicy": {
            "Type": "AWS::Events::EventBusPolicy",
            "Properties": {"EventBusName": {"Ref": "Bus"}, "StatementId": "member", "Statement": from_member},
        },
        "OnDefault": {"Type": "AWS::Events::Rule", "Properties": rule},
        "OnBus": {"Type": "AWS::Events::Rule", "Properties": {**rule, "EventBusName": {"Ref": "Bus"}}},
    }


def _function(handler: str, role: str, environment: dict[str, Any]) -> dict[str, Any]:
    variables = {"SITE": sysconfig.get_path("purelib"), **environment}
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": "python3.13",
            "Architectures": ["arm64"],
            "Handler": handler,
            "Timeout": 30,
            "Role": _arn(role),
            "Code": {"S3Bucket": CODE_BUCKET, "S3Key": CODE_KEY},
            "Environment": {"Variables": variables},
        },
    }


def _role(name: str, statements: list[dict[str, Any]]) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            "AssumeRolePolicyDocument": _policy([trust]),
            "Policies": [{"PolicyName": "own", "PolicyDocument": _policy(statements)}],
        },
    }


def _allow(actions: list[str], resource: Any = "*") -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def _policy(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


def _arn(logical_id: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def _root() -> dict[str, str]:
    return {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}
