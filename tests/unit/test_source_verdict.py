"""The verdict on a source: what its next launch requires, and what the ledger says of its instances."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.verdict import Reason
from imdsv2.source.assembly import Source, assemble
from imdsv2.source.effect import OPTIONAL, REQUIRED, UNKNOWN, effect_of
from imdsv2.source.launching import Defaults, Fleet, Group, Image, Ref, Version
from imdsv2.source.origin import Kind, origin_of
from imdsv2.source.remedies import remedies_of
from imdsv2.source.verdict import USED, SourceVerdict, Word, holding, judge
from tests.unit.source_builders import (
    LAUNCHED,
    OWN_IMAGE,
    PLACE,
    PUBLIC_IMAGE,
    STACK,
    TEMPLATE,
    catalogue,
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

    from imdsv2.domain.instance import InstanceArn

CLEAN = Word(decision="enforce", reason="unused")
YOUNG = Word(decision="hold", reason="too_young")
NOT_OF_USE = sorted(set(Reason) - USED)
ENFORCED = {"imdsv2:enforced-at": "2026-11-01T00:00:00Z"}


def words(source: Source, *said: Word) -> dict[InstanceArn, Word]:
    """The ledger's words of a source's instances, in order; the last one for all that follow."""
    return {each.arn: said[min(number, len(said) - 1)] for number, each in enumerate(source.instances) if said}


# --- What the next launch requires ---------------------------------------------------------------------------------

NO_AMI = Image(id=PUBLIC_IMAGE)
V2_AMI = Image(id=OWN_IMAGE, own=True, requires=True)


@pytest.mark.parametrize(
    ("options", "defaults", "image", "tokens"),
    [
        ({"HttpTokens": "required"}, Defaults(tokens="optional"), NO_AMI, REQUIRED),
        ({"HttpTokens": "optional"}, Defaults(tokens="required"), V2_AMI, OPTIONAL),
        ({}, Defaults(tokens="required"), NO_AMI, REQUIRED),
        ({}, Defaults(tokens="optional"), V2_AMI, OPTIONAL),
        ({}, Defaults(), V2_AMI, REQUIRED),
        ({}, Defaults(), NO_AMI, OPTIONAL),
        ({}, Defaults(), None, OPTIONAL),
        ({}, None, V2_AMI, OPTIONAL),
        ({"HttpPutResponseHopLimit": 1}, Defaults(), V2_AMI, REQUIRED),
        ({"HttpEndpoint": "disabled"}, Defaults(), NO_AMI, REQUIRED),
    ],
)
def test_the_launch_decides_else_the_account_else_the_ami(
    options: Mapping[str, Any], defaults: Defaults | None, image: Image | None, tokens: str
) -> None:
    """EC2's order of precedence; where something cannot be read, it is not taken for a protection."""
    assert tokens == effect_of(options, defaults, image).tokens


def test_a_declarative_policy_is_called_by_its_name() -> None:
    """The account cannot change it."""
    effect = effect_of({}, Defaults(tokens="required", managed_by="declarative-policy"), None)
    assert "declarative policy is required" in effect.because


def test_one_override_that_allows_imdsv1_is_enough() -> None:
    """A mixed group launches from each of its templates."""
    source = mixed(main="2", other="5")
    assert [OPTIONAL, OPTIONAL] == [each.effect.tokens for each in source.launches]
    assert [(), ("m7g.large",)] == [each.ref.types for each in source.launches if each.ref]
    half = grouped(
        Group(name="half", arn="arn:half", refs=(Ref(id=TEMPLATE, version="1"), Ref(id=TEMPLATE, version="2"))),
        templates={TEMPLATE: template()},
        versions=versions(v1={"HttpTokens": "required"}, v2={}),
    )
    assert (OPTIONAL, [REQUIRED, OPTIONAL]) == (half.tokens, [each.effect.tokens for each in half.launches])


@pytest.mark.parametrize(("asked", "number"), [("$Default", 1), ("$Latest", 3), ("2", 2)])
def test_a_version_is_resolved(asked: str, number: int) -> None:
    """To the number that it is now."""
    source = grouped(
        Group(name="g", arn="arn:g", refs=(Ref(name="web", version=asked),)),
        templates={TEMPLATE: template(default=1, latest=3)},
        versions=versions(v1={}, v2={}, v3={}),
    )
    (launch,) = source.launches
    assert (asked, number) == (launch.ref and launch.ref.version, launch.version and launch.version.number)


def test_instances_that_this_service_changed_say_nothing_of_their_source() -> None:
    """What a stack or Karpenter launches is told from the newest instance that is as it was launched."""
    pool = {"karpenter.sh/nodepool": "p"}
    newer = LAUNCHED + timedelta(days=2)
    mine = instance(pool | ENFORCED, tokens="required", launched_at=newer)
    assert REQUIRED == source_of([instance(pool), instance(pool, tokens="required", launched_at=newer)], found()).tokens
    assert OPTIONAL == source_of([instance(pool), mine], found()).tokens
    assert OPTIONAL == source_of([mine], found()).tokens


def test_a_template_is_judged_by_its_default_and_older_versions_are_told() -> None:
    """Who names an older version goes on launching from it."""
    tags = {"aws:ec2launchtemplate:id": TEMPLATE, "aws:ec2launchtemplate:version": "1"}
    read = found(templates={TEMPLATE: template(default=2)}, versions=versions(v1={}, v2={"HttpTokens": "required"}))
    source = source_of([instance(tags)], read)
    judged = judge(source, {})
    assert SourceVerdict.ALREADY_REQUIRED is judged.verdict
    assert "Whoever still names an older version launches with IMDSv1: launch template web" in judged.explanation
    assert [False, True] == [each.past for each in source.launches]


# --- The verdict ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(catalogue()))
def test_a_source_with_clean_instances_is_to_be_fixed(kind: str) -> None:
    """Of any kind; the explanation says what allows IMDSv1 and what is known."""
    source = catalogue()[kind]
    judged = judge(source, words(source, CLEAN))
    assert SourceVerdict.FIX_SOURCE is judged.verdict, judged.explanation
    assert judged.explanation.startswith("Its next launch allows IMDSv1 (")
    assert source.tokens == OPTIONAL


@pytest.mark.parametrize("reason", sorted(USED))
def test_one_running_instance_that_is_held_for_use_holds_the_source(reason: str) -> None:
    """It is named, with the reason; a launch that requires tokens would break the same software."""
    source = with_template()
    judged = judge(source, words(source, Word(decision="hold", reason=reason), CLEAN))
    assert SourceVerdict.HOLD is judged.verdict
    assert {source.instances[0].arn: reason} == judged.held
    assert f"{source.instances[0].arn.instance_id} {reason}" in judged.explanation


def test_what_broke_holds_the_source_whatever_its_last_verdict() -> None:
    """Also an instance that was left broken with tokens required."""
    source = with_template()
    judged = judge(source, words(source, Word(decision="enforce", reason="unused", broken=True), CLEAN))
    assert (SourceVerdict.HOLD, ["broke_before"]) == (judged.verdict, list(judged.held.values()))


GROUP = "aws/222222222222/eu-west-1/group:web@lt-0a1b2c+2"
CALLED_AT = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
STRAY = Word(decision="hold", reason="v1_in_use", cohort=GROUP, decided_at=CALLED_AT, called_at=CALLED_AT)
LATER = Word(decision="enforce", reason="unused", cohort=GROUP, decided_at=CALLED_AT + timedelta(hours=28))


def test_a_stray_call_that_its_siblings_have_outweighed_holds_the_source_no_longer() -> None:
    """One of the same cohort was found to do without IMDSv1 after the call had been seen. The stray is named."""
    source = with_template()
    judged = judge(source, words(source, STRAY, LATER))
    assert (SourceVerdict.FIX_SOURCE, {}) == (judged.verdict, judged.held)
    assert f"{source.instances[0].arn.instance_id} are taken for strays or probes" in judged.explanation


@pytest.mark.parametrize(
    "sibling",
    [
        replace(LATER, decided_at=CALLED_AT + timedelta(hours=26)),
        replace(LATER, decided_at=None),
        replace(LATER, cohort=GROUP.replace("+2", "+3")),
        replace(LATER, cohort=None),
        replace(LATER, broken=True),
        replace(LATER, reason="canary_wait", decision="hold"),
        replace(LATER, reason="too_young", decision="hold"),
    ],
)
def test_who_was_judged_before_or_otherwise_outweighs_nothing(sibling: Word) -> None:
    """Nor does another version, nor what waits at a gate: a person may have accepted it."""
    source = with_template()
    assert SourceVerdict.HOLD is judge(source, words(source, STRAY, sibling)).verdict


@pytest.mark.parametrize(
    "stray",
    [
        *(replace(STRAY, reason=reason) for reason in sorted(USED - {"v1_in_use"})),
        replace(STRAY, called_at=None),
        replace(STRAY, broken=True),
    ],
)
def test_nothing_but_a_call_of_known_time_can_be_outweighed(stray: Word) -> None:
    """Not what broke, what was opened again, or what called at a start."""
    source = with_template()
    assert SourceVerdict.HOLD is judge(source, words(source, stray, LATER)).verdict


@pytest.mark.parametrize("key", ["image:ami-0d4e5f", "template:lt-0a1b2c@7+ami-0d4e5f"])
def test_where_members_may_run_anything_nothing_is_outweighed(key: str) -> None:
    """There, a sibling is judged by its own evidence, whatever others call."""
    source, cohort = with_template(), f"aws/222222222222/eu-west-1/{key}"
    said = words(source, replace(STRAY, cohort=cohort), replace(LATER, cohort=cohort))
    assert SourceVerdict.HOLD is judge(source, said).verdict


@pytest.mark.parametrize("state", ["stopped", "pending", "stopping"])
def test_what_does_not_run_does_not_hold_its_source(state: str) -> None:
    """Only running instances count."""
    tags = {"aws:autoscaling:groupName": "web"}
    group = Group(name="web", arn="arn:web", refs=(Ref(id=TEMPLATE),))
    read = found(groups={"web": group}, templates={TEMPLATE: template()}, versions=versions(v2={}))
    source = source_of([instance(tags, state=state), instance(tags)], read)
    assert SourceVerdict.FIX_SOURCE is judge(source, words(source, Word(reason="v1_in_use"), CLEAN)).verdict


@pytest.mark.parametrize("reason", [each for each in NOT_OF_USE if each not in {"unused", "cohort_unused"}])
def test_what_proves_nothing_neither_holds_nor_fixes(reason: str) -> None:
    """Beside a clean one it does no harm; alone it is no proof, unless a gate alone holds the instance."""
    source = with_template()
    word = Word(decision="hold", reason=reason)
    assert SourceVerdict.FIX_SOURCE is judge(source, words(source, word, CLEAN)).verdict
    alone = judge(source, words(source, word))
    assert (SourceVerdict.FIX_SOURCE if word.clean else SourceVerdict.HOLD) is alone.verdict
    assert word.clean == (
        reason
        in {"switched_off", "policy_unreadable", "suppressed", "breaker_open", "canary_wait"}
        | {"approval_required", "notice_given", "calendar_closed", "cap_reached"}
    )


def test_a_source_of_which_nothing_is_known_is_held() -> None:
    """The explanation says of how many what is missing, and what to do."""
    source = with_template()
    judged = judge(source, {})
    assert SourceVerdict.HOLD is judged.verdict
    assert (
        "None of its 2 running instances has been proved to do without IMDSv1 (2 not judged yet)" in judged.explanation
    )
    assert "1 too_young" in judge(source, {source.instances[0].arn: YOUNG}).explanation


def test_an_instance_that_requires_tokens_proves_that_its_software_does() -> None:
    """Whoever required them."""
    tags = {"aws:autoscaling:groupName": "web"}
    group = Group(name="web", arn="arn:web", refs=(Ref(id=TEMPLATE),))
    read = found(groups={"web": group}, templates={TEMPLATE: template()}, versions=versions(v2={}))
    assert SourceVerdict.FIX_SOURCE is judge(source_of([instance(tags, tokens="required")], read), {}).verdict


def test_nothing_that_runs_proves_nothing() -> None:
    """An empty source waits."""
    tags = {"aws:cloudformation:stack-name": "s", "aws:cloudformation:logical-id": "L"}
    judged = judge(source_of([instance(tags, state="stopped")], found()), {})
    assert SourceVerdict.HOLD is judged.verdict
    assert "start one" in judged.explanation


@pytest.mark.parametrize("word", [CLEAN, Word(reason="v1_in_use", decision="hold"), YOUNG])
def test_a_source_that_requires_tokens_needs_nothing(word: Word) -> None:
    """Whatever its instances do: they are judged one by one."""
    source = with_template(options={"HttpTokens": "required"})
    judged = judge(source, words(source, word))
    assert (SourceVerdict.ALREADY_REQUIRED, []) == (judged.verdict, remedies_of(source))
    assert "2 of its running instances still allow IMDSv1" in judged.explanation


def test_auto_mode_requires_tokens_by_itself() -> None:
    """And nobody can change it."""
    source = source_of([instance(managed_by="eks.amazonaws.com", tokens="required")], found())
    assert (SourceVerdict.ALREADY_REQUIRED, []) == (judge(source, {}).verdict, remedies_of(source))


@pytest.mark.parametrize(("tokens", "verdict"), [("required", "already_required"), ("optional", "hold")])
@pytest.mark.parametrize("principal", ["ecs.amazonaws.com", "workspaces.amazonaws.com"])
def test_other_managed_instances_are_as_they_are_shown(principal: str, tokens: str, verdict: str) -> None:
    """Only their service can change them; there is nothing to copy."""
    source = source_of([instance(managed_by=principal, tokens=tokens)], found())
    assert (verdict, []) == (judge(source, {}).verdict, remedies_of(source))


@pytest.mark.parametrize(
    ("tags", "read", "told"),
    [
        ({"aws:autoscaling:groupName": "g"}, found(), "The Auto Scaling group g is gone."),
        (
            {"aws:autoscaling:groupName": "g"},
            found(problems={"Auto Scaling groups": "The Auto Scaling groups cannot be read (AccessDenied)."}),
            "cannot be read (AccessDenied)",
        ),
        (
            {"aws:autoscaling:groupName": "g"},
            found(groups={"g": Group(name="g", arn="a", configuration="c")}),
            "launch configuration c",
        ),
        (
            {"aws:autoscaling:groupName": "g"},
            found(groups={"g": Group(name="g", arn="a", refs=(Ref(id="lt-9", version="3"),))}),
            "launch template lt-9, version 3",
        ),
        ({"aws:ec2spot:fleet-request-id": "sfr-1"}, found(), "EC2 no longer shows it."),
        (
            {"aws:autoscaling:groupName": "g"},
            found(groups={"g": Group(name="g", arn="a")}),
            "not known what it launches",
        ),
    ],
)
def test_what_cannot_be_read_is_held(tags: Mapping[str, str], read: Any, told: str) -> None:
    """With the reason; nothing is proposed."""
    source = source_of([instance(tags)], read)
    judged = judge(source, words(source, CLEAN))
    assert SourceVerdict.HOLD is judged.verdict
    assert told in judged.explanation
    assert UNKNOWN == source.tokens or read.groups
    assert [] == [each for each in remedies_of(source) if "lt-9" in each.text]
    assert [] == holding([source])


def test_a_fleet_that_ec2_has_forgotten_is_known_by_its_template() -> None:
    """Fleets of the type `instant` are; their instances name the template."""
    tags = {
        "aws:ec2:fleet-id": "fleet-1",
        "aws:ec2launchtemplate:id": TEMPLATE,
        "aws:ec2launchtemplate:version": "1",
    }
    source = source_of([instance(tags)], found(templates={TEMPLATE: template()}, versions=versions(v1={})))
    assert SourceVerdict.FIX_SOURCE is judge(source, words(source, CLEAN)).verdict


def test_a_spot_fleet_of_specifications_has_nowhere_to_say_it() -> None:
    """They know no metadata options: the account's default is what is left."""
    read = found(fleets={"sfr-1": Fleet(id="sfr-1", specifications=2)})
    source = source_of([instance({"aws:ec2spot:fleet-request-id": "sfr-1"})], read)
    assert "2 launch specifications, which know no metadata options" in judge(source, {}).explanation
    (remedy,) = remedies_of(source)
    assert "modify-instance-metadata-defaults" in remedy.text


def test_owners_are_named_where_the_change_belongs() -> None:
    """Of the group and of the template, each for itself."""
    source = with_template(template_tags=STACK, tags={"ManagedBy": "Terraform"})
    judged = judge(source, words(source, CLEAN))
    assert (
        "launch template web belongs to CloudFormation stack shop-prod, logical id WebTemplate8F1B"
        in judged.explanation
    )
    assert "Auto Scaling group web belongs to Terraform" in judged.explanation


def test_what_launched_most_comes_first() -> None:
    """Of the running instances that allow IMDSv1."""
    boxes = [instance(image=f"ami-{number}") for number in (1, 2, 2, 3, 3, 3)]
    boxes += [instance(image="ami-4", tokens="required") for _ in range(9)]
    origins: dict[Any, list[Any]] = {}
    for each in boxes:
        origins.setdefault(origin_of(each), []).append(each)
    assert ["ami-3", "ami-2", "ami-1", "ami-4"] == [each.origin.name for each in assemble(PLACE, origins, found())]


@pytest.mark.parametrize("named", ["", "resolve:ssm:/aws/service/ami"])
def test_where_the_template_names_no_ami_the_newest_instance_shows_it(named: str) -> None:
    """EKS, Batch and fleets give it at the launch."""
    tags = {"aws:ec2launchtemplate:id": TEMPLATE, "aws:ec2launchtemplate:version": "1"}
    newest = instance(tags, image=OWN_IMAGE, launched_at=LAUNCHED + timedelta(days=1))
    read = found(
        images={OWN_IMAGE: Image(id=OWN_IMAGE, own=True, requires=True)},
        templates={TEMPLATE: template(default=1, latest=1)},
        versions={(TEMPLATE, 1): Version(template=TEMPLATE, number=1, image=named)},
    )
    assert REQUIRED == source_of([instance(tags), newest], read).tokens


def test_an_instance_of_a_stack_is_changed_itself_not_its_template() -> None:
    """Another version of the template would replace it."""
    tags = {**STACK, "aws:ec2launchtemplate:id": TEMPLATE, "aws:ec2launchtemplate:version": "2"}
    read = found(templates={TEMPLATE: template(tags=STACK)}, versions=versions(v2={}))
    remedies = remedies_of(source_of([instance(tags)], read))
    assert ["cloudformation", "cdk-python", "cdk-typescript"] == [str(each.language) for each in remedies]
    assert {None} == {each.replaces for each in remedies}
    assert "AWS::EC2::Instance" in remedies[0].text


def test_own_amis_that_do_not_require_tokens_are_found() -> None:
    """Those of others are not for this account to change."""
    assert [OWN_IMAGE] == [each.id for each in source_of([instance(image=OWN_IMAGE)], found()).open_images]
    assert [] == source_of([instance()], found()).open_images
    required = {OWN_IMAGE: Image(id=OWN_IMAGE, own=True, requires=True)}
    assert [] == source_of([instance(image=OWN_IMAGE)], found(images=required)).open_images


WORDS = st.builds(
    Word,
    decision=st.sampled_from([None, "enforce", "hold", "skip"]),
    reason=st.sampled_from([None, *sorted(USED), *NOT_OF_USE]),
    broken=st.booleans(),
)
RANK = [SourceVerdict.HOLD, SourceVerdict.FIX_SOURCE]


@given(st.lists(st.none() | WORDS, min_size=1, max_size=5), st.sampled_from(sorted(USED)))
def test_use_never_makes_a_verdict_more_permissive(said: list[Word | None], reason: str) -> None:
    """Nor does knowing less."""
    tags = {"aws:autoscaling:groupName": "web"}
    group = Group(name="web", arn="arn:web", refs=(Ref(id=TEMPLATE),))
    read = found(groups={"web": group}, templates={TEMPLATE: template()}, versions=versions(v2={}))
    source = source_of([instance(tags) for _ in said], read)
    known = {each.arn: word for each, word in zip(source.instances, said, strict=True) if word is not None}
    before = RANK.index(judge(source, known).verdict)
    first = source.instances[0].arn
    assert RANK.index(judge(source, known | {first: Word(decision="hold", reason=reason)}).verdict) <= before
    without = {arn: word for arn, word in known.items() if arn != first}
    if not known.get(first, Word()).used:
        assert RANK.index(judge(source, without).verdict) <= before


def test_every_kind_of_source_has_been_tried() -> None:
    """Those that only a service can change are tried by themselves."""
    tried = {source.origin.kind for source in catalogue().values()}
    assert set(Kind) - tried == {Kind.EKS_AUTO_MODE, Kind.ECS_MANAGED_INSTANCES, Kind.OTHER_SERVICE}
