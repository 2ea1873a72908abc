"""Settings are refused before anything is deployed, with the name of the setting and its accepted values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imdsv2.domain.policy import Policy
from infra.errors import SettingRefused
from infra.settings import Settings
from tests.infra.templates import ROOT

DEFAULTS: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]


IN_ORGANIZATION = {"organization_id": "o-a1b2c3d4e5"}


def settings(**changes: Any) -> Settings:
    """The settings in cdk.json, with changes."""
    return Settings.from_context({**DEFAULTS, **changes})


def test_defaults_are_those_of_the_policy_itself() -> None:
    """The default deployment and an empty policy mean the same."""
    assert Policy() == Policy.from_json(settings().policy)


def test_every_field_of_the_policy_can_be_read_in_the_settings() -> None:
    """cdk.json shows every available field and its default."""
    assert Policy().to_document() == DEFAULTS["policy"]


def test_as_it_comes_nobody_but_the_own_account_is_let_in_or_told() -> None:
    """A first deployment grants access to no other account and notifies nobody."""
    given = settings()
    assert ((), None, (), None) == (
        given.member_accounts,
        given.organization_id,
        given.organizational_units,
        given.notification_email,
    )


def test_a_policy_may_leave_fields_to_their_defaults() -> None:
    """The document goes into the parameter as written."""
    assert {"mode": "enforce"} == json.loads(settings(policy={"mode": "enforce"}).policy)


def test_a_policy_may_do_without_a_canary() -> None:
    """Null is a valid value of the field, on the command line too: the whole cohort at once."""
    for given in ({"canary": None}, '{"canary": null}'):
        assert Policy.from_json(settings(policy=given).policy).canary is None


def test_the_command_line_hands_over_text() -> None:
    """`cdk deploy -c log_retention_days=30 -c member_accounts='["222222222222"]'` is understood."""
    given = settings(log_retention_days="30", member_accounts='["222222222222"]', policy='{"mode": "off"}')
    assert (30, ("222222222222",), {"mode": "off"}) == (
        given.log_retention_days,
        given.member_accounts,
        json.loads(given.policy),
    )


def test_an_organisation_is_understood() -> None:
    """With its organizational units, in order and without duplicates, and the Regions whose events are forwarded."""
    given = settings(
        organization_id="o-a1b2c3d4e5",
        organizational_units='["r-ab12", "ou-ab12-cd34ef56", "r-ab12"]',
        member_regions=["us-west-2", "eu-west-1"],
        call_as="SELF",
    )
    assert ("o-a1b2c3d4e5", ("ou-ab12-cd34ef56", "r-ab12"), ("eu-west-1", "us-west-2"), "SELF") == (
        given.organization_id,
        given.organizational_units,
        given.member_regions,
        given.call_as,
    )


def test_keys_of_the_cdk_are_not_settings() -> None:
    """The CDK keeps feature flags and look-ups in the same context."""
    assert settings() == settings(**{"@aws-cdk/core:target-partitions": ["aws"], "aws:cdk:enable-path-metadata": True})


@pytest.mark.parametrize(
    ("changes", "name", "takes"),
    [
        ({"policy": {"mode": "on"}}, "policy", "mode"),
        ({"policy": {"max_enforcements": 5}}, "policy", "max_enforcements_per_hour"),
        ({"policy": {"canary": {"share": 0}}}, "policy", "canary.share"),
        ({"policy": '{"change_calendar": "year end"}'}, "policy", "change_calendar"),
        ({"policy": "enforce"}, "policy", "object"),
        ({"policy": {"exclude_accounts": [f"{number:012}" for number in range(400)]}}, "policy", "4096 bytes"),
        ({"member_accounts": "222222222222"}, "member_accounts", "list"),
        ({"member_accounts": [222222222222]}, "member_accounts", "in quotes"),
        ({"member_accounts": ["22222222222"]}, "member_accounts", "22222222222"),
        ({"organization_id": "ou-ab12-cd34ef56"}, "organization_id", "o-..."),
        ({"organization_id": None}, "organization_id", '""'),
        ({"organizational_units": ["ou-ab12"], **IN_ORGANIZATION}, "organizational_units", "ou-ab12"),
        ({"organizational_units": ["o-a1b2c3d4e5"], **IN_ORGANIZATION}, "organizational_units", "roots"),
        ({"organizational_units": ["r-ab12"]}, "organizational_units", "organization_id"),
        ({"member_accounts": ["222222222222"], **IN_ORGANIZATION}, "member_accounts", "organization_id"),
        ({"member_regions": ["eu-west-1"], **IN_ORGANIZATION}, "member_regions", "organizational_units"),
        ({"member_regions": ["Ireland"]}, "member_regions", "eu-west-1"),
        ({"call_as": "ADMIN"}, "call_as", "DELEGATED_ADMIN or SELF"),
        ({"call_as": ["SELF"]}, "call_as", "DELEGATED_ADMIN or SELF"),
        ({"architecture": "arm"}, "architecture", "arm64 or x86_64"),
        ({"architecture": None}, "architecture", "arm64 or x86_64"),
        ({"notification_email": "ops"}, "notification_email", "e-mail"),
        ({"notification_email": ["ops@example.com"]}, "notification_email", "e-mail"),
        ({"chat_messages": "sometimes"}, "chat_messages", "true or false"),
        ({"log_retention_days": 31}, "log_retention_days", "30"),
        ({"log_retention_days": True}, "log_retention_days", "30"),
        ({"batching_window_seconds": 11}, "batching_window_seconds", "0 to 10"),
        ({"batching_window_seconds": -1}, "batching_window_seconds", "0 to 10"),
        ({"batching_window_seconds": 1.5}, "batching_window_seconds", "0 to 10"),
        ({"quota_share": 0}, "quota_share", "above 0"),
        ({"quota_share": True}, "quota_share", "above 0"),
        ({"quota_share": "half"}, "quota_share", "above 0"),
        ({"member_accounts": [f"{number:012}" for number in range(201)]}, "member_accounts", "organization_id"),
        ({"config_rule_names": "require-imdsv2"}, "config_rule_names", "list"),
        ({"config_rule_names": ["*"]}, "config_rule_names", "star"),
        ({"config_rule_names": ["*-imdsv2"]}, "config_rule_names", "star"),
        ({"config_rule_names": [" a rule"]}, "config_rule_names", " a rule"),
        ({"config_rule_names": ["a\nrule"]}, "config_rule_names", "star"),
        ({"config_rule_names": ["r" * 129]}, "config_rule_names", "128"),
        ({"config_rule_names": [f"{number:03}-{'x' * 90}" for number in range(20)]}, "config_rule_names", "2048"),
        ({"sweep_concurrency": 0}, "sweep_concurrency", "1 to 1000"),
        ({"sweep_concurrency": "many"}, "sweep_concurrency", "1 to 1000"),
        ({"remediate_concurrency": 1}, "remediate_concurrency", "2 to 1000"),
        ({"name_prefix": ""}, "name_prefix", "imdsv2-pilot"),
        ({"name_prefix": "Pilot"}, "name_prefix", "lower-case"),
        ({"name_prefix": "pilot-"}, "name_prefix", "hyphens"),
        ({"name_prefix": "p" * 25}, "name_prefix", "24"),
        ({"name_prefix": "aws-imdsv2"}, "name_prefix", "acme-aws-imdsv2"),
        ({"name_prefix": "ssm"}, "name_prefix", "Systems Manager"),
        ({"name_prefix": "amazonia-imds"}, "name_prefix", "must not begin"),
        ({"name_prefix": "amzn2"}, "name_prefix", "amzn"),
        ({"name_prefix": "default"}, "name_prefix", "event bus"),
        ({"role_prefix": "acme/"}, "role_prefix", "acme-"),
        ({"role_prefix": "a" * 17}, "role_prefix", "16"),
        ({"role_path": "security"}, "role_path", "/security/"),
        ({"role_path": ""}, "role_path", "/security/"),
        ({"role_permissions_boundary": "arn:aws:iam::111111111111:policy/Limits"}, "role_permissions_boundary", "name"),
        ({"role_permissions_boundary": None}, "role_permissions_boundary", '""'),
        (
            {"organizational_units": ["ou-ab12-cd34ef56"], "member_regions": ["cn-north-1"], **IN_ORGANIZATION},
            "organizational_units",
            "by hand",
        ),
        ({"notification_mail": "ops@example.com"}, "notification_mail", "notification_email"),
    ],
)
def test_an_unusable_setting_is_named_with_its_remedy(changes: dict[str, Any], name: str, takes: str) -> None:
    """The message begins with the setting's name and lists the accepted values."""
    with pytest.raises(SettingRefused) as refusal:
        settings(**changes)
    assert str(refusal.value).startswith(f"cdk.json, context: {name} ")
    assert takes in str(refusal.value)


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_missing_setting_is_named(name: str) -> None:
    """cdk.json contains every setting, so that all of them are visible there."""
    with pytest.raises(SettingRefused, match=f"{name} is missing"):
        Settings.from_context({each: value for each, value in DEFAULTS.items() if each != name})


def test_units_are_refused_in_china() -> None:
    """StackSets of an organisation do not exist there: the deployment would fail in its middle."""
    units = {**DEFAULTS, **IN_ORGANIZATION, "organizational_units": ["ou-ab12-cd34ef56"]}
    with pytest.raises(SettingRefused, match="organizational_units takes none in China"):
        Settings.from_context(units, region="cn-northwest-1")
    assert Settings.from_context(units, region="us-gov-west-1").organizational_units
    assert Settings.from_context(units).organizational_units


def test_names_may_be_the_installation_s_own() -> None:
    """On the command line too."""
    given = settings(
        name_prefix="imdsv2-pilot",
        role_prefix="acme-",
        role_path="/security/",
        role_permissions_boundary="limits/Baseline",
        config_rule_names='["require-imdsv2", "Baseline-*"]',
        sweep_concurrency="2",
    )
    assert ("imdsv2-pilot", "security/acme-imdsv2-pilot-", "limits/Baseline", 2) == (
        given.names.prefix,
        given.names.member_roles,
        given.role_permissions_boundary,
        given.sweep_concurrency,
    )
    assert ("Baseline-*", "require-imdsv2") == given.config_rule_names


def test_defaults_leave_every_name_as_it_was() -> None:
    """Other accounts, policies and people know them."""
    names = settings().names
    assert ("imdsv2-remediation", "/imdsv2-remediation/policy", "RequireIMDSv2", "Require IMDSv2") == (
        names.event_bus,
        names.policy_parameter,
        names.custom_action_id,
        names.custom_action_name,
    )
    assert ("imdsv2-remediation-fn-guard", "imdsv2-remediation-read") == (
        names.function_role("guard"),
        names.role("read"),
    )
    assert ("Imdsv2Remediation", "Imdsv2RemediationMember", "Imdsv2RemediationForwarding") == (
        names.service_stack,
        names.roles_stack,
        names.forwarding_stack,
    )
