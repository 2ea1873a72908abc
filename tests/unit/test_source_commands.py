"""Remedies as commands: a shell reads them as they were meant, whatever things are called, and AWS's models know every option."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.source.remedies import remedies_of, remedies_of_image
from imdsv2.source.remedy import Language
from tests.unit.source_builders import (
    DISTRIBUTION,
    NASTY,
    OTHER_TEMPLATE,
    OWN_IMAGE,
    STACK,
    TEMPLATE,
    catalogue,
    configured,
    copied,
    fleet,
    found,
    instance,
    mixed,
    source_of,
    with_template,
)
from tests.unit.source_shell import ANSWER, calls_of, parameters

if TYPE_CHECKING:
    from pathlib import Path

    from imdsv2.source.assembly import Source

NAMES = ["shop", NASTY, "-leading", "ünïcode 名前", "a'b\"c\\d"]
KINDS = sorted(catalogue())


def commands(source: Source, directory: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """What a source's commands ask of AWS."""
    (remedy,) = [each for each in remedies_of(source) if each.language is Language.CLI]
    return [parameters(call) for call in calls_of(remedy.text, directory)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_is_one_that_aws_knows(kind: str, name: str, tmp_path: Path) -> None:
    """Run by a shell: its words are those that were meant, and each option and value is one of botocore's model."""
    source = catalogue(name)[kind]
    for remedy in remedies_of(source):
        if remedy.language is Language.CLI:
            calls = calls_of(remedy.text, tmp_path)
            assert calls
            for call in calls:
                parameters(call)
            assert all(call[call.index("--region") + 1] == source.place.region for call in calls)


@pytest.mark.parametrize("name", NAMES)
def test_a_group_that_follows_the_default_gets_another_default(name: str, tmp_path: Path) -> None:
    """The new version is made from the one in use, with all of its metadata options and tokens required."""
    options = {"HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1, "InstanceMetadataTags": "enabled"}
    made, defaulted = commands(with_template(name, options=options), tmp_path)
    assert ("create-launch-template-version", TEMPLATE, "2") == (
        made[1],
        made[2]["LaunchTemplateId"],
        made[2]["SourceVersion"],
    )
    assert {"MetadataOptions": {**options, "HttpTokens": "required"}} == made[2]["LaunchTemplateData"]
    assert ("modify-launch-template", {"LaunchTemplateId": TEMPLATE, "DefaultVersion": ANSWER}) == defaulted[1:]


def test_a_group_that_follows_the_latest_needs_only_a_version(tmp_path: Path) -> None:
    """Nothing has to be pointed to it."""
    assert ["create-launch-template-version"] == [
        operation for _, operation, _ in commands(with_template(version="$Latest"), tmp_path)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_group_that_pins_a_version_is_pointed_to_the_new_one(name: str, tmp_path: Path) -> None:
    """By the template's id alone: AWS refuses an id and a name beside each other. The default stays."""
    _, pointed = commands(with_template(name, version="2"), tmp_path)
    assert {
        "AutoScalingGroupName": name,
        "LaunchTemplate": {"LaunchTemplateId": TEMPLATE, "Version": ANSWER},
    } == pointed[2]


def test_mixed_instances_keep_their_overrides(tmp_path: Path) -> None:
    """Each template gets its version, each specification the new number; everything else is sent as it is."""
    first, second, pointed = commands(mixed(), tmp_path)
    assert [TEMPLATE, OTHER_TEMPLATE] == [each[2]["LaunchTemplateId"] for each in (first, second)]
    assert 3 == second[2]["LaunchTemplateData"]["MetadataOptions"]["HttpPutResponseHopLimit"]
    assert {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": TEMPLATE, "Version": ANSWER},
            "Overrides": [
                {"InstanceType": "m7i.large", "WeightedCapacity": "1"},
                {
                    "InstanceType": "m7g.large",
                    "WeightedCapacity": "1",
                    "LaunchTemplateSpecification": {"LaunchTemplateId": OTHER_TEMPLATE, "Version": ANSWER},
                },
            ],
        },
        "InstancesDistribution": DISTRIBUTION,
    } == pointed[2]["MixedInstancesPolicy"]


def test_of_mixed_instances_only_what_is_pinned_is_pointed(tmp_path: Path) -> None:
    """The specification that follows the latest version goes on following it."""
    *_, pointed = commands(mixed(main="$Latest"), tmp_path)
    specification = pointed[2]["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
    assert {"LaunchTemplateId": TEMPLATE, "Version": "$Latest"} == specification


def test_each_template_is_changed_where_it_is_managed(tmp_path: Path) -> None:
    """One in its stack, the other by commands, which leave the specification of the first as it is."""
    source = mixed(main_tags=STACK)
    assert ["cloudformation", "cdk-python", "cdk-typescript", "aws-cli"] == [
        str(each.language) for each in remedies_of(source)
    ]
    made, pointed = commands(source, tmp_path)
    assert OTHER_TEMPLATE == made[2]["LaunchTemplateId"]
    policy = pointed[2]["MixedInstancesPolicy"]["LaunchTemplate"]
    assert {"LaunchTemplateId": TEMPLATE, "Version": "2"} == policy["LaunchTemplateSpecification"]
    own = policy["Overrides"][1]["LaunchTemplateSpecification"]
    assert {"LaunchTemplateId": OTHER_TEMPLATE, "Version": ANSWER} == own


@pytest.mark.parametrize(
    ("tags", "owner"),
    [({"ManagedBy": "terraform"}, "Terraform"), (STACK, "CloudFormation stack shop-prod, logical id WebTemplate8F1B")],
)
def test_a_group_that_somebody_manages_is_not_pointed_without_a_word(tags: dict[str, str], owner: str) -> None:
    """Its template is nobody's: the commands change it, and the owner of the group has to name the version as well."""
    (remedy,) = remedies_of(with_template(version="2", tags=tags))
    assert Language.CLI is remedy.language
    assert f"The group or fleet belongs to {owner}: " in remedy.says


@pytest.mark.parametrize(
    ("id_", "operation"),
    [
        ("fleet-12a34b56-7890-4cde-8f01-23456789abcd", "modify-fleet"),
        ("sfr-9f8e7d6c-5b4a-4321-8fed-cba987654321", "modify-spot-fleet-request"),
    ],
)
def test_a_fleet_that_pins_a_version_is_pointed_to_the_new_one(id_: str, operation: str, tmp_path: Path) -> None:
    """With its overrides."""
    _, pointed = commands(fleet(id_), tmp_path)
    assert operation == pointed[1]
    assert [
        {
            "LaunchTemplateSpecification": {"LaunchTemplateId": TEMPLATE, "Version": ANSWER},
            "Overrides": [{"InstanceType": "c7i.large"}],
        }
    ] == pointed[2]["LaunchTemplateConfigs"]


@pytest.mark.parametrize("kind", ["request", "instant"])
def test_a_fleet_that_launches_once_is_not_changed(kind: str, tmp_path: Path) -> None:
    """There is nothing to point: the next fleet has to name the new version."""
    source = fleet(kind=kind)
    assert ["create-launch-template-version"] == [operation for _, operation, _ in commands(source, tmp_path)]
    assert "Whoever names the older version has to name the new one." in remedies_of(source)[0].says


@pytest.mark.parametrize("name", NAMES)
def test_a_launch_configuration_is_replaced_by_one_like_it(name: str, tmp_path: Path) -> None:
    """With its settings; its user data are fetched by the shell and are in no answer of ours."""
    source = configured(name)
    read, made, pointed = commands(source, tmp_path)
    assert [name] == read[2]["LaunchConfigurationNames"]
    assert source.configuration is not None
    assert {
        "LaunchConfigurationName": f"{name}-imdsv2",
        **source.configuration.settings,
        "MetadataOptions": {"HttpEndpoint": "enabled", "HttpTokens": "required"},
        "UserData": "fileb://user-data.bin",
    } == made[2]
    assert {"AutoScalingGroupName": "web", "LaunchConfigurationName": f"{name}-imdsv2"} == pointed[2]


def test_a_name_as_long_as_aws_allows_stays_so() -> None:
    """The name of the new launch configuration is cut."""
    (remedy, _) = remedies_of(configured("x" * 255))
    words = shlex.split(remedy.text.splitlines()[-2].removesuffix(" &&"))
    assert 255 == len(words[words.index("--launch-configuration-name") + 1])


def test_who_follows_the_latest_version_is_warned(tmp_path: Path) -> None:
    """A version made from an older one becomes the latest all the same."""
    behind = remedies_of(with_template(version="2", default=2, latest=4))[0]
    assert "Careful: version 4 of web is newer than 2" in behind.says
    assert "Careful" not in remedies_of(with_template())[0].says


@pytest.mark.parametrize(
    ("said", "sent", "choice"),
    [(None, 2, "write 1 if pods"), (1, 1, "write 2 if containers"), (3, 3, "write 1 if pods")],
)
def test_where_containers_run_both_hop_limits_are_said(
    said: int | None, sent: int, choice: str, tmp_path: Path
) -> None:
    """2 where nobody chose; a limit that somebody chose stays, because 1 may be meant to keep pods out."""
    options = {} if said is None else {"HttpPutResponseHopLimit": said}
    source = with_template(options=options, instance_tags={"kubernetes.io/cluster/blue": "owned"})
    made = commands(source, tmp_path)[0]
    assert sent == made[2]["LaunchTemplateData"]["MetadataOptions"]["HttpPutResponseHopLimit"]
    assert choice in remedies_of(source)[0].says


def test_where_no_containers_are_known_the_hop_limit_is_left_alone(tmp_path: Path) -> None:
    """It is not the business of the change."""
    made = commands(with_template(), tmp_path)[0]
    assert "HttpPutResponseHopLimit" not in made[2]["LaunchTemplateData"]["MetadataOptions"]


@pytest.mark.parametrize("name", NAMES)
def test_a_service_copies_the_new_version_of_ones_own_template(name: str, tmp_path: Path) -> None:
    """Never is its copy changed; a pinned version of one's own is the source of the new one."""
    made, updated = commands(copied("eks", name), tmp_path)
    assert (OTHER_TEMPLATE, "3") == (made[2]["LaunchTemplateId"], made[2]["SourceVersion"])
    assert 2 == made[2]["LaunchTemplateData"]["MetadataOptions"]["HttpPutResponseHopLimit"]
    assert ("eks", "update-nodegroup-version", {"id": OTHER_TEMPLATE, "version": ANSWER}) == (
        *updated[:2],
        updated[2]["launchTemplate"],
    )
    assert ("blue", name) == (updated[2]["clusterName"], updated[2]["nodegroupName"])
    _, updated = commands(copied("batch", name), tmp_path)
    assert {"launchTemplateId": OTHER_TEMPLATE, "version": ANSWER} == updated[2]["computeResources"]["launchTemplate"]


@pytest.mark.parametrize("kind", ["eks", "batch"])
def test_a_copy_of_a_template_that_requires_tokens_is_only_made_anew(kind: str, tmp_path: Path) -> None:
    """The template was changed, and the service has not copied it since."""
    ((_, operation, sent),) = commands(copied(kind, HttpTokens="required"), tmp_path)
    assert operation.startswith("update-")
    assert "3" in {
        sent.get("launchTemplate", {}).get("version"),
        sent.get("computeResources", {}).get("launchTemplate", {}).get("version"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_karpenter_is_patched_by_name(name: str, tmp_path: Path) -> None:
    """The node class of the tag, or the one that the node pool names."""
    for kind, asked in (("Karpenter", 1), ("Karpenter, no class", 2)):
        (remedy,) = remedies_of(catalogue(name)[kind])
        calls = calls_of(remedy.text, tmp_path)
        assert asked == len(calls)
        patch = calls[-1]
        assert ["kubectl", "patch", "ec2nodeclass"] == patch[:3]
        assert (name if asked == 1 else ANSWER) == patch[3]
        assert {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 2} == json.loads(
            patch[patch.index("--patch") + 1]
        )["spec"]["metadataOptions"]


def test_karpenter_before_its_version_0_32_is_patched_by_its_own_names(tmp_path: Path) -> None:
    """The provisioner names an AWSNodeTemplate; a pool of the newer names is none of its kind."""
    source = source_of([instance({"karpenter.sh/provisioner-name": "gpu"}, hop_limit=2)], found())
    (remedy,) = remedies_of(source)
    asked, patch = calls_of(remedy.text, tmp_path)
    assert ["kubectl", "get", "provisioner", "gpu", "--output", "jsonpath={.spec.providerRef.name}"] == asked
    assert ["kubectl", "patch", "awsnodetemplate", ANSWER] == patch[:4]
    assert "driftEnabled" in (remedy.replaces or "")


def test_an_ami_is_changed_for_good_and_the_text_says_so(tmp_path: Path) -> None:
    """By the last of its remedies."""
    packer, remedy = remedies_of_image(found().images[OWN_IMAGE], "eu-central-1")
    assert Language.PACKER is packer.language
    (call,) = calls_of(remedy.text, tmp_path)
    assert ("ec2", "modify-image-attribute", {"ImageId": OWN_IMAGE, "ImdsSupport": {"Value": "v2.0"}}) == parameters(
        call
    )
    assert "cannot be undone" in remedy.says


def test_the_check_sees_what_aws_would_refuse(tmp_path: Path) -> None:
    """A check that passes everything would prove nothing."""
    for wrong in (
        "aws ec2 modify-launch-template --region eu-west-1 --no-such-option 1",
        "aws ec2 modify-instance-metadata-defaults --region eu-west-1 --http-put-response-hop-limit two",
        "aws ec2 create-launch-template-version --region eu-west-1 --launch-template-data '{\"Metadata\": {}}'",
    ):
        (call,) = calls_of(wrong, tmp_path)
        with pytest.raises((AssertionError, ValueError)):
            parameters(call)
