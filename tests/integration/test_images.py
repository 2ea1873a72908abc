"""AMIs that are made to require tokens: on a confirmed request only, with an event before EC2 and one after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import EndpointConnectionError

from imdsv2.people.request import parse
from imdsv2.people.sources.image_request import CONFIRMATION, ImageOrder
from imdsv2.people.sources.request import SourceQuestion
from imdsv2.wiring.people import build_images, build_sources
from tests.integration.builders import IMAGE, MEMBER, OTHER, REGION, asked
from tests.integration.sourcing import group, know_defaults, template
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

UNUSED, OWN = "ami-0000000a", "ami-0000000b"


@pytest.fixture(autouse=True)
def support(cloud: Cloud) -> dict[str, str]:
    """`ImdsSupport` by AMI, which the fakes keep: moto does not know it."""
    know_defaults(cloud)
    known: dict[str, str] = {}

    def modify(call: Call) -> dict[str, Any]:
        if call.params.get("DryRun"):
            raise refusal("DryRunOperation", "Request would have succeeded", call.operation)
        known[call.params["ImageId"]] = call.params["ImdsSupport"]["Value"]
        return {}

    def describe(call: Call) -> dict[str, Any]:
        ids = [each for each in call.params["Filters"][0]["Values"] if each != "ami-00000bad"]
        return {"Images": [_image(each, known) for each in ids]}

    cloud.wire.fake("ModifyImageAttribute", modify)
    cloud.wire.fake("DescribeImages", describe)
    return known


def _image(image_id: str, known: dict[str, str]) -> dict[str, Any]:
    owner = OTHER if image_id == "ami-0000000f" else MEMBER
    supports = {"ImdsSupport": known[image_id]} if image_id in known else {}
    return {"ImageId": image_id, "OwnerId": owner, "Name": f"name of {image_id}", **supports}


def order(*image_ids: str, dry_run: bool = True) -> ImageOrder:
    """A person's command."""
    given = {"account": MEMBER, "region": REGION, "image_ids": list(image_ids), "confirm": CONFIRMATION}
    parsed = parse({"images": given, "dry_run": dry_run, "caller": "ada", "reason": "Proved."})
    assert isinstance(parsed, ImageOrder)
    return parsed


def carry_out(cloud: Cloud, *image_ids: str, dry_run: bool = True) -> dict[str, Any]:
    """The answer."""
    return build_images(cloud.function()).carry_out(order(*image_ids, dry_run=dry_run), "request-7")


def statuses(cloud: Cloud, image_id: str) -> list[str]:
    """What the trail tells of an AMI."""
    events = [each for each in cloud.items() if each["pk"] == f"image#aws/{MEMBER}/{REGION}/{image_id}"]
    return [str(each["kind"]).removeprefix("image_") for each in sorted(events, key=lambda each: str(each["sk"]))]


def test_a_dry_run_says_what_would_be_and_changes_nothing(cloud: Cloud, support: dict[str, str]) -> None:
    """With EC2's own answer, and that there is no way back."""
    answer = carry_out(cloud, UNUSED)
    assert "cannot be undone" in answer["warning"]
    (result,) = answer["results"]
    assert ("v2.0", True, False, None) == (
        result["would_be"],
        result["permitted"],
        result["done"],
        result["problem"],
    )
    assert {} == support
    assert [] == statuses(cloud, UNUSED)


def test_the_real_one_has_an_event_before_and_after(cloud: Cloud, support: dict[str, str]) -> None:
    """Through the role for sources; the second time there is nothing to do."""
    (result,) = carry_out(cloud, UNUSED, dry_run=False)["results"]
    assert (True, "v2.0", None) == (result["done"], result["imds_support"], result["problem"])
    assert {UNUSED: "v2.0"} == support
    assert ["requiring", "required"] == statuses(cloud, UNUSED)
    roles = [call.params["RoleArn"].rpartition("/")[2] for call in cloud.wire.made("AssumeRole")]
    assert "imdsv2-remediation-source" in roles
    (again,) = carry_out(cloud, UNUSED, dry_run=False)["results"]
    assert (False, "Its ImdsSupport is v2.0 already.") == (again["done"], again["problem"])
    assert ["requiring", "required"] == statuses(cloud, UNUSED)


def test_who_asked_is_kept(cloud: Cloud) -> None:
    """By the name that they claim, and the id that finds the true one."""
    carry_out(cloud, UNUSED, dry_run=False)
    (first, *_) = [each for each in cloud.items() if each["pk"].startswith("image#")]
    assert ("ada", "request-7", "Proved.") == (first["caller"], first["request_id"], first["because"])
    assert ({"ImdsSupport": "unset"}, {"ImdsSupport": "v2.0"}) == (first["before"], first["after"])


def test_an_ami_that_a_held_source_uses_is_left_alone(cloud: Cloud, support: dict[str, str]) -> None:
    """Until that has ended: there would be no way back. The source is named."""
    made = template(cloud)
    arns = group(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"}, use=4.0)
    cloud.line().run([asked(arn) for arn in arns], "request-0")
    (result,) = carry_out(cloud, IMAGE, dry_run=False)["results"]
    assert not result["done"]
    assert "auto_scaling_group web, which is held" in result["problem"]
    assert [{"kind": "auto_scaling_group", "name": "web", "verdict": "hold"}] == result["used_by"]
    assert {} == support


def test_an_ami_whose_users_are_proved_is_changed(cloud: Cloud, support: dict[str, str]) -> None:
    """The answer names them."""
    made = template(cloud)
    arns = group(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"})
    cloud.line().run([asked(arn) for arn in arns], "request-0")
    (result,) = carry_out(cloud, IMAGE, dry_run=False)["results"]
    assert result["done"], result["problem"]
    assert ["fix_source"] == [each["verdict"] for each in result["used_by"]]
    assert {IMAGE: "v2.0"} == support


def test_what_an_ami_does_not_reach_does_not_hold_it(cloud: Cloud, support: dict[str, str]) -> None:
    """Another launched by hand needs IMDSv1, so the account's default has to wait; an AMI that it was not launched from has not. The
    list says so, too."""
    quiet, busy = cloud.launch(image=OWN) + cloud.launch(use=4.0)
    cloud.line().run([asked(quiet), asked(busy)], "request-0")
    listed = build_sources(cloud.function()).answer(_question())
    assert {quiet.instance_id: "hold", busy.instance_id: "hold"} == {
        each["instances"][0]: each["verdict"] for each in listed["results"]
    }
    by_image = {each["image"]: [user["verdict"] for user in each["used_by"]] for each in listed["images"]}
    assert {OWN: ["fix_source"], IMAGE: ["hold"]} == by_image
    results = carry_out(cloud, OWN, IMAGE, dry_run=False)["results"]
    assert [(True, ["fix_source"]), (False, ["hold"])] == [
        (each["done"], [user["verdict"] for user in each["used_by"]]) for each in results
    ]
    assert {OWN: "v2.0"} == support


def _question() -> SourceQuestion:
    parsed = parse({"sources": {"account": MEMBER, "region": REGION}})
    assert isinstance(parsed, SourceQuestion)
    return parsed


def test_others_amis_and_unknown_ones_fail_alone(cloud: Cloud, support: dict[str, str]) -> None:
    """Each says what to do; the rest goes on."""
    results = carry_out(cloud, "ami-00000bad", "ami-0000000f", UNUSED, dry_run=False)["results"]
    problems = [each["problem"] for each in results]
    assert problems[0].startswith("EC2 does not show this AMI")
    assert problems[1].startswith("It does not belong to account")
    assert None is problems[2]
    assert {UNUSED: "v2.0"} == support


def test_what_ec2_refuses_is_on_record(cloud: Cloud, support: dict[str, str]) -> None:
    """The event before stands, and one says that it failed."""
    cloud.wire.refuse("ModifyImageAttribute", "UnauthorizedOperation", "You are not authorized")
    (dry,) = carry_out(cloud, UNUSED)["results"]
    assert dry["permitted"] is False
    (result,) = carry_out(cloud, UNUSED, dry_run=False)["results"]
    assert "UnauthorizedOperation" in result["problem"]
    assert ["requiring", "failed"] == statuses(cloud, UNUSED)
    assert {} == support


def fails(cloud: Cloud, kind: str) -> None:
    """The ledger refuses the event of that kind."""

    def is_it(call: Call) -> bool:
        return any(each["Put"]["Item"]["kind"]["S"] == f"image_{kind}" for each in call.params["TransactItems"])

    cloud.wire.refuse("TransactWriteItems", "AccessDeniedException", when=is_it)


def test_what_ec2_has_done_is_not_called_refused_where_the_ledger_fails_after_it(
    cloud: Cloud, support: dict[str, str]
) -> None:
    """There is no way back, so that nobody may take it for undone."""
    fails(cloud, "required")
    (result,) = carry_out(cloud, UNUSED, dry_run=False)["results"]
    assert (True, "v2.0", "v2.0") == (result["done"], result["imds_support"], result["would_be"])
    assert "requires tokens now, for good" in result["problem"]
    assert "image_required" in result["problem"]
    assert "EC2 refuses" not in result["problem"]
    assert {UNUSED: "v2.0"} == support


def test_ec2_is_not_asked_where_the_ledger_cannot_be_written_before(cloud: Cloud, support: dict[str, str]) -> None:
    """Nor is it said that EC2 refuses; the others of the order go on."""
    fails(cloud, "requiring")
    for result in carry_out(cloud, UNUSED, OWN, dry_run=False)["results"]:
        assert (False, None) == (result["done"], result["imds_support"])
        assert result["problem"].startswith("The ledger cannot be written")
    assert {} == support


def test_an_answer_that_was_lost_is_settled_by_a_look(cloud: Cloud, support: dict[str, str]) -> None:
    """EC2 has done it."""

    def lose(call: Call) -> None:
        support[call.params["ImageId"]] = "v2.0"
        raise EndpointConnectionError(endpoint_url="https://ec2")

    cloud.wire.on("ModifyImageAttribute", lose)
    (result,) = carry_out(cloud, UNUSED, dry_run=False)["results"]
    assert (True, "v2.0", None) == (result["done"], result["imds_support"], result["problem"])
    assert ["requiring", "required"] == statuses(cloud, UNUSED)


def test_without_an_answer_and_without_effect_nobody_is_told_of_a_refusal(cloud: Cloud) -> None:
    """It may still come."""

    def lose(_: Call) -> None:
        raise EndpointConnectionError(endpoint_url="https://ec2")

    cloud.wire.on("ModifyImageAttribute", lose)
    (result,) = carry_out(cloud, UNUSED, dry_run=False)["results"]
    assert (False, None) == (result["done"], result["imds_support"])
    assert result["problem"].startswith("EC2 did not answer")
    assert "Ask again" in result["problem"]
    assert ["requiring", "failed"] == statuses(cloud, UNUSED)


def test_a_refusal_is_told_as_ec2s_though_the_ledger_fails_after_it(cloud: Cloud) -> None:
    """What the person has to do is what EC2 says."""
    cloud.wire.refuse("ModifyImageAttribute", "UnauthorizedOperation", "not you", status=403)
    fails(cloud, "failed")
    (result,) = carry_out(cloud, UNUSED, dry_run=False)["results"]
    assert result["problem"].startswith("EC2 refuses it (UnauthorizedOperation")
