"""The key is used through the services whose data it encrypts, and in no other way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.infra.templates import Json, Template

THROUGH = {"dynamodb", "sns", "sqs"}
CONSUMES = {
    "sqs:ReceiveMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:GetQueueUrl",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
}
"""What Lambda does with a queue in the name of a function, and what the CDK grants for it."""


def statements(template: Template) -> list[tuple[str, Json]]:
    """Every statement of a role's own policy, with the name of the policy."""
    return [
        (name, each)
        for name, resource in template.document["Resources"].items()
        if resource["Type"] == "AWS::IAM::Policy"
        for each in resource["Properties"]["PolicyDocument"]["Statement"]
    ]


def actions(statement: Json) -> set[str]:
    """Its actions."""
    given = statement["Action"]
    return {given} if isinstance(given, str) else set(given)


def hosts(statement: Json) -> set[str]:
    """The services through which it lets the key be used."""
    via = statement["Condition"]["StringEquals"]["kms:ViaService"]
    return {each["Fn::Join"][1][0].rstrip(".") for each in via}


@pytest.mark.parametrize("deployment", ["template", "selftest_template"])
def test_no_role_uses_the_key_but_through_a_service(deployment: str, request: pytest.FixtureRequest) -> None:
    """Whoever gets hold of a function's credentials cannot decrypt with the key itself."""
    everyone = statements(request.getfixturevalue(deployment))
    using = [(name, each) for name, each in everyone if any(one.startswith("kms:") for one in actions(each))]
    assert len(using) >= 9
    assert [] == [name for name, each in using if not hosts(each) or hosts(each) - THROUGH]


def test_the_queue_of_findings_is_consumed_by_the_function_that_reads_it(template: Template) -> None:
    """Lambda receives in its name, and SQS decrypts in its name."""
    [policy] = [name for name, each in statements(template) if actions(each) == CONSUMES]
    assert policy.startswith("Functionremediate")
    key = [each for name, each in statements(template) if name == policy and "kms:Decrypt" in actions(each)]
    assert [True] == ["sqs" in hosts(each) for each in key]
