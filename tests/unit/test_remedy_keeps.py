"""Remedies keep what somebody chose, do what they say, and tell the way back."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from imdsv2.source.launching import Defaults, Group, Ref
from imdsv2.source.owner import owner_of
from imdsv2.source.remedies import remedies_of
from imdsv2.source.remedy import Language, Remedy
from tests.unit.source_builders import (
    STACK,
    TEMPLATE,
    catalogue,
    copied,
    found,
    grouped,
    instance,
    source_of,
    template,
    versions,
    with_template,
)
from tests.unit.source_shell import ANSWER, calls_of, parameters

if TYPE_CHECKING:
    from pathlib import Path

    from imdsv2.source.assembly import Source

POOL = {"karpenter.sh/nodepool": "spot", "karpenter.k8s.aws/ec2nodeclass": "spot"}
NODE = {"kubernetes.io/cluster/blue": "owned"}
BOX = {"aws:cloudformation:stack-name": "s", "aws:cloudformation:logical-id": "Box"}
TERRAFORM = {"ManagedBy": "Terraform"}


def in_language(source: Source, language: Language) -> Remedy:
    """Its one remedy in a language."""
    (remedy,) = [each for each in remedies_of(source) if each.language is language]
    return remedy


@pytest.mark.parametrize(("limits", "sent"), [((1,), 2), ((2, 1), 2), ((1, 3), 3), ((5,), 5)])
def test_karpenter_s_patch_never_lowers_a_hop_limit(limits: tuple[int, ...], sent: int) -> None:
    """An overlay network may need 3."""
    source = source_of([instance(POOL, hop_limit=each) for each in limits], found())
    remedy = in_language(source, Language.KARPENTER)
    assert f'"httpPutResponseHopLimit":{sent}' in remedy.text
    assert f"Hop limit {sent} lets pods" in remedy.says


@pytest.mark.parametrize(("limit", "sent"), [(1, 2), (2, 2), (4, 4)])
def test_an_instance_that_is_changed_in_place_keeps_its_hop_limit(limit: int, sent: int) -> None:
    """Where containers run; elsewhere nothing is said of it."""
    in_stack = source_of([instance(BOX | NODE, hop_limit=limit)], found())
    text = yaml.safe_load(in_language(in_stack, Language.CLOUDFORMATION).text)
    assert sent == text["Resources"]["Box"]["Properties"]["MetadataOptions"]["HttpPutResponseHopLimit"]
    by_terraform = source_of([instance(TERRAFORM | NODE, hop_limit=limit)], found())
    assert f"http_put_response_hop_limit = {sent}" in in_language(by_terraform, Language.TERRAFORM).text
    plain = source_of([instance(BOX, hop_limit=limit)], found())
    assert "HopLimit" not in in_language(plain, Language.CLOUDFORMATION).text


@pytest.mark.parametrize("limit", [1, 3])
def test_the_account_s_own_hop_limit_goes_on_applying(limit: int, tmp_path: Path) -> None:
    """A version that names 2 would lower 3, or open what 1 keeps shut."""
    source = replace(with_template(instance_tags=NODE), defaults=Defaults(hop_limit=limit))
    remedy = in_language(source, Language.CLI)
    made = parameters(calls_of(remedy.text, tmp_path)[0])
    assert "HttpPutResponseHopLimit" not in made[2]["LaunchTemplateData"]["MetadataOptions"]
    assert f"the account's default, {limit}, goes on applying" in remedy.says


def test_where_eks_gives_its_nodes_another_limit_the_account_s_is_not_what_applies(tmp_path: Path) -> None:
    """EKS leaves that to the template as soon as it says anything of the metadata service: with 1, pods would be cut off."""
    nodes = copied("eks")
    nodes = replace(
        nodes, instances=[replace(each, options=replace(each.options, hop_limit=2)) for each in nodes.instances]
    )
    source = replace(nodes, defaults=Defaults(hop_limit=1))
    made = parameters(calls_of(in_language(source, Language.CLI).text, tmp_path)[0])
    assert 2 == made[2]["LaunchTemplateData"]["MetadataOptions"]["HttpPutResponseHopLimit"]


def test_terraform_s_block_is_for_no_instance_whose_endpoint_is_disabled() -> None:
    """It names the endpoint as enabled."""
    closed, opened = instance(TERRAFORM, endpoint="disabled"), instance(TERRAFORM)
    remedy = in_language(source_of([closed, opened], found()), Language.TERRAFORM)
    assert opened.arn.instance_id in remedy.text
    assert closed.arn.instance_id not in remedy.text
    assert "1 more of it have a disabled endpoint" in remedy.says


@pytest.mark.parametrize(("version", "told"), [("$Default", True), ("$Latest", False), ("2", False)])
@pytest.mark.parametrize("language", [Language.CLOUDFORMATION, Language.CDK_PYTHON, Language.CDK_TYPESCRIPT])
def test_a_stack_never_moves_the_default(language: Language, version: str, told: bool, tmp_path: Path) -> None:
    """CloudFormation makes a version, and whoever follows the default goes on launching from the one before."""
    remedy = in_language(with_template(version=version, template_tags=STACK), language)
    assert told == ("CloudFormation never moves the default" in remedy.says)
    assert ("LatestVersionNumber" in remedy.says) == (version != "$Latest")
    if told:
        said = re.search(r"send: (aws .*?\)\")\.", remedy.says)
        assert said is not None
        asked, moved = (parameters(each) for each in calls_of(said[1] + "\n", tmp_path))
        assert ("describe-launch-templates", [TEMPLATE]) == (asked[1], asked[2]["LaunchTemplateIds"])
        assert {"LaunchTemplateId": TEMPLATE, "DefaultVersion": ANSWER} == moved[2]


def test_terraform_cannot_have_both_ways_to_the_default() -> None:
    """The provider refuses default_version beside update_default_version."""
    assert "Take out default_version" in in_language(with_template(template_tags=TERRAFORM), Language.TERRAFORM).says


def test_a_node_group_keeps_the_release_of_its_ami(tmp_path: Path) -> None:
    """Without one EKS takes the newest; with an AMI in the template EKS takes none."""
    mine = copied("eks")
    assert mine.own is not None
    assert mine.own.version is not None
    free = replace(mine, own=replace(mine.own, version=replace(mine.own.version, image="")))
    *_, asked, updated = [parameters(each) for each in calls_of(in_language(free, Language.CLI).text, tmp_path)]
    assert ("describe-nodegroup", ANSWER) == (asked[1], updated[2]["releaseVersion"])
    named = [parameters(each) for each in calls_of(in_language(mine, Language.CLI).text, tmp_path)]
    assert "releaseVersion" not in named[-1][2]


@pytest.mark.parametrize("length", [3, 56, 57, 63])
def test_a_node_group_s_name_is_one_that_eks_takes(length: int) -> None:
    """Of 63 characters at most, and another one than the present."""
    name = "n" * length
    text = yaml.safe_load(in_language(catalogue(name)["EKS node group"], Language.EKSCTL).text)
    (made,) = [each["name"] for each in text["managedNodeGroups"]]
    assert len(made) <= 63
    assert name != made


@pytest.mark.parametrize(
    ("defaults", "told"),
    [
        (Defaults(), "send --http-tokens no-preference"),
        (Defaults(tokens="optional"), "send --http-tokens optional"),
        (Defaults(tokens="optional", managed_by="declarative-policy"), "AWS refuses the command here"),
    ],
)
def test_the_account_s_default_goes_back_to_what_it_was(defaults: Defaults, told: str) -> None:
    """Where an organisation's policy sets it, the account cannot."""
    remedy = in_language(source_of([instance()], found(defaults=defaults)), Language.CLI)
    assert told in remedy.says


@pytest.mark.parametrize("tags", [{}, NODE])
def test_a_launch_by_hand_of_a_container_host_is_told_its_hop_limit(tags: dict[str, str]) -> None:
    """With 1, which it gets otherwise, containers get no token."""
    says = in_language(source_of([instance(tags)], found()), Language.CLI).says
    assert bool(tags) == ("HttpPutResponseHopLimit=2" in says) == ("Containers run" in says)


@pytest.mark.parametrize("kind", ["Batch", "Batch, own template"])
def test_batch_says_which_environments_take_the_change(kind: str) -> None:
    """Those with BEST_FIT or a role of one's own have to be made anew."""
    assert "BEST_FIT" in in_language(catalogue()[kind], Language.CLI).says


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("group, default version", "make version 2 the default of web again"),
        ("group, latest version", "make another version from 2 with HttpTokens=optional"),
        ("group, pinned version", "point the source to version 2 again"),
        ("mixed instances", "point the source to version 2 again; point the source to version 5 again"),
    ],
)
def test_the_way_back_is_told(kind: str, told: str) -> None:
    """By what the source follows."""
    assert f"To go back: {told}" in in_language(catalogue("web")[kind], Language.CLI).says


@pytest.mark.parametrize(
    ("tags", "languages"),
    [
        (STACK, ["cloudformation", "cdk-python", "cdk-typescript"]),
        (TERRAFORM, ["terraform"]),
        ({}, ["aws-cli", "terraform"]),
    ],
)
def test_two_versions_of_one_template_are_one_resource_where_it_is_managed(
    tags: dict[str, str], languages: list[str]
) -> None:
    """It has one text there, with what the newer version says; as commands, each version gets its own."""
    group = Group(
        name="two",
        arn="arn:two",
        refs=(Ref(id=TEMPLATE, version="1"), Ref(id=TEMPLATE, version="2", types=("m7g.large",))),
        policy={
            "LaunchTemplate": {
                "LaunchTemplateSpecification": {"LaunchTemplateId": TEMPLATE, "Version": "1"},
                "Overrides": [{"LaunchTemplateSpecification": {"LaunchTemplateId": TEMPLATE, "Version": "2"}}],
            }
        },
    )
    made = versions(v1={"HttpPutResponseHopLimit": 1}, v2={"HttpPutResponseHopLimit": 3})
    source = grouped(group, templates={TEMPLATE: template(tags=tags)}, versions=made)
    remedies = remedies_of(source)
    assert languages == [str(each.language) for each in remedies]
    for each in remedies:
        lower = '"HttpPutResponseHopLimit":1' in each.text
        assert (each.language is Language.CLI) == lower
        assert re.search(r"(?i)hop_?limit\W+3", each.text)


def test_a_template_that_cannot_be_read_keeps_its_name_in_a_policy(tmp_path: Path) -> None:
    """AWS takes a name as well as an id, and refuses an empty one."""
    main = {"LaunchTemplateId": TEMPLATE, "Version": "2"}
    gone = {"LaunchTemplateName": "arm", "Version": "$Default"}
    overrides = [{"InstanceType": "m7g.large", "LaunchTemplateSpecification": gone}]
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": main, "Overrides": overrides}}
    refs = (Ref(id=TEMPLATE, version="2"), Ref(name="arm", types=("m7g.large",)))
    source = grouped(
        Group(name="m", arn="arn:m", refs=refs, policy=policy),
        templates={TEMPLATE: template()},
        versions=versions(v2={}),
    )
    *_, pointed = [parameters(each) for each in calls_of(in_language(source, Language.CLI).text, tmp_path)]
    sent = pointed[2]["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"][0]["LaunchTemplateSpecification"]
    assert gone == sent


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"ManagedBy": "Pulumi"}, "Pulumi"),
        ({"pulumi:project": "shop"}, "Pulumi"),
        ({"kops.k8s.io/instancegroup": "nodes"}, "kOps"),
        ({"sigs.k8s.io/cluster-api-provider-aws/cluster/blue": "owned"}, "the Cluster API"),
        ({"crossplane-name": "web"}, "Crossplane"),
        ({"services.k8s.aws/namespace": "web"}, "AWS Controllers for Kubernetes"),
    ],
)
def test_other_tools_own_what_they_mark(tags: dict[str, str], said: str) -> None:
    """They undo what somebody else changes: a remedy for them is applied where they read it."""
    owner = owner_of(tags)
    assert said == (owner and owner.said)
    source = with_template(template_tags=tags)
    assert {f"launch template {source.launches[0].template.name}"} == set(source.owners)  # type: ignore[union-attr]
    assert {Language.CLI} == {each.language for each in remedies_of(source)}


@pytest.mark.parametrize("tags", [{"ManagedBy": "pulumi team"}, {"Name": "kops"}, {"team": "crossplane"}])
def test_a_word_alone_names_no_tool(tags: dict[str, str]) -> None:
    """Somebody may be called so."""
    assert owner_of(tags) is None
