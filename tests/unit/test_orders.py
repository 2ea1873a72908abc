"""Commands: the fields that each accepts, and the field named in each refusal."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.domain.instance import InstanceArn
from imdsv2.errors import InvalidRequest
from imdsv2.people.command_request import Command, CommandKind, Scope
from imdsv2.people.request import JudgementOrder, parse
from tests.fixtures.events import INSTANCE_ID, MEMBER, REGION, REGION_OF_PARTITION, instance_arn

LONGEST_MESSAGE = 500
HUGE = "x" * 10_000
OTHER_ID = "i-00000000"
TRIPLE = {"account": MEMBER, "region": REGION, "instance_id": INSTANCE_ID}
COHORT = f"aws/{MEMBER}/{REGION}/group:web"

TARGETS: dict[str, Any] = {"targets": [instance_arn()]}
ACCOUNT: dict[str, Any] = {"account": MEMBER}
LEAST: dict[CommandKind, dict[str, Any]] = {
    CommandKind.UNDO: {"undo": TARGETS},
    CommandKind.APPROVE: {"approve": TARGETS},
    CommandKind.REFUSE: {"refuse": TARGETS},
    CommandKind.HOLD: {"hold": TARGETS, "reason": "Migration.", "owner": "blue", "until": "2027-05-31"},
    CommandKind.RELEASE: {"release": TARGETS},
    CommandKind.CLOSE_BREAKER: {"close_breaker": ACCOUNT},
    CommandKind.CLEAR: {"clear": TARGETS},
    CommandKind.ACCEPT: {
        "accept": TARGETS,
        "reason": "Its calls are harmless.",
        "owner": "blue",
        "until": "2027-05-31",
    },
    CommandKind.MENDED: {"mended": TARGETS, "at": "2026-11-20T06:00:00Z"},
}
"""Each command with the minimum of fields."""
BROAD = [CommandKind.UNDO, CommandKind.APPROVE, CommandKind.REFUSE, CommandKind.CLEAR]
"""Commands that accept a cohort or an account."""
OF_COHORTS = [*BROAD, CommandKind.MENDED]
"""Commands that accept a cohort."""
NARROW = [CommandKind.HOLD, CommandKind.RELEASE, CommandKind.ACCEPT]
"""Commands that accept instances and nothing else."""
ACCOUNTED_FOR = [CommandKind.HOLD, CommandKind.ACCEPT]
"""Commands with a reason, an owner and a last day."""


def command(event: object) -> Any:
    """The command in a request."""
    read = parse(event)
    assert isinstance(read, Command)
    return read


def refusal(event: object) -> InvalidRequest:
    """The message with which a request is refused; it begins with the field, and can be serialised."""
    with pytest.raises(InvalidRequest) as caught:
        parse(event)
    message = str(caught.value)
    assert message.startswith(caught.value.field)
    assert len(message) <= LONGEST_MESSAGE
    message.encode()
    return caught.value


def scoped(steer: CommandKind, scope: object) -> dict[str, Any]:
    """A command with another scope."""
    return LEAST[steer] | {str(steer): scope}


# --- What is understood --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steer", CommandKind)
def test_a_command_is_a_dry_run_unless_it_says_otherwise(steer: CommandKind) -> None:
    """Like every manual invocation."""
    assert (steer, True) == (command(LEAST[steer]).kind, command(LEAST[steer]).dry_run)
    assert not command(LEAST[steer] | {"dry_run": False, "caller": "bob"}).dry_run


@pytest.mark.parametrize("steer", CommandKind)
def test_a_command_may_name_its_caller(steer: CommandKind) -> None:
    """As claimed; the real identity is in CloudTrail."""
    for caller in ("b", "bob", "b" * 256):
        assert caller == command(LEAST[steer] | {"caller": caller}).caller


@pytest.mark.parametrize("steer", CommandKind)
def test_what_is_real_needs_a_caller_and_a_dry_run_none(steer: CommandKind) -> None:
    """Somebody answers for every change; a look is free."""
    assert command(LEAST[steer]).caller is None
    for nobody in ({}, {"caller": None}):
        refused = refusal(LEAST[steer] | {"dry_run": False} | nobody)
        assert ("caller", True) == (refused.field, "dry_run: false" in refused.problem)


@pytest.mark.parametrize("steer", CommandKind)
def test_every_command_takes_a_reason(steer: CommandKind) -> None:
    """It stands beside the name in the ledger."""
    read = command(LEAST[steer] | {"caller": "bob", "reason": "Fixed in 2.3."})
    assert "bob, request request-9: Fixed in 2.3." == read.signed("request-9")


def test_a_command_without_a_reason_is_signed_with_the_name_alone() -> None:
    """The request id finds the real caller."""
    assert "bob, request request-9" == command({"undo": TARGETS, "caller": "bob"}).signed("request-9")


@pytest.mark.parametrize("steer", [*OF_COHORTS, *NARROW])
def test_instances_are_named_by_arn_or_by_their_parts(steer: CommandKind) -> None:
    """In the order of the request, without duplicates."""
    asked = [{**TRIPLE, "instance_id": OTHER_ID}, instance_arn(), TRIPLE]
    expected = tuple(InstanceArn.parse(instance_arn(each)) for each in (OTHER_ID, INSTANCE_ID))
    assert Scope(targets=expected) == command(scoped(steer, {"targets": asked})).scope


@pytest.mark.parametrize("steer", OF_COHORTS)
def test_a_cohort_is_named_as_in_the_ledger(steer: CommandKind) -> None:
    """Any kind of cohort, with any group name that AWS accepts."""
    for kind in ("group:web servers/blue: 1", "template:lt-0123", "image:ami-0123", f"instance:{INSTANCE_ID}"):
        cohort = f"aws/{MEMBER}/{REGION}/{kind}"
        assert Scope(cohort=cohort) == command(scoped(steer, {"cohort": cohort})).scope


@pytest.mark.parametrize("steer", [*BROAD, CommandKind.CLOSE_BREAKER])
def test_an_account_is_named_by_its_id(steer: CommandKind) -> None:
    """The command covers everything that the ledger has for it."""
    assert Scope(account=MEMBER) == command(scoped(steer, ACCOUNT)).scope


@pytest.mark.parametrize("region", [*REGION_OF_PARTITION.values(), "ap-southeast-5", "us-isob-east-1"])
@pytest.mark.parametrize("steer", BROAD)
def test_a_region_narrows_an_account(steer: CommandKind, region: str) -> None:
    """In any partition."""
    scope = command(scoped(steer, ACCOUNT | {"region": region})).scope
    assert Scope(account=MEMBER, region=region) == scope


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-01T00:00:00Z", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T02:00:00.5+02:00", datetime(2026, 11, 1, 0, 0, 0, 500_000, UTC)),
        ("2026-11-01 00:00-01:30", datetime(2026, 11, 1, 1, 30, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("beside", [{}, TARGETS, ACCOUNT, ACCOUNT | {"region": REGION}, {"cohort": COHORT}])
def test_an_undo_may_go_back_to_a_time(beside: dict[str, Any], text: str, expected: datetime) -> None:
    """Alone, it covers every account; combined with another scope, it narrows that scope."""
    scope = command({"undo": {**beside, "since": text}}).scope
    assert (expected, UTC) == (scope.since, scope.since and scope.since.tzinfo)
    assert (bool(beside.get("targets")), beside.get("account"), beside.get("region"), beside.get("cohort")) == (
        bool(scope.targets),
        scope.account,
        scope.region,
        scope.cohort,
    )


@pytest.mark.parametrize("steer", ACCOUNTED_FOR)
def test_a_hold_and_an_acceptance_have_an_owner_a_reason_and_a_last_day(steer: CommandKind) -> None:
    """The next person needs all three."""
    read = command(LEAST[steer])
    assert ("blue", LEAST[steer]["reason"], date(2027, 5, 31)) == (read.owner, read.reason, read.until)


def test_what_was_mended_may_have_been_so_before() -> None:
    """A time with its zone; without one, it is now."""
    mended = LEAST[CommandKind.MENDED]
    assert datetime(2026, 11, 19, 22, 0, tzinfo=UTC) == command(mended | {"at": "2026-11-20T00:00:00+02:00"}).at
    with pytest.raises(InvalidRequest, match="at: takes a time"):
        command({name: value for name, value in mended.items() if name != "at"})


def test_an_approval_may_have_a_last_day() -> None:
    """Otherwise the service's default applies."""
    assert date(2027, 5, 31) == command(LEAST[CommandKind.APPROVE] | {"until": "2027-05-31"}).until
    assert command(LEAST[CommandKind.APPROVE]).until is None


def test_what_names_no_command_is_an_order_to_judge() -> None:
    """It has its own targets."""
    assert isinstance(parse(TARGETS), JudgementOrder)
    assert "targets" == refusal({"dry_run": False}).field


def test_five_hundred_instances_are_taken_and_no_more() -> None:
    """As in an order to judge."""
    asked = [instance_arn(f"i-{number:017x}") for number in range(501)]
    assert 500 == len(command({"undo": {"targets": asked[:500]}}).scope.targets)
    assert "undo.targets" == refusal({"undo": {"targets": asked}}).field


# --- What is refused -----------------------------------------------------------------------------------------------

NO_SCOPES: list[Any] = [None, [], {}, "x", 5, True, [instance_arn()], instance_arn()]
NO_FLAGS: list[Any] = [None, 0, "false", []]
NO_TEXTS: list[Any] = [None, 5, True, [], {}, "", "x" * 257, "\ud800", "line\nbreak"]
NO_DAYS: list[Any] = [5, True, [], {}, "", "2027-02-30", "2027-2-3", "20270531", "2027-05-31T00:00", "31.05.2027", HUGE]
NO_TIMES: list[Any] = [
    *(None, 5, True, [], {}, "", "yesterday", HUGE, "\ud800"),
    *("2026-11-01", "2026-11-01T00:00:00", "2026-13-01T00:00:00Z"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-10:00"),
]


@pytest.mark.parametrize("scope", NO_SCOPES)
@pytest.mark.parametrize("steer", CommandKind)
def test_a_command_without_a_scope_is_refused(steer: CommandKind, scope: object) -> None:
    """The message lists the possible scopes, with a valid example."""
    refused = refusal(scoped(steer, scope))
    assert steer == refused.field
    example = refused.problem.partition("e.g. ")[2].replace("arn:aws:ec2:...", instance_arn())
    assert isinstance(parse(scoped(steer, json.loads(example))), Command)


@pytest.mark.parametrize(
    ("steer", "scope", "field"),
    [
        *((steer, {"cohort": COHORT}, "cohort") for steer in [*NARROW, CommandKind.CLOSE_BREAKER]),
        *((steer, ACCOUNT, "account") for steer in [*NARROW, CommandKind.MENDED]),
        *(
            (steer, LEAST[steer][steer] | {"since": "2026-11-01T00:00:00Z"}, "since")
            for steer in CommandKind
            if steer != CommandKind.UNDO
        ),
        (CommandKind.CLOSE_BREAKER, TARGETS, "targets"),
        (CommandKind.CLOSE_BREAKER, ACCOUNT | {"region": REGION}, "region"),
        *((steer, LEAST[steer][steer] | {"Targets": []}, "'Targets'") for steer in CommandKind),
        *((steer, LEAST[steer][steer] | {HUGE: 1}, "xxx") for steer in CommandKind),
        *((steer, LEAST[steer][steer] | {"\ud800": 1}, "ud800") for steer in CommandKind),
    ],
)
def test_a_scope_that_the_command_has_not_is_refused_by_its_name(
    steer: CommandKind, scope: dict[str, Any], field: str
) -> None:
    """Ignoring it would widen the command beyond what was meant."""
    refused = refusal(scoped(steer, scope))
    assert refused.field.startswith(f"{steer}.")
    assert field in refused.field


@pytest.mark.parametrize(
    ("steer", "event", "field"),
    [
        *((steer, {"targets": [instance_arn()]}, "targets") for steer in CommandKind),
        *((steer, {"force": True}, "force") for steer in CommandKind),
        *((steer, {"": 1}, "''") for steer in CommandKind),
        *(
            (steer, {"until": "2027-05-31"}, "until")
            for steer in CommandKind
            if steer not in {CommandKind.APPROVE, *ACCOUNTED_FOR}
        ),
        *((steer, {"owner": "x"}, "owner") for steer in CommandKind if steer not in ACCOUNTED_FOR),
        *(
            (steer, {"at": "2026-11-20T00:00:00Z"}, "at")
            for steer in CommandKind
            if steer not in {CommandKind.CLEAR, CommandKind.MENDED}
        ),
        (CommandKind.APPROVE, {"refuse": TARGETS}, "refuse"),
        (CommandKind.UNDO, {"hold": TARGETS}, "undo"),
    ],
)
def test_a_field_that_the_command_has_not_is_refused_by_its_name(
    steer: CommandKind, event: dict[str, Any], field: str
) -> None:
    """Also two commands in one request."""
    assert field in refusal(LEAST[steer] | event).field


@pytest.mark.parametrize(
    ("event", "field"),
    [
        *((LEAST[steer] | {"dry_run": value}, "dry_run") for steer in CommandKind for value in NO_FLAGS),
        *(
            (LEAST[steer] | {"caller": value}, "caller")
            for steer in CommandKind
            for value in NO_TEXTS
            if value is not None
        ),
        *(
            (LEAST[steer] | {"reason": value}, "reason")
            for steer in CommandKind
            for value in NO_TEXTS
            if value is not None
        ),
        *(
            (LEAST[steer] | {name: value}, name)
            for steer in ACCOUNTED_FOR
            for name in ("reason", "owner")
            for value in NO_TEXTS
        ),
        *((LEAST[steer] | {"until": value}, "until") for steer in ACCOUNTED_FOR for value in [None, *NO_DAYS]),
        *((LEAST[CommandKind.MENDED] | {"at": value}, "at") for value in NO_TIMES),
        *((LEAST[CommandKind.APPROVE] | {"until": value}, "until") for value in NO_DAYS),
    ],
)
def test_a_field_of_a_wrong_kind_is_refused_by_its_name(event: dict[str, Any], field: str) -> None:
    """Text must be text, and a day must be a valid date."""
    assert field == refusal(event).field


@pytest.mark.parametrize("missing", ["reason", "owner", "until"])
@pytest.mark.parametrize("steer", ACCOUNTED_FOR)
def test_a_hold_and_an_acceptance_need_all_they_are_to_tell(steer: CommandKind, missing: str) -> None:
    """Without an end, they would be forgotten."""
    assert missing == refusal({name: value for name, value in LEAST[steer].items() if name != missing}).field


@pytest.mark.parametrize(
    ("word", "likely"),
    [
        ("close_breakers", "close_breaker"),
        ("Undo", "undo"),
        ("aprove", "approve"),
        ("source", "sources"),
        ("zzz", None),
    ],
)
def test_a_command_that_is_none_is_refused_with_the_nearest(word: str, likely: str | None) -> None:
    """And with all that there are, because whoever guesses does not know them."""
    with pytest.raises(InvalidRequest) as refused:
        parse({word: {"account": MEMBER}, "dry_run": True, "caller": "ada"})
    told = str(refused.value)
    assert ("did you mean" in told) == (likely is not None)
    assert f"did you mean {likely}?" in told if likely else True
    assert all(each in told for each in (*CommandKind, "sources", "find", "targets"))


@pytest.mark.parametrize("more", [{}, {"dry_run": False}, {"dry_run": False, "caller": "alice"}])
@pytest.mark.parametrize("clear", [True, False, None, 1])
def test_clear_beside_targets_is_refused_with_the_command_to_use(clear: object, more: dict[str, Any]) -> None:
    """Earlier versions took it, and enforced in the same second."""
    refused = refusal(TARGETS | {"clear": clear} | more)
    assert "clear" == refused.field
    example = refused.problem.partition("use ")[2].replace("arn:aws:ec2:...", instance_arn())
    assert (CommandKind.CLEAR, True) == (command(json.loads(example)).kind, command(json.loads(example)).dry_run)


NO_PARTS: dict[str, list[Any]] = {
    "targets": [None, [], {}, "x", instance_arn(), TRIPLE],
    "account": [None, 222222222222, "222", "", "x" * 12, "\uff12" * 12, HUGE],
    "cohort": [None, 5, "", "web", "group:web", f"aws/{MEMBER}/group:web", HUGE],
}
NO_TARGETS: list[Any] = [None, 5, "", INSTANCE_ID, HUGE, "\ud800", {}, TRIPLE | {"partition": "aws"}]
NO_REGIONS: list[Any] = [None, 5, "", "Dublin", "eu-west", HUGE]
NO_KINDS = ["group:", "web", "label:x", "group:x\ny"]


@pytest.mark.parametrize(
    ("scope", "field"),
    [
        *(({name: value}, name) for name, values in NO_PARTS.items() for value in values),
        *(({"targets": [instance_arn(), value]}, "targets") for value in NO_TARGETS),
        *(({"cohort": f"aws/{MEMBER}/{REGION}/{kind}"}, "cohort") for kind in NO_KINDS),
        *((ACCOUNT | {"region": value}, "region") for value in NO_REGIONS),
        *((beside | {"region": REGION}, "region") for beside in ({}, TARGETS, {"cohort": COHORT})),
    ],
)
@pytest.mark.parametrize("steer", BROAD)
def test_a_scope_that_is_none_is_refused_by_its_name(steer: CommandKind, scope: dict[str, Any], field: str) -> None:
    """One invalid target refuses the whole command: half a command is not what was asked."""
    assert f"{steer}.{field}" == refusal(scoped(steer, scope)).field


@pytest.mark.parametrize("value", NO_TIMES)
def test_a_time_without_its_zone_is_refused(value: object) -> None:
    """The time zone cannot be guessed; the time must also be valid in UTC."""
    assert "undo.since" == refusal({"undo": {"since": value}}).field


@pytest.mark.parametrize("steer", BROAD)
def test_a_command_is_about_one_thing(steer: CommandKind) -> None:
    """Whether both or either was meant cannot be guessed."""
    pairs = [TARGETS | ACCOUNT, TARGETS | {"cohort": COHORT}, ACCOUNT | {"cohort": COHORT}]
    assert [steer] * 3 == [refusal(scoped(steer, each)).field for each in pairs]


# --- Property tests ------------------------------------------------------------------------------------------------

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
scopes = st.fixed_dictionaries(
    {},
    optional={
        "targets": st.lists(st.sampled_from([instance_arn(), TRIPLE]), min_size=1, max_size=3) | json_values,
        "cohort": st.just(COHORT) | json_values,
        "account": st.just(MEMBER) | json_values,
        "region": st.just(REGION) | json_values,
        "since": st.datetimes(timezones=st.timezones()).map(str) | json_values,
    },
)
events = st.fixed_dictionaries(
    {},
    optional={
        **{str(steer): scopes | json_values for steer in CommandKind},
        "targets": json_values,
        "dry_run": st.booleans() | json_values,
        "caller": st.just("alice") | json_values,
        "reason": st.just("Migration.") | json_values,
        "owner": st.just("blue") | json_values,
        "until": st.dates().map(str) | json_values,
        "at": st.datetimes(timezones=st.timezones()).map(str) | json_values,
    },
)


@given(json_values | events)
def test_anything_is_understood_or_refused(event: object) -> None:
    """It raises nothing else, and the refusal can be serialised."""
    try:
        parse(event)
    except InvalidRequest as refused:
        str(refused).encode()


@given(
    st.sampled_from(sorted(CommandKind)).flatmap(
        lambda steer: st.tuples(st.just(steer), scopes | json_values, st.dictionaries(st.text(max_size=3), json_values))
    )
)
def test_a_command_is_about_what_it_names_and_nothing_else(drawn: tuple[CommandKind, Any, dict[str, Any]]) -> None:
    """An accepted command has every field that was sent, and a scope that is not empty."""
    steer, scope, more = drawn
    try:
        read = command(scoped(steer, scope) | more)
    except InvalidRequest:
        return
    assert {} == more
    sent = {name for name in ("targets", "cohort", "account", "region", "since") if getattr(read.scope, name)}
    assert set(scope) == sent != set()
