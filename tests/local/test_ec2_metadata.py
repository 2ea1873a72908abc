"""Instance metadata options and their account defaults, as EC2 has them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws

from tests.local.launching import IMAGE, Refused, describe, launch

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

    from local.cloud.run import LocalCloud

NOT_THERE = ["i-0123456789abcdef0", "i-0123456789abcdef1"]
ENDPOINT_REFUSAL = "The HttpEndpoint is not set to 'enabled' in this request. To specify a value for HttpTokens, set HttpEndpoint to 'enabled'."


def test_a_change_on_a_running_instance_is_pending_and_then_applied(ec2: EC2Client) -> None:
    """The answer says pending, and so does a look until it is applied: a moment later, or as late as a tag says."""
    [quick], [slow] = launch(ec2), launch(ec2, tags={"local:applied-after": "600"})
    for each in (quick, slow):
        answer = ec2.modify_instance_metadata_options(InstanceId=each, HttpTokens="required")
        assert "pending" == answer["InstanceMetadataOptions"]["State"]
    assert "pending" == describe(ec2, slow)["MetadataOptions"]["State"]
    time.sleep(0.4)
    assert ("applied", "required") == tuple(
        describe(ec2, quick)["MetadataOptions"][name] for name in ("State", "HttpTokens")
    )


def test_a_change_on_a_stopped_instance_waits_for_the_start(ec2: EC2Client) -> None:
    """However long it is stopped, the change stays pending."""
    [instance] = launch(ec2)
    ec2.stop_instances(InstanceIds=[instance])
    ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    time.sleep(0.4)
    assert "pending" == describe(ec2, instance)["MetadataOptions"]["State"]
    ec2.start_instances(InstanceIds=[instance])
    time.sleep(0.4)
    assert "applied" == describe(ec2, instance)["MetadataOptions"]["State"]


def test_what_is_not_sent_keeps_its_value(ec2: EC2Client) -> None:
    """A change of one option leaves the others alone."""
    [instance] = launch(ec2, HttpPutResponseHopLimit=3, InstanceMetadataTags="enabled")
    ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    options = describe(ec2, instance)["MetadataOptions"]
    assert (3, "enabled", "enabled") == tuple(
        options[name] for name in ("HttpPutResponseHopLimit", "InstanceMetadataTags", "HttpEndpoint")
    )


@pytest.mark.parametrize(
    ("tags", "options"),
    [({"local:refuse-without-endpoint": "yes"}, {}), ({}, {"HttpEndpoint": "disabled"})],
    ids=["tagged", "closed"],
)
def test_tokens_without_endpoint_are_refused(ec2: EC2Client, tags: dict[str, str], options: dict[str, Any]) -> None:
    """EC2 wants `HttpEndpoint=enabled` with `HttpTokens` here, in the words that CloudTrail recorded."""
    [instance] = launch(ec2, tags=tags, **options)
    with Refused() as refusal:
        ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    assert ("InvalidParameterValue", ENDPOINT_REFUSAL, 400) == (refusal.code, refusal.message, refusal.status)
    ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required", HttpEndpoint="enabled")
    assert "required" == describe(ec2, instance)["MetadataOptions"]["HttpTokens"]


def test_a_dry_run_succeeds_by_an_error_and_changes_nothing(ec2: EC2Client) -> None:
    """`DryRunOperation` means that the call would have been allowed."""
    [instance] = launch(ec2)
    with Refused() as refusal:
        ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required", DryRun=True)
    assert ("DryRunOperation", 412) == (refusal.code, refusal.status)
    assert "optional" == describe(ec2, instance)["MetadataOptions"]["HttpTokens"]


@pytest.mark.parametrize(
    ("ids", "code", "message"),
    [
        (NOT_THERE[:1], "InvalidInstanceID.NotFound", "The instance ID 'i-0123456789abcdef0' does not exist"),
        (
            NOT_THERE,
            "InvalidInstanceID.NotFound",
            "The instance IDs 'i-0123456789abcdef0, i-0123456789abcdef1' do not exist",
        ),
        (["i-web"], "InvalidInstanceID.Malformed", 'Invalid id: "i-web"'),
    ],
)
def test_unknown_instances_are_named(ec2: EC2Client, ids: list[str], code: str, message: str) -> None:
    """Whoever asks for several learns which of them do not exist."""
    launched = launch(ec2)
    with Refused() as refusal:
        ec2.describe_instances(InstanceIds=[*launched, *ids])
    assert (code, message) == (refusal.code, refusal.message)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"local:state": "terminated"}, "IncorrectInstanceState"),
        ({"local:operator": "eks.amazonaws.com"}, "UnsupportedOperation"),
        ({"local:modify-error": "OperationNotPermitted: not today"}, "OperationNotPermitted"),
    ],
)
def test_refusals_are_switched_on_by_tags(ec2: EC2Client, tags: dict[str, str], code: str) -> None:
    """What AWS refuses under circumstances of its own, a tag brings about here."""
    [instance] = launch(ec2, tags=tags)
    with Refused() as refusal:
        ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    assert code == refusal.code


def test_a_managed_instance_names_its_operator(ec2: EC2Client) -> None:
    """DescribeInstances says who manages it."""
    [instance] = launch(ec2, tags={"local:operator": "eks.amazonaws.com"})
    assert {"Managed": True, "Principal": "eks.amazonaws.com"} == describe(ec2, instance)["Operator"]


def test_values_out_of_range_are_refused(ec2: EC2Client) -> None:
    """A hop limit goes from 1 to 64."""
    [instance] = launch(ec2)
    with Refused() as refusal:
        ec2.modify_instance_metadata_options(InstanceId=instance, HttpPutResponseHopLimit=65)
    assert "InvalidParameterValue" == refusal.code


def test_account_defaults_hold_for_new_instances_only(ec2: EC2Client) -> None:
    """They apply at launch, under what the launch sends; clearing them brings EC2's own back."""
    [before] = launch(ec2)
    ec2.modify_instance_metadata_defaults(HttpTokens="required", HttpPutResponseHopLimit=2)
    assert {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 2,
        "HttpTokensEnforced": "disabled",
        "ManagedBy": "account",
    } == (ec2.get_instance_metadata_defaults()["AccountLevel"])
    [after], [chosen] = launch(ec2), launch(ec2, HttpTokens="optional")
    ec2.modify_instance_metadata_defaults(HttpTokens="no-preference", HttpPutResponseHopLimit=-1)
    [cleared] = launch(ec2)
    tokens = [describe(ec2, instance)["MetadataOptions"]["HttpTokens"] for instance in (before, after, chosen, cleared)]
    assert ["optional", "required", "optional", "optional"] == tokens


def test_enforced_tokens_bar_every_way_back(ec2: EC2Client) -> None:
    """With `HttpTokensEnforced`, launches that allow IMDSv1 fail, and nobody can go back to optional."""
    [instance] = launch(ec2, HttpTokens="required")
    ec2.modify_instance_metadata_defaults(HttpTokensEnforced="enabled")
    with Refused() as at_launch:
        launch(ec2, HttpTokens="optional")
    with Refused() as later:
        ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="optional")
    assert ["UnsupportedOperation"] * 2 == [at_launch.code, later.code]


def test_a_declarative_policy_lets_nobody_else_change_anything(cloud: LocalCloud, ec2: EC2Client, account: str) -> None:
    """The defaults say who manages them, and neither they nor the options can be changed."""
    [instance] = launch(ec2)
    cloud.ask(
        "PUT", "declarative-policy", {"account": account, "region": "eu-west-1", "defaults": {"HttpTokens": "required"}}
    )
    assert "declarative-policy" == ec2.get_instance_metadata_defaults()["AccountLevel"]["ManagedBy"]
    with Refused() as of_defaults:
        ec2.modify_instance_metadata_defaults(HttpTokens="optional")
    with Refused() as of_options:
        ec2.modify_instance_metadata_options(InstanceId=instance, HttpTokens="required")
    assert ["OperationNotPermitted"] * 2 == [of_defaults.code, of_options.code]


def test_a_launch_with_a_disabled_endpoint_takes_no_tokens(ec2: EC2Client) -> None:
    """Which a metadata service that nobody can reach would not look at."""
    for tokens in ("optional", "required"):
        with Refused() as refused:
            launch(ec2, HttpEndpoint="disabled", HttpTokens=tokens)
        assert ("InvalidParameterValue", True) == (refused.code, "HttpEndpoint" in refused.message)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"HttpTokens": "required"},
        {"HttpEndpoint": "disabled"},
        {"HttpTokens": "required", "HttpPutResponseHopLimit": 2, "HttpEndpoint": "enabled"},
    ],
)
def test_options_at_launch_are_what_moto_says(ec2: EC2Client, options: dict[str, Any]) -> None:
    """The same launch in moto shows the same options, but for the state, which moto never settles."""
    ours = describe(ec2, launch(ec2, **options)[0])["MetadataOptions"]
    with mock_aws():
        moto = boto3.client("ec2", region_name="eu-west-1")
        launched = moto.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1, MetadataOptions=options)  # type: ignore[arg-type]
        theirs = describe(moto, launched["Instances"][0]["InstanceId"])["MetadataOptions"]
    shared = theirs.keys() & ours.keys() - {"State"}
    assert {"HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit"} <= shared
    assert {name: theirs[name] for name in shared} == {name: ours[name] for name in shared}
