"""Where instances come from, over moto's EC2 and Auto Scaling; what moto lacks is answered with shapes that botocore's models check."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.people.request import parse
from imdsv2.people.sources.request import SourceQuestion
from imdsv2.wiring.people import build_sources
from tests.integration.builders import IMAGE, MEMBER, REGION, asked

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

NO_DEFAULTS = {"AccountLevel": {"HttpTokens": "no-preference", "HttpPutResponseHopLimit": -1}}


@pytest.fixture(autouse=True)
def defaults(cloud: Cloud) -> dict[str, Any]:
    """What the account says of launches that say nothing; moto does not know the call."""
    answer: dict[str, Any] = json.loads(json.dumps(NO_DEFAULTS))
    cloud.wire.fake("GetInstanceMetadataDefaults", lambda _: answer)
    return answer


def ask(cloud: Cloud, **scope: Any) -> dict[str, Any]:
    """The answer of a new function instance, as it is sent."""
    question = parse({"sources": scope or {"account": MEMBER, "region": REGION}})
    assert isinstance(question, SourceQuestion)
    answer: dict[str, Any] = json.loads(json.dumps(build_sources(cloud.function()).answer(question)))
    return answer


def template(cloud: Cloud, name: str = "web", **options: Any) -> str:
    """Somebody makes a launch template. Its id."""
    made = cloud.as_account(MEMBER, "ec2").create_launch_template(
        LaunchTemplateName=name,
        LaunchTemplateData={
            "ImageId": IMAGE,
            "InstanceType": "t3.micro",
            **({"MetadataOptions": options} if options else {}),
        },
    )
    return str(made["LaunchTemplate"]["LaunchTemplateId"])


def another_version(cloud: Cloud, template_id: str, **options: Any) -> None:
    """Somebody makes a version of it."""
    cloud.as_account(MEMBER, "ec2").create_launch_template_version(
        LaunchTemplateId=template_id,
        LaunchTemplateData={
            "ImageId": IMAGE,
            "InstanceType": "t3.micro",
            **({"MetadataOptions": options} if options else {}),
        },
    )


def group(
    cloud: Cloud, name: str = "web", *, size: int = 2, instance_tags: dict[str, str] | None = None, **launching: Any
) -> list[InstanceArn]:
    """Somebody makes a group, whose instances are launched here with the tag that AWS sets."""
    autoscaling = cloud.as_account(MEMBER, "autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=size, AvailabilityZones=[f"{REGION}a"], **launching
    )
    return cloud.launch(count=size, tags={"aws:autoscaling:groupName": name, **(instance_tags or {})})


def test_a_group_with_its_template_is_one_source(cloud: Cloud) -> None:
    """What it launches next, how many run, and the commands that change it."""
    made = template(cloud)
    arns = group(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"})
    cloud.line().run([asked(arn) for arn in arns], "request-1")
    (found,) = ask(cloud)["results"]
    assert ("auto_scaling_group", "web", 2, "optional") == (
        found["kind"],
        found["name"],
        found["running"],
        found["http_tokens"],
    )
    assert f":{MEMBER}:autoScalingGroup:" in found["arn"]
    (launch,) = found["launches"]
    assert {"id": made, "name": "web", "version": "$Default", "resolved": 1, "instance_types": []} == launch["template"]
    assert "fix_source" == found["verdict"], found["explanation"]
    assert ["aws-cli", "terraform"] == [each["language"] for each in found["remedies"]]


def test_a_group_whose_instance_is_held_for_use_waits(cloud: Cloud) -> None:
    """The ledger is asked what its instances are held for: one for its own use, the rest for that."""
    made = template(cloud)
    arns = group(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Latest"})
    cloud.metrics.put(arns[0].instance_id, "MetadataNoToken", [int(cloud.clock().timestamp() // 3600) - 30], 7.0)
    cloud.line().run([asked(arn) for arn in arns], "request-1")
    (found,) = ask(cloud)["results"]
    reasons = {each["target"]: each["reason"] for each in found["held"]}
    others = dict.fromkeys(map(str, arns[1:]), "cohort_uses_v1")
    assert ("hold", {str(arns[0]): "v1_in_use", **others}) == (found["verdict"], reasons)
    assert {"when the hold has ended"} == {each["apply"] for each in found["remedies"]}


def test_a_source_that_requires_tokens_needs_no_word_of_the_ledger(cloud: Cloud) -> None:
    """Nothing is asked that is not needed."""
    made = template(cloud, HttpTokens="required")
    group(cloud, LaunchTemplate={"LaunchTemplateId": made})
    (found,) = ask(cloud)["results"]
    assert ("already_required", []) == (found["verdict"], found["remedies"])
    assert [] == cloud.wire.made("BatchGetItem")


def test_a_mixed_group_has_a_template_for_each_override(cloud: Cloud) -> None:
    """moto keeps the policy as it was sent."""
    main, other = template(cloud), template(cloud, "arm", HttpTokens="required")
    another_version(cloud, main)
    specification = {"LaunchTemplateId": main, "Version": "2"}
    own = {"LaunchTemplateId": other, "Version": "$Latest"}
    overrides = [{"InstanceType": "m5.large"}, {"InstanceType": "m6g.large", "LaunchTemplateSpecification": own}]
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": specification, "Overrides": overrides}}
    group(cloud, MixedInstancesPolicy=policy)
    (found,) = ask(cloud)["results"]
    told = [(each["template"]["id"], each["template"]["resolved"], each["http_tokens"]) for each in found["launches"]]
    assert [(main, 2, "optional"), (other, 1, "required")] == told
    assert ["m6g.large"] == found["launches"][1]["template"]["instance_types"]


def test_a_group_with_a_launch_configuration(cloud: Cloud) -> None:
    """Its user data are nowhere in the answer."""
    cloud.as_account(MEMBER, "autoscaling").create_launch_configuration(
        LaunchConfigurationName="web-1", ImageId=IMAGE, InstanceType="t3.micro", UserData="#!/bin/sh\nPASSWORD=hunter2"
    )
    group(cloud, LaunchConfigurationName="web-1")
    answer = ask(cloud)
    (found,) = answer["results"]
    assert ["launch configuration web-1"] == [each["what"] for each in found["launches"]]
    assert ("optional", True) == (found["http_tokens"], "create-launch-configuration" in found["remedies"][0]["text"])
    for secret in ("hunter2", "UEFTU1dPUkQ"):
        assert secret not in json.dumps(answer)


def test_every_launch_is_traced_to_its_source(cloud: Cloud) -> None:
    """A place with several; each instance belongs to one, and what allows most IMDSv1 comes first."""
    cloud.launch(count=3, tags={"karpenter.sh/nodepool": "p"})
    cloud.launch(count=2)
    cloud.launch(tags={"aws:cloudformation:stack-name": "s", "aws:cloudformation:logical-id": "L"})
    cloud.launch(account="333333333333", count=9)
    results = ask(cloud)["results"]
    assert [("karpenter_node_pool", 3), ("by_hand", 2), ("cloudformation_instance", 1)] == [
        (each["kind"], each["running"]) for each in results
    ]


def test_named_instances_are_answered_with_their_whole_source(cloud: Cloud) -> None:
    """All of its instances count, those of other sources are left out; an instance that is gone is told."""
    first, *_ = cloud.launch(count=3, tags={"karpenter.sh/nodepool": "p"})
    cloud.launch(count=2)
    gone = str(first).replace(first.instance_id, "i-0123456789abcdef0")
    answer = ask(cloud, targets=[str(first), gone])
    assert [("karpenter_node_pool", 3)] == [(each["kind"], each["running"]) for each in answer["results"]]
    assert [f"Instance i-0123456789abcdef0 does not exist in account {MEMBER}, {REGION}."] == answer["problems"]


def test_the_account_s_default_counts(cloud: Cloud, defaults: dict[str, Any]) -> None:
    """Where the launch says nothing."""
    made = template(cloud)
    group(cloud, LaunchTemplate={"LaunchTemplateId": made})
    defaults["AccountLevel"]["HttpTokens"] = "required"
    (found,) = ask(cloud)["results"]
    assert ("already_required", "required") == (found["verdict"], found["http_tokens"])
    assert "the account's default in this Region is required" in found["explanation"]


def test_own_amis_without_imds_support_are_listed_with_their_sources(cloud: Cloud) -> None:
    """Recorded: moto does not keep ImdsSupport. The call names AMIs by a filter, because an id that is gone would fail it."""
    image = {"ImageId": IMAGE, "OwnerId": MEMBER, "Name": "base"}
    cloud.wire.fake("DescribeImages", lambda _: {"Images": [image]})
    made = template(cloud)
    group(cloud, LaunchTemplate={"LaunchTemplateId": made})
    cloud.launch()
    (listed,) = ask(cloud)["images"]
    assert (IMAGE, "base", ["auto_scaling_group", "by_hand"]) == (
        listed["image"],
        listed["name"],
        sorted(each["kind"] for each in listed["used_by"]),
    )
    assert ["packer", "aws-cli"] == [each["language"] for each in listed["remedies"]]
    (call,) = cloud.wire.made("DescribeImages")
    assert [{"Name": "image-id", "Values": [IMAGE]}] == call.params["Filters"]
    image["ImdsSupport"] = "v2.0"
    assert [] == ask(cloud)["images"]


def test_who_launched_by_hand_is_asked_only_on_request(cloud: Cloud) -> None:
    """Recorded, in the shape of CloudTrail's answers; at most three instances of a source."""
    cloud.launch(count=5)
    event = {
        "EventName": "RunInstances",
        "EventTime": cloud.clock(),
        "Username": "ada",
        "CloudTrailEvent": json.dumps(
            {"userIdentity": {"arn": f"arn:aws:sts::{MEMBER}:assumed-role/admin/ada"}, "userAgent": "aws-cli/2"}
        ),
    }
    other = {"EventName": "CreateTags", "Username": "bob", "CloudTrailEvent": "{}"}
    cloud.wire.fake("LookupEvents", lambda _: {"Events": [other, event]})
    assert [] == ask(cloud)["results"][0]["launched_by"]
    assert [] == cloud.wire.made("LookupEvents")
    (found,) = ask(cloud, account=MEMBER, region=REGION, principals=True)["results"]
    assert 3 == len(found["launched_by"]) == len(cloud.wire.made("LookupEvents"))
    assert {(f"arn:aws:sts::{MEMBER}:assumed-role/admin/ada", "aws-cli/2")} == {
        (each["principal"], each["user_agent"]) for each in found["launched_by"]
    }


@pytest.mark.parametrize("told", ["", "no JSON", "[]", '{"userIdentity": {}}'])
def test_an_event_that_cannot_be_read_names_its_user(cloud: Cloud, told: str) -> None:
    """CloudTrail's own word is left."""
    cloud.launch()
    event = {"EventName": "RunInstances", "Username": "ada", "CloudTrailEvent": told}
    cloud.wire.fake("LookupEvents", lambda _: {"Events": [event]})
    (found,) = ask(cloud, account=MEMBER, region=REGION, principals=True)["results"]
    assert [("ada", None)] == [(each["principal"], each["at"]) for each in found["launched_by"]]


def test_an_account_that_cannot_be_read_is_told(cloud: Cloud) -> None:
    """And what to do; the others are answered."""
    arn = cloud.one()
    elsewhere = str(arn).replace(MEMBER, "444444444444")
    cloud.wire.refuse("AssumeRole", "AccessDenied", when=lambda call: "444444444444" in call.params["RoleArn"])
    answer = ask(cloud, targets=[elsewhere, str(arn)])
    assert 1 == answer["count"]
    (problem,) = answer["problems"]
    assert "444444444444" in problem
    assert "deploy the member roles" in problem


def test_a_place_out_of_scope_is_not_read(cloud: Cloud) -> None:
    """The policy is asked before the account."""
    cloud.policy(exclude_regions=[REGION])
    answer = ask(cloud)
    assert (0, [f"Region {REGION} is among exclude_regions of the policy."]) == (answer["count"], answer["problems"])
    assert [] == cloud.wire.made("AssumeRole", "DescribeInstances")


@pytest.mark.parametrize(
    ("operation", "verdict"),
    [
        ("DescribeAutoScalingGroups", "hold"),
        ("DescribeLaunchTemplates", "hold"),
        ("DescribeLaunchTemplateVersions", "hold"),
        ("DescribeImages", "fix_source"),
        ("GetInstanceMetadataDefaults", "fix_source"),
    ],
)
@pytest.mark.parametrize("code", ["UnauthorizedOperation", "RequestLimitExceeded"])
def test_what_cannot_be_read_is_told_and_holds_where_it_matters(
    cloud: Cloud, operation: str, verdict: str, code: str
) -> None:
    """A role of an older version allows none of these calls; the rest is answered all the same."""
    made = template(cloud)
    arns = group(cloud, LaunchTemplate={"LaunchTemplateId": made})
    cloud.line().run([asked(arn) for arn in arns], "request-1")
    cloud.wire.refuse(operation, code)
    answer = ask(cloud)
    (found,) = answer["results"]
    assert verdict == found["verdict"], found["explanation"]
    (problem,) = answer["problems"]
    assert code in problem
    assert ("deploy the member roles" in problem) == (code == "UnauthorizedOperation")
    assert ("cannot be read" in found["explanation"]) == (operation != "DescribeImages")


def test_fleets_that_ec2_has_forgotten_do_not_hide_the_others(cloud: Cloud) -> None:
    """Recorded: moto's fleets answer otherwise. The ids that the refusal names are left out, and the rest is asked for again."""
    made = template(cloud)
    known, gone = ("fleet-" + digit * 8 + "-0000-0000-0000-000000000000" for digit in "12")
    for each in (known, gone):
        cloud.launch(tags={"aws:ec2:fleet-id": each})
    shown = {
        "FleetId": known,
        "Type": "maintain",
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": {"LaunchTemplateId": made, "Version": "1"}}],
    }
    cloud.wire.refuse(
        "DescribeFleets",
        "InvalidFleetId.NotFound",
        f"The fleet ID '{gone}' does not exist",
        when=lambda call: gone in call.params["FleetIds"],
    )
    cloud.wire.fake("DescribeFleets", lambda _: {"Fleets": [shown]})
    answer = ask(cloud)
    told = {each["name"]: each["explanation"] for each in answer["results"]}
    assert "EC2 no longer shows it." in told[gone]
    assert "launch template web" in told[known]
    assert [] == answer["problems"]


def test_pages_are_read_to_the_end(cloud: Cloud) -> None:
    """Recorded pages of templates and versions, of which one template is asked for by itself."""
    templates = [
        {
            "LaunchTemplateId": f"lt-{number:04}",
            "LaunchTemplateName": f"web{number}",
            "DefaultVersionNumber": 1,
            "LatestVersionNumber": 2,
        }
        for number in range(6)
    ]
    for number in range(6):
        tags = {"aws:ec2launchtemplate:id": f"lt-{number:04}", "aws:ec2launchtemplate:version": "1"}
        cloud.launch(tags=tags)

    def listed(call: Call) -> dict[str, Any]:
        start = int(call.params.get("NextToken", "0"))
        page = {"LaunchTemplates": templates[start : start + 2]}
        return page if start + 2 >= len(templates) else {**page, "NextToken": str(start + 2)}

    def versions(call: Call) -> dict[str, Any]:
        assert {"$Default", "$Latest"} == set(call.params["Versions"])
        start = int(call.params.get("NextToken", "0"))
        page = [
            {"LaunchTemplateId": each["LaunchTemplateId"], "VersionNumber": 1, "LaunchTemplateData": {}}
            for each in templates[start : start + 3]
        ]
        answer = {"LaunchTemplateVersions": page}
        return answer if start + 3 >= len(templates) else {**answer, "NextToken": str(start + 3)}

    cloud.wire.fake("DescribeLaunchTemplates", listed)
    cloud.wire.fake("DescribeLaunchTemplateVersions", versions)
    answer = ask(cloud)
    assert [] == answer["problems"]
    results = answer["results"]
    assert {f"lt-{number:04}" for number in range(6)} == {each["name"] for each in results}
    assert {"optional"} == {each["http_tokens"] for each in results}
    assert (3, 2) == (
        len(cloud.wire.made("DescribeLaunchTemplates")),
        len(cloud.wire.made("DescribeLaunchTemplateVersions")),
    )


def test_eks_and_batch_tell_which_template_is_ones_own(cloud: Cloud) -> None:
    """Recorded, in the shapes of their answers; the templates are moto's. A node group that is gone keeps the others from nothing."""
    copy, own = template(cloud, "eks-copy"), template(cloud, "mine", HttpPutResponseHopLimit=2)
    nodes = {"eks:cluster-name": "blue", "eks:nodegroup-name": "n-1"}
    group(cloud, "eks-n-1", LaunchTemplate={"LaunchTemplateId": copy, "Version": "1"}, instance_tags=nodes)
    group(
        cloud,
        "eks-n-2",
        LaunchTemplate={"LaunchTemplateId": copy},
        instance_tags={**nodes, "eks:nodegroup-name": "n-2"},
    )
    night = "AWSBatch-night-asg-0a1b2c3d-0a1b-0c2d-0e3f-0a1b2c3d4e5f"
    group(cloud, night, LaunchTemplate={"LaunchTemplateId": copy})
    shown = {"nodegroupArn": "arn:eks:n-1", "launchTemplate": {"id": own, "name": "mine", "version": "1"}}
    cloud.wire.refuse(
        "DescribeNodegroup", "ResourceNotFoundException", when=lambda call: call.params["nodegroupName"] == "n-2"
    )
    cloud.wire.fake("DescribeNodegroup", lambda _: {"nodegroup": shown})
    environment = {
        "computeEnvironmentName": "night",
        "computeEnvironmentArn": "arn:batch:night",
        "computeResources": {
            "type": "EC2",
            "maxvCpus": 4,
            "subnets": [],
            "launchTemplate": {"launchTemplateName": "mine", "version": "$Latest"},
        },
    }
    cloud.wire.fake("DescribeComputeEnvironments", lambda _: {"computeEnvironments": [environment]})
    answer = ask(cloud)
    assert [] == answer["problems"]
    told = {each["name"]: each for each in answer["results"]}
    assert ("arn:eks:n-1", own, 1) == (
        told["n-1"]["arn"],
        told["n-1"]["own_template"]["template"]["id"],
        told["n-1"]["own_template"]["template"]["resolved"],
    )
    assert (None, own) == (told["n-2"]["own_template"], told["night"]["own_template"]["template"]["id"])
    assert "update-nodegroup-version" in told["n-1"]["remedies"][0]["text"]
    assert "update-compute-environment" in told["night"]["remedies"][0]["text"]


def test_nothing_is_written(cloud: Cloud) -> None:
    """Whether it is called a dry run or not."""
    group(cloud, LaunchTemplate={"LaunchTemplateId": template(cloud)})
    before = cloud.items()
    answers = [
        build_sources(cloud.function()).answer(question)
        for dry_run in (True, False)
        if isinstance(
            question := parse({"sources": {"account": MEMBER, "region": REGION}, "dry_run": dry_run}), SourceQuestion
        )
    ]
    assert [True, False] == [each.pop("dry_run") for each in answers]
    assert answers[0] == answers[1]
    assert before == cloud.items()
    assert {"Describe", "Get", "Assume", "BatchGet", "PutItem"} >= {
        next(
            (prefix for prefix in ("Describe", "Get", "Assume", "BatchGet") if call.operation.startswith(prefix)),
            call.operation,
        )
        for call in cloud.wire.calls
    }


def test_a_template_that_is_shared_is_held_for_all_who_follow_it(cloud: Cloud) -> None:
    """Also where only one of the groups is asked about: the others are looked at all the same, and not answered."""
    made = template(cloud)
    clean = group(cloud, "clean", LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"})
    used = group(cloud, "used", LaunchTemplate={"LaunchTemplateId": made, "Version": "$Latest"})
    cloud.metrics.put(used[0].instance_id, "MetadataNoToken", [int(cloud.clock().timestamp() // 3600) - 30], 7.0)
    cloud.line().run([asked(arn) for arn in (*clean, *used)], "request-1")
    (found,) = ask(cloud, targets=[str(clean[0])])["results"]
    assert ("clean", "hold", []) == (found["name"], found["verdict"], found["held"])
    assert "it would reach auto_scaling_group used" in found["explanation"]
    told = {each["name"]: each for each in ask(cloud)["results"]}
    assert found == told["clean"]
