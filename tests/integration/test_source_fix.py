"""Sources that the service changes itself, over moto's EC2 and Auto Scaling: the change, its way back, and what is left alone."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from imdsv2.domain.instance import Place
from imdsv2.errors import InvalidRequest
from imdsv2.people.request import parse
from imdsv2.people.sources.request import SourceQuestion
from imdsv2.wiring.fixing import build_fixing
from imdsv2.wiring.people import build_source_fixing
from tests.integration.builders import IMAGE, MEMBER, REGION, asked
from tests.integration.guarding import guard, live, probe, reject
from tests.integration.steering import answer, steer
from tests.integration.test_sources import NO_DEFAULTS, another_version, group, template

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

KEY = f"aws/{MEMBER}/{REGION}/auto_scaling_group:web"
WRITES = ("CreateLaunchTemplateVersion", "ModifyLaunchTemplate", "UpdateAutoScalingGroup")


@pytest.fixture(autouse=True)
def defaults(cloud: Cloud) -> None:
    """The account says nothing of launches that say nothing; moto does not know the call."""
    cloud.wire.fake("GetInstanceMetadataDefaults", lambda _: json.loads(json.dumps(NO_DEFAULTS)))
    cloud.wire.fake("GetCalendarState", lambda _: {"State": "CLOSED"})
    cloud.wire.fake("CreateLaunchTemplateVersion", make_as_ec2_does(cloud))
    cloud.policy(mode="enforce")


def make_as_ec2_does(cloud: Cloud) -> Callable[[Call], dict[str, Any]]:
    """moto leaves out what a version takes from its source, and knows no client tokens."""
    made: dict[str, dict[str, Any]] = {}

    def make(call: Call) -> dict[str, Any]:
        asked = dict(call.params)
        token, source = asked.pop("ClientToken"), asked.pop("SourceVersion")
        if token not in made:
            data = {
                **version(cloud, asked["LaunchTemplateId"], source)["LaunchTemplateData"],
                **asked.pop("LaunchTemplateData"),
            }
            ec2 = cloud.as_account(call.account, "ec2", call.region)
            answer = ec2.create_launch_template_version(**asked, LaunchTemplateData=data)
            made[token] = {"LaunchTemplateVersion": answer["LaunchTemplateVersion"]}
        return made[token]

    return make


def proved(cloud: Cloud, name: str = "web", **launching: Any) -> list[InstanceArn]:
    """A group whose instances are known to do without IMDSv1."""
    arns = group(cloud, name, **launching)
    cloud.line().run([asked(arn) for arn in arns], "request-1")
    return arns


def fix(cloud: Cloud, *, dry_run: bool = False, **scope: Any) -> list[dict[str, Any]]:
    """A person has sources changed. What became of each."""
    scope = scope or {"account": MEMBER, "region": REGION}
    question = parse({"sources": {**scope, "fix": True}, "dry_run": dry_run, "caller": "dora"})
    assert isinstance(question, SourceQuestion)
    told = build_source_fixing(cloud.function()).answer(question, "request-7", lambda: True)
    assert [] == told["problems"]
    return [json.loads(json.dumps(each))["fix"] for each in told["results"]]


def version(cloud: Cloud, made: str, number: str) -> dict[str, Any]:
    """A version as EC2 shows it."""
    (found,) = cloud.as_account(MEMBER, "ec2").describe_launch_template_versions(
        LaunchTemplateId=made, Versions=[number]
    )["LaunchTemplateVersions"]
    return dict(found)


def versions(cloud: Cloud, made: str) -> list[int]:
    """The numbers of a template's versions."""
    found = cloud.as_account(MEMBER, "ec2").describe_launch_template_versions(LaunchTemplateId=made)
    return [each["VersionNumber"] for each in found["LaunchTemplateVersions"]]


def tokens(cloud: Cloud, made: str, number: str) -> str | None:
    """What a version says of tokens."""
    said = version(cloud, made, number)["LaunchTemplateData"].get("MetadataOptions", {}).get("HttpTokens")
    return None if said is None else str(said)


def default(cloud: Cloud, made: str) -> int:
    """The default version of a template."""
    (found,) = cloud.as_account(MEMBER, "ec2").describe_launch_templates(LaunchTemplateIds=[made])["LaunchTemplates"]
    return int(found["DefaultVersionNumber"])


def shown(cloud: Cloud, name: str = "web") -> dict[str, Any]:
    """A group as Auto Scaling shows it."""
    (found,) = cloud.as_account(MEMBER, "autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
        "AutoScalingGroups"
    ]
    return dict(found)


def item(cloud: Cloud, key: str = KEY) -> dict[str, Any]:
    """The item of a source."""
    (found,) = [each for each in cloud.items() if each["pk"] == "sources" and each["sk"] == key]
    return found


def writes(cloud: Cloud) -> list[str]:
    """What was changed in AWS."""
    return [call.operation for call in cloud.wire.made(*WRITES)]


def test_an_instance_that_is_not_there_is_told(cloud: Cloud) -> None:
    """Its mistyped id is not taken for one that needs no change."""
    there, other = proved(cloud, LaunchTemplate={"LaunchTemplateId": template(cloud)})
    mistyped = str(there)[:-4] + "beef"
    question = parse({"sources": {"targets": [mistyped, str(other)], "fix": True}})
    assert isinstance(question, SourceQuestion)
    told = build_source_fixing(cloud.function()).answer(question, "request-7", lambda: True)
    assert ["would_fix"] == [each["fix"]["status"] for each in told["results"]]
    assert [f"Instance {mistyped[-19:]} does not exist in account {MEMBER}, {REGION}."] == told["problems"]


def test_a_group_that_follows_the_default_gets_another_default(cloud: Cloud) -> None:
    """A version that differs in its metadata options only; the group itself is not touched."""
    made = template(cloud, HttpPutResponseHopLimit=3, InstanceMetadataTags="enabled")
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"})
    (ended,) = fix(cloud)
    assert "fixed" == ended["status"], ended["explanation"]
    assert ["CreateLaunchTemplateVersion", "ModifyLaunchTemplate"] == writes(cloud)
    assert 2 == default(cloud, made)
    before, after = (version(cloud, made, number)["LaunchTemplateData"] for number in "12")
    assert {"HttpPutResponseHopLimit": 3, "InstanceMetadataTags": "enabled"} == before.pop("MetadataOptions")
    assert {
        "HttpTokens": "required",
        "HttpEndpoint": "enabled",
        "HttpPutResponseHopLimit": 3,
        "InstanceMetadataTags": "enabled",
    } == after.pop("MetadataOptions")
    assert before == after
    assert "$Default" == shown(cloud)["LaunchTemplate"]["Version"]


def test_a_group_that_follows_the_latest_needs_a_version_only(cloud: Cloud) -> None:
    """The default stays."""
    made = template(cloud)
    another_version(cloud, made)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Latest"})
    (ended,) = fix(cloud)
    assert ("fixed", ["CreateLaunchTemplateVersion"]) == (ended["status"], writes(cloud))
    assert ("required", 1) == (tokens(cloud, made, "$Latest"), default(cloud, made))


def test_a_group_with_a_number_is_pointed_to_the_new_one(cloud: Cloud) -> None:
    """And keeps everything else: no instance refresh, no size."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "1"})
    (ended,) = fix(cloud)
    assert ("fixed", ["CreateLaunchTemplateVersion", "UpdateAutoScalingGroup"]) == (ended["status"], writes(cloud))
    assert "2" == shown(cloud)["LaunchTemplate"]["Version"]
    (call,) = cloud.wire.made("UpdateAutoScalingGroup")
    assert {"AutoScalingGroupName", "LaunchTemplate"} == set(call.params)
    assert 1 == default(cloud, made)


def test_a_mixed_group_is_pointed_for_each_override(cloud: Cloud) -> None:
    """Overrides with a template of their own too; what requires tokens already, or follows the latest, stays as it is named."""
    main, arm, done = template(cloud), template(cloud, "arm"), template(cloud, "done", HttpTokens="required")
    overrides = [
        {"InstanceType": "m5.large"},
        {"InstanceType": "m6g.large", "LaunchTemplateSpecification": {"LaunchTemplateId": arm, "Version": "$Latest"}},
        {"InstanceType": "m7g.large", "LaunchTemplateSpecification": {"LaunchTemplateId": done, "Version": "1"}},
    ]
    policy: dict[str, Any] = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": main, "Version": "1"},
            "Overrides": overrides,
        },
        "InstancesDistribution": {"OnDemandBaseCapacity": 1, "SpotAllocationStrategy": "price-capacity-optimized"},
    }
    proved(cloud, MixedInstancesPolicy=policy)
    (ended,) = fix(cloud)
    assert "fixed" == ended["status"], ended["explanation"]
    now = shown(cloud)["MixedInstancesPolicy"]
    named = [now["LaunchTemplate"]["LaunchTemplateSpecification"]]
    named += [each["LaunchTemplateSpecification"] for each in now["LaunchTemplate"]["Overrides"][1:]]
    assert [(main, "2"), (arm, "$Latest"), (done, "1")] == [
        (each["LaunchTemplateId"], each["Version"]) for each in named
    ]
    assert ["m5.large", "m6g.large", "m7g.large"] == [
        each["InstanceType"] for each in now["LaunchTemplate"]["Overrides"]
    ]
    assert policy["InstancesDistribution"].items() <= now["InstancesDistribution"].items()
    assert ("required", "required") == (tokens(cloud, main, "2"), tokens(cloud, arm, "2"))


def test_the_ledger_is_written_first_and_has_what_was_there(cloud: Cloud) -> None:
    """Before EC2 is asked; the versions bear the attempt's id, and the template the service's tag."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "1"})
    found: list[dict[str, Any]] = []
    cloud.wire.on("CreateLaunchTemplateVersion", lambda _: found.append(item(cloud)))
    fix(cloud)
    (ahead,) = found
    assert ("fixing", "request-7", "dora") == (ahead["status"], ahead["request_id"], ahead["caller"])
    assert [{"template": made, "version": "1", "pinned": True}] == ahead["pointers"]
    assert (1, 1, 1) == tuple(int(ahead["steps"][0][name]) for name in ("base", "default", "latest"))
    after = item(cloud)
    assert ("fixed", 2) == (after["status"], int(after["steps"][0]["made"]))
    assert after["attempt"] in version(cloud, made, "2")["VersionDescription"]
    (tagged,) = [call.params for call in cloud.wire.made("CreateTags") if call.params["Resources"] == [made]]
    assert ["imdsv2:fixed-at"] == [each["Key"] for each in tagged["Tags"]]


def test_a_second_run_changes_nothing(cloud: Cloud) -> None:
    """Whoever asks."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    fix(cloud)
    done, kept = writes(cloud), item(cloud)
    (ended,) = fix(cloud)
    assert ("fixed", done, kept) == (ended["status"], writes(cloud), item(cloud))


def test_a_dry_run_says_what_would_be_done(cloud: Cloud) -> None:
    """And writes nothing."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    kept = cloud.items()
    (ended,) = fix(cloud, dry_run=True)
    assert ("would_fix", [], kept) == (ended["status"], writes(cloud), cloud.items())
    assert "is made from version 1 with HttpTokens=required" in ended["explanation"]


@pytest.mark.parametrize("named", ["$Default", "$Latest", "1"])
def test_an_undo_puts_back_what_was_there(cloud: Cloud, named: str) -> None:
    """The version stays; whoever follows the latest gets one like that of before."""
    made = template(cloud, HttpPutResponseHopLimit=2)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": named})
    fix(cloud)
    (rehearsed,) = steer(cloud, undo={"source": KEY}, dry_run=True)
    assert ("fixed", "gone_back", False) == (rehearsed["status"], rehearsed["would_be"], rehearsed["done"])
    (undone,) = steer(cloud, undo={"source": KEY})
    assert (True, "gone_back") == (undone["done"], undone["status"]), undone
    assert (1, named) == (default(cloud, made), shown(cloud)["LaunchTemplate"]["Version"])
    assert ("required", "optional") == (tokens(cloud, made, "2"), tokens(cloud, made, "$Latest"))
    assert 2 == version(cloud, made, "$Latest")["LaunchTemplateData"]["MetadataOptions"]["HttpPutResponseHopLimit"]
    assert [False] == [each["done"] for each in steer(cloud, undo={"source": KEY})]


def test_an_undo_of_what_is_being_changed_is_to_be_asked_for_again(cloud: Cloud) -> None:
    """The guard does not know of it, and is not said to bring it to its end."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    answers: list[dict[str, Any]] = []
    cloud.wire.on("ModifyLaunchTemplate", lambda _: answers.extend(steer(cloud, undo={"source": KEY})))
    assert ["fixed"] == [each["status"] for each in fix(cloud)]
    (undone,) = answers
    assert (False, "Somebody is changing it right now; ask again in a few minutes.") == (
        undone["done"],
        undone["problem"],
    )


def test_an_undo_of_a_mixed_group_puts_back_every_number(cloud: Cloud) -> None:
    """As the policy was."""
    main, arm = template(cloud), template(cloud, "arm")
    override = {"InstanceType": "m6g.large", "LaunchTemplateSpecification": {"LaunchTemplateId": arm, "Version": "1"}}
    named = {"LaunchTemplateSpecification": {"LaunchTemplateId": main, "Version": "1"}, "Overrides": [override]}
    proved(cloud, MixedInstancesPolicy={"LaunchTemplate": named})
    fix(cloud)
    steer(cloud, undo={"account": MEMBER})
    now = shown(cloud)["MixedInstancesPolicy"]["LaunchTemplate"]
    assert ["1", "1"] == [
        now["LaunchTemplateSpecification"]["Version"],
        now["Overrides"][0]["LaunchTemplateSpecification"]["Version"],
    ]


def test_what_somebody_changed_since_is_left(cloud: Cloud) -> None:
    """The default is somebody's by then: the undo says so, and changes nothing."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    fix(cloud)
    another_version(cloud, made, HttpTokens="required")
    cloud.as_account(MEMBER, "ec2").modify_launch_template(LaunchTemplateId=made, DefaultVersion="3")
    done = writes(cloud)
    (undone,) = steer(cloud, undo={"source": KEY})
    assert done == writes(cloud)
    assert "version 3 is the default" in undone["explanation"]
    assert 3 == default(cloud, made)


@pytest.mark.parametrize("meanwhile", ["version", "default", "pointer"])
def test_what_somebody_changes_meanwhile_is_not_overwritten(cloud: Cloud, meanwhile: str) -> None:
    """Between the look at the source and the call."""
    made = template(cloud)
    another_version(cloud, made)
    cloud.as_account(MEMBER, "ec2").modify_launch_template(LaunchTemplateId=made, DefaultVersion="2")
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "2"})

    def somebody(_: Call) -> None:
        if meanwhile == "version":
            another_version(cloud, made)
        elif meanwhile == "default":
            cloud.as_account(MEMBER, "ec2").modify_launch_template(LaunchTemplateId=made, DefaultVersion="1")
        else:
            cloud.as_account(MEMBER, "autoscaling").update_auto_scaling_group(
                AutoScalingGroupName="web", LaunchTemplate={"LaunchTemplateId": made, "Version": "1"}
            )

    cloud.wire.on("CreateTags", somebody)
    (ended,) = fix(cloud)
    assert ("left", []) == (ended["status"], writes(cloud))
    assert "Somebody" in ended["explanation"]


@pytest.mark.parametrize("operation", WRITES)
def test_a_lost_answer_is_settled_by_a_look(cloud: Cloud, operation: str) -> None:
    """AWS did it, and nobody heard of it: the next run goes on with what is there."""
    made = template(cloud)
    pinned = operation == "UpdateAutoScalingGroup"
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "1" if pinned else "$Default"})
    lost, make = [True], make_as_ec2_does(cloud)

    def lose(call: Call) -> dict[str, Any] | None:
        if not lost[0]:
            return None
        lost[0] = False
        if operation == "CreateLaunchTemplateVersion":
            make(call)
        else:
            client = cloud.as_account(MEMBER, call.service)
            getattr(client, "modify_launch_template" if call.service == "ec2" else "update_auto_scaling_group")(
                **call.params
            )
        raise EndpointConnectionError(endpoint_url="https://ec2")

    cloud.wire.on(operation, lose)
    (first,) = fix(cloud)
    assert "fixing" == first["status"]
    cloud.clock.move(minutes=10)
    (ended,) = fix(cloud)
    assert ("fixed", "required") == (ended["status"], tokens(cloud, made, "2"))
    assert 1 == writes(cloud).count(operation)
    assert 2 == len(versions(cloud, made))


def test_what_died_on_the_way_is_taken_over(cloud: Cloud) -> None:
    """Once the lease has ended; until then it is somebody's."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made})

    class Died(BaseException):
        pass

    dies = [True]

    def die(_: Call) -> None:
        if dies[0]:
            dies[0] = False
            raise Died

    cloud.wire.on("ModifyLaunchTemplate", die)
    with pytest.raises(Died):
        fix(cloud)
    (busy,) = fix(cloud)
    assert "fixing" == busy["status"]
    assert 1 == default(cloud, made)
    cloud.clock.move(minutes=10)
    (ended,) = fix(cloud)
    assert ("fixed", 2) == (ended["status"], default(cloud, made))
    assert 1 == writes(cloud).count("CreateLaunchTemplateVersion")


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        ({"mode": "off"}, "switched_off"),
        ({"change_calendar": "closed"}, "calendar_closed"),
        ({"notice_hours": 24}, "notice_given"),
        ({"exclude_accounts": [MEMBER]}, "out_of_scope"),
    ],
)
def test_a_closed_gate_holds_it(cloud: Cloud, policy: dict[str, Any], reason: str) -> None:
    """Also where a person asks."""
    proved(cloud, LaunchTemplate={"LaunchTemplateId": template(cloud)})
    cloud.policy(**{"mode": "enforce", **policy})
    (ended,) = fix(cloud)
    assert ("held", reason, []) == (ended["status"], ended["reason"], writes(cloud))


def test_the_cap_binds(cloud: Cloud) -> None:
    """Of two sources, one has its turn in this hour."""
    for name in ("web", "api"):
        proved(cloud, name, LaunchTemplate={"LaunchTemplateId": template(cloud, name)})
    cloud.clock.move(hours=2)
    cloud.policy(mode="enforce", max_enforcements_per_hour=1)
    assert ["fixed", "held"] == sorted(str(each["status"]) for each in fix(cloud))


def test_a_persons_hold_of_one_instance_holds_its_source(cloud: Cloud) -> None:
    """What is not to be changed is not to be replaced by what is."""
    made = template(cloud)
    arns = group(cloud, LaunchTemplate={"LaunchTemplateId": made})
    until = (cloud.clock() + timedelta(days=3)).date().isoformat()
    answer(cloud, hold={"targets": [str(arns[0])]}, owner="ada", reason="A trial.", until=until)
    cloud.line().run([asked(arn) for arn in arns], "request-1")
    (ended,) = fix(cloud)
    assert ("held", "held_by_person", []) == (ended["status"], ended["reason"], writes(cloud))


@pytest.mark.parametrize(
    ("group_tags", "template_tags"),
    [
        ({"aws:cloudformation:stack-name": "shop"}, {}),
        ({}, {"ManagedBy": "terraform"}),
        ({"eks:nodegroup-name": "n"}, {}),
        ({"elasticbeanstalk:environment-name": "e"}, {}),
    ],
)
def test_what_is_managed_elsewhere_is_never_changed(
    cloud: Cloud, group_tags: dict[str, str], template_tags: dict[str, str]
) -> None:
    """It keeps the remedy."""
    made = template(cloud)
    if template_tags:
        tags = [{"Key": key, "Value": value} for key, value in template_tags.items()]
        made = cloud.as_account(MEMBER, "ec2").create_launch_template(
            LaunchTemplateName="tagged",
            LaunchTemplateData={"ImageId": IMAGE},
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": tags}],
        )["LaunchTemplate"]["LaunchTemplateId"]
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made}, instance_tags=group_tags)
    (ended,) = fix(cloud)
    assert (None, []) == (ended["status"], writes(cloud))
    assert "remed" in ended["explanation"]


def test_a_newer_version_than_the_one_in_use_is_a_persons(cloud: Cloud) -> None:
    """A new one would take its place for whoever follows the latest."""
    made = template(cloud)
    another_version(cloud, made)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "1"})
    (ended,) = fix(cloud)
    assert (None, []) == (ended["status"], writes(cloud))
    assert "Version 2 of launch template web is newer than 1" in ended["explanation"]


def test_a_sharer_that_is_not_proved_waits_for_nobody_s_change(cloud: Cloud) -> None:
    """Both follow the default; of one nothing is known."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    group(cloud, "api", LaunchTemplate={"LaunchTemplateId": made})
    ended = fix(cloud)
    assert [None, None] == [each["status"] for each in ended]
    assert [] == writes(cloud)


def test_aws_refuses_and_the_person_is_told(cloud: Cloud) -> None:
    """Nothing was made: nothing goes back."""
    proved(cloud, LaunchTemplate={"LaunchTemplateId": template(cloud)})
    cloud.wire.refuse("CreateLaunchTemplateVersion", "UnauthorizedOperation")
    (ended,) = fix(cloud)
    assert "failed" == ended["status"]
    assert "deploy the member roles" in ended["explanation"]
    assert any("could not be changed" in each["Subject"] for each in cloud.published())


def test_a_pointer_that_aws_refuses_takes_the_rest_back(cloud: Cloud) -> None:
    """Nobody is left with half of it."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "1"})
    cloud.wire.refuse("UpdateAutoScalingGroup", "AccessDenied")
    (ended,) = fix(cloud)
    assert ("gone_back", "1", "optional") == (
        ended["status"],
        shown(cloud)["LaunchTemplate"]["Version"],
        tokens(cloud, made, "$Latest"),
    )


def test_a_source_that_is_unknown_is_refused(cloud: Cloud) -> None:
    """A typing error must not look like done."""
    with pytest.raises(InvalidRequest):
        steer(cloud, undo={"source": KEY})


def test_a_template_without_a_group_is_a_source_too(cloud: Cloud) -> None:
    """People launch from it by its default."""
    made = template(cloud)
    tags = {"aws:ec2launchtemplate:id": made, "aws:ec2launchtemplate:version": "1"}
    arns = cloud.launch(count=2, tags=tags)
    cloud.line().run([asked(arn) for arn in arns], "request-1")
    (ended,) = fix(cloud)
    assert ("fixed", 2, IMAGE) == (
        ended["status"],
        default(cloud, made),
        version(cloud, made, "2")["LaunchTemplateData"]["ImageId"],
    )


def launched(cloud: Cloud, made: str, number: str = "2") -> InstanceArn:
    """The group launches another one, from that version."""
    tags = {
        "aws:autoscaling:groupName": "web",
        "aws:ec2launchtemplate:id": made,
        "aws:ec2launchtemplate:version": number,
    }
    return cloud.one(days=0, tokens="required", observed=False, tags=tags)


def fixed(cloud: Cloud, named: str = "$Default") -> str:
    """A group whose source was changed. Its template."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": named})
    (ended,) = fix(cloud)
    assert "fixed" == ended["status"]
    return made


@pytest.mark.parametrize("named", ["$Default", "$Latest", "1"])
def test_a_new_member_that_breaks_takes_the_source_back(cloud: Cloud, named: str) -> None:
    """The cohort is held, the owner told, and it counts once towards the breaker."""
    made = fixed(cloud, named)
    cloud.clock.move(minutes=30)
    member = launched(cloud, made)
    cloud.clock.move(minutes=10)
    reject(cloud, member)
    done = guard(cloud, after=10)
    assert (1, 0, 0) == (done.rolled_back, done.left_broken, done.failed)
    assert ("gone_back", str(member)) == (item(cloud)["status"], item(cloud)["broken_by"])
    assert (1, named, "optional") == (
        default(cloud, made),
        shown(cloud)["LaunchTemplate"]["Version"],
        tokens(cloud, made, "$Latest"),
    )
    held = cloud.cohorts().read([f"aws/{MEMBER}/{REGION}/group:web"])
    assert [member] == [each.broken_by for each in held.values()]
    assert 1 == len(cloud.accounts().all()[0].rollbacks)
    guard(cloud)
    assert 1 == len(cloud.accounts().all()[0].rollbacks)
    assert [1] == [sum("allow IMDSv1 again" in each["Subject"] for each in cloud.published())]


def test_what_broke_is_changed_again_only_after_a_person_cleared_it(cloud: Cloud) -> None:
    """By the sweep as well as by a person."""
    made = fixed(cloud)
    member = launched(cloud, made)
    reject(cloud, member)
    guard(cloud, after=10)
    done = writes(cloud)
    (held,) = fix(cloud)
    assert (None, done) == (held["status"], writes(cloud))
    assert f"{member.instance_id} broke_before" in held["explanation"]
    cloud.instance(member)._state.name = "terminated"
    (held,) = fix(cloud)
    assert ("held", "broke_before", done) == (held["status"], held["reason"], writes(cloud))
    assert str(member) in held["explanation"]
    assert [True] == [each["done"] for each in steer(cloud, clear={"targets": [str(member)]})]
    (again,) = fix(cloud)
    assert "fixed" == again["status"], again["explanation"]


def test_one_refused_call_is_no_breakage(cloud: Cloud) -> None:
    """After the first hour it may be a scanner's."""
    made = fixed(cloud)
    member = launched(cloud, made)
    cloud.clock.move(hours=3)
    probe(cloud, member)
    guard(cloud, after=10)
    assert "fixed" == item(cloud)["status"]


def test_a_member_that_runs_clean_for_the_watch_proves_it(cloud: Cloud) -> None:
    """It has to have run: silence alone proves nothing."""
    made = fixed(cloud)
    member = launched(cloud, made)
    cloud.clock.move(hours=26)
    guard(cloud)
    assert "fixed" == item(cloud)["status"]
    cloud.clock.move(hours=-26)
    live(cloud, member, hours=26)
    guard(cloud)
    assert "verified" == item(cloud)["status"]
    assert [True] == [each["done"] for each in steer(cloud, undo={"source": KEY})]


def verified(cloud: Cloud) -> tuple[str, InstanceArn]:
    """A source that was proved by its first new member, a few days ago. Its template, and the member."""
    made = fixed(cloud)
    member = launched(cloud, made)
    live(cloud, member, hours=26)
    guard(cloud)
    assert "verified" == item(cloud)["status"]
    cloud.clock.move(hours=200 - 26)
    return made, member


def full_hour(cloud: Cloud) -> None:
    """Just before the first pass of the next hour."""
    now = cloud.clock()
    cloud.clock.move(minutes=60 - now.minute - 5)


def test_a_source_is_recalled_if_a_member_breaks_after_it_was_proved(cloud: Cloud) -> None:
    """A job that runs once a month. The cohort is held and the owner told, as in the watch."""
    made, member = verified(cloud)
    reject(cloud, member)
    full_hour(cloud)
    done = guard(cloud)
    assert (1, 0, 0) == (done.rolled_back, done.left_broken, done.failed)
    assert ("gone_back", str(member), 1) == (item(cloud)["status"], item(cloud)["broken_by"], default(cloud, made))
    assert [1] == [sum("allow IMDSv1 again" in each["Subject"] for each in cloud.published())]


def test_a_member_of_a_proved_source_that_fails_at_its_first_start_recalls_it(cloud: Cloud) -> None:
    """Not every member has the same first task."""
    made, _ = verified(cloud)
    later = launched(cloud, made)
    probe(cloud, later)
    full_hour(cloud)
    assert 1 == guard(cloud).rolled_back
    assert str(later) == item(cloud)["broken_by"]


@pytest.mark.parametrize("days_apart", [0, 1, 5])
def test_probes_of_a_proved_source_open_nothing(cloud: Cloud, days_apart: int) -> None:
    """One refused call, or two that lie far apart."""
    _, member = verified(cloud)
    probe(cloud, member)
    cloud.clock.move(hours=24 * days_apart + 3)
    if days_apart:
        probe(cloud, member)
    full_hour(cloud)
    assert 0 == guard(cloud).rolled_back
    assert "verified" == item(cloud)["status"]


def test_cloudwatch_is_asked_about_proved_sources_twice_an_hour(cloud: Cloud) -> None:
    """So that one request may fail; and EC2 about nothing, where nothing refuses calls."""
    verified(cloud)
    cloud.wire.calls.clear()
    for _ in range(12):
        cloud.clock.move(minutes=5)
        assert 0 == cloud.guard().sources.run("request-2", lambda: True).failed
    assert ["ListMetrics"] * 2 == [each.operation for each in cloud.wire.calls if each.service in {"cloudwatch", "ec2"}]


def test_refused_calls_that_a_person_settled_recall_nothing(cloud: Cloud) -> None:
    """Those that follow do."""
    made, member = verified(cloud)
    cloud.policy(mode="enforce", rollback="alert")
    reject(cloud, member)
    full_hour(cloud)
    assert 1 == guard(cloud).left_broken
    assert [True] == [each["done"] for each in steer(cloud, clear={"targets": [str(member)]})]
    cloud.policy(mode="enforce")
    full_hour(cloud)
    assert 0 == guard(cloud).rolled_back
    reject(cloud, member)
    full_hour(cloud)
    assert 1 == guard(cloud).rolled_back
    assert 1 == default(cloud, made)


def test_an_alert_leaves_it_to_people(cloud: Cloud) -> None:
    """Told once, counted once."""
    made = fixed(cloud)
    cloud.policy(mode="enforce", rollback="alert")
    member = launched(cloud, made)
    reject(cloud, member)
    assert 1 == guard(cloud, after=10).left_broken
    assert 1 == guard(cloud).left_broken
    assert ("fixed", 2) == (item(cloud)["status"], default(cloud, made))
    assert 1 == len(cloud.accounts().all()[0].rollbacks)


def sweep(cloud: Cloud, **policy: Any) -> dict[str, int]:
    """What the nightly sweep does to sources where the policy has them changed."""
    cloud.policy(**{"mode": "enforce", "source": "fix", **policy})
    return dict(build_fixing(cloud.function()).sweep(Place("aws", REGION, MEMBER), "request-8"))


def test_the_sweep_changes_what_may_be_changed_and_nothing_again(cloud: Cloud) -> None:
    """One look at an account and Region; what a person undid stays undone."""
    made = template(cloud)
    proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    assert {"fixed": 1} == sweep(cloud)
    done = writes(cloud)
    assert {"fixed": 1} == sweep(cloud)
    assert done == writes(cloud)
    steer(cloud, undo={"source": KEY})
    done = writes(cloud)
    assert {"gone_back": 1} == sweep(cloud)
    assert (done, 1) == (writes(cloud), default(cloud, made))
    (again,) = fix(cloud)
    assert "fixed" == again["status"]


def test_the_sweep_does_not_fight_whoever_went_back(cloud: Cloud) -> None:
    """Somebody made the version before the default again."""
    made = fixed(cloud)
    cloud.as_account(MEMBER, "ec2").modify_launch_template(LaunchTemplateId=made, DefaultVersion="1")
    another = writes(cloud)
    assert {"fixed": 1} == sweep(cloud)
    assert (another, 1) == (writes(cloud), default(cloud, made))


@pytest.mark.parametrize(
    ("policy", "ended"),
    [({"mode": "observe"}, "would_fix"), ({"approval": "required"}, "held"), ({"notice_hours": 48}, "held")],
)
def test_the_sweep_waits_at_gates(cloud: Cloud, policy: dict[str, Any], ended: str) -> None:
    """That of approval opens to a person's order, that of notice when it has ended."""
    proved(cloud, LaunchTemplate={"LaunchTemplateId": template(cloud)})
    assert ({ended: 1}, []) == (sweep(cloud, **policy), writes(cloud))


def test_after_the_notice_it_is_changed(cloud: Cloud) -> None:
    """The owner was told once."""
    made = template(cloud)
    arns = proved(cloud, LaunchTemplate={"LaunchTemplateId": made})
    assert {"held": 1} == sweep(cloud, notice_hours=2)
    assert {"held": 1} == sweep(cloud, notice_hours=2)
    assert [1] == [sum("will require" in each["Subject"] for each in cloud.published())]
    for arn in arns:
        cloud.quiet(arn, 0)
    cloud.clock.move(hours=3)
    assert {"fixed": 1} == sweep(cloud, notice_hours=2)


@pytest.mark.parametrize(("named", "second"), [("$Default", "already_required"), ("1", "fixed")])
def test_two_groups_that_share_a_template(cloud: Cloud, named: str, second: str) -> None:
    """What follows the default is done with the first; what names a number has its turn at the next look."""
    made = template(cloud)
    for name in ("web", "api"):
        proved(cloud, name, LaunchTemplate={"LaunchTemplateId": made, "Version": named})
    assert {"fixed": 1, "held": 1} == sweep(cloud)
    told = [each["Subject"] for each in cloud.published()]
    assert not any("somebody else" in each for each in told)
    sweep(cloud)
    ended = {each["explanation"].partition(".")[0] for each in fix(cloud)}
    assert {"Its verdict is already_required"} == ended
    assert (2 if second == "already_required" else 3) == len(versions(cloud, made))
    assert {"required"} == {tokens(cloud, made, number) for number in ("2", "$Latest")}
