"""The daily digest: one message for each owner, nothing lost, nothing twice."""

from __future__ import annotations

import json
import shlex
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.fleet_file import LATEST
from imdsv2.domain.request import Request, Source
from imdsv2.ledger.digests import DigestState
from imdsv2.sweep.digest_rows import AGAIN_AFTER, ENTRIES, NO_OWNER
from imdsv2.wiring.sweep import build_digest
from tests.integration.builders import MEMBER, OTHER, REGION, asked
from tests.integration.guarding import enforced, guard, live, reject
from tests.integration.steering import judge, named, steer
from tests.integration.test_fleet_file import Nights
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from imdsv2.domain.instance import InstanceArn
    from imdsv2.sweep.digest import Sent
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

DAY = timedelta(days=1)
BLUE = {"owner": "blue"}
OTHERS = {"aws:ec2launchtemplate:id": "lt-0e5f"}
"""What launched one that runs other software."""


class Days(Nights):
    """Sweeps in the night, and what is sent after them."""

    def digest(self, name: str = "night") -> Sent | None:
        """The last step of a sweep."""
        latest = json.loads(self.bucket.objects[LATEST])
        self.cloud.clock.move(minutes=3)  # What is younger than two minutes is left to the next one.
        return build_digest(self.cloud.function()).run(self.files, latest["key"], name)

    def night(self, **how: Any) -> dict[str, str]:
        """A sweep and its digest; what each owner got."""
        before = len(self.digests())
        self.sweep(**how)
        self.digest()
        return dict(self.digests()[before:])

    def digests(self) -> list[tuple[str, str]]:
        """Each digest that reached the topic: its owner and its text, in order."""
        named = [
            (each["MessageAttributes"], each["Message"]) for each in self.cloud.published() if not each.get("refused")
        ]
        return [
            (attributes["owner"]["StringValue"], text)
            for attributes, text in named
            if attributes["kind"]["StringValue"] == "digest"
        ]

    def next_day(self, *arns: InstanceArn) -> None:
        """A day goes by in which these make no call."""
        self.cloud.clock.move(hours=24)
        hour = int(self.cloud.clock().timestamp() // 3600)
        for each in arns:
            self.cloud.metrics.put(each.instance_id, "MetadataNoToken", range(hour - 25, hour))


@pytest.fixture
def days(cloud: Cloud) -> Days:
    """An empty bucket, under a policy that says nothing of the digest."""
    cloud.policy(mode="enforce", digest="daily")
    return Days(cloud)


def at_once(cloud: Cloud) -> list[str]:
    """The kinds of all other messages."""
    kinds = [each["MessageAttributes"]["kind"]["StringValue"] for each in cloud.published()]
    return [each for each in kinds if each != "digest"]


def refuse_publishing(cloud: Cloud, owners: set[str]) -> None:
    """The topic takes no message for some owners."""

    def refuse(call: Call) -> None:
        if call.params["MessageAttributes"]["owner"]["StringValue"] in owners:
            call.params["refused"] = True
            raise refusal("InvalidParameterException", "no", call.operation)

    cloud.wire.on("Publish", refuse)


def test_each_owner_gets_one_message_a_day(cloud: Cloud, days: Days) -> None:
    """With what changed in all accounts; what has no owner is told in one message of its own, and nothing else is sent."""
    off = [cloud.one(tags=BLUE), cloud.one(tags=BLUE, account=OTHER)]
    busy, stray = cloud.one(tags=BLUE | OTHERS | {"Name": "web-1"}, use=3.0), cloud.one()
    told = days.night(accounts=(MEMBER, OTHER))
    assert {"blue", NO_OWNER} == told.keys()
    assert [] == at_once(cloud)
    for arn in off:
        assert f"- {arn.instance_id} ({arn.account} {arn.region}): IMDSv1 switched off (" in told["blue"]
    assert f"NEEDS YOU: 1 instance (1 v1_in_use)\n- web-1 ({busy.instance_id}, " in told["blue"]
    assert stray.instance_id in told[NO_OWNER]
    assert stray.instance_id not in told["blue"]


def test_what_the_digest_tells_is_not_written_twice(cloud: Cloud, days: Days) -> None:
    """The verdict says that it is left to the digest: with a message of its own, what was told is a write more."""
    for digest, writes in (("daily", 1), ("off", 2)):
        cloud.policy(mode="observe", digest=digest)
        arn = cloud.one(use=3.0)
        before = len(cloud.wire.made("TransactWriteItems"))
        cloud.line().run([Request(arn=arn, source=Source.SWEEP)], "request-1")
        assert writes == len(cloud.wire.made("TransactWriteItems")) - before
        assert cloud.current(arn)["notified_at"] >= cloud.current(arn)["changed_at"]
    assert ["held"] == at_once(cloud)


def test_a_message_says_what_it_is_about_and_what_to_do(cloud: Cloud, days: Days) -> None:
    """Every command in it stands on a line of its own or at its end, in the form of the command line."""
    busy = cloud.one(tags=BLUE, use=3.0, hop_limit=2)
    text = days.night()["blue"]
    assert "requires IMDSv2 on EC2 instances where the evidence says" in text
    (mended,) = [line for line in text.splitlines() if line.startswith("  [1] ")]
    assert ["imdsv2", "mended", str(busy)] == shlex.split(mended.removeprefix("  [1] "))[:3]
    assert f"  More: imdsv2 explain {busy.instance_id}" in text
    assert "All of them: imdsv2 list --owner blue" in text
    assert "{" not in text
    (sent,) = cloud.published()
    assert "IMDSv2 digest 2026-11-20, blue: 1 to look at" == sent["Subject"]
    assert {"kind", "owner"} == sent["MessageAttributes"].keys()


def test_what_broke_is_told_at_once_and_again_in_the_digest(cloud: Cloud, days: Days) -> None:
    """With the command that clears it."""
    arn = enforced(cloud, tags=BLUE)
    for _ in range(3):
        live(cloud, arn, hours=0.25)
        reject(cloud, arn, calls=40)
    assert 1 == guard(cloud).rolled_back
    assert ["broke"] == at_once(cloud)
    text = days.night()["blue"]
    assert "BROKE, OR WAS PUT BACK: 1 instance" in text
    assert f"  [1] imdsv2 clear {arn}" in text


def test_the_next_day_tells_only_what_is_new(cloud: Cloud, days: Days) -> None:
    """Where nothing is, nothing is sent, though something still waits for a person."""
    idle, busy = cloud.one(tags=BLUE), cloud.one(tags=BLUE | OTHERS, use=3.0)
    days.night()
    days.next_day(idle)
    assert {} == days.night(name="second")
    late = cloud.one(tags=BLUE)
    days.next_day(idle, late)
    text = days.night(name="third")["blue"]
    assert "CHANGED: 1 instance" in text
    assert late.instance_id in text
    assert idle.instance_id not in text
    assert f"- {busy.instance_id} ({MEMBER} {REGION}): IMDSv1 stays on (v1_in_use) since 2026-11-20\n" in text


def test_what_waits_for_a_person_comes_again_after_a_week(cloud: Cloud, days: Days) -> None:
    """And not sooner."""
    busy = cloud.one(tags=BLUE, use=3.0)
    days.night()
    for day in range(1, AGAIN_AFTER.days + 1):
        cloud.clock.move(hours=24)
        hour = int(cloud.clock().timestamp() // 3600)
        cloud.metrics.put(busy.instance_id, "MetadataNoToken", range(hour - 25, hour), 3.0)
        told = days.night(name=f"night-{day}")
        assert (AGAIN_AFTER.days == day) == ("blue" in told)


def test_a_second_sweep_of_a_day_sends_nothing(cloud: Cloud, days: Days) -> None:
    """What has happened since is told the day after."""
    first = cloud.one(tags=BLUE)
    days.night()
    later = cloud.one(tags=BLUE)
    assert {} == days.night(name="again")
    days.next_day(first, later)
    text = days.night(name="next")["blue"]
    assert later.instance_id in text
    assert first.instance_id not in text


def test_an_owner_whose_message_fails_is_told_by_the_next_run(cloud: Cloud, days: Days) -> None:
    """Of both days; the others hear nothing twice."""
    mine, theirs = cloud.one(tags=BLUE), cloud.one(tags={"owner": "green"})
    failing = {"blue"}
    refuse_publishing(cloud, failing)
    days.sweep()
    sent = days.digest()
    assert sent is not None
    assert (["green"], ["blue"]) == (sent.sent, sent.failed)
    failing.clear()
    days.next_day(mine, theirs)
    told = days.night(name="second")
    assert {"blue"} == told.keys()
    assert mine.instance_id in told["blue"]
    days.next_day(mine, theirs)
    assert {} == days.night(name="third")


def test_an_owner_who_was_owed_one_is_told_by_another_sweep_of_the_same_day(cloud: Cloud, days: Days) -> None:
    """Whoever has had theirs gets the rest of the day the day after."""
    cloud.launch(tags=BLUE)
    cloud.launch(tags={"owner": "green"})
    failing = {"blue"}
    refuse_publishing(cloud, failing)
    days.night()
    failing.clear()
    late = cloud.one(tags={"owner": "green"})
    assert {"blue"} == days.night(name="again").keys()
    days.next_day(late)
    told = days.night(name="second")
    assert {"green"} == told.keys()
    assert late.instance_id in told["green"]


def test_where_the_topic_takes_nothing_all_is_owed(cloud: Cloud, days: Days) -> None:
    """And sent once it does."""
    arn = cloud.one(tags=BLUE)
    failing = {"blue", NO_OWNER}
    refuse_publishing(cloud, failing)
    assert {} == days.night()
    days.next_day(arn)
    assert {} == days.night(name="second")
    failing.clear()
    days.next_day(arn)
    assert arn.instance_id in days.night(name="third")["blue"]


def test_a_function_that_dies_while_it_sends_goes_on_where_it_was(cloud: Cloud, days: Days) -> None:
    """The state machine begins the step again; another sweep leaves it alone."""
    for owner in ("blue", "green", "red"):
        cloud.one(tags={"owner": owner})
    days.sweep()

    class Killed(BaseException):
        pass

    def die(call: Call) -> None:
        if call.params["MessageAttributes"]["owner"]["StringValue"] == "green" and dying:
            call.params["refused"] = True
            raise Killed

    dying = [True]
    cloud.wire.on("Publish", die)
    with pytest.raises(Killed):
        days.digest()
    dying.clear()
    assert days.digest(name="another") is None
    sent = days.digest()
    assert sent is not None
    assert ["green", "red"] == sent.sent
    assert ["blue", "green", "red"] == [owner for owner, _ in days.digests()]


def test_one_that_was_claimed_and_forgotten_is_sent_by_the_next_night(cloud: Cloud, days: Days) -> None:
    """A claim ends with the time that the function may run."""
    arn = cloud.one(tags=BLUE)
    days.sweep()
    digests = build_digest(cloud.function()).digests
    begun = cloud.clock()
    claim = DigestState(until=begun - DAY, is_on=True, claimed_by="dead", claimed_until=begun + timedelta(minutes=15))
    assert digests.save(claim)
    assert days.digest() is None
    days.next_day(arn)
    assert {"blue"} == days.night(name="second").keys()


def test_what_was_left_to_the_digest_is_sent_though_it_is_switched_off(cloud: Cloud, days: Days) -> None:
    """Once; after that, each message comes by itself, and switching it on again repeats none of the time between."""
    first = cloud.one(tags=BLUE)
    days.night()
    second = cloud.one(tags=BLUE)
    judge(cloud, second)
    cloud.policy(mode="enforce", digest="off")
    third = cloud.one(tags=BLUE)
    judge(cloud, third)
    assert ["changed"] == at_once(cloud)
    days.next_day(first, second, third)
    assert second.instance_id in days.night(name="second")["blue"]
    days.next_day(first, second, third)
    assert {} == days.night(name="third")
    cloud.policy(mode="enforce", digest="daily")
    days.next_day(first, second, third)
    assert {} == days.night(name="fourth")


@pytest.mark.parametrize("written_days_ago", [1, 4, 200])
def test_nights_without_a_sweep_before_the_first_digest_lose_nothing(
    written_days_ago: int, cloud: Cloud, days: Days
) -> None:
    """Messages are left to it from the moment on at which the policy says so, though the sweeps of the first nights failed."""
    begun = cloud.clock()
    text = json.dumps({"mode": "enforce", "digest": "daily", "canary": None})
    dated = {"Version": 1, "LastModifiedDate": begun + timedelta(days=3 - written_days_ago)}
    cloud.wire.fake("GetParameter", lambda _: {"Parameter": {"Value": text, **dated}})
    arn = cloud.one(tags=BLUE)
    judge(cloud, arn)
    assert [] == at_once(cloud)
    for _ in range(3):
        days.next_day(arn)
    told = days.night()
    assert (written_days_ago > 1) is (
        f"{arn.instance_id} ({MEMBER} {REGION}): IMDSv1 switched off" in told.get("blue", "")
    )


def test_nothing_is_read_where_there_is_no_digest(cloud: Cloud, days: Days) -> None:
    """Neither the trail nor the file."""
    cloud.policy(mode="enforce", digest="off")
    cloud.one()
    days.sweep()
    before = len(cloud.wire.made("Query"))
    assert days.digest() is None
    assert before == len(cloud.wire.made("Query"))


def test_exemptions_and_holds_that_end_are_told_before(cloud: Cloud, days: Days) -> None:
    """With the command that prolongs them."""
    exempt = cloud.one(tags=BLUE | {"imdsv2:exempt-until": "2026-11-22"})
    later = cloud.one(tags=BLUE | {"imdsv2:exempt-until": "2027-03-31"})
    held = cloud.one(tags=BLUE)
    steer(cloud, hold=named(held), owner="the web team's", reason="Freeze.", until="2026-11-23")
    text = days.night()["blue"]
    section = text.partition("ENDS SOON: ")[2]
    assert section.startswith("2 instances (")
    assert f"imdsv2 exempt {exempt.instance_id} --until 30d" in section
    assert f"imdsv2 hold {held.instance_id} --owner 'the web team'\"'\"'s' --reason" in section
    assert later.instance_id not in section


def test_a_notice_is_told_at_once_and_not_again_until_it_ends(cloud: Cloud, days: Days) -> None:
    """Its hours begin with its own message."""
    cloud.policy(mode="enforce", digest="daily", notice_hours=24 * 10)
    arn = cloud.one(tags=BLUE)
    judge(cloud, arn)
    assert ["notice"] == at_once(cloud)
    assert {} == days.night()
    for day in range(8):
        days.next_day(arn)
        told = days.night(name=f"night-{day}")
        assert (day >= 6) == ("blue" in told), f"day {day}"
    assert "notice" in told["blue"]


def test_an_instance_that_has_gone_is_told_of_once_more(cloud: Cloud, days: Days) -> None:
    """Nobody knows its owner any more."""
    arn = cloud.one(tags=BLUE)
    judge(cloud, arn)
    cloud.as_account(MEMBER, "ec2").terminate_instances(InstanceIds=[arn.instance_id])
    told = days.night()
    assert f"{arn.instance_id} ({MEMBER} {REGION}): IMDSv1 switched off (" in told[NO_OWNER]
    assert "EC2 lists it no longer" in told[NO_OWNER]


def test_four_findings_in_a_minute_are_no_four_mails(cloud: Cloud, days: Days) -> None:
    """One in the night, in which each is told in a line."""
    arns = [cloud.one(tags=BLUE) for _ in range(4)]
    for arn in arns:
        cloud.line().run([asked(arn, Source.SECURITYHUB)], "request-1")
        cloud.clock.move(seconds=13)
    assert [] == cloud.published()
    told = days.night()
    assert ["blue"] == [*told]
    assert all(f"- {arn.instance_id} (" in told["blue"] for arn in arns)


def test_of_many_the_first_are_named_and_the_others_counted(cloud: Cloud, days: Days) -> None:
    """A message stays readable."""
    cloud.launch(tags={"owner": "it's blue"}, count=ENTRIES + 3)
    text = days.night()["it's blue"]
    assert f"CHANGED: {ENTRIES + 3} instances" in text
    assert ENTRIES == text.count("\n- i-")
    assert "- and 3 more: imdsv2 list --owner 'it'\"'\"'s blue'" in text


def test_observe_mode_is_told_of_too(cloud: Cloud, days: Days) -> None:
    """What could be changed."""
    cloud.policy(mode="observe", digest="daily")
    arn = cloud.one(tags=BLUE)
    assert f"{arn.instance_id} ({MEMBER} {REGION}): IMDSv1 could be switched off" in days.night()["blue"]


# --- What is written late ------------------------------------------------------------------------------------------


def judged_late(cloud: Cloud, minutes: float, **tags: str) -> InstanceArn:
    """An instance whose change happened so long ago, and is written only now."""
    cloud.clock.move(minutes=-minutes)
    arn = cloud.one(tags=tags)
    judge(cloud, arn)
    cloud.clock.move(minutes=minutes)
    return arn


@pytest.mark.parametrize("minutes", [4, 17, 58])
def test_what_is_written_after_the_digest_of_its_time_is_told_by_the_next(
    minutes: float, cloud: Cloud, days: Days
) -> None:
    """Once, and what that digest had told of the same minutes is not told again."""
    first = cloud.one(tags=BLUE)
    days.night()
    late = judged_late(cloud, minutes, **BLUE)
    days.next_day(first, late)
    text = days.night(name="second")["blue"]
    assert (1, 0) == (text.count(f"- {late.instance_id} "), text.count(first.instance_id))
    assert "CHANGED: 1 instance" in text
    for name in ("third", "fourth"):
        days.next_day(first, late)
        assert {} == days.night(name=name)


def test_what_was_written_late_is_owed_like_anything_else(cloud: Cloud, days: Days) -> None:
    """Its owner's message fails for two nights; another owner has had theirs."""
    mine, theirs = cloud.one(tags=BLUE), cloud.one(tags={"owner": "green"})
    days.night()
    late = [judged_late(cloud, 9, owner=each) for each in ("blue", "green")]
    failing = {"blue"}
    refuse_publishing(cloud, failing)
    days.next_day(mine, theirs, *late)
    assert late[1].instance_id in days.night(name="second")["green"]
    days.next_day(mine, theirs, *late)
    assert {} == days.night(name="third")
    failing.clear()
    days.next_day(mine, theirs, *late)
    told = days.night(name="fourth")
    assert {"blue"} == told.keys()
    assert 1 == told["blue"].count(f"- {late[0].instance_id} ")
    assert mine.instance_id not in told["blue"]
    days.next_day(mine, theirs, *late)
    assert {} == days.night(name="fifth")


def test_a_second_digest_of_a_day_hands_on_what_was_late(cloud: Cloud, days: Days) -> None:
    """It is sent to whom one was owed; all others hear of it the day after."""
    for owner in ("blue", "green"):
        cloud.one(tags={"owner": owner})
    failing = {"blue"}
    refuse_publishing(cloud, failing)
    days.night()
    late = judged_late(cloud, 9, owner="green")
    failing.clear()
    assert {"blue"} == days.night(name="again").keys()
    days.next_day(late)
    assert 1 == days.night(name="second")["green"].count(f"- {late.instance_id} ")
    days.next_day(late)
    assert {} == days.night(name="third")


def test_without_what_the_digest_before_kept_nothing_is_told_twice(cloud: Cloud, days: Days) -> None:
    """An earlier version has kept nothing, and the bucket forgets after 90 days."""
    first = cloud.one(tags=BLUE)
    days.night()
    for key in [each for each in days.bucket.objects if each.startswith("digests/")]:
        del days.bucket.objects[key]
    days.next_day(first)
    assert {} == days.night(name="second")
