"""A source that shares what it launches from is held where its change would reach another one that is held for use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.source.assembly import Source, assemble
from imdsv2.source.launching import Group, Ref, Service
from imdsv2.source.origin import Kind, Origin, origin_of
from imdsv2.source.sharing import judge_together, reaches, within_reach
from imdsv2.source.verdict import SourceVerdict, Word
from tests.unit.source_builders import (
    OTHER_TEMPLATE,
    OWN_IMAGE,
    PLACE,
    TEMPLATE,
    found,
    instance,
    template,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imdsv2.domain.instance import InstanceArn

CLEAN, USED = Word(decision="enforce", reason="unused"), Word(decision="hold", reason="v1_in_use")


def place(*tags: Mapping[str, str], **groups: tuple[str, str]) -> dict[str, Source]:
    """Sources by name: groups with the template and version that each names, and instances with other tags, each with an instance."""
    made = {
        name: Group(name=name, arn=f"arn:{name}", refs=(Ref(id=id_, version=version),))
        for name, (id_, version) in groups.items()
    }
    boxes = [*({"aws:autoscaling:groupName": name} for name in groups), *tags]
    origins: dict[Origin, list[Any]] = {}
    for each in boxes:
        one = instance(each)
        origins.setdefault(origin_of(one), []).append(one)
    read = found(
        groups=made,
        services={
            origin: Service(own=Ref(id=TEMPLATE, version="$Latest"))
            for origin in origins
            if origin.kind is Kind.EKS_NODE_GROUP
        },
        templates={each: template(each, name=each, default=1, latest=2) for each in (TEMPLATE, OTHER_TEMPLATE)},
        versions=versions(v1={}, v2={}) | versions(OTHER_TEMPLATE, v1={}, v2={"HttpTokens": "optional"}),
    )
    return {each.origin.name: each for each in assemble(PLACE, origins, read)}


def verdicts(sources: Mapping[str, Source], **words: Word) -> dict[str, str]:
    """The verdicts by name; ``words``: what the ledger says of the instances of each."""
    known: dict[InstanceArn, Word] = {
        each.arn: words[name] for name, source in sources.items() if name in words for each in source.instances
    }
    several = list(sources.values())
    return dict(zip(sources, (str(each.verdict) for each in judge_together(several, known)), strict=True))


@pytest.mark.parametrize(
    ("mine", "theirs", "reached"),
    [
        ("$Default", "$Default", True),
        ("$Default", "$Latest", True),
        ("$Latest", "$Latest", True),
        ("1", "$Latest", True),
        ("$Latest", "$Default", False),
        ("2", "$Default", False),
        ("$Default", "1", False),
        ("1", "1", False),
    ],
)
def test_a_new_version_reaches_those_who_follow(mine: str, theirs: str, reached: bool) -> None:
    """It becomes the latest one; the default is changed only for a source that follows the default."""
    sources = place(clean=(TEMPLATE, mine), used=(TEMPLATE, theirs))
    assert reached == reaches(sources["clean"], sources["used"])
    told = verdicts(sources, clean=CLEAN, used=USED)
    assert {"clean": "hold" if reached else "fix_source", "used": "hold"} == told


def test_another_template_is_not_reached() -> None:
    """However it is followed."""
    sources = place(clean=(TEMPLATE, "$Default"), used=(OTHER_TEMPLATE, "$Latest"))
    assert "fix_source" == verdicts(sources, clean=CLEAN, used=USED)["clean"]


def test_what_is_only_unproved_does_not_hold_others() -> None:
    """Nothing is known to need IMDSv1 there."""
    sources = place(clean=(TEMPLATE, "$Default"), young=(TEMPLATE, "$Default"))
    young = Word(decision="hold", reason="too_young")
    assert {"clean": "fix_source", "young": "hold"} == verdicts(sources, clean=CLEAN, young=young)


def test_the_explanation_names_what_would_be_reached() -> None:
    """Kind and name, and what to do."""
    sources = place(clean=(TEMPLATE, "$Default"), used=(TEMPLATE, "$Default"))
    words = {sources["clean"].instances[0].arn: CLEAN, sources["used"].instances[0].arn: USED}
    first = judge_together([sources["clean"], sources["used"]], words)[0]
    assert SourceVerdict.HOLD is first.verdict
    assert "it would reach auto_scaling_group used, where something needs IMDSv1" in first.explanation


def test_the_account_s_default_reaches_every_launch_that_says_nothing() -> None:
    """A launch by hand is changed by it alone; one that says optional goes on as it does."""
    hand = {"Name": "a box"}
    silent = place(hand, used=(TEMPLATE, "$Default"))
    (by_hand,) = [name for name in silent if name.startswith("ami-")]
    assert "hold" == verdicts(silent, **{by_hand: CLEAN}, used=USED)[by_hand]
    saying = place(hand, used=(OTHER_TEMPLATE, "2"))
    assert "fix_source" == verdicts(saying, **{by_hand: CLEAN}, used=USED)[by_hand]


def test_what_a_service_copies_is_reached_through_ones_own_template() -> None:
    """In both directions; the copy is the service's own, and another group that launches from it goes on as it does."""
    nodes = {"eks:cluster-name": "c", "eks:nodegroup-name": "n", "aws:autoscaling:groupName": "eks-n"}
    sources = place(nodes, copy=(OTHER_TEMPLATE, "2"), mine=(TEMPLATE, "$Latest"))
    assert reaches(sources["mine"], sources["n"])
    assert reaches(sources["n"], sources["mine"])
    assert not reaches(sources["n"], sources["copy"])


def test_a_single_instance_of_a_stack_reaches_nobody() -> None:
    """Its own options are changed, not its template."""
    box = {
        "aws:cloudformation:stack-name": "s",
        "aws:cloudformation:logical-id": "Box",
        "aws:ec2launchtemplate:id": TEMPLATE,
        "aws:ec2launchtemplate:version": "1",
    }
    sources = place(box, used=(TEMPLATE, "$Latest"))
    assert not reaches(sources["Box"], sources["used"])


def test_those_in_reach_are_found_beside_the_chosen() -> None:
    """So that a question about one instance gets the same answer as one about the Region."""
    sources = place(a=(TEMPLATE, "1"), b=(TEMPLATE, "$Latest"), c=(OTHER_TEMPLATE, "$Latest"))
    assert [sources["b"]] == within_reach([sources["a"]], sources.values())
    assert [] == within_reach(list(sources.values()), sources.values())


def test_another_region_is_never_reached() -> None:
    """Templates are regional."""
    source = place(a=(TEMPLATE, "$Latest"))["a"]
    elsewhere = Source(
        place=PLACE.__class__("aws", "eu-north-1", PLACE.account),
        origin=source.origin,
        instances=[instance(image=OWN_IMAGE)],
        launches=source.launches,
    )
    assert not reaches(source, elsewhere)
