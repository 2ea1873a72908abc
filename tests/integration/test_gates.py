"""The gates in the whole pipeline: each holds and opens again, in order, and once more right before EC2."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from imdsv2.domain.cohort import Cohort
from imdsv2.domain.request import Source
from imdsv2.ledger.trail import Author
from tests.fixtures.events import finding
from tests.integration.builders import IMAGE, MEMBER, OTHER, REGION, arn_of, asked, count_broken
from tests.integration.guarding import watch_use
from tests.world.records import change

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import InstanceArn
    from imdsv2.line.judgement import Judgement
    from tests.integration.answers import Call
    from tests.integration.builders import Cloud

KEY = f"aws/{MEMBER}"
COHORT = f"aws/{MEMBER}/{REGION}/image:{IMAGE}"
BY_PERSON = [Source.MANUAL, Source.CUSTOM_ACTION]
HOUR = timedelta(hours=1)


def run(cloud: Cloud, arn: InstanceArn, source: Source = Source.CONFIG, **how: Any) -> Judgement:
    """One function instance, once."""
    outcomes = cloud.line().run([asked(arn, source)], "request-1", **how)
    assert {} == outcomes.failed
    return outcomes.judged[arn]


def wait(cloud: Cloud, arn: InstanceArn, **by: float) -> None:
    """Time passes while the instance runs and calls nothing."""
    cloud.clock.move(**by)
    watch_use(cloud, arn, days=4)


def write(cloud: Cloud, arn: InstanceArn, **attributes: Any) -> None:
    """Write a person's decision, or the guard's, to the ledger."""
    ledger = cloud.ledger()
    entry = ledger.read([arn])[arn]
    assert set() == ledger.write([change(entry, **attributes)], cloud.clock()).lost


def approve(cloud: Cloud, arn: InstanceArn, word: str = "approved", *, hours: float = 168) -> None:
    """Alice approves or refuses."""
    now = cloud.clock()
    approval = {
        "word": word,
        "by": "alice",
        "request_id": "request-9",
        "at": now,
        "expires_at": now + timedelta(hours=hours),
    }
    write(cloud, arn, approval=approval)


def suppress(cloud: Cloud, arn: InstanceArn, workflow: str = "SUPPRESSED") -> None:
    """Someone sets the workflow status of the instance's finding, which the ledger knows."""
    failed = finding(str(arn))
    if failed["Id"] not in cloud.hub.findings:
        request = asked(arn, finding=failed)
        assert request.finding is not None
        ledger = cloud.ledger()
        ledger.write([change(ledger.read([arn])[arn], request.finding)], cloud.clock())
    cloud.hub.holds(failed, workflow=workflow)


BROKEN = arn_of("b")
"""Another instance of the cohort."""


def break_cohort(cloud: Cloud, _: InstanceArn) -> None:
    """The guard has just found that another instance of the cohort broke."""
    cloud.cohorts().change(
        COHORT,
        lambda known: Cohort(key=known.key, version=known.version, broken_by=BROKEN, broken_at=cloud.clock()),
    )


def clear_cohort(cloud: Cloud, _: InstanceArn) -> None:
    """A person has cleared the broken instance."""
    write(cloud, BROKEN, cleared_at=cloud.clock())


def calendar(cloud: Cloud, state: str, **more: str) -> None:
    """SSM's answer for every calendar from now on."""
    cloud.wire.fake("GetCalendarState", lambda _: {"State": state, **more})


def policy(cloud: Cloud, **fields: Any) -> None:
    """Write the policy, with canaries and a calendar in it, so that their gates are active."""
    asked_of_all = {"mode": "enforce", "canary": {"share": 1.0, "hours": 24}, "change_calendar": "freeze"}
    cloud.policy(**(asked_of_all | fields))


@dataclass(frozen=True, kw_only=True)
class Gate:
    """How to close a gate for an instance, and how to open it again."""

    reason: str
    shut: Callable[[Cloud, InstanceArn], object]
    open: Callable[[Cloud, InstanceArn], object]


def _fill(cloud: Cloud, arn: InstanceArn) -> None:
    policy(cloud, max_enforcements_per_hour=3)
    assert 3 == cloud.accounts().reserve(arn, 3, 3, cloud.clock(), cloud.clock())[0].count


GATES = [
    Gate(reason="switched_off", shut=lambda cloud, _: policy(cloud, mode="off"), open=lambda cloud, _: policy(cloud)),
    Gate(reason="policy_unreadable", shut=lambda cloud, _: cloud.raw_policy("{"), open=lambda cloud, _: policy(cloud)),
    Gate(reason="suppressed", shut=suppress, open=lambda cloud, arn: suppress(cloud, arn, "NEW")),
    Gate(
        reason="breaker_open",
        shut=lambda cloud, _: count_broken(cloud.accounts(), KEY, 3, 3, cloud.clock()),
        open=lambda cloud, _: cloud.accounts().close_breaker(KEY, "alice", Author(caller="alice"), cloud.clock()),
    ),
    Gate(reason="approval_required", shut=lambda cloud, _: policy(cloud, approval="required"), open=approve),
    Gate(
        reason="notice_given",
        shut=lambda cloud, _: policy(cloud, notice_hours=2),
        open=lambda cloud, arn: wait(cloud, arn, hours=2),
    ),
    Gate(reason="canary_wait", shut=break_cohort, open=clear_cohort),
    Gate(
        reason="calendar_closed",
        shut=lambda cloud, _: calendar(cloud, "CLOSED"),
        open=lambda cloud, _: calendar(cloud, "OPEN"),
    ),
    Gate(reason="cap_reached", shut=_fill, open=lambda cloud, arn: wait(cloud, arn, minutes=61)),
]
"""In the order in which they are checked."""

each_gate = pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.reason)


@pytest.fixture
def arn(cloud: Cloud) -> InstanceArn:
    """An instance for which every gate is open."""
    policy(cloud)
    calendar(cloud, "OPEN")
    return cloud.one()


# --- Each of them --------------------------------------------------------------------------------------------------


@each_gate
def test_a_gate_that_is_shut_holds_and_lets_go_once_it_is_open(gate: Gate, cloud: Cloud, arn: InstanceArn) -> None:
    """Meanwhile nothing is changed or tagged; the instance is re-evaluated automatically."""
    gate.shut(cloud, arn)
    judged = run(cloud, arn)
    assert ("hold", gate.reason, "held") == (judged.verdict.decision, judged.verdict.reason, judged.status)
    assert ([], {}, ["held"]) == (cloud.changes(), cloud.tags(arn), cloud.history(arn))
    assert cloud.clock() < datetime.fromisoformat(cloud.current(arn)["revisit_at"])
    gate.open(cloud, arn)
    run(cloud, arn, Source.REVISIT)
    assert ("required", ["held", "enforcing", "enforced"]) == (cloud.tokens(arn), cloud.history(arn))


@each_gate
@pytest.mark.parametrize("source", BY_PERSON)
def test_a_gate_binds_whoever_asks(gate: Gate, source: Source, cloud: Cloud, arn: InstanceArn) -> None:
    """A person who wants the change must open the gate, which is visible to everyone."""
    gate.shut(cloud, arn)
    assert gate.reason == run(cloud, arn, source).verdict.reason
    assert [] == cloud.changes()


@each_gate
def test_a_dry_run_shows_the_gate_and_writes_nothing(gate: Gate, cloud: Cloud, arn: InstanceArn) -> None:
    """Except for the mode: when switched off, a dry run still answers what would happen."""
    gate.shut(cloud, arn)
    before = cloud.items()
    judged = run(cloud, arn, Source.MANUAL, dry_run=True)
    expected = ("enforce", "unused") if gate.reason == "switched_off" else ("hold", gate.reason)
    assert expected == (judged.verdict.decision, judged.verdict.reason)
    assert before == cloud.items()
    assert ([], []) == (cloud.changes(), cloud.published())


@each_gate
def test_a_gate_holds_only_where_it_would_be_enforced(gate: Gate, cloud: Cloud, arn: InstanceArn) -> None:
    """If the evidence holds an instance, that is reported: opening a gate would not help."""
    used = cloud.one(use=1.0)
    gate.shut(cloud, used)
    assert "v1_in_use" == run(cloud, used).verdict.reason


def test_the_gates_are_asked_in_their_order(cloud: Cloud, arn: InstanceArn) -> None:
    """All are closed, then opened one after the other: the first obstacle is reported first."""
    fields = {"approval": "required", "notice_hours": 2, "max_enforcements_per_hour": 3}
    policy(cloud, **fields, mode="off")
    suppress(cloud, arn)
    count_broken(cloud.accounts(), KEY, 3, 3, cloud.clock())
    break_cohort(cloud, arn)
    calendar(cloud, "CLOSED")
    cloud.accounts().reserve(arn, 3, 3, cloud.clock(), cloud.clock())
    document = json.dumps(
        {"mode": "enforce", "canary": {"share": 1.0, "hours": 24}, "change_calendar": "freeze", **fields}
    )

    def refuse_policy() -> None:
        cloud.raw_policy(document)
        cloud.line().policies.keep(cloud.clock())
        cloud.raw_policy("{")

    def notice_ends() -> None:
        cloud.quiet(arn, hours=2)
        cloud.accounts().reserve(arn, 3, 3, cloud.clock(), cloud.clock())

    steps: list[Callable[[], object]] = [
        refuse_policy,
        lambda: cloud.raw_policy(document),
        lambda: suppress(cloud, arn, "NEW"),
        lambda: cloud.accounts().close_breaker(KEY, "alice", Author(caller="alice"), cloud.clock()),
        lambda: approve(cloud, arn),
        notice_ends,
        lambda: clear_cohort(cloud, arn),
        lambda: calendar(cloud, "OPEN"),
        lambda: cloud.quiet(arn, hours=61 / 60),
    ]
    seen = [run(cloud, arn).verdict.reason]
    for step in steps:
        step()
        seen.append(run(cloud, arn).verdict.reason)
    assert [*(gate.reason for gate in GATES), "unused"] == seen
    assert "required" == cloud.tokens(arn)


# --- Right before EC2 ----------------------------------------------------------------------------------------------

ANY_MOMENT = [gate for gate in GATES if gate.reason not in {"approval_required", "notice_given", "cap_reached"}]


@pytest.mark.parametrize("gate", ANY_MOMENT, ids=lambda gate: gate.reason)
def test_a_gate_that_shuts_between_the_ledger_and_ec2_still_holds(gate: Gate, cloud: Cloud, arn: InstanceArn) -> None:
    """Nothing is changed, the tag is removed, the cap's capacity is returned; once the gate is open, the change is
    made."""
    policy(cloud, max_enforcements_per_hour=5)
    suppress(cloud, arn, "NEW")

    def shut(_: Call) -> None:
        if not late:
            late.append(True)
            cloud.clock.move(seconds=30)
            gate.shut(cloud, arn)

    late: list[bool] = []
    cloud.wire.on("CreateTags", shut)
    assert gate.reason == run(cloud, arn).verdict.reason
    assert ([], {}, ["enforcing", "held"]) == (cloud.changes(), cloud.tags(arn), cloud.history(arn))
    assert not {"lease_until", "owner"} & set(cloud.current(arn))
    assert 5 == cloud.accounts().of(arn).room(REGION, 5, cloud.clock())
    gate.open(cloud, arn)
    run(cloud, arn, Source.REVISIT)
    assert "required" == cloud.tokens(arn)


def test_a_policy_that_only_observes_by_now_leaves_it_at_would_enforce(cloud: Cloud, arn: InstanceArn) -> None:
    """Someone sets the mode back during the run."""

    def observe(_: Call) -> None:
        cloud.clock.move(seconds=30)
        policy(cloud, mode="observe")

    cloud.wire.on("CreateTags", observe)
    assert "would_enforce" == run(cloud, arn).status
    assert ([], {}, ["enforcing", "would_enforce"]) == (cloud.changes(), cloud.tags(arn), cloud.history(arn))
    assert 5 == room(cloud, arn)


# --- Caps ----------------------------------------------------------------------------------------------------------


def room(cloud: Cloud, arn: InstanceArn) -> int:
    """How many more of five may be enforced in the instance's account and Region."""
    return cloud.accounts().of(arn).room(arn.region, 5, cloud.clock())


def test_of_many_as_many_as_the_cap_are_changed(cloud: Cloud) -> None:
    """The explanations give the others' time; an hour later they are changed."""
    cloud.policy(mode="enforce", max_enforcements_per_hour=3)
    arns = cloud.launch(count=5)
    requests = [asked(each, Source.REVISIT) for each in arns]
    cloud.line().run(requests, "request-1")
    assert 3 == len(cloud.changes())
    waiting = [each for each in arns if cloud.tokens(each) == "optional"]
    assert {"cap_reached"} == {cloud.current(each)["reason"] for each in waiting}
    assert {"2026-11-20 13:01"} == {cloud.current(each)["explanation"].split(" after ")[1][:16] for each in waiting}
    cloud.clock.move(minutes=59)
    cloud.line().run(requests, "request-2")
    assert 3 == len(cloud.changes())
    cloud.clock.move(minutes=2)
    cloud.line().run(requests, "request-3")
    assert ["required"] * 5 == [cloud.tokens(each) for each in arns]


def test_each_account_and_region_has_its_own_cap(cloud: Cloud) -> None:
    """A full cap does not hold the others."""
    cloud.policy(mode="enforce", max_enforcements_per_hour=1)
    places = [(MEMBER, REGION), (MEMBER, "us-east-1"), (OTHER, REGION)]
    arns = [each for account, region in places for each in cloud.launch(account=account, region=region, count=2)]
    cloud.line().run([asked(each, Source.REVISIT) for each in arns], "request-1")
    changed = {(each.account, each.region) for each in arns if cloud.tokens(each) == "required"}
    assert (set(places), 3) == (changed, len(cloud.changes()))


def test_those_that_go_first_go_first_under_the_cap_too(cloud: Cloud) -> None:
    """Canaries get capacity before open cohorts, because other instances wait for them."""
    cloud.policy(mode="enforce", canary={"share": 0.1, "hours": 24}, max_enforcements_per_hour=2)
    *rest, canary = cloud.launch(count=4)
    for each in rest:
        cloud.instance(each).image_id = "ami-0000000f"
    opened = Cohort(key=COHORT.replace(IMAGE, "ami-0000000f"), canaries=(BROKEN,), wanted=1, opened_at=cloud.clock())
    assert cloud.cohorts().save(opened)
    cloud.line().run([asked(each, Source.REVISIT) for each in [*rest, canary]], "request-1")
    assert (2, "required") == (len(cloud.changes()), cloud.tokens(canary))


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("ModifyInstanceMetadataOptions", "UnsupportedOperation"),
        ("ModifyInstanceMetadataOptions", "RequestLimitExceeded"),
        ("CreateTags", "UnauthorizedOperation"),
        ("AssumeRole", "AccessDenied"),
    ],
)
def test_room_that_is_not_used_is_given_back(operation: str, code: str, cloud: Cloud, arn: InstanceArn) -> None:
    """EC2 refuses, or the account cannot be entered: others may use the capacity."""
    policy(cloud, max_enforcements_per_hour=5)
    write_role = "imdsv2-remediation-write"
    cloud.wire.refuse(
        operation, code, when=lambda call: operation != "AssumeRole" or write_role in call.params["RoleArn"]
    )
    run(cloud, arn)
    assert ("optional", 5) == (cloud.tokens(arn), room(cloud, arn))


def test_room_of_what_others_were_quicker_to_judge_is_given_back(cloud: Cloud, arn: InstanceArn) -> None:
    """Two functions reserve for the same instance; one changes it."""
    policy(cloud, max_enforcements_per_hour=5)
    once = [True]

    def overtake(_: Call) -> None:
        if once.pop() if once else False:
            run(cloud, arn)

    cloud.wire.on("GetMetricData", overtake)
    cloud.line().run([asked(arn, Source.CONFIG)], "request-2")
    assert (1, 4) == (len(cloud.changes()), room(cloud, arn))


def test_room_of_what_may_have_been_changed_is_not_given_back(cloud: Cloud, arn: InstanceArn) -> None:
    """EC2 did not answer: the outcome is unknown, so it counts."""
    policy(cloud, max_enforcements_per_hour=5)

    def silence(_: Call) -> None:
        raise ReadTimeoutError(endpoint_url="https://ec2")

    cloud.wire.on("ModifyInstanceMetadataOptions", silence)
    cloud.line().run([asked(arn, Source.CONFIG)], "request-1")
    assert ("enforcing", 4) == (cloud.current(arn)["status"], room(cloud, arn))


def test_what_was_done_is_recorded_though_room_cannot_be_given_back(cloud: Cloud) -> None:
    """The count errs on the safe side; the ledger's record of changes is exact."""
    cloud.policy(mode="enforce", max_enforcements_per_hour=5)
    refused, changed = cloud.launch(count=2)
    cloud.wire.refuse(
        "ModifyInstanceMetadataOptions",
        "UnsupportedOperation",
        when=lambda call: call.params["InstanceId"] == refused.instance_id,
    )
    cloud.wire.on("ModifyInstanceMetadataOptions", lambda _: full.append(True))
    full: list[bool] = []
    cloud.wire.refuse("PutItem", "InternalServerError", when=lambda _: bool(full))
    cloud.line().run([asked(each, Source.CONFIG) for each in (refused, changed)], "request-1")
    assert ("enforced", True) == (cloud.current(changed)["status"], cloud.current(changed)["confirmed"])
    assert "failed" == cloud.current(refused)["status"]


def test_a_dry_run_tells_when_there_will_be_room(cloud: Cloud) -> None:
    """Like the real run, but without a reservation."""
    cloud.policy(mode="enforce", max_enforcements_per_hour=2)
    requests = [asked(each, Source.MANUAL) for each in cloud.launch(count=3)]
    dry = cloud.line().run(requests, "request-1", dry_run=True).judged
    assert [] == cloud.items()
    real = cloud.line().run(requests, "request-2").judged
    assert sorted(each.verdict.explanation for each in real.values()) == sorted(
        each.verdict.explanation for each in dry.values()
    )
    assert 1 == sum(each.verdict.reason == "cap_reached" for each in dry.values())


# --- Approval ------------------------------------------------------------------------------------------------------


def test_an_approval_is_spent_once(cloud: Cloud, arn: InstanceArn) -> None:
    """The event keeps the approver's name; the next change of the instance needs another approval."""
    policy(cloud, approval="required")
    run(cloud, arn)
    approve(cloud, arn)
    run(cloud, arn, Source.REVISIT)
    (event,) = [each for each in cloud.items() if each["pk"] == str(arn) and each.get("status") == "enforcing"]
    assert "alice, request request-9" == event["approved_by"]
    assert "approval" not in cloud.current(arn)
    cloud.set_options(arn, http_tokens="optional")
    write(cloud, arn, cleared_at=cloud.clock.tick())
    cloud.clock.move(minutes=30)
    assert "approval_required" == run(cloud, arn).verdict.reason


def test_an_attempt_that_ec2_refuses_spends_the_approval(cloud: Cloud, arn: InstanceArn) -> None:
    """The approver decides whether to retry."""
    policy(cloud, approval="required")
    run(cloud, arn)
    approve(cloud, arn)
    cloud.wire.refuse("ModifyInstanceMetadataOptions", "UnsupportedOperation", times=1)
    run(cloud, arn, Source.REVISIT)
    assert "approval_required" == run(cloud, arn, Source.REVISIT).verdict.reason


def test_an_approval_expires(cloud: Cloud, arn: InstanceArn) -> None:
    """The approval applied to the evidence of that time."""
    policy(cloud, approval="required")
    run(cloud, arn)
    approve(cloud, arn, hours=3)
    cloud.quiet(arn, hours=3)
    judged = run(cloud, arn, Source.REVISIT)
    assert "approval_required" == judged.verdict.reason
    assert "The approval by alice expired" in judged.verdict.explanation
    assert [] == cloud.changes()


def test_what_was_refused_waits_for_another_word(cloud: Cloud, arn: InstanceArn) -> None:
    """Until someone approves it after all."""
    policy(cloud, approval="required")
    run(cloud, arn)
    approve(cloud, arn, "refused")
    assert "alice refused the change" in run(cloud, arn, Source.REVISIT).verdict.explanation
    approve(cloud, arn)
    assert "enforced" == run(cloud, arn, Source.REVISIT).status


def test_an_approval_does_not_stand_in_for_evidence(cloud: Cloud, arn: InstanceArn) -> None:
    """The evidence is checked again at the time of the change."""
    policy(cloud, approval="required")
    run(cloud, arn)
    approve(cloud, arn)
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", [int(cloud.clock().timestamp() // 3600) - 2], 3.0)
    assert "v1_in_use" == run(cloud, arn, Source.REVISIT).verdict.reason
    assert [] == cloud.changes()


def test_nobody_is_said_to_have_approved_what_he_refused(cloud: Cloud, arn: InstanceArn) -> None:
    """Approval is no longer required, but a refusal from before remains."""
    policy(cloud, approval="required")
    run(cloud, arn)
    approve(cloud, arn, "refused")
    policy(cloud)
    assert "enforced" == run(cloud, arn, Source.REVISIT).status
    assert not [each for each in cloud.items() if "approved_by" in each]


# --- Notice --------------------------------------------------------------------------------------------------------


def messages(cloud: Cloud) -> list[str]:
    """The subjects of the messages so far, in order; clears them."""
    subjects = [str(each["Subject"]) for each in cloud.published()]
    cloud.wire.calls.clear()
    return subjects


def test_notice_is_given_once_and_then_the_change_is_made(cloud: Cloud, arn: InstanceArn) -> None:
    """However often it is judged meanwhile; the change is reported separately."""
    policy(cloud, notice_hours=48)
    run(cloud, arn)
    assert [f"IMDSv1 will be switched off: 1 instance of {MEMBER} (notice_given)"] == messages(cloud)
    told = cloud.current(arn)["notice_ends_at"]
    for _ in range(3):
        cloud.quiet(arn, hours=15)
        run(cloud, arn, Source.REVISIT)
    assert ([], told) == (messages(cloud), cloud.current(arn)["notice_ends_at"])
    assert [] == cloud.changes()
    cloud.quiet(arn, hours=3)
    run(cloud, arn, Source.REVISIT)
    assert ("required", 1) == (cloud.tokens(arn), len(messages(cloud)))
    assert "notice_ends_at" not in cloud.current(arn)


def test_nothing_is_announced_in_the_mode_observe(cloud: Cloud, arn: InstanceArn) -> None:
    """A person asks for the change, and nothing would follow the notice; once the mode is enforce, it is given."""
    policy(cloud, notice_hours=48, mode="observe")
    run(cloud, arn, Source.MANUAL)
    current = cloud.current(arn)
    assert ("held", "switched_off") == (current["status"], current["reason"])
    assert "48 hours of notice" in current["explanation"]
    assert "notice_ends_at" not in current
    assert not [each for each in messages(cloud) if "will be switched off" in each]
    assert [] == cloud.changes()
    policy(cloud, notice_hours=48)
    run(cloud, arn, Source.REVISIT)
    assert "notice_given" == cloud.current(arn)["reason"]


def test_a_notice_is_judged_again_when_it_ends(cloud: Cloud, arn: InstanceArn) -> None:
    """Not before, nor much later."""
    policy(cloud, notice_hours=48)
    run(cloud, arn)
    current = cloud.current(arn)
    late = datetime.fromisoformat(current["revisit_at"]) - datetime.fromisoformat(current["notice_ends_at"])
    assert timedelta() <= late <= timedelta(minutes=10)


def test_when_notice_ends_the_evidence_decides_anew(cloud: Cloud, arn: InstanceArn) -> None:
    """Use that appears meanwhile ends the notice; once the use is out of the window, there is a new one."""
    policy(cloud, notice_hours=48, lookback_days=10)
    run(cloud, arn)
    cloud.clock.move(hours=48)
    hour = int(cloud.clock().timestamp() // 3600)
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(hour - 48, hour))
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", [hour - 5], 1.0)
    assert "v1_in_use" == run(cloud, arn, Source.REVISIT).verdict.reason
    assert "notice_ends_at" not in cloud.current(arn)
    messages(cloud)
    cloud.clock.move(days=10)
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(hour, hour + 240))
    assert "notice_given" == run(cloud, arn, Source.REVISIT).verdict.reason
    assert ["IMDSv1 will be switched off: 1 instance of 222222222222 (notice_given)"] == messages(cloud)
    assert [] == cloud.changes()


def test_a_notice_outlives_a_change_that_was_stopped_before_ec2(cloud: Cloud, arn: InstanceArn) -> None:
    """The owner was notified, and nothing has happened since: once the service is switched on, there is no second
    notice."""
    policy(cloud, notice_hours=48)
    run(cloud, arn)
    messages(cloud)
    cloud.quiet(arn, hours=48)
    late = [True]

    def switch_off(_: Call) -> None:
        if late.pop() if late else False:
            cloud.clock.move(seconds=30)
            policy(cloud, notice_hours=48, mode="off")

    cloud.wire.on("CreateTags", switch_off)
    assert "switched_off" == run(cloud, arn, Source.REVISIT).verdict.reason
    policy(cloud, notice_hours=48)
    cloud.quiet(arn, hours=1)
    assert "enforced" == run(cloud, arn, Source.REVISIT).status


def test_an_owner_gets_one_message_for_all_places(cloud: Cloud) -> None:
    """With every instance in it; without an owner tag, the account is the owner. The policy names the tag."""
    cloud.policy(mode="enforce", notice_hours=48, owner_tag="team")
    web = [
        cloud.one(tags={"team": "web"}),
        cloud.one(tags={"team": "web"}, region="us-east-1"),
        cloud.one(tags={"team": "web"}, account=OTHER),
    ]
    batch, nobody = cloud.one(tags={"team": "batch", "owner": "web"}), cloud.one(tags={"owner": "web"})
    cloud.line().run([asked(each, Source.CONFIG) for each in [*web, batch, nobody]], "request-1")
    published = {each["MessageAttributes"]["owner"]["StringValue"]: each["Message"] for each in cloud.published()}
    assert ({"web", "batch", MEMBER}, 3) == (set(published), len(cloud.published()))
    assert all(str(each) in published["web"] for each in web)
    assert str(batch) in published["batch"]
    assert "Owner: web." in published["web"]


@pytest.mark.parametrize("after", [1, 48, 72])
def test_a_notice_that_reached_nobody_begins_when_it_does(after: int, cloud: Cloud, arn: InstanceArn) -> None:
    """On a later evaluation: the change is never the owner's first message."""
    policy(cloud, notice_hours=48)
    cloud.wire.refuse("Publish", "InternalErrorException", times=1)
    run(cloud, arn)
    messages(cloud)
    for hours in (after, 47):
        cloud.quiet(arn, hours=hours)
        assert "notice_given" == run(cloud, arn, Source.REVISIT).verdict.reason
    assert [f"IMDSv1 will be switched off: 1 instance of {MEMBER} (notice_given)"] == messages(cloud)
    cloud.quiet(arn, hours=1)
    assert "enforced" == run(cloud, arn, Source.REVISIT).status


def test_whoever_objects_by_tag_is_left_alone(cloud: Cloud, arn: InstanceArn) -> None:
    """As the notice explains; when the exemption has ended, the owner gets a new notice."""
    policy(cloud, notice_hours=48)
    run(cloud, arn)
    cloud.as_account(MEMBER, "ec2").create_tags(
        Resources=[arn.instance_id], Tags=[{"Key": "imdsv2:exempt-until", "Value": "2026-11-24"}]
    )
    cloud.clock.move(hours=49)
    assert "exempt" == run(cloud, arn, Source.REVISIT).verdict.reason
    cloud.clock.move(days=3)
    hour = int(cloud.clock().timestamp() // 3600)
    cloud.metrics.put(arn.instance_id, "MetadataNoToken", range(hour - 130, hour))
    messages(cloud)
    assert "notice_given" == run(cloud, arn, Source.REVISIT).verdict.reason
    assert [f"IMDSv1 will be switched off: 1 instance of {MEMBER} (notice_given)"] == messages(cloud)
    assert [] == cloud.changes()


# --- The calendar --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["InvalidDocument", "AccessDeniedException", "InternalServerError"])
def test_a_calendar_that_cannot_be_read_holds(code: str, cloud: Cloud, arn: InstanceArn) -> None:
    """The explanation names what to correct."""
    cloud.wire.refuse("GetCalendarState", code)
    judged = run(cloud, arn)
    assert "calendar_closed" == judged.verdict.reason
    assert "change_calendar" in judged.verdict.explanation


def test_a_calendar_is_asked_once_for_a_batch_and_only_where_one_is_named(cloud: Cloud, arn: InstanceArn) -> None:
    """Its API has a quota as well."""
    cloud.line().run([asked(each, Source.CONFIG) for each in [arn, *cloud.launch(count=4)]], "request-1")
    assert [["freeze"]] == [each.params["CalendarNames"] for each in cloud.wire.made("GetCalendarState")]
    policy(cloud, change_calendar=None)
    cloud.wire.calls.clear()
    run(cloud, cloud.one())
    assert [] == cloud.wire.made("GetCalendarState")


def test_what_a_closed_calendar_holds_is_judged_again_when_it_opens(cloud: Cloud, arn: InstanceArn) -> None:
    """SSM says when."""
    calendar(cloud, "CLOSED", NextTransitionTime="2026-11-20T18:00:00Z")
    run(cloud, arn)
    late = datetime.fromisoformat(cloud.current(arn)["revisit_at"]) - (cloud.clock() + 6 * HOUR)
    assert -timedelta(seconds=1) <= late <= timedelta(minutes=10)
