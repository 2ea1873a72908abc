"""Graduation: shown, locked, undone, and refused where anything is open, over moto; EC2's defaults are a fake of their own."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.errors import InvalidRequest
from imdsv2.ledger.detail import is_event
from imdsv2.people.graduation.request import GraduationOrder
from imdsv2.people.request import parse
from imdsv2.wiring.people import build_graduates
from tests.integration.builders import MEMBER, REGION, asked
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud


@dataclass
class Defaults:
    """The account's defaults, as EC2 keeps them. ``manager``: who manages them."""

    values: dict[str, Any] = field(default_factory=dict)
    manager: str = "account"
    changes: list[dict[str, Any]] = field(default_factory=list)

    def get(self, _: Call) -> dict[str, Any]:
        """Answer GetInstanceMetadataDefaults."""
        return {"AccountLevel": {**self.values, "ManagedBy": self.manager}}

    def modify(self, call: Call) -> dict[str, Any]:
        """Answer ModifyInstanceMetadataDefaults: no preference removes a default."""
        self.changes.append(dict(call.params))
        for name, value in call.params.items():
            if value in ("no-preference", -1):
                self.values.pop(name, None)
            else:
                self.values[name] = value
        return {"Return": True}


@pytest.fixture
def defaults(cloud: Cloud) -> Defaults:
    """An account without defaults, whose CloudTrail remembers nothing."""
    made = Defaults()
    cloud.wire.fake("GetInstanceMetadataDefaults", made.get)
    cloud.wire.fake("ModifyInstanceMetadataDefaults", made.modify)
    cloud.wire.fake("LookupEvents", lambda _: {"Events": []})
    return made


def graduate(cloud: Cloud, *, real: bool = True, **given: Any) -> dict[str, Any]:
    """The answer of a new function instance, as it is sent."""
    scope = {"account": MEMBER, "region": REGION, **given}
    command = parse({"graduate": scope, "dry_run": not real, **({"caller": "ada"} if real else {})})
    assert isinstance(command, GraduationOrder)
    answer: dict[str, Any] = json.loads(json.dumps(build_graduates(cloud.function()).carry_out(command, "request-7")))
    return answer


def kept(cloud: Cloud) -> list[dict[str, Any]]:
    """The ledger's items of the place: the current one, and the events in order."""
    items = [each for each in cloud.items() if str(each["pk"]).startswith("defaults#")]
    return sorted(items, key=lambda each: str(each["sk"]))


def launched(cloud: Cloud, tokens: str | None, **told: Any) -> dict[str, Any]:
    """A launch that CloudTrail remembers."""
    options = {} if tokens is None else {"metadataOptions": {"httpTokens": tokens}}
    record = {
        "userIdentity": {"arn": f"arn:aws:sts::{MEMBER}:assumed-role/builder/x"},
        "userAgent": "Packer/1.11",
        "requestParameters": options,
        **told,
    }
    return {
        "EventName": "RunInstances",
        "EventTime": cloud.clock() - timedelta(days=3),
        "CloudTrailEvent": json.dumps(record),
    }


def test_a_place_that_is_ready_is_locked_and_undone(cloud: Cloud, defaults: Defaults) -> None:
    """Only what is wanted is sent; what was before is kept, and put back by one call."""
    defaults.values = {"HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"}
    shown = graduate(cloud, real=False, hop_limit=2)
    assert (True, "would_lock", []) == (shown["ready"], shown["result"], shown["open"])
    assert ([], []) == (defaults.changes, kept(cloud))
    locked = graduate(cloud, hop_limit=2)
    assert ("locked", "locked") == (locked["result"], locked["status"])
    assert [{"HttpTokens": "required", "HttpPutResponseHopLimit": 2}] == defaults.changes
    undo = json.loads(locked["explanation"].removeprefix("Put back with ").removesuffix("."))
    assert isinstance(parse(undo), GraduationOrder)
    undone = graduate(cloud, unlock=True)
    assert "unlocked" == undone["result"]
    assert {"HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"} == defaults.values


def test_each_change_is_written_before_and_after(cloud: Cloud, defaults: Defaults) -> None:
    """An event for each, that nothing overwrites, with who asked and what was before."""
    graduate(cloud)
    graduate(cloud, unlock=True)
    current, *events = kept(cloud)
    assert ["locking", "locked", "unlocking", "unlocked"] == [each["status"] for each in events]
    assert [f"defaults_{each['status']}" for each in events] == [each["kind"] for each in events]
    assert {("ada", "manual")} == {(each["caller"], each["source"]) for each in events}
    assert all({"HttpTokens": "no-preference"} == each["before"] for each in events)
    assert all({"HttpTokens": "required"} == each["after"] for each in events)
    assert all(is_event(each) for each in events)
    assert "unlocked" == current["status"]


def test_enforcement_is_a_second_step_and_one_undo_puts_back_both(cloud: Cloud, defaults: Defaults) -> None:
    """Before the first step it is refused: launches that say nothing would fail."""
    refused = graduate(cloud, enforce=True)
    assert ("refused", ["HttpTokens"]) == (refused["result"], [each["name"] for each in refused["open"]])
    graduate(cloud)
    assert "locked" == graduate(cloud, enforce=True)["result"]
    assert {"HttpTokens": "required", "HttpTokensEnforced": "enabled"} == defaults.values
    assert "unlocked" == graduate(cloud, unlock=True)["result"]
    assert {} == defaults.values


def test_a_second_call_changes_nothing(cloud: Cloud, defaults: Defaults) -> None:
    """Nor does it forget what was before."""
    graduate(cloud)
    again = graduate(cloud)
    assert ("already_locked", {"HttpTokens": "no-preference"}) == (again["result"], again["before"])
    assert 1 == len(defaults.changes)


def test_an_instance_that_allows_imdsv1_is_named(cloud: Cloud, defaults: Defaults) -> None:
    """And one under watch, as long as it is."""
    cloud.policy(mode="enforce", canary=None)
    arn = cloud.one()
    refused = graduate(cloud)
    assert ("refused", False, [str(arn)]) == (
        refused["result"],
        refused["ready"],
        [each["name"] for each in refused["open"] if each["what"] == "instance"],
    )
    cloud.line().run([asked(arn)], "request-1")
    assert "required" == cloud.tokens(arn)
    refused = graduate(cloud)
    assert [("watch", str(arn))] == [(each["what"], each["name"]) for each in refused["open"]]
    assert [] == defaults.changes


@pytest.mark.parametrize(
    ("tokens", "told", "opens"),
    [
        ("optional", {}, True),
        ("optional", {"errorCode": "Client.DryRunOperation"}, False),
        ("required", {}, False),
        (None, {}, False),
        (None, {"requestParameters": None, "userIdentity": []}, False),
    ],
)
def test_launches_of_the_last_90_days_count(
    tokens: str | None, told: dict[str, Any], opens: bool, cloud: Cloud, defaults: Defaults
) -> None:
    """Of instances that are gone, too; one that failed launched nothing."""
    cloud.wire.fake("LookupEvents", lambda _: {"Events": [launched(cloud, tokens, **told)]})
    answer = graduate(cloud)
    assert ("refused" if opens else "locked") == answer["result"]
    [call] = cloud.wire.made("LookupEvents")[:1]
    assert timedelta(days=90) == call.params["EndTime"] - call.params["StartTime"]
    silent = tokens is None and "errorCode" not in told
    assert silent == bool(answer["launches"]["would_get_tokens"])


def from_template(cloud: Cloud, options: dict[str, Any], **named: str) -> dict[str, Any]:
    """A launch from a template that says this; how it is named is up to the launch."""
    ec2 = cloud.as_account(MEMBER, "ec2")
    data: Any = {"ImageId": "ami-12345678", **({"MetadataOptions": options} if options else {})}
    made = ec2.create_launch_template(LaunchTemplateName="builder", LaunchTemplateData=data)["LaunchTemplate"]
    given = named or {"launchTemplateId": made["LaunchTemplateId"]}
    return launched(cloud, None, requestParameters={"launchTemplate": given})


@pytest.mark.parametrize(
    "named",
    [{}, {"launchTemplateName": "builder", "version": "$Latest"}, {"launchTemplateName": "builder", "version": "1"}],
)
@pytest.mark.parametrize(
    ("options", "opens"), [({"HttpTokens": "optional"}, True), ({"HttpTokens": "required"}, False), ({}, False)]
)
def test_what_a_template_says_counts_as_its_launches(
    options: dict[str, Any], opens: bool, named: dict[str, str], cloud: Cloud, defaults: Defaults
) -> None:
    """A builder that is gone leaves the name of its template in CloudTrail, however it named it."""
    event = from_template(cloud, options, **named)
    cloud.wire.fake("LookupEvents", lambda _: {"Events": [event]})
    answer = graduate(cloud)
    assert ("refused" if opens else "locked") == answer["result"]
    if opens:
        [told] = answer["open"]
        assert ("launch", True) == (told["what"], "Packer/1.11, launch template" in told["explanation"])
    assert (not options) == bool(answer["launches"]["would_get_tokens"])


def test_templates_that_cannot_be_read_are_open(cloud: Cloud, defaults: Defaults) -> None:
    """With what to do about it."""
    event = from_template(cloud, {})
    cloud.wire.fake("LookupEvents", lambda _: {"Events": [event]})
    cloud.wire.refuse("DescribeLaunchTemplates", "UnauthorizedOperation")
    refused = graduate(cloud)
    assert ("refused", ["launch templates"]) == (refused["result"], [each["name"] for each in refused["open"]])


def test_after_the_lock_what_gets_optional_has_said_so(cloud: Cloud, defaults: Defaults) -> None:
    """Its template is gone; but a launch that says nothing would have got tokens. Before the lock, nobody can tell."""
    options = [{"metadataOptions": {"httpTokens": "optional", "state": "pending"}}]
    gone = {"launchTemplate": {"launchTemplateId": "lt-0123456789abcdef0"}}
    event = launched(cloud, None, requestParameters=gone, responseElements={"instancesSet": {"items": options}})
    cloud.wire.fake("LookupEvents", lambda _: {"Events": [event]})
    locked = graduate(cloud)
    assert ("locked", 1) == (locked["result"], len(locked["launches"]["would_get_tokens"]))
    assert graduate(cloud, real=False, enforce=True)["ready"]
    event["EventTime"] = cloud.clock() + timedelta(minutes=1)
    refused = graduate(cloud, enforce=True)
    assert ("refused", ["launch"]) == (refused["result"], [each["what"] for each in refused["open"]])
    assert "although the default was required" in refused["open"][0]["explanation"]


def test_more_launches_than_are_looked_at_keep_it_open(cloud: Cloud, defaults: Defaults) -> None:
    """Pages end; what was not looked at might say anything."""
    cloud.wire.fake("LookupEvents", lambda _: {"Events": [launched(cloud, "required")], "NextToken": "more"})
    refused = graduate(cloud)
    assert ("refused", ["CloudTrail"]) == (refused["result"], [each["name"] for each in refused["open"]])


@pytest.mark.parametrize("operation", ["LookupEvents", "DescribeInstances"])
def test_what_cannot_be_read_is_open(operation: str, cloud: Cloud, defaults: Defaults) -> None:
    """With what to do about it."""
    cloud.wire.refuse(operation, "AccessDeniedException")
    refused = graduate(cloud)
    assert ("refused", []) == (refused["result"], defaults.changes)
    assert "deploy the member roles" in refused["open"][0]["explanation"]


def test_a_declarative_policy_is_left_alone(cloud: Cloud, defaults: Defaults) -> None:
    """And said so, by lock and undo."""
    defaults.manager = "declarative-policy"
    for given in ({}, {"unlock": True}):
        answer = graduate(cloud, **given)
        assert "left_alone" == answer["result"]
        assert "declarative policy" in answer["explanation"]
    assert ([], []) == (defaults.changes, kept(cloud))


def test_what_somebody_else_has_changed_is_not_put_back(cloud: Cloud, defaults: Defaults) -> None:
    """It is theirs."""
    graduate(cloud)
    defaults.values["HttpTokens"] = "optional"
    answer = graduate(cloud, unlock=True)
    assert ("refused", "optional") == (answer["result"], defaults.values["HttpTokens"])
    assert "HttpTokens" in answer["explanation"]


def test_an_undo_without_a_lock_does_nothing(cloud: Cloud, defaults: Defaults) -> None:
    """Defaults that an account has of its own stay."""
    defaults.values = {"HttpTokens": "required"}
    assert "nothing_to_unlock" == graduate(cloud, unlock=True)["result"]
    assert ([], []) == (defaults.changes, kept(cloud))


@pytest.mark.parametrize("code", ["UnauthorizedOperation", "RequestLimitExceeded"])
def test_a_refusal_of_ec2_is_told_and_tried_again(code: str, cloud: Cloud, defaults: Defaults) -> None:
    """Asked again, it is as if nothing had been tried."""
    refuses = [True]
    cloud.wire.refuse("ModifyInstanceMetadataDefaults", code, when=lambda _: refuses[0])
    failed = graduate(cloud)
    assert ("failed", "failed") == (failed["result"], failed["status"])
    assert code in failed["explanation"]
    refuses[0] = False
    assert "locked" == graduate(cloud)["result"]
    assert {"HttpTokens": "no-preference"} == kept(cloud)[0]["before"]


@pytest.mark.parametrize("earlier", [False, True])
def test_what_a_person_locks_after_a_refusal_is_not_unlocked(earlier: bool, cloud: Cloud, defaults: Defaults) -> None:
    """EC2 had changed nothing: what is there now is theirs; also where the service had locked and unlocked before."""
    if earlier:
        graduate(cloud)
        assert "unlocked" == graduate(cloud, unlock=True)["result"]
    cloud.wire.refuse("ModifyInstanceMetadataDefaults", "UnauthorizedOperation", times=9)
    assert "failed" == graduate(cloud)["result"]
    defaults.values["HttpTokens"] = "required"
    changes = len(defaults.changes)
    assert "already_locked" == graduate(cloud)["result"]
    assert "nothing_to_unlock" == graduate(cloud, unlock=True)["result"]
    assert (changes, "required") == (len(defaults.changes), defaults.values["HttpTokens"])


def test_a_second_step_that_is_refused_leaves_the_first_to_be_undone(cloud: Cloud, defaults: Defaults) -> None:
    """And does not claim the second."""
    graduate(cloud)
    refuses = [True]
    cloud.wire.refuse("ModifyInstanceMetadataDefaults", "UnauthorizedOperation", when=lambda _: refuses[0])
    assert "failed" == graduate(cloud, enforce=True)["result"]
    refuses[0] = False
    defaults.values["HttpTokensEnforced"] = "enabled"
    assert "unlocked" == graduate(cloud, unlock=True)["result"]
    assert {"HttpTokensEnforced": "enabled"} == defaults.values


def test_a_lost_answer_is_mended_by_asking_again(cloud: Cloud, defaults: Defaults) -> None:
    """EC2 made the change, and nobody heard of it: the undo still knows what was before."""

    def lose(call: Call) -> None:
        defaults.modify(call)
        raise TimeoutError

    cloud.wire.on("ModifyInstanceMetadataDefaults", lose)
    with pytest.raises(TimeoutError):
        graduate(cloud)
    assert "locking" == kept(cloud)[0]["status"]
    cloud.clock.move(minutes=17)
    assert "already_locked" == graduate(cloud)["result"]
    current = kept(cloud)[0]
    assert ("locked", {"HttpTokens": "no-preference"}) == (current["status"], current["before"])
    assert 1 == len(defaults.changes)


@pytest.mark.parametrize("second", [{}, {"unlock": True}])
def test_two_at_once_do_not_meet(second: dict[str, Any], cloud: Cloud, defaults: Defaults) -> None:
    """Whoever comes while another one acts is told when to ask again; a dry run only looks."""
    told: list[dict[str, Any]] = []

    def meanwhile(_: Call) -> None:
        if not told:
            told.append(graduate(cloud, **second))
            told.append(graduate(cloud, real=False, **second))

    cloud.wire.on("ModifyInstanceMetadataDefaults", meanwhile)
    assert "locked" == graduate(cloud)["result"]
    assert "refused" == told[0]["result"]
    assert "Ask again after" in told[0]["explanation"]
    assert "would" in told[1]["result"]
    assert ("locked", {"HttpTokens": "required"}) == (kept(cloud)[0]["status"], defaults.values)


def test_a_second_look_that_fails_is_answered(cloud: Cloud, defaults: Defaults) -> None:
    """Nothing is changed on the grounds of the first."""
    looks: list[Call] = []

    def fail(call: Call) -> None:
        looks.append(call)
        if len(looks) > 1:
            raise refusal("UnauthorizedOperation", "no", call.operation, status=403)

    cloud.wire.on("GetInstanceMetadataDefaults", fail)
    answer = graduate(cloud)
    assert ("refused", []) == (answer["result"], defaults.changes)
    assert "cannot be read again" in answer["explanation"]


def test_defaults_that_change_during_the_look_are_left(cloud: Cloud, defaults: Defaults) -> None:
    """What would be kept as before would be wrong."""

    def meanwhile(_: Call) -> dict[str, Any]:
        defaults.values["HttpTokens"] = "optional"
        return {"Events": []}

    cloud.wire.fake("LookupEvents", meanwhile)
    assert ("refused", []) == (graduate(cloud)["result"], defaults.changes)


def test_while_the_service_is_off_nothing_is_locked(cloud: Cloud, defaults: Defaults) -> None:
    """An undo is still possible."""
    graduate(cloud)
    cloud.policy(mode="off")
    defaults.values.pop("HttpTokens")
    refused = graduate(cloud)
    assert ("refused", ["mode"]) == (refused["result"], [each["name"] for each in refused["open"]])
    defaults.values["HttpTokens"] = "required"
    assert "unlocked" == graduate(cloud, unlock=True)["result"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"graduate": []}, "graduate"),
        ({"graduate": {"account": MEMBER}}, "graduate.region"),
        ({"graduate": {"region": REGION}}, "graduate.account"),
        ({"graduate": {"account": MEMBER, "region": REGION, "hops": 1}}, "hops"),
        ({"graduate": {"account": MEMBER, "region": REGION, "hop_limit": 0}}, "hop_limit"),
        ({"graduate": {"account": MEMBER, "region": REGION, "enforce": "yes"}}, "enforce"),
        ({"graduate": {"account": MEMBER, "region": REGION, "unlock": True, "enforce": True}}, "unlock"),
        ({"graduate": {"account": MEMBER, "region": REGION, "enforce": True, "hop_limit": 2}}, "hop_limit"),
        ({"graduate": {"account": MEMBER, "region": REGION}, "dry_run": False}, "caller"),
        ({"graduate": {"account": MEMBER, "region": REGION}, "targets": []}, "targets"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(given: dict[str, Any], field: str) -> None:
    """With the name of the field."""
    with pytest.raises(InvalidRequest, match=field):
        parse(given)


def after_ec2(cloud: Cloud, defaults: Defaults, count: int = 1) -> None:
    """The ledger fails once EC2 has been asked so often."""
    cloud.wire.refuse(
        "TransactWriteItems", "AccessDeniedException", when=lambda _: len(defaults.changes) == count, times=1
    )


def test_what_ec2_has_done_is_told_as_done_though_the_ledger_fails_after_it(cloud: Cloud, defaults: Defaults) -> None:
    """And when to ask again, which completes the ledger and changes nothing."""
    after_ec2(cloud, defaults)
    answer = graduate(cloud)
    assert ("locked", "required") == (answer["result"], answer["defaults"]["HttpTokens"])
    assert answer["explanation"].startswith(
        "EC2 has done it, but the ledger could not be written and still says locking."
    )
    assert "refused" == graduate(cloud)["result"], "somebody may be changing them"
    cloud.clock.move(minutes=17)
    assert ("already_locked", "locked") == ((again := graduate(cloud))["result"], again["status"])
    assert 1 == len(defaults.changes)
    assert "unlocked" == graduate(cloud, unlock=True)["result"]
    assert {} == defaults.values


def test_an_undo_that_ec2_has_done_is_told_so_too(cloud: Cloud, defaults: Defaults) -> None:
    """Asking again ends it."""
    graduate(cloud)
    after_ec2(cloud, defaults, count=2)
    assert "unlocked" == graduate(cloud, unlock=True)["result"]
    assert {} == defaults.values
    cloud.clock.move(minutes=17)
    assert ("unlocked", "unlocked") == ((again := graduate(cloud, unlock=True))["result"], again["status"])
    assert 2 == len(defaults.changes)


def test_a_refusal_is_told_as_ec2_s_though_the_ledger_fails_after_it(cloud: Cloud, defaults: Defaults) -> None:
    """Whoever asked needs to know what EC2 said."""
    refused = list[bool]()

    def refuse(_: Call) -> None:
        refused.append(True)
        raise refusal("UnauthorizedOperation", "not you", "ModifyInstanceMetadataDefaults", status=403)

    cloud.wire.on("ModifyInstanceMetadataDefaults", refuse)
    cloud.wire.refuse("TransactWriteItems", "AccessDeniedException", when=lambda _: bool(refused))
    answer = graduate(cloud)
    assert "failed" == answer["result"]
    assert "UnauthorizedOperation" in answer["explanation"]
