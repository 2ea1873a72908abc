"""The guardrails as JSON are those of the installation that was deployed: otherwise its own rollbacks would be refused."""

from __future__ import annotations

import json

import pytest

from infra.errors import SettingRefused
from infra.guardrails.__main__ import main

NAMED = ["-c", "name_prefix=imdsv2-trial", "-c", "role_path=/platform/", "-c", "role_prefix=blue-"]


def test_settings_of_the_command_line_name_the_roles_that_are_excepted() -> None:
    """As `npx cdk deploy -c name_prefix=...` has named them."""
    [stays] = [
        each for each in json.loads(main(["openings", *NAMED]))["Statement"] if each["Sid"] == "TokensStayRequired"
    ]
    excepted = stays["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    assert ["arn:aws:iam::*:role/platform/blue-imdsv2-trial-rollback"] == excepted


def test_values_of_the_command_line_are_json_where_the_setting_is_no_text() -> None:
    """And those of cdk.json hold for the rest."""
    given = ["-c", 'guardrails={"max_hop_limit": 1}', "-c", "selftest=true"]
    statements = {each["Sid"]: each for each in json.loads(main(["openings", *given]))["Statement"]}
    assert "1" == statements["HopsStayFew"]["Condition"]["NumericGreaterThan"]["ec2:Attribute/HttpPutResponseHopLimit"]
    excepted = statements["TokensStayRequired"]["Condition"]["ArnNotLike"]["aws:PrincipalArn"]
    assert ["imdsv2-remediation-rollback", "imdsv2-remediation-selftest"] == [
        each.rpartition("/")[2] for each in excepted
    ]


@pytest.mark.parametrize("given", ["name-prefix=imdsv2-trial", "name_prefix", "prefix=imdsv2-trial"])
def test_a_setting_that_is_none_is_refused(given: str) -> None:
    """It would print the policies of another installation."""
    with pytest.raises(SettingRefused):
        main(["openings", "-c", given])
