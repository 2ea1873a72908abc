"""The ways through the service whose calls are made to fail: how each begins, and the one step in which something fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.fixtures.events import (
    finding_v2,
    imported,
    imported_v2,
    source_change,
    source_finding,
    started,
    template_arn,
)
from tests.proof.faults import launchers
from tests.proof.faults.clients import REGION
from tests.proof.faults.fleet import FIRST, SECOND
from tests.proof.faults.templates import GROUP, Templates
from tests.proof.faults.world import World
from tests.world import life

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One way. ``begin`` brings the world to the moment before the step ``act``, without faults; both know the three
    instances by their ARNs: two of one account, one of another."""

    begin: Callable[[World, list[str]], None]
    act: Callable[[World, list[str]], object]
    policy: Mapping[str, Any] = field(default_factory=dict)
    breaks: bool = False
    """Whether the software of the first instance calls IMDSv1 a minute after tokens are required, and again later."""
    repeats: bool = False
    """Whether who asked asks again after an error: people, and the sweep's schedule."""
    found: bool = True
    """Whether Security Hub knows the instances."""

    def fleet(self) -> tuple[World, list[str]]:
        """The world at the moment before the step."""
        world = World(**self.policy)
        arns = [world.launch(account, number, found=self.found) for account, number in _PLACES]
        if self.breaks:
            world.breaks.add(arns[0])
        self.begin(world, arns)
        return world, arns


_RULE = "autoscaling-launchconfig-requires-imdsv2"
EMPTY = "444444444444"
_PLACES = ((FIRST, 1), (FIRST, 2), (SECOND, 3))


def _findings_arrive(world: World, arns: list[str]) -> None:
    world.find(*arns)


def _findings_v2_arrive(world: World, arns: list[str]) -> None:
    for arn in arns:
        found = finding_v2(arn.rpartition("/")[2], account=arn.split(":")[4], region=REGION)
        world.aws.findings.holds(found)
        world.send(imported_v2(found))


def _enforced(world: World, arns: list[str]) -> None:
    world.find(*arns)
    world.remediate()
    assert {world.status(arn) for arn in arns} == {"enforced"}
    world.advance(5)
    world.guard()


def _ripe(world: World, arns: list[str]) -> None:
    _enforced(world, arns)
    world.pass_hours(6)
    assert {world.status(arn) for arn in arns} == {"enforced"}
    world.advance(60)


def _verified(world: World, arns: list[str]) -> None:
    _enforced(world, arns)
    world.pass_hours(9)
    assert {world.status(arn) for arn in arns} == {"verified"}
    world.pass_hours(0, 30)


def _broken(world: World, arns: list[str]) -> None:
    _enforced(world, arns)
    world.advance(7)


def _broken_late(world: World, arns: list[str]) -> None:
    _verified(world, arns)
    world.will_call(arns[0], 1, 7)
    world.advance(59)


def _opened(world: World, arns: list[str]) -> None:
    _enforced(world, arns)
    world.advance(15)
    world.open(arns[0])
    world.terminate(arns[1])


def _waiting(world: World, arns: list[str]) -> None:
    world.aws.calendar_open = False
    world.find(*arns)
    world.remediate()
    assert {world.status(arn) for arn in arns} == {"held"}
    world.aws.calendar_open = True
    world.advance(25 * 60)


def _noticed(world: World, arns: list[str]) -> None:
    world.find(*arns)
    world.remediate()
    assert {world.status(arn) for arn in arns} == {"held"}
    world.advance(25 * 60)


def _only_rebooted(world: World, arns: list[str]) -> None:
    """Started before everything that CloudWatch remembers, and rebooted through EC2 since."""
    now = world.clock()
    for arn in arns:
        instance, rebooted_at = world.instance(arn), now - timedelta(days=3)
        instance.launched_at = instance.first_launched_at = now - timedelta(days=470)
        instance.rebooted_at = rebooted_at
        life.run(world.aws.cloudwatch[arn.split(":")[4]], instance.instance_id, rebooted_at, now, rebooted_at)
    world.find(*arns)


def _nothing(world: World, arns: list[str]) -> None:
    """They only run."""


def _nonsense_arrives(world: World, arns: list[str]) -> None:
    world.find(*arns)
    world.send(
        {"detail-type": "Security Hub Findings - Imported", "source": "aws.securityhub", "detail": {"findings": [1]}}
    )


def _left_to_the_digest(world: World, arns: list[str]) -> None:
    """A day's changes of which nobody has been told, and the file that the sweep has written."""
    world.find(*arns)
    world.remediate()
    assert {world.status(arn) for arn in arns} == {"enforced"}
    assert not world.aws.published
    world.sweep(dry_run=False)
    world.advance(10)


def _launched(world: World, arns: list[str]) -> None:
    for arn, tags in zip(arns, launchers.TAGS, strict=True):
        world.instance(arn).tags = dict(tags)
    for number, tags in enumerate(launchers.FURTHER, 4):
        world.instance(world.launch(FIRST, number, found=False)).tags = dict(tags)


def _templates_are_found(world: World, arns: list[str]) -> None:
    """A finding names a launch template, Config a launch configuration."""
    _launched(world, arns)
    for account in (FIRST, SECOND):
        found = source_finding("EC2.170", template_arn("lt-00000001", account=account, region=REGION))
        world.aws.findings.holds(found)
        detail = {"awsAccountId": account, "awsRegion": REGION}
        world.send(imported(found), source_change(_RULE, "configuration", detail=detail))


def _begin_to_run(world: World, arns: list[str]) -> None:
    world.send(*(started(arn.rpartition("/")[2], account=arn.split(":")[4], region=REGION) for arn in arns))


def _images(world: World, arns: list[str]) -> None:
    asked = {"account": FIRST, "region": REGION, "image_ids": ["ami-00000001"], "confirm": "cannot be undone"}
    world.invoke(images=asked, caller="dora", dry_run=False)


def _remediate(world: World, arns: list[str]) -> None:
    world.remediate()


def _revisit(world: World, arns: list[str]) -> None:
    world.revisit()


def _guard(world: World, arns: list[str]) -> None:
    world.guard()


def _undo(world: World, arns: list[str]) -> None:
    world.invoke(undo={"targets": arns[:2]}, reason="a test", caller="dora", dry_run=False)


def _sources(world: World, arns: list[str]) -> None:
    for account in (FIRST, SECOND):
        world.invoke(sources={"account": account, "region": REGION, "principals": True})


def _find(world: World, arns: list[str]) -> None:
    """Somebody asks by name: where that is known, where it is not, and for a name that there is not."""
    for account in (FIRST, SECOND):
        world.invoke(find={"names": ["no-such-name"], "account": account, "region": REGION})
    world.invoke(find={"names": [arns[0].rpartition("/")[2]]})


def _launched_by_template(world: World, arns: list[str]) -> None:
    world.aws.templates = Templates()
    _enforced(world, arns)


def _changed_source(world: World, arns: list[str]) -> None:
    _launched_by_template(world, arns)
    _change_source(world, arns)
    assert world.aws.templates is not None
    assert {"required"} == set(world.aws.templates.tokens())
    world.advance(5)


def _change_source(world: World, arns: list[str]) -> None:
    world.invoke(sources={"account": FIRST, "region": REGION, "fix": True}, caller="dora", dry_run=False)


def _undo_source(world: World, arns: list[str]) -> None:
    key = f"aws/{FIRST}/{REGION}/auto_scaling_group:{GROUP}"
    world.invoke(undo={"source": key}, caller="dora", dry_run=False)


def _graduate(world: World, arns: list[str]) -> None:
    """An account in which nothing runs."""
    world.invoke(graduate={"account": EMPTY, "region": REGION}, caller="dora", dry_run=False)


def _culprit(world: World, arns: list[str]) -> None:
    """Somebody asks what calls on instances of two accounts."""
    world.invoke(culprit={"targets": arns})


def _capture(world: World, arns: list[str]) -> None:
    """Somebody has an instance watched for what calls."""
    asked = {"targets": arns[:1], "capture": True, "seconds": 60}
    world.invoke(culprit=asked, reason="a test", caller="dora", dry_run=False)


def _order(world: World, arns: list[str], *, dry_run: bool) -> None:
    world.invoke(targets=arns, caller="dora", dry_run=dry_run)


PATHS: Mapping[str, Path] = {
    "finding": Path(begin=_findings_arrive, act=_remediate),
    "finding that breaks": Path(begin=_findings_arrive, act=_remediate, breaks=True),
    "finding v2": Path(begin=_findings_v2_arrive, act=_remediate, found=False),
    "nonsense": Path(begin=_nonsense_arrives, act=_remediate),
    "canary": Path(begin=_findings_arrive, act=_remediate, policy={"canary": {"share": 0.1, "hours": 6}}),
    "revisit": Path(begin=_waiting, act=_revisit, policy={"change_calendar": "calendar"}),
    "notice": Path(begin=_findings_arrive, act=_remediate, policy={"notice_hours": 24}),
    "end of notice": Path(begin=_noticed, act=_revisit, policy={"notice_hours": 24}),
    "proof": Path(begin=_ripe, act=_guard),
    "rollback": Path(begin=_broken, act=_guard, breaks=True),
    "recall": Path(begin=_broken_late, act=_guard),
    "departure": Path(begin=_opened, act=_guard),
    "undo": Path(begin=_enforced, act=_undo, repeats=True),
    "manual dry run": Path(begin=_nothing, act=partial(_order, dry_run=True), found=False),
    "manual": Path(begin=_nothing, act=partial(_order, dry_run=False), found=False, repeats=True),
    "sources": Path(begin=_launched, act=_sources, found=False),
    "find": Path(begin=_enforced, act=_find),
    "finding of a source": Path(begin=_templates_are_found, act=_remediate, found=False),
    "reboot": Path(begin=_only_rebooted, act=_remediate),
    "start": Path(begin=_begin_to_run, act=_remediate, found=False),
    "images": Path(begin=_nothing, act=_images, found=False, repeats=True),
    "source change": Path(begin=_launched_by_template, act=_change_source, repeats=True),
    "source undo": Path(begin=_changed_source, act=_undo_source, repeats=True),
    "graduation": Path(begin=_nothing, act=_graduate, found=False, repeats=True),
    "culprit": Path(begin=_enforced, act=_culprit),
    "capture": Path(begin=_enforced, act=_capture, repeats=True),
    "digest": Path(
        begin=_left_to_the_digest, act=lambda world, _: world.digest(), policy={"digest": "daily"}, repeats=True
    ),
    "sweep dry run": Path(begin=_nothing, act=lambda world, _: world.sweep(dry_run=True), found=False),
    "sweep": Path(begin=_nothing, act=lambda world, _: world.sweep(dry_run=False), found=False, repeats=True),
}
