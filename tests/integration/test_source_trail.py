"""What the audit trail tells of sources that the service changes: each change of their status once, with what was there and who asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.ledger.detail import ALWAYS, SOMETIMES
from imdsv2.people.request import parse
from imdsv2.people.sources.request import SourceQuestion
from imdsv2.wiring.people import build_source_fixing
from tests.integration.builders import MEMBER, REGION
from tests.integration.guarding import guard, live, reject
from tests.integration.sourcing import know_defaults
from tests.integration.steering import steer
from tests.integration.test_source_fix import KEY, fix, fixed, launched, make_as_ec2_does, proved, sweep
from tests.integration.test_sources import template

if TYPE_CHECKING:
    from tests.integration.builders import Cloud


@pytest.fixture(autouse=True)
def defaults(cloud: Cloud) -> None:
    """What moto does not know."""
    know_defaults(cloud)
    cloud.wire.fake("GetCalendarState", lambda _: {"State": "CLOSED"})
    cloud.wire.fake("CreateLaunchTemplateVersion", make_as_ec2_does(cloud))
    cloud.policy(mode="enforce")


def told(cloud: Cloud, key: str = KEY) -> list[dict[str, Any]]:
    """The events of the trail about a source, in their order. All that they hold is documented."""
    found = [each for each in cloud.items() if each["pk"] == f"source#{key}" and each["sk"].startswith("decision#")]
    described = {*ALWAYS, *SOMETIMES, "pk", "sk", "schema", "trail_day"}
    assert all(each.keys() <= described for each in found)
    return sorted(found, key=lambda each: str(each["sk"]))


def kinds(cloud: Cloud) -> list[str]:
    return [str(each["kind"]).removeprefix("source_") for each in told(cloud)]


def test_a_person_has_a_source_changed_and_put_back(cloud: Cloud) -> None:
    """The versions before and after, for the group and for the template, and by whose word."""
    made = fixed(cloud, "1")
    steer(cloud, undo={"source": KEY})
    assert ["fixing", "fixed", "going_back", "gone_back"] == kinds(cloud)
    fixing, done, back, gone = told(cloud)
    assert ("dora", "manual", "fixing") == (fixing["caller"], fixing["source"], done["status_before"])
    assert "is made from version 1" in fixing["explanation"]
    assert "after" not in fixing, "no version is made yet"
    assert ["1", "2"] == [done[when]["group"][0]["version"] for when in ("before", "after")]
    assert [(made, 1), (made, 2)] == [
        (each["template"], each["version"]) for when in ("before", "after") for each in done[when]["launch_templates"]
    ]
    assert {back["caller"], gone["caller"]} == {"dora"}
    assert ("fixed", "manual", done["before"]) == (back["status_before"], back["source"], gone["before"])


def test_the_guard_takes_a_source_back(cloud: Cloud) -> None:
    """It names the instance that broke, and nobody as the caller."""
    member = launched(cloud, fixed(cloud))
    reject(cloud, member)
    guard(cloud, after=10)
    guard(cloud)
    assert ["broke", "going_back"] == sorted(kinds(cloud)[2:4])
    assert ["gone_back"] == kinds(cloud)[4:]
    assert {(str(member), "guard", None)} == {
        (each["broken_by"], each["source"], each.get("caller")) for each in told(cloud)[2:]
    }


def test_what_is_left_to_people_is_told_once(cloud: Cloud) -> None:
    """However often the guard passes."""
    made = fixed(cloud)
    cloud.policy(mode="enforce", rollback="alert")
    reject(cloud, launched(cloud, made))
    guard(cloud, after=10)
    guard(cloud)
    assert ["fixing", "fixed", "broke"] == kinds(cloud)


def test_the_guard_proves_a_source(cloud: Cloud) -> None:
    """By what it launched since."""
    live(cloud, launched(cloud, fixed(cloud)), hours=26)
    guard(cloud)
    assert "verified" == kinds(cloud)[-1]
    assert ("guard", "fixed") == (told(cloud)[-1]["source"], told(cloud)[-1]["status_before"])


def test_the_sweep_gives_notice_and_changes_a_source(cloud: Cloud) -> None:
    """Each once, however often it looks."""
    arns = proved(cloud, LaunchTemplate={"LaunchTemplateId": template(cloud)})
    for _ in range(2):
        sweep(cloud, notice_hours=2)
    assert ["announced"] == kinds(cloud)
    assert {"owner", "until"} <= told(cloud)[0].keys()
    for arn in arns:
        cloud.quiet(arn, 0)
    cloud.clock.move(hours=3)
    for _ in range(2):
        sweep(cloud, notice_hours=2)
    assert ["announced", "fixing", "fixed"] == kinds(cloud)
    assert {"sweep"} == {each["source"] for each in told(cloud)}


def test_a_dry_run_tells_nothing(cloud: Cloud) -> None:
    """It changes nothing."""
    proved(cloud, LaunchTemplate={"LaunchTemplateId": template(cloud)})
    fix(cloud, dry_run=True)
    assert [] == told(cloud)


def test_a_source_bears_the_reasons_of_who_had_it_changed_and_put_back(cloud: Cloud) -> None:
    """Each its own; the guard gives none."""

    def changed(because: str | None) -> None:
        asked = {"sources": {"account": MEMBER, "region": REGION, "fix": True}, "dry_run": False, "caller": "dora"}
        question = parse({**asked, **({"reason": because} if because else {})})
        assert isinstance(question, SourceQuestion)
        (ended,) = build_source_fixing(cloud.function()).answer(question, "request-7", lambda: True)["results"]
        assert "fixed" == ended["fix"]["status"]

    proved(cloud, LaunchTemplate={"LaunchTemplateId": template(cloud), "Version": "1"})
    changed("Change 4711.")
    assert ["Change 4711."] * 2 == [each.get("because") for each in told(cloud)]
    steer(cloud, undo={"source": KEY}, reason="Logins fail.")
    assert ["Logins fail."] * 2 == [each.get("because") for each in told(cloud)[2:]]
    changed(None)
    assert [None, None] == [each.get("because") for each in told(cloud)[4:]]
