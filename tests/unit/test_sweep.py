"""The sweep's steps on plain values: its input, its totals, and where the next call continues."""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from imdsv2.domain.instance import InstanceArn, Place
from imdsv2.domain.request import Source
from imdsv2.errors import InvalidRequest, LedgerContended
from imdsv2.line.judgement import Outcomes
from imdsv2.sweep.order import SweepOrder, parse_order
from imdsv2.sweep.plan import active_accounts, plan, with_known
from imdsv2.sweep.run import go_through
from imdsv2.sweep.tally import Tally, add_up, saw_nothing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mypy_boto3_organizations import OrganizationsClient

    from imdsv2.aws.sessions import MemberClients
    from imdsv2.domain.request import Request
    from imdsv2.line.run import Line

PLACE = Place("aws", "eu-west-1", "222222222222")
REFUSED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole")


@dataclass
class Fleet:
    """EC2 as the sweep uses it: pages of instance ids, and enabled Regions."""

    pages: list[list[str]] = field(default_factory=list)
    regions: tuple[str, ...] = ()
    asked: list[dict[str, Any]] = field(default_factory=list)

    def describe_instances(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        number = int(request.get("NextToken", 0))
        more = {"NextToken": str(number + 1)} if number + 1 < len(self.pages) else {}
        return {"Reservations": [{"Instances": [_instance(each) for each in self.pages[number]]}], **more}

    def describe_regions(self) -> dict[str, Any]:
        return {"Regions": [{"RegionName": name} for name in self.regions]}


@dataclass
class Entered:
    """The accounts that can be entered; entering another raises."""

    fleets: dict[str, Fleet]

    def ec2(self, place: Place, role: str) -> Fleet:
        if place.account not in self.fleets:
            raise REFUSED
        return self.fleets[place.account]


@dataclass
class CountingLine:
    """A pipeline that only records its input."""

    members: Entered
    handed: list[list[Request]] = field(default_factory=list)
    dry: list[bool] = field(default_factory=list)
    ours: set[str] = field(default_factory=set)
    """What the ledger has as enforced."""

    @property
    def ledger(self) -> CountingLine:
        return self

    def read(self, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Any]:
        return {
            arn: SimpleNamespace(arn=arn, status="enforced" if arn.instance_id in self.ours else "held") for arn in arns
        }

    def run(self, requests: Iterable[Request], request_id: str, *, dry_run: bool) -> Outcomes:
        self.handed.append(list(requests))
        self.dry.append(dry_run)
        judged = {each.arn: SimpleNamespace(verdict=SimpleNamespace(reason="judged")) for each in self.handed[-1]}
        return Outcomes(judged=cast("Any", judged), echoes=set(), failed={})


def _kind(name: str) -> str:
    return name.partition("-")[0] if "-" in name else ""


def _id(name: str) -> str:
    return f"i-{name.encode().hex():0>17}"


def _number(number: int) -> str:
    return f"i-{number:017x}"


def arn_in(account: str, region: str, number: int) -> InstanceArn:
    """An instance by its place and number."""
    return InstanceArn("aws", region, account, _number(number))


def _instance(name: str) -> dict[str, Any]:
    tokens = "required" if _kind(name) == "v2" else "optional"
    return {
        "InstanceId": _id(name),
        "State": {"Name": "running"},
        "LaunchTime": datetime(2026, 1, 1, tzinfo=UTC),
        "MetadataOptions": {
            "HttpTokens": tokens,
            "HttpEndpoint": "disabled" if _kind(name) == "off" else "enabled",
            "HttpPutResponseHopLimit": 1,
        },
    }


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two instances per batch, so that a handful shows what thousands would."""
    monkeypatch.setattr("imdsv2.sweep.run.INSTANCES_A_BATCH", 2)


def _go(
    line: CountingLine, tally: Tally, *, dry_run: bool = False, batches: int = 99, known: Iterable[str] = ()
) -> Tally:
    left = iter([True] * (batches - 1) + [False] * 99)
    return go_through(
        cast("Line", line),
        cast("MemberClients", line.members),
        tally,
        "request",
        dry_run=dry_run,
        has_time=lambda: next(left),
        known=known,
    )


def test_a_place_is_gone_through_batch_by_batch() -> None:
    """All ids are listed before the first batch, because batches change what a listing returns."""
    line = CountingLine(Entered({PLACE.account: Fleet([["c", "b"], ["a"]])}))
    tally = _go(line, Tally(place=PLACE))
    assert [2, 1] == [len(each) for each in line.handed]
    ids = [request.arn.instance_id for batch in line.handed for request in batch]
    assert sorted(ids) == ids
    assert {Source.SWEEP} == {request.source for batch in line.handed for request in batch}
    assert (3, 3) == (tally.imdsv1_allowed, tally.instances)
    assert tally.after is None
    assert tally.error is None


class Heavy:
    """A judgement that refers to itself, as what carries an error may."""

    def __init__(self) -> None:
        self.verdict = SimpleNamespace(reason="judged", judgement=self)


@dataclass
class HeavyLine(CountingLine):
    """A line that notes how many judgements of earlier batches are still there."""

    made: list[weakref.ref[Heavy]] = field(default_factory=list)
    left: list[int] = field(default_factory=list)

    def run(self, requests: Iterable[Request], request_id: str, *, dry_run: bool) -> Outcomes:
        self.left.append(sum(each() is not None for each in self.made))
        judged = {each.arn: Heavy() for each in requests}
        self.made += map(weakref.ref, judged.values())
        return Outcomes(judged=cast("Any", judged), echoes=set(), failed={})


def test_batches_are_let_go_while_others_follow() -> None:
    """Two may be under way beside the one that begins, and three wait to be collected; otherwise a large Region would need more memory
    than a small one."""
    line = HeavyLine(Entered({PLACE.account: Fleet([[f"x{number:03}" for number in range(60)]])}))
    _go(line, Tally(place=PLACE))
    assert 30 == len(line.left)
    assert 10 >= max(line.left)


@dataclass
class SlowLine(CountingLine):
    """A line whose first batch ends only when the third has begun, and which notes how many were under way."""

    under_way: int = 0
    most: int = 0
    begun: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)

    def run(self, requests: Iterable[Request], request_id: str, *, dry_run: bool) -> Outcomes:
        with self.lock:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        if self.most > 2:
            self.begun.set()
        assert self.begun.wait(10), "the next batches were not begun meanwhile"
        outcomes = super().run(requests, request_id, dry_run=dry_run)
        with self.lock:
            self.under_way -= 1
        return outcomes


def test_batches_are_judged_while_the_one_before_is_changed() -> None:
    line = SlowLine(Entered({PLACE.account: Fleet([list("abcdefghij")])}))
    tally = _go(line, Tally(place=PLACE))
    assert 3 == line.most
    assert (10, None) == (tally.by_verdict["judged"], tally.after)


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_no_batch_is_begun_when_there_is_no_time_for_it(batches: int) -> None:
    """What has been begun is ended and counted: the next invocation goes on after it."""
    line = CountingLine(Entered({PLACE.account: Fleet([list("abcdefghij")])}))
    tally = _go(line, Tally(place=PLACE), batches=batches)
    assert batches == len(line.handed)
    assert 2 * batches == tally.imdsv1_allowed == tally.by_verdict["judged"]
    assert tally.after == max(request.arn.instance_id for batch in line.handed for request in batch)


def test_a_place_without_any_ends_at_once() -> None:
    """Without instances, there is no call."""
    line = CountingLine(Entered({PLACE.account: Fleet([[]])}))
    assert (0, None) == ((tally := _go(line, Tally(place=PLACE))).imdsv1_allowed, tally.after)
    assert [] == line.handed


@pytest.mark.parametrize("dry_run", [False, True])
def test_all_instances_are_counted_by_what_their_options_allow(dry_run: bool) -> None:
    """What requires tokens is counted and need not be judged; a disabled endpoint serves nobody, and is judged."""
    fleet = Fleet([["a", "v2-b", "off-c"], ["v2-d", "off-e", "f", "v2-g"]])
    line = CountingLine(Entered({PLACE.account: fleet}))
    tally = _go(line, Tally(place=PLACE), dry_run=dry_run)
    assert (7, 2, 2, 3) == (tally.instances, tally.imdsv1_allowed, tally.endpoint_disabled, tally.already_required)
    assert {"already_required": 3, "judged": 4} == tally.by_verdict
    assert {dry_run} == {*line.dry}
    assert all(request["IncludeManagedResources"] for request in fleet.asked)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_numbers_of_a_place_add_up(data: st.DataObject) -> None:
    """Whatever is there, whatever the ledger waits for, however often the function runs out of time."""
    names = data.draw(st.lists(st.sampled_from(range(60)), unique=True, max_size=24))
    kinds = [data.draw(st.sampled_from(["", "v2-", "off-"])) for _ in names]
    fleet = Fleet([[f"{kind}{name}" for kind, name in zip(kinds, names, strict=True)]])
    known = data.draw(st.lists(st.sampled_from([*fleet.pages[0], "gone-1", "gone-2", "gone-3"]), unique=True))
    ours = data.draw(st.sets(st.sampled_from(known))) if known else set()
    line = CountingLine(Entered({PLACE.account: fleet}), ours={_id(each) for each in ours})
    batches = data.draw(st.integers(1, 5))
    tally = Tally(place=PLACE)
    while True:
        tally = _go(line, Tally.from_document(tally.document()), batches=batches, known=[_id(each) for each in known])
        if tally.after is None:
            break
    expected = Counter(_kind(each) for each in fleet.pages[0])
    assert expected == Counter({"": tally.imdsv1_allowed, "off": tally.endpoint_disabled, "v2": tally.already_required})
    gone = {each for each in known if each not in fleet.pages[0]} - ours
    assert (len(names), len(gone)) == (tally.instances, tally.not_there)
    assert tally.instances + tally.not_there == tally.by_verdict.total() + tally.failed
    handed = [request.arn.instance_id for batch in line.handed for request in batch]
    assert len(handed) == len(set(handed))
    stale = {each for each in known if _kind(each) not in {"", "off"} or each in gone} - ours
    allowed = {each for each in fleet.pages[0] if _kind(each) != "v2"}
    assert {_id(each) for each in allowed | stale} == set(handed)


def test_a_dry_sweep_mends_nothing() -> None:
    """It writes nothing, so there is nothing to evaluate beyond what EC2 lists."""
    line = CountingLine(Entered({PLACE.account: Fleet([["a", "v2-b"]])}))
    _go(line, Tally(place=PLACE), dry_run=True, known=[_id("v2-b"), _id("gone-1")])
    assert [[_id("a")]] == [[each.arn.instance_id for each in batch] for batch in line.handed]


def test_what_the_ledger_waits_for_is_handed_to_its_place() -> None:
    """In a file for each place that has any: a state passes 256 KB at most."""
    files: dict[str, object] = {}
    arns = [arn_in("1" * 12, "eu-west-1", 2), arn_in("1" * 12, "eu-west-1", 1), arn_in("3" * 12, "eu-west-1", 1)]
    places = [{"account": "1" * 12, "region": "eu-west-1"}, {"account": "2" * 12, "region": "eu-west-1"}]
    noted = with_known(places, arns, files.__setitem__, "run/known")
    assert {"run/known/111111111111/eu-west-1.json": [_number(1), _number(2)]} == files
    assert ["run/known/111111111111/eu-west-1.json", None] == [Tally.from_document(each).known for each in noted]


@pytest.mark.parametrize(
    ("places", "errors", "unreachable", "is_blind"),
    [(0, 0, 4, True), (7, 7, 0, True), (3, 3, 2, True), (7, 6, 5, False), (1, 0, 999, False), (0, 0, 0, False)],
)
def test_a_sweep_that_saw_nothing_is_none(places: int, errors: int, unreachable: int, is_blind: bool) -> None:
    """Nothing to look at is another matter."""
    assert is_blind == saw_nothing(places, errors, unreachable)


def test_what_there_is_no_time_for_is_taken_up_by_the_next_call() -> None:
    """The tally travels as JSON; nothing is judged twice or left out, whatever the first call has changed."""
    fleet = Fleet([["a", "b", "c"], ["d", "e"]])
    line = CountingLine(Entered({PLACE.account: fleet}))
    first = _go(line, Tally(place=PLACE), batches=1)
    assert (2, True) == (first.imdsv1_allowed, first.after is not None)
    fleet.pages = [["b", "c", "d"], ["e"]]
    last = _go(line, Tally.from_document(first.document()))
    assert (5, None) == (last.imdsv1_allowed, last.after)
    assert 5 == len({request.arn for batch in line.handed for request in batch})


def test_a_place_that_cannot_be_entered_says_so() -> None:
    """The sweep of the others continues; the tally has the reason."""
    tally = _go(CountingLine(Entered({})), Tally(place=PLACE))
    assert tally.error is not None
    assert "AssumeRole" in tally.error


@pytest.mark.parametrize(
    "failure",
    [
        ClientError({"Error": {"Code": "RequestLimitExceeded"}}, "DescribeInstances"),
        ClientError(
            {"Error": {"Code": "InternalError"}, "ResponseMetadata": cast("Any", {"HTTPStatusCode": 500})},
            "DescribeInstances",
        ),
        ReadTimeoutError(endpoint_url="https://ec2"),
    ],
)
def test_a_place_that_cannot_be_read_just_now_has_failed(failure: Exception) -> None:
    """So that a redrive repeats it; repeating a refusal would not help."""

    class Fails(Fleet):
        def describe_instances(self, **_: Any) -> dict[str, Any]:
            raise failure

    with pytest.raises(type(failure)):
        _go(CountingLine(Entered({PLACE.account: Fails()})), Tally(place=PLACE))


def test_a_place_of_which_nothing_can_be_judged_has_failed() -> None:
    """For example, because the ledger is unavailable. If only some cannot be judged, they are counted, and the sweep
    continues."""

    class Fails(CountingLine):
        def run(self, requests: Iterable[Request], request_id: str, *, dry_run: bool) -> Outcomes:
            arns = [request.arn for request in requests]
            judged = cast("Any", {arn: SimpleNamespace(verdict=SimpleNamespace(reason="unused")) for arn in arns[1:]})
            return Outcomes(judged=judged, echoes=set(), failed={arns[0]: LedgerContended("busy")})

    def place(*pages: list[str]) -> Entered:
        return Entered({PLACE.account: Fleet([*pages])})

    tally = _go(Fails(place(["a", "b"])), Tally(place=PLACE))
    assert (2, 1, {"unused": 1}) == (tally.imdsv1_allowed, tally.failed, tally.by_verdict)
    with pytest.raises(LedgerContended):
        _go(Fails(place(["a"])), Tally(place=PLACE))


def test_a_plan_has_every_enabled_region_of_every_account() -> None:
    """Accounts that cannot be entered are named with their reason."""
    members = Entered({"1" * 12: Fleet(regions=("us-east-1", "eu-west-1")), "2" * 12: Fleet(regions=("eu-west-1",))})
    planned = plan(cast("MemberClients", members), ["1" * 12, "2" * 12, "3" * 12], "eu-west-1", [])
    expected = [("1" * 12, "eu-west-1"), ("1" * 12, "us-east-1"), ("2" * 12, "eu-west-1")]
    assert expected == [(each["account"], each["region"]) for each in planned.places]
    assert {"3" * 12} == planned.unreachable.keys()


def test_a_plan_can_be_kept_to_regions() -> None:
    """Restricted to those that are enabled."""
    members = Entered({"1" * 12: Fleet(regions=("us-east-1", "eu-west-1"))})
    planned = plan(cast("MemberClients", members), ["1" * 12], "eu-west-1", ["us-east-1", "me-south-1"])
    assert ["us-east-1"] == [each["region"] for each in planned.places]


@pytest.mark.parametrize("name", ["State", "Status"])
def test_a_large_organisation_is_read_to_its_last_page(name: str) -> None:
    """A thousand accounts come in pages of twenty; suspended ones are left out, by the newer field or the older."""

    class Organization:
        def list_accounts(self, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803 - AWS's name
            start = int(NextToken)
            ids = [{"Id": f"{n:012d}", name: "SUSPENDED" if n == 7 else "ACTIVE"} for n in range(start, start + 20)]
            return {"Accounts": ids, **({"NextToken": str(start + 20)} if start + 20 < 1000 else {})}

    accounts = active_accounts(cast("OrganizationsClient", Organization()))
    assert 999 == len(set(accounts))
    assert f"{7:012d}" not in accounts


def test_the_summary_adds_up() -> None:
    """Failed places keep their reason; a place whose step died has no counts to add."""
    tallies = [
        {**Tally(place=PLACE, already_required=3, imdsv1_allowed=2).document(), "by_verdict": {"unused": 2}},
        {**Tally(place=PLACE, imdsv1_allowed=1, failed=1).document(), "by_verdict": {"v1_in_use": 1}, "error": "gone"},
    ]
    summary = add_up(tallies)
    expected = {"places": 2, "instances": 6, "imdsv1_allowed": 3, "already_required": 3, "endpoint_disabled": 0}
    assert expected | {"not_there": 0, "failed": 1} == {
        name: summary[name] for name in [*expected, "not_there", "failed"]
    }
    assert {"unused": 2, "v1_in_use": 1} == summary["by_verdict"]
    assert {"222222222222 eu-west-1": "gone"} == summary["errors"]


def test_a_sweep_by_hand_is_dry_and_everywhere_unless_it_says_otherwise() -> None:
    """The defaults only read."""
    assert SweepOrder(accounts=(), regions=(), dry_run=True) == parse_order({})


@pytest.mark.parametrize(
    ("document", "field_name"),
    [
        ([], "input"),
        ({"dry_run": 0}, "dry_run"),
        ({"accounts": "222222222222"}, "accounts"),
        ({"accounts": [222222222222]}, "accounts"),
        ({"regions": ["eu-west"]}, "regions"),
        ({"force": True}, "force"),
        *(({"spare_hours": hours}, "spare_hours") for hours in (-1, 25, 7.0, True, "9", None)),
    ],
)
def test_what_cannot_be_understood_is_refused_by_field(document: Any, field_name: str) -> None:
    """A typo must not turn a dry sweep into a real one, or a narrow one into a wide one."""
    with pytest.raises(InvalidRequest) as refused:
        parse_order(document)
    assert field_name == refused.value.field
