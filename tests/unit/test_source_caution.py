"""What the service does not change itself although its verdict would let it, and what nobody may open by a remedy: pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.source_fix import FixStatus, SourceFix, Step
from imdsv2.fix.left import left_to_people
from imdsv2.fix.survey import Seen
from imdsv2.source.effect import OPTIONAL, REQUIRED, effect_of
from imdsv2.source.fixing import hindrance
from imdsv2.source.idle import idle_follower
from imdsv2.source.launching import Defaults, Group, Ref, Version
from imdsv2.source.proving import unproved_version
from imdsv2.source.sharing import judge_together, reaches
from imdsv2.source.verdict import SourceVerdict, Word, judge
from tests.unit.source_builders import (
    OTHER_TEMPLATE,
    OWN_IMAGE,
    PUBLIC_IMAGE,
    TEMPLATE,
    found,
    grouped,
    instance,
    mixed,
    source_of,
    template,
    versions,
    with_template,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.source.assembly import Source

CLEAN, USED = Word(decision="enforce", reason="unused"), Word(decision="hold", reason="v1_in_use")
NOW = datetime(2026, 10, 4, 3, 2, tzinfo=UTC)
CLOSED = Defaults(endpoint="disabled")


def clean(source: Source) -> dict[Any, Word]:
    """All of its instances are known to do without IMDSv1."""
    return {each.arn: CLEAN for each in source.instances}


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, REQUIRED),
        ({"HttpTokens": "optional"}, REQUIRED),
        ({"HttpEndpoint": "enabled"}, OPTIONAL),
        ({"HttpEndpoint": "enabled", "HttpTokens": "optional"}, OPTIONAL),
    ],
)
def test_an_endpoint_that_the_account_disables_is_opened_by_no_remedy(options: Mapping[str, Any], tokens: str) -> None:
    """A new version would name it as enabled; only a launch that names it so already is open."""
    assert tokens == effect_of(options, CLOSED, None).tokens


@pytest.mark.parametrize(("options", "waits"), [({}, True), ({"HttpEndpoint": "enabled"}, False)])
def test_where_the_defaults_cannot_be_read_no_version_names_the_endpoint(
    options: Mapping[str, Any], waits: bool
) -> None:
    """The account may close it for launches that say nothing."""
    source = replace(with_template(options=options), defaults=None)
    why = hindrance(source, judge(source, clean(source)), [])
    assert waits == ("metadata defaults cannot be read" in str(why))
    assert waits == (why is not None)


def by_hand_beside(tags: Mapping[str, str]) -> tuple[Source, Source]:
    """A launch by hand, and a source that is known by its instances alone."""
    hand = source_of([instance(image=OWN_IMAGE)], found())
    return hand, source_of([instance(tags)], found())


@pytest.mark.parametrize(
    ("tags", "reached"),
    [
        ({"ManagedBy": "Terraform"}, True),
        ({"aws:cloudformation:stack-name": "s", "aws:cloudformation:logical-id": "Box"}, True),
        ({"aws:elasticmapreduce:job-flow-id": "j-1", "aws:elasticmapreduce:instance-group-role": "CORE"}, True),
        ({"karpenter.sh/nodepool": "p"}, False),
    ],
)
def test_the_account_s_default_may_reach_what_cannot_be_asked(tags: Mapping[str, str], reached: bool) -> None:
    """Whether such a launch says something of tokens is not known, except of Karpenter, which always does."""
    hand, other = by_hand_beside(tags)
    assert reached == reaches(hand, other)
    verdict = judge_together([hand, other], {**clean(hand), **{each.arn: USED for each in other.instances}})[0].verdict
    assert (SourceVerdict.HOLD if reached else SourceVerdict.FIX_SOURCE) is verdict


IDLE = {
    "by default": (Ref(id=TEMPLATE),),
    "by name": (Ref(name="web"),),
    "latest": (Ref(id=TEMPLATE, version="$Latest"),),
    "in an override": (Ref(id=OTHER_TEMPLATE, version="1"), Ref(name="web", version="$Latest", types=("m7g.large",))),
    "pinned": (Ref(id=TEMPLATE, version="2"),),
    "another template": (Ref(id=OTHER_TEMPLATE), Ref(name="arm")),
    "a configuration": (),
}


@pytest.mark.parametrize("named", IDLE)
@pytest.mark.parametrize("mine", ["$Default", "$Latest", "2"])
def test_a_group_that_has_no_instance_just_now_is_not_changed_unseen(mine: str, named: str) -> None:
    """It shows nothing; a new version reaches it if it follows the latest one, a new default if it follows the default."""
    idle = Group(name="night", arn="arn:night", refs=IDLE[named])
    follows = {"by default": mine == "$Default", "by name": mine == "$Default", "latest": True, "in an override": True}
    why = idle_follower(with_template("web", version=mine), [idle])
    assert follows.get(named, False) == (why is not None)
    assert why is None or "Auto Scaling group night" in why


def test_a_group_is_not_held_by_itself() -> None:
    """Where its own instances have ended meanwhile."""
    source = with_template("web")
    assert source.group is not None
    assert idle_follower(source, [source.group]) is None


def numbered(number: int, **options: Any) -> dict[tuple[str, int], Version]:
    """One version of the template."""
    return {(TEMPLATE, number): Version(template=TEMPLATE, number=number, image=PUBLIC_IMAGE, options=options)}


def at_version(number: int, *of_members: int, image: str = PUBLIC_IMAGE) -> Source:
    """A group that follows the default, which is this version, with a member of each of these; 0: AWS's tags do not say."""
    marked = [
        {"aws:ec2launchtemplate:id": TEMPLATE, "aws:ec2launchtemplate:version": str(each)} if each else {}
        for each in of_members
    ]
    name = {"aws:autoscaling:groupName": "web"}
    group = Group(name="web", arn="arn:web", refs=(Ref(id=TEMPLATE),))
    read = found(
        groups={"web": group},
        templates={TEMPLATE: template(default=number, latest=number)},
        versions=numbered(number),
    )
    boxes = [instance(name | each, image=image) for each in marked]
    return source_of(boxes, read)


@pytest.mark.parametrize(
    ("members", "proved", "waits"),
    [
        ((7, 7), (0,), True),
        ((7, 9), (0,), True),
        ((7, 9), (1,), False),
        ((9, 9), (0, 1), False),
        ((0, 0), (0,), False),
    ],
)
def test_older_software_does_not_speak_for_newer(
    members: tuple[int, ...], proved: tuple[int, ...], waits: bool
) -> None:
    """Version 9 is in use: what was proved of version 7 says nothing of it. Members without tags are known by their AMI."""
    source = at_version(9, *members)
    words = {source.instances[each].arn: CLEAN for each in proved}
    assert SourceVerdict.FIX_SOURCE is judge(source, words).verdict
    assert waits == (unproved_version(source, words, {}) is not None)


def test_a_version_that_the_service_made_is_as_proved_as_its_base() -> None:
    """It differs in metadata options only: one that was made on the way back is the version before."""
    source = at_version(9, 7, 8)
    assert unproved_version(source, clean(source), {(TEMPLATE, 9): 7, (TEMPLATE, 8): 7}) is None
    assert unproved_version(source, clean(source), {(TEMPLATE, 9): 8, (TEMPLATE, 8): 7}) is None
    assert unproved_version(source, clean(source), {(TEMPLATE, 9): 6}) is not None


def test_another_ami_without_tags_proves_no_version() -> None:
    """Somebody attached it to the group."""
    source = at_version(9, 0, 7, image=OWN_IMAGE)
    assert unproved_version(source, clean(source), {}) is not None


def test_who_was_only_attached_proves_nothing() -> None:
    """No running instance was launched from what the group launches from."""
    source = at_version(9, 0, image=OWN_IMAGE)
    assert unproved_version(source, clean(source), {}) is not None


@pytest.mark.parametrize("version", ["$Default", "2"])
def test_members_that_lack_the_tag_of_a_newer_capacity_provider_are_reached_with_their_group(version: str) -> None:
    """ECS marks what is launched since; the older members seem to be of another source, and hold the group all the same."""
    name = {"aws:autoscaling:groupName": "web"}
    group = Group(name="web", arn="arn:web", refs=(Ref(id=TEMPLATE, version=version),))
    read = found(groups={"web": group}, templates={TEMPLATE: template()}, versions=versions(v2={}))
    old, new = (source_of([instance(name | tags)], read) for tags in ({}, {"AmazonECSManaged": ""}))
    assert old.origin != new.origin
    words = {**{each.arn: USED for each in old.instances}, **clean(new)}
    assert [SourceVerdict.HOLD] * 2 == [each.verdict for each in judge_together([old, new], words)]


def test_a_template_that_has_launched_nothing_yet_waits_for_no_verdict() -> None:
    """An override that is never needed would keep its group from being changed for ever; its first members are canaries."""
    tags = {"aws:ec2launchtemplate:id": TEMPLATE, "aws:ec2launchtemplate:version": "2"}
    source = mixed()
    source = replace(source, instances=[replace(each, tags={**each.tags, **tags}) for each in source.instances])
    assert unproved_version(source, clean(source), {}) is None


def fixed(status: FixStatus, made: int = 3, restored: int | None = None) -> SourceFix:
    """What the service made of version 2 before."""
    step = Step(template=TEMPLATE, name="web", base=2, default=2, latest=2, moves_default=True, made=made)
    return SourceFix(key="k", version=4, status=status, at=NOW, steps=(replace(step, restored=restored),))


def seen_at(number: int, **options: Any) -> Seen:
    """A group whose default is this version by now."""
    group = Group(name="web", arn="arn:web", refs=(Ref(id=TEMPLATE),))
    made = template(default=number, latest=number)
    source = grouped(group, versions=numbered(number, **options), templates={TEMPLATE: made})
    return Seen(source=source, judged=judge(source, clean(source)), hindrance=None)


@pytest.mark.parametrize("status", [FixStatus.FIXED, FixStatus.VERIFIED])
def test_the_sweep_does_not_fight_a_newer_version_that_says_optional(status: FixStatus) -> None:
    """Somebody made it since, and may have seen what nobody else has; one that says nothing comes from a pipeline."""
    why = left_to_people(seen_at(4, HttpTokens="optional"), fixed(status), NOW)
    assert "Somebody made version 4 of launch template web with HttpTokens=optional" in str(why)
    assert "imdsv2 sources --fix" in str(why)
    assert left_to_people(seen_at(4), fixed(status), NOW) is None


def test_what_the_service_itself_put_back_is_no_answer_to_it() -> None:
    """The version that it made on the way says optional, and may be tried again when a person has cleared what broke."""
    gone = replace(fixed(FixStatus.GONE_BACK, restored=4), broken_by="arn")
    assert left_to_people(seen_at(4, HttpTokens="optional"), gone, NOW) is None
