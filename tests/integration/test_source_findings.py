"""Findings about launch templates and launch configurations: judged as what launches instances, recorded, and annotated."""

from __future__ import annotations

import json
from threading import Thread
from typing import TYPE_CHECKING, Any, cast

import pytest

from imdsv2.domain.instance import Place
from imdsv2.line.sources.findings import Remembered
from imdsv2.wiring.intake import build_intake
from tests.fixtures.events import (
    custom_action,
    imported,
    imported_v2,
    source_change,
    source_finding,
    source_finding_v2,
    template_arn,
)
from tests.integration.builders import MEMBER, NOW, REGION, asked
from tests.integration.sourcing import (
    configuration,
    deliver,
    group,
    know_defaults,
    new_default,
    source_events,
    source_item,
    template,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imdsv2.line.sources.judging import Seen
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

PLACE = f"aws/{MEMBER}/{REGION}"
FIX = ("fix_source", "unused")


@pytest.fixture(autouse=True)
def _defaults(cloud: Cloud) -> None:
    know_defaults(cloud)


def key_of(template_id: str) -> str:
    """How the ledger calls a template's default version."""
    return f"{PLACE}/template_default:{template_id}"


def note_on(cloud: Cloud, finding: dict[str, Any]) -> str:
    """The note on a finding, "" if it has none."""
    return cloud.hub.note_on(finding) or ""


def test_a_template_is_judged_by_what_its_groups_run(cloud: Cloud) -> None:
    """The note says the verdict, what proves it, the remedy in short, and what to ask for the whole of it."""
    made = template(cloud)
    arns = group(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"})
    cloud.line().run([asked(arn) for arn in arns], "request-0")
    asff = source_finding("EC2.170", template_arn(made))
    cloud.hub.holds(asff)
    assert ([], 0) == deliver(cloud, imported(asff))
    item = source_item(cloud, key_of(made))
    assert FIX == (item["verdict"], item["reason"])
    assert (2, 0, "aws-cli") == (item["members"], item["allowing"], item["language"])
    assert [FIX] == source_events(cloud, key_of(made))
    note = note_on(cloud, asff)
    assert note.startswith("Its next launch allows IMDSv1, and may require tokens: fix_source (unused).")
    assert "Remedy (aws-cli" in note
    assert f"imdsv2 sources --account {MEMBER} --in-region {REGION}" in note
    assert len(note) <= 512
    assert "NOTIFIED" == cloud.hub.workflow_of(asff)


def test_use_of_one_instance_holds_the_template(cloud: Cloud) -> None:
    """Although another source's instances are clean."""
    made = template(cloud)
    busy = group(cloud, "busy", LaunchTemplate={"LaunchTemplateId": made, "Version": "1"}, use=3.0)
    calm = group(cloud, "calm", LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"})
    cloud.line().run([asked(arn) for arn in (*busy, *calm)], "request-0")
    deliver(cloud, source_change("ec2-launch-template-imdsv2-check", made))
    item = source_item(cloud, key_of(made))
    assert ("hold", "v1_in_use", 4) == (item["verdict"], item["reason"], item["members"])
    assert "do first what their explanations say" in item["explanation"]


def test_a_template_that_nothing_was_launched_from(cloud: Cloud) -> None:
    """Nothing proves anything: it is held, and says what to do."""
    made = template(cloud)
    deliver(cloud, source_change("ec2-launch-template-imdsv2-check", made))
    item = source_item(cloud, key_of(made))
    assert ("hold", "unproved", 0) == (item["verdict"], item["reason"], item["members"])
    assert "delete the launch template" in item["explanation"]


def test_a_template_that_is_gone(cloud: Cloud) -> None:
    """Said so; Security Hub archives the finding by itself."""
    asff = source_finding("EC2.170", template_arn("lt-00000000"))
    cloud.hub.holds(asff)
    assert ([], 0) == deliver(cloud, imported(asff))
    assert "is gone" in note_on(cloud, asff)


def test_a_default_that_requires_tokens_by_now(cloud: Cloud) -> None:
    """The finding is late: nothing to do, and no remedy."""
    made = template(cloud, HttpTokens="required")
    asff = source_finding("EC2.170", template_arn(made))
    cloud.hub.holds(asff)
    deliver(cloud, imported(asff))
    item = source_item(cloud, key_of(made))
    assert ("already_required", "already_required") == (item["verdict"], item["reason"])
    assert "language" not in item
    assert "Remedy" not in note_on(cloud, asff)


def test_a_launch_configuration_is_judged_by_all_its_groups(cloud: Cloud) -> None:
    """Of several groups with the same configuration, all instances count."""
    arn = configuration(cloud)
    one = group(cloud, "one", LaunchConfigurationName="web-1")
    two = group(cloud, "two", LaunchConfigurationName="web-1", size=3)
    cloud.line().run([asked(each) for each in (*one, *two)], "request-0")
    asff = source_finding("AutoScaling.3", arn)
    cloud.hub.holds(asff)
    deliver(cloud, imported(asff))
    item = source_item(cloud, f"{PLACE}/launch_configuration:web-1")
    assert (*FIX, 5) == (item["verdict"], item["reason"], item["members"])
    assert "launch configuration web-1" in note_on(cloud, asff)


def test_a_launch_configuration_without_instances(cloud: Cloud) -> None:
    """Delete it, or prove it."""
    arn = configuration(cloud)
    deliver(cloud, source_change("autoscaling-launchconfig-requires-imdsv2", arn))
    item = source_item(cloud, f"{PLACE}/launch_configuration:web-1")
    assert "hold" == item["verdict"]
    assert "delete the launch configuration" in item["explanation"]


def test_the_echo_of_our_own_note_is_dropped(cloud: Cloud) -> None:
    """A note sends the finding once more, with the time that it had: nothing is asked of the account again."""
    made = template(cloud)
    asff = source_finding("EC2.170", template_arn(made))
    cloud.hub.holds(asff)
    intake = build_intake(cloud.function())
    deliver(cloud, imported(asff), intake=intake)
    before = len(cloud.wire.calls)
    deliver(cloud, imported(asff), intake=build_intake(cloud.function()))
    made_since = {call.operation for call in cloud.wire.calls[before:]}
    assert set() == made_since & {"DescribeInstances", "BatchUpdateFindings", "PutItem", "TransactWriteItems"}


def test_an_echo_completes_a_note_that_failed(cloud: Cloud) -> None:
    """What Security Hub did not take the first time is owed."""
    made = template(cloud)
    asff = source_finding("EC2.170", template_arn(made))
    cloud.hub.holds(asff)
    cloud.wire.refuse("BatchUpdateFindings", "TooManyRequestsException", times=1)
    assert ([], 0) == deliver(cloud, imported(asff))
    assert "" == note_on(cloud, asff)
    deliver(cloud, imported(asff))
    assert note_on(cloud, asff)


def test_further_findings_of_the_same_thing_share_a_look(cloud: Cloud) -> None:
    """Each standard and each hub has a finding of its own; all get the note, and the account is traced once."""
    made = template(cloud)
    first = source_finding("EC2.170", template_arn(made))
    second = source_finding("EC2.170", template_arn(made), Id=f"{first['Id']}-cis", UpdatedAt="2026-11-20T08:00:00Z")
    third = source_finding_v2("EC2.170", template_arn(made))
    cloud.hub.holds(first, second, third)
    deliver(cloud, imported(first))
    looks = len(cloud.wire.made("DescribeLaunchTemplates"))
    deliver(cloud, imported(second), imported_v2(third))
    assert looks == len(cloud.wire.made("DescribeLaunchTemplates"))
    assert note_on(cloud, first) == note_on(cloud, second) != ""
    assert cloud.hub.comment_on(third)


def test_findings_of_one_account_trace_it_once(cloud: Cloud) -> None:
    """Security Hub sends them one by one."""
    made = [template(cloud, f"t{number}") for number in range(3)]
    intake = build_intake(cloud.function())
    for each in made:
        deliver(cloud, source_change("ec2-launch-template-imdsv2-check", each), intake=intake)
    assert 1 == len(cloud.wire.made("DescribeLaunchTemplates"))
    for each in made:
        item = source_item(cloud, key_of(each))
        assert ("hold", "aws-cli") == (item["verdict"], item["language"])
        assert "delete the launch template" in item["explanation"]


def test_findings_that_come_in_another_order_leave_the_newest_state(cloud: Cloud) -> None:
    """Within a batch, or in two functions at once: what was answered last is an echo when it comes again."""
    made = template(cloud)
    newer = source_finding("EC2.170", template_arn(made), UpdatedAt="2026-11-20T09:00:00.000Z")
    older = {**newer, "UpdatedAt": "2026-11-20T07:00:00.000Z"}
    cloud.hub.holds(newer)
    assert ([], 0) == deliver(cloud, imported(newer), imported(older))
    [[_, _, _, updated_at, _]] = json.loads(source_item(cloud, key_of(made))["findings"])
    assert updated_at.startswith("2026-11-20T09:00:00")


def test_places_that_are_traced_at_once_forget_each_place_once(cloud: Cloud) -> None:
    """A function remembers a few places; those that come at the same time take each other's room."""

    class Kept(dict[Any, Any]):
        """What is kept, while another thread keeps a place at the worst moment."""

        def __iter__(self) -> Iterator[Any]:
            first = super().__iter__()
            if not other.ident:
                other.start()
                other.join(timeout=0.2)  # It waits, unless nothing keeps it from going on.
            return iter([next(first)])

    places = [Place("aws", REGION, f"{number:012}") for number in range(6)]
    remembered, seen = Remembered(), cast("Seen", object())
    remembered._seen = Kept(dict.fromkeys(places[:4], (NOW, seen)))
    other = Thread(target=remembered.keep, args=(places[5], seen, NOW))
    remembered.keep(places[4], seen, NOW)
    other.join()
    assert places[2:] == [each for each in places if remembered.of(each, NOW)]


@pytest.mark.parametrize("warm", [False, True])
def test_a_person_s_click_is_judged_anew(warm: bool, cloud: Cloud) -> None:
    """However lately it was judged, in the same function or another; what has changed since shows, with an event."""
    made = template(cloud)
    asff = source_finding("EC2.170", template_arn(made))
    cloud.hub.holds(asff)
    intake = build_intake(cloud.function())
    deliver(cloud, imported(asff), intake=intake)
    new_default(cloud, made, HttpTokens="required")
    deliver(cloud, custom_action(asff), intake=intake if warm else None)
    assert [("hold", "unproved"), ("already_required", "already_required")] == source_events(cloud, key_of(made))


def test_an_account_without_our_role_is_said_so(cloud: Cloud) -> None:
    """No retry helps; the note tells what does."""
    asff = source_finding("EC2.170", template_arn())
    cloud.hub.holds(asff)
    cloud.wire.refuse("AssumeRole", "AccessDenied", "not authorized to perform sts:AssumeRole")
    assert ([], 0) == deliver(cloud, imported(asff))
    assert "deploy the member roles" in note_on(cloud, asff)


def test_a_throttled_account_is_asked_again(cloud: Cloud) -> None:
    """The message comes back; other messages of the batch are done."""
    made = template(cloud)
    poison = source_change("ec2-launch-template-imdsv2-check", "web")
    cloud.wire.refuse("DescribeInstances", "RequestLimitExceeded", times=9)
    event = source_change("ec2-launch-template-imdsv2-check", made)
    assert ([1], 1) == deliver(cloud, poison, event)
    assert {} == source_item(cloud, key_of(made))


def test_out_of_scope_is_left_alone(cloud: Cloud) -> None:
    """Neither read nor annotated."""
    cloud.policy(mode="enforce", exclude_accounts=[MEMBER])
    asff = source_finding("EC2.170", template_arn())
    cloud.hub.holds(asff)
    deliver(cloud, imported(asff))
    assert "" == note_on(cloud, asff)
    assert [] == cloud.wire.made("DescribeInstances")


def test_observing_annotates_and_leaves_the_status(cloud: Cloud) -> None:
    """As for instances."""
    cloud.policy(mode="observe")
    made = template(cloud)
    asff = source_finding("EC2.170", template_arn(made))
    cloud.hub.holds(asff)
    deliver(cloud, imported(asff))
    assert note_on(cloud, asff)
    assert "NEW" == cloud.hub.workflow_of(asff)


def test_a_note_that_was_overtaken_by_another_verdict_is_written_anew(cloud: Cloud) -> None:
    """Two functions: the one with the older verdict writes its note after the other has written its own."""
    made = template(cloud)
    arns = group(cloud, LaunchTemplate={"LaunchTemplateId": made, "Version": "$Default"})
    asff = source_finding("EC2.170", template_arn(made))
    cloud.hub.holds(asff)
    between: list[bool] = []

    def other_verdict(_: Call) -> None:
        if between:
            return
        between.append(True)
        cloud.clock.move(hours=2)
        cloud.line().run([asked(arn) for arn in arns], "request-0")
        deliver(cloud, source_change("ec2-launch-template-imdsv2-check", made))

    cloud.wire.on("BatchUpdateFindings", other_verdict)
    deliver(cloud, imported(asff))
    assert between
    assert FIX == (source_item(cloud, key_of(made))["verdict"], source_item(cloud, key_of(made))["reason"])
    assert note_on(cloud, asff).startswith(
        "Its next launch allows IMDSv1, and may require tokens: fix_source (unused)."
    )
