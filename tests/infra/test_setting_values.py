"""Settings that look right and would fail, or have no effect, in the middle of a deployment."""

from __future__ import annotations

from typing import Any

import pytest

from infra.errors import SettingRefused
from infra.settings import Settings
from tests.infra.test_settings import DEFAULTS, IN_ORGANIZATION

UNITS: dict[str, Any] = {**IN_ORGANIZATION, "organizational_units": ["ou-ab12-cd34ef56"]}
CAPTURE = {"bucket": "acme-tools", "key": "imds/analyzer.tar.gz", "region": "us-gov-east-1", "sha256": "0a" * 32}


def refusal(region: str | None = None, **changes: Any) -> str:
    """What is said of settings that differ like this from those of cdk.json."""
    with pytest.raises(SettingRefused) as refused:
        Settings.from_context({**DEFAULTS, **changes}, region=region)
    return str(refused.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("role-prefix", "role_prefix"),
        ("rolePrefix", "role_prefix"),
        ("ROLE_PREFIX", "role_prefix"),
        ("organization id", "organization_id"),
        ("log-retention-days", "log_retention_days"),
        ("Guardrails", "guardrails"),
    ],
)
def test_a_name_that_is_almost_a_setting_s_is_refused(written: str, meant: str) -> None:
    """Names of the CDK's own have hyphens, so that unknown ones pass: the setting would have no effect, in silence."""
    assert f"cdk.json, context: {written} is no setting; write {meant}" == refusal(**{written: "acme-"})


@pytest.mark.parametrize(
    "name", ["cli-telemetry", "acknowledged-issue-numbers", "cdk-migrate", "hosted-zone:account=1"]
)
def test_names_that_the_cdk_writes_itself_pass(name: str) -> None:
    """Its command line keeps them in the same context."""
    assert Settings.from_context({**DEFAULTS, name: True}) == Settings.from_context(DEFAULTS)


@pytest.mark.parametrize(
    ("written", "likely"), [("eu-wset-1", "eu-west-1"), ("us-east-3", "us-east-"), ("ap-souteast-2", "ap-southeast-2")]
)
def test_a_region_that_does_not_exist_is_refused_with_the_likely_one(written: str, likely: str) -> None:
    """StackSets would refuse it, and with it the service's own stack."""
    said = refusal(**UNITS, member_regions=["eu-central-1", written])
    assert said.startswith("cdk.json, context: member_regions takes Regions that exist")
    assert f"did you mean {likely}" in said
    assert "by hand" in said
    said = refusal(capture={**CAPTURE, "region": written})
    assert said.startswith("cdk.json, context: capture.region ")
    assert f"did you mean {likely}" in said


@pytest.mark.parametrize(
    ("home", "regions"),
    [
        ("eu-west-1", ["us-gov-west-1"]),
        ("us-gov-west-1", ["us-gov-east-1", "us-west-2"]),
        ("eusc-de-east-1", ["eu-central-1"]),
        (None, ["eu-central-1", "us-gov-west-1"]),
    ],
)
def test_members_lie_in_the_partition_of_the_service(home: str | None, regions: list[str]) -> None:
    """An organisation ends with its partition, and no rule delivers beyond it."""
    said = refusal(home, **UNITS, member_regions=regions)
    assert said.startswith("cdk.json, context: member_regions ")
    assert "once in each partition" in said


def test_the_artefact_of_the_analyzer_lies_in_the_partition_of_the_service() -> None:
    """Its address is made of the instance's own partition."""
    assert "capture.region" in refusal("ap-northeast-1", capture=CAPTURE)
    assert Settings.from_context({**DEFAULTS, "capture": CAPTURE}, region="us-gov-west-1").capture
    assert Settings.from_context({**DEFAULTS, "capture": CAPTURE}).capture


@pytest.mark.parametrize("path", ["/aws-service-role/", "/aws-reserved/sso/"])
def test_a_path_that_iam_keeps_for_aws_is_refused(path: str) -> None:
    """IAM refuses the first role, and the deployment fails."""
    said = refusal(role_path=path)
    assert said.startswith("cdk.json, context: role_path must not begin with ")
    assert "/security/" in said
    assert "/aws/" == Settings.from_context({**DEFAULTS, "role_path": "/aws/"}).role_path


@pytest.mark.parametrize(
    "name", ["Require IMDSv2", "EC2.8 (IMDS): tokens/required", "r" * 128, f"{'r' * 128}*", "EC2 tokens *"]
)
def test_config_rules_are_named_as_config_lets_people_name_them(name: str) -> None:
    """Anything of 1 to 128 characters, spaces included; the events of a rule that cannot be named would never be answered."""
    assert (name,) == Settings.from_context({**DEFAULTS, "config_rule_names": [name]}).config_rule_names
