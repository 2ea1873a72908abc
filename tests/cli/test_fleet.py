"""`imdsv2 list`, `status` and `explain`, over a file of the fleet and a ledger in memory."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from imdsv2.domain.history import Answer, Hold
from imdsv2.domain.instance import InstanceArn
from imdsv2.ledger.change import VERDICT, Change
from imdsv2.ledger.table import Ledger
from imdsv2_cli.base import App
from imdsv2_cli.failure import Exit
from imdsv2_cli.fleet.story import chart, next_of
from tests.cli.conftest import OUTPUTS, run
from tests.world.bucket import Bucket
from tests.world.dynamodb import Table
from tests.world.ledger_table import TABLE
from tests.world.rows import fill, required, row, swept

if TYPE_CHECKING:
    from imdsv2.ledger.record import Record
    from tests.cli.conftest import Aws

AT = datetime(2026, 11, 29, 9, 0, tzinfo=UTC)
HOSTILE = "=HYPERLINK(1)\x1b[2J"


class Installation:
    """A bucket, a ledger and a policy, and the commands over them at a fixed time."""

    def __init__(self, aws: Aws) -> None:
        self.aws, self.bucket, self.table = aws, Bucket(), Table()
        self.ledger = Ledger(self.table.client, TABLE)
        self.policy()
        aws.answers["stepfunctions", "list_executions"] = {"executions": []}
        aws.on_invoke("manual", {"count": 0, "results": [], "unknown": [], "problems": []})

    def policy(self, **fields: Any) -> None:
        """The policy parameter."""
        found = {"Value": json.dumps(fields), "Version": 7, "LastModifiedDate": AT - timedelta(hours=3)}
        self.aws.answers["ssm", "get_parameter"] = {"Parameter": found}
        self.aws.answers["ssm", "describe_parameters"] = {"Parameters": [{"LastModifiedUser": "arn:bob"}]}

    def client(self, service: str) -> Any:
        return {"dynamodb": self.table, "s3": self.bucket}.get(service) or self.aws.client(service)

    def record(self, arn: InstanceArn, at: datetime, **fields: Any) -> Record:
        """What the ledger learns of an instance at a time."""
        before = self.ledger.read([arn])[arn]
        verdict = {"status": "held", "decision": "hold", "reason": "v1_in_use", "explanation": "why"}
        after = replace(before, **{**verdict, "decided_at": at, "changed_at": at, **fields})
        written = self.ledger.write([Change(before=before, after=after, says=VERDICT)], at)
        assert not written.failed
        return after

    def listed(self, *args: str) -> dict[str, dict[str, str]]:
        """The rows of `imdsv2 list` as CSV, by instance id."""
        return {
            each["instance_id"]: each for each in csv.DictReader(io.StringIO(self.said("list", "-o", "csv", *args)))
        }

    def said(self, *args: str, code: Exit = Exit.DONE) -> str:
        """The answer of a command that ends as told."""
        ended = run(*args)
        assert code == ended.exit_code, ended.output
        return ended.output if code else ended.stdout


@pytest.fixture
def here(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation without a sweep and with an empty ledger."""
    made = Installation(aws)
    stack = {
        "Outputs": [
            {"OutputKey": name, "OutputValue": value}
            for name, value in {**OUTPUTS, "SweepBucketName": "results"}.items()
        ]
    }
    aws.answers["cloudformation", "describe_stacks"] = {"Stacks": [stack]}
    monkeypatch.setattr(App, "client", lambda _, service, region=None: made.client(service))
    for module in ("status", "fleet_list", "explain"):
        monkeypatch.setattr(f"imdsv2_cli.commands.{module}.now", lambda: AT)
    return made


def arn(number: int, account: str = "222222222222") -> InstanceArn:
    """An instance by its number, as `row` names it."""
    return InstanceArn("aws", "eu-west-1", account, f"i-{number:017x}")


def ids(*numbers: int) -> set[str]:
    return {arn(number).instance_id for number in numbers}


def test_an_empty_installation_is_told_as_such(here: Installation) -> None:
    """Nothing has failed: there is nothing yet."""
    assert "No sweep has written the fleet yet" in here.said("list")
    assert "empty" in here.said("status")
    assert 0 == json.loads(here.said("status", "-o", "json"))["fleet"]["instances"]


def test_before_the_first_sweep_the_ledger_is_listed(here: Installation) -> None:
    """What waits, and what was enforced."""
    here.record(arn(1), AT, revisit_at=AT + timedelta(days=1))
    here.table.put_item(Item={"pk": {"S": "accounts"}, "sk": {"S": "aws/222222222222"}, "version": {"N": "1"}})
    here.record(arn(2), AT, status="enforcing", decision="enforce", reason="unused")
    here.record(arn(2), AT, status="enforced", decision="enforce", reason="unused", enforced_at=AT, watch="open")
    rows = here.listed()
    assert ids(1, 2) == rows.keys()
    assert ("hold", "required") == (rows[arn(1).instance_id]["decision"], rows[arn(2).instance_id]["http_tokens"])


def test_the_list_is_the_file_with_what_came_since(here: Installation) -> None:
    """Older news are in the file already; what is gone is left out, what is new is there."""
    fill(here.bucket, [row(1), row(2), row(3), required(4)])
    here.record(arn(1), AT - timedelta(days=2), reason="no_evidence")
    here.record(arn(2), AT - timedelta(hours=2), reason="too_young")
    here.record(arn(3), AT - timedelta(hours=1), status="skipped", decision="skip", reason="gone")
    here.record(arn(5), AT - timedelta(hours=1), reason="v1_at_boot", cohort="aws/222222222222/eu-west-1/group:new")
    rows = here.listed()
    assert ids(1, 2, 4, 5) == rows.keys()
    assert ["v1_in_use", "too_young", "unused", "v1_at_boot"] == [
        rows[arn(each).instance_id]["reason"] for each in (1, 2, 4, 5)
    ]
    assert "web-2" == rows[arn(2).instance_id]["name"]


def test_a_later_event_of_an_earlier_day_does_not_hide_the_newest(here: Installation) -> None:
    """Two days of the trail tell of one instance."""
    fill(here.bucket, [row(1, as_of="2026-11-28T02:40:00.000000Z")], oldest="2026-11-28T02:40:00.000000Z")
    here.record(arn(1), AT - timedelta(hours=20), reason="no_evidence")
    here.record(arn(1), AT - timedelta(minutes=5), reason="too_young")
    assert "too_young" == here.listed()[arn(1).instance_id]["reason"]


FLEET = [
    row(1),
    row(2, account="333333333333", owner="Red Team", name="db-1"),
    row(3, reason="no_evidence", calls=0, last_call="", since="2026-11-28T02:30:00Z"),
    row(4, region="us-east-1", cohort="aws/222222222222/us-east-1/template:lt-9@3", source="launch_template:lt-9"),
    required(5),
    row(6, http_endpoint="disabled", decision="skip", reason="endpoint_disabled", status="skipped", next_at=""),
    row(7, decision="enforce", reason="unused", status="would_enforce", calls=0, next_at="2026-11-29T09:30:00Z"),
]


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ((), {1, 2, 3, 4, 5, 6, 7}),
        (("--still-v1",), {1, 2, 3, 4, 7}),
        (("--tokens", "required"), {5}),
        (("--account", "333333333333"), {2}),
        (("--account", "333333333333", "--account", "222222222222", "--in-region", "us-east-1"), {4}),
        (("--owner", "red"), {2}),
        (("--name", "web-?"), {1, 3, 4, 5, 6, 7}),
        (("--name", "DB"), {2}),
        (("--cohort", "template:lt-9"), {4}),
        (("--source", "launch_template"), {4}),
        (("--reason", "no_evidence", "--reason", "unused"), {3, 5, 7}),
        (("--verdict", "enforce", "--still-v1"), {7}),
        (("--status", "verified"), {5}),
        (("--calls", "1", "--still-v1"), {1, 2, 4}),
        (("--last-call", "2d"), {1, 2, 4, 6, 7}),
        (("--since", "2d"), {3}),
        (("--due", "1h"), {7}),
        (("--instance", f"*{7:x}"), {7}),
        (("--name", "[w]eb"), set()),
    ],
)
def test_every_column_has_a_filter(here: Installation, args: tuple[str, ...], found: set[int]) -> None:
    """Values of one option widen, different options narrow."""
    fill(here.bucket, FLEET)
    assert ids(*found) == here.listed(*args).keys()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--reason", "v1_in_us"), "v1_in_use"),
        (("--status", "enforcd"), "enforced"),
        (("--verdict", "allow"), "known are"),
        (("--since", "soon"), "30d"),
    ],
)
def test_what_no_column_can_have_is_refused(here: Installation, args: tuple[str, ...], says: str) -> None:
    """With what was probably meant."""
    assert says in here.said("list", *args, code=Exit.USAGE)


def test_an_account_without_instances_is_told(here: Installation) -> None:
    """A mistyped account is no empty one."""
    fill(here.bucket, FLEET)
    assert "did you mean 333333333333?" in run("list", "--account", "333333333338").output


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--account", "333333333338"), "No instance is in 333333333338; did you mean 333333333333?"),
        (("--in-region", "eu-wst-1"), "did you mean eu-west-1?"),
        (("--name", "bd-1"), "No instance is called bd-1; did you mean db-1?"),
        (("--owner", "red taem"), "No instance is owned by red taem; did you mean Red Team?"),
        (("--cohort", "template:lt-8@3"), "did you mean template:lt-9@3?"),
        (("--source", "launch_tmplate:lt-9"), "did you mean launch_template:lt-9?"),
        (("--instance", "i-zzzz"), "No instance is called i-zzzz"),
    ],
)
def test_what_no_instance_has_is_told_with_what_is_like_it(
    here: Installation, args: tuple[str, ...], says: str
) -> None:
    """A slip of the finger is no empty fleet."""
    fill(here.bucket, FLEET)
    done = run("list", *args)
    assert (0, True) == (done.exit_code, says in done.stderr), done.stderr


@pytest.mark.parametrize("args", [("--name", "w*zz"), ("--name", "web", "--owner", "red"), ("--reason", "too_young")])
def test_what_is_there_and_not_together_gets_no_hint(here: Installation, args: tuple[str, ...]) -> None:
    """Nor does a pattern."""
    fill(here.bucket, FLEET)
    assert "" == run("list", *args).stderr


def test_one_instance_is_one_instance(here: Installation) -> None:
    """In the list and in a cohort."""
    fill(here.bucket, [row(1)])
    assert "1 of 1 instance; 1 of all still allow" in here.said("list")
    assert "1 instance, 1 allows IMDSv1" in here.said("explain", "group:web")


def test_names_are_harmless(here: Installation) -> None:
    """In a terminal and in a spreadsheet."""
    fill(here.bucket, [row(1, name=HOSTILE, owner=HOSTILE)])
    assert "\x1b" not in here.said("list")
    assert "'=HYPERLINK(1)" == here.listed()[arn(1).instance_id]["name"]
    assert "\x1b" not in here.said("explain", arn(1).instance_id)
    assert "\x1b" not in here.said("status")


def test_status_tells_what_is_open(here: Installation) -> None:
    """Each with how many, the first of them, and what to do."""
    fill(
        here.bucket,
        [
            row(1, reason="approval_required"),
            row(2, reason="notice_given", notice_ends_at="2026-12-01T00:00:00Z"),
            row(3, reason="held_by_person", hold_owner="blue", hold_until="2026-12-24"),
            row(4, reason="exempt", decision="skip", ends_on="2026-12-05"),
            row(5, reason="exempt", decision="skip", ends_on="2027-12-05"),
            required(6, status="enforced", watch="open"),
            required(7, broken_at="2026-11-28T12:00:00Z", left_because="policy"),
        ],
        unreachable={"999999999999": "AccessDenied on AssumeRole"},
        errors={"222222222222 us-east-1": "UnauthorizedOperation"},
    )  # fmt: skip
    opened = {
        "pk": {"S": "accounts"},
        "sk": {"S": "aws/222222222222"},
        "breaker_opened_at": {"S": "2026-11-28T10:00:00.000000Z"},
    }
    here.table.put_item(Item=opened)
    here.policy(mode="enforce", approval="required")
    document = json.loads(here.said("status", "-o", "json"))
    counts = {
        name: document[name]["count"]
        for name in ("approvals", "notices", "holds", "exemptions", "watched", "left_broken")
    }
    assert {"approvals": 1, "notices": 1, "holds": 1, "exemptions": 1, "watched": 1, "left_broken": 1} == counts
    assert [{"account": "222222222222", "since": "2026-11-28T10:00:00.000000Z"}] == document["breakers"]
    assert ("enforce", 7, "arn:bob") == tuple(document["policy"][each] for each in ("mode", "version", "changed_by"))
    told = here.said("status")
    for each in (
        "breaker open",
        "left broken",
        "999999999999",
        "222222222222 us-east-1",
        "version 7 by arn:bob, 3 h ago",
    ):
        assert each in told


@pytest.mark.parametrize("reason", ["broke_before", "undone_by_person", "changed_back"])
def test_what_was_put_back_is_open_until_it_is_cleared(here: Installation, reason: str) -> None:
    """It waits for a person, and nothing else would tell of it."""
    fill(here.bucket, [row(1, status="rolled_back", reason=reason), row(2)])
    assert 1 == json.loads(here.said("status", "-o", "json"))["put_back"]["count"]
    told = here.said("status")
    assert "put back, and held" in told
    assert "imdsv2 clear INSTANCE" in told


@pytest.mark.parametrize(
    "args", [("explain", "web-1"), ("undo", "--cohort", "group:web"), ("audit", "--instance", "web-1")]
)
def test_a_name_where_there_is_nothing_yet_says_how_to_get_something(here: Installation, args: tuple[str, ...]) -> None:
    """On the first day, README's examples name what is not there."""
    assert "imdsv2 sweep looks for" in here.said(*args, code=Exit.USAGE)


def test_a_hold_that_has_ended_is_not_open(here: Installation) -> None:
    """The row still has it."""
    fill(here.bucket, [row(1, hold_owner="blue", hold_until="2026-11-28")])
    assert 0 == json.loads(here.said("status", "-o", "json"))["holds"]["count"]


def test_a_refused_policy_and_a_failed_sweep_are_told(here: Installation) -> None:
    """With what to do."""
    here.policy(mode="enforc")
    run_ = {"status": "FAILED", "startDate": AT}
    here.aws.answers["stepfunctions", "list_executions"] = {"executions": [run_]}
    told = here.said("status")
    assert "refused" in told
    assert "failed" in told


@pytest.mark.parametrize("text", ["", "mode: off", "[]", '{"mode": "enforc"}'])
def test_a_policy_that_is_none_is_told_as_such(here: Installation, text: str) -> None:
    """By status and by explain; defaults in its place would be a lie."""
    fill(here.bucket, [row(1)])
    here.aws.answers["ssm", "get_parameter"]["Parameter"]["Value"] = text
    told = here.said("status")
    assert "changes nothing meanwhile" in told
    policy = json.loads(here.said("status", "-o", "json"))["policy"]
    assert ({"problem"}, True) == (policy.keys(), "changes nothing meanwhile" in policy["problem"])
    assert "changes nothing meanwhile" in here.said("explain", "web-1")
    [gate] = json.loads(here.said("explain", "web-1", "-o", "json"))["gates"]
    assert ("policy", "closed") == (gate["gate"], gate["state"])


def answer(word: str, days: float | None) -> Answer:
    """An answer of two days ago, that expires in so many days."""
    expires = AT + timedelta(days=days) if days is not None else None
    return Answer(word=word, by="ann", request_id="r", at=AT - timedelta(days=2), expires_at=expires)


@pytest.mark.parametrize(
    ("given", "state", "detail"),
    [
        (None, "closed", "nobody has answered yet"),
        (answer("approved", 1), "open", "approved by ann until 2026-11-30 09:00 UTC"),
        (answer("approved", -1), "closed", "approved by ann, which expired at 2026-11-28 09:00 UTC"),
        (answer("approved", 0), "closed", "approved by ann, which expired at 2026-11-29 09:00 UTC"),
        (answer("approved", None), "closed", "approved by ann, which expired at an unknown time"),
        (answer("refused", None), "closed", "refused by ann on 2026-11-27"),
    ],
)
def test_an_approval_opens_its_gate_until_it_expires(
    here: Installation, given: Answer | None, state: str, detail: str
) -> None:
    """As the line asks it."""
    fill(here.bucket, [row(1, approval="approved")])
    here.policy(mode="enforce", approval="required")
    if given is not None:
        here.record(arn(1), AT - timedelta(hours=1), reason="approval_required", approval=given)
    [gate] = [
        each for each in json.loads(here.said("explain", "web-1", "-o", "json"))["gates"] if each["gate"] == "approval"
    ]
    assert (state, detail) == (gate["state"], gate["detail"])


@pytest.mark.parametrize(
    ("ends_at", "hours", "state", "detail"),
    [
        ("", 1, "closed", "1 hour, once it may be changed"),
        ("", 24, "closed", "24 hours, once it may be changed"),
        ("2026-11-29T10:00:00Z", 24, "closed", "ends 2026-11-29 10:00 UTC"),
        ("2026-11-29T09:00:00Z", 24, "open", "it ended at 2026-11-29 09:00 UTC"),
        ("2026-11-22T09:00:00Z", 24, "closed", "24 hours anew: the last ended at 2026-11-22 09:00 UTC"),
    ],
)
def test_a_notice_opens_its_gate_when_it_has_ended(
    here: Installation, ends_at: str, hours: int, state: str, detail: str
) -> None:
    """For a week; then the owner is told anew."""
    fill(here.bucket, [row(1, notice_ends_at=ends_at)])
    here.policy(mode="enforce", notice_hours=hours, max_enforcements_per_hour=1)
    gates = {each["gate"]: each for each in json.loads(here.said("explain", "web-1", "-o", "json"))["gates"]}
    assert (state, detail) == (gates["notice"]["state"], gates["notice"]["detail"])
    assert gates["cap"]["detail"].startswith("1 change an hour")


def test_an_instance_is_explained(here: Installation) -> None:
    """By id, ARN or name: facts, calls by the hour, gates, history, next step."""
    fill(here.bucket, [row(1), row(2)])
    here.policy(mode="observe", approval="required", notice_hours=24)
    here.record(arn(1), AT - timedelta(days=5), reason="no_evidence")
    hold = Hold(owner="blue", reason="Migration.", until=date(2026, 12, 24), by="alice", request_id="r", at=AT)
    here.record(arn(1), AT - timedelta(days=4), hold=hold)
    for name in (arn(1).instance_id, str(arn(1)), "web-1"):
        told = here.said("explain", name)
        assert "hold (v1_in_use)" in told
        assert "alice" not in told.partition("Timeline")[0]
    assert "Calls by the hour of the week" in told
    assert "the policy says observe" in told
    assert "Next: It is judged again at 2026-11-30 02:30 UTC" in told
    story = json.loads(here.said("explain", "web-1", "-o", "json"))
    assert {"mode": "closed", "approval": "closed", "notice": "closed", "circuit breaker": "open"}.items() <= {
        each["gate"]: each["state"] for each in story["gates"]
    }.items()
    assert "hold set" in [each["what"] for each in story["timeline"]]


def test_a_cohort_is_explained(here: Installation) -> None:
    """By the end of its key: its members, its canaries, what holds it."""
    fill(here.bucket, [row(1), row(2, reason="canary_wait"), row(3, cohort="")])
    key = row(1)["cohort"]
    item = {"pk": {"S": f"cohort#{key}"}, "sk": {"S": "current"}, "version": {"N": "1"}, "wanted": {"N": "1"}}
    here.table.put_item(Item={**item, "canaries": {"L": []}, "broken_by": {"S": str(arn(1))}})
    told = here.said("explain", "group:web")
    assert "2 instances, 2 allow IMDSv1" in told
    assert "The cohort is held" in told
    assert 2 == len(json.loads(here.said("explain", key, "-o", "json"))["members"])


@pytest.mark.parametrize(("cleared", "held"), [(None, True), (timedelta(hours=-1), True), (timedelta(hours=1), False)])
def test_what_was_cleared_since_holds_its_cohort_no_longer(
    here: Installation, cleared: timedelta | None, held: bool
) -> None:
    """As the line takes it: explain does not ask for what somebody has done."""
    fill(here.bucket, [row(1), row(2)])
    here.policy(mode="enforce")
    broken_at = AT - timedelta(hours=4)
    here.record(arn(1), AT - timedelta(hours=2), cleared_at=broken_at + cleared if cleared is not None else None)
    item = {"pk": {"S": f"cohort#{row(1)['cohort']}"}, "sk": {"S": "current"}, "wanted": {"N": "1"}}
    broke = {"broken_by": {"S": str(arn(1))}, "broken_at": {"S": f"{broken_at:%Y-%m-%dT%H:%M:%S.%fZ}"}}
    here.table.put_item(Item={**item, "version": {"N": "1"}, "canaries": {"L": [{"S": str(arn(1))}]}, **broke})
    gates = {each["gate"]: each for each in json.loads(here.said("explain", "web-2", "-o", "json"))["gates"]}
    assert ("closed" if held else "at its turn") == gates["canaries"]["state"]
    assert held is ("The cohort is held" in here.said("explain", "group:web"))
    assert held is ("broken_by" in json.loads(here.said("explain", "group:web", "-o", "json"))["facts"])


def test_what_is_not_there_or_not_one_is_refused(here: Installation) -> None:
    """With the name that was meant, or the ones that it fits."""
    fill(here.bucket, [row(1, name="billing"), row(2, name="worker"), row(3, name="worker")])
    assert "did you mean billing?" in here.said("explain", "biling", code=Exit.USAGE)
    assert str(arn(3)) in here.said("explain", "worker", code=Exit.USAGE)


def test_a_file_of_a_later_version_is_refused(here: Installation) -> None:
    """Guessing what its columns mean would be wrong."""
    here.bucket.objects["fleet/latest.json"] = json.dumps({**swept(), "schema": 99}).encode()
    assert "version 99" in here.said("list", code=Exit.FAILED)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"status": "enforced", "watch": "open"}, "every five minutes"),
        ({"status": "verified", "watch": "done"}, "verified"),
        ({"status": "enforcing"}, "right now"),
        ({"next_at": "2026-11-29T08:00:00Z"}, "due since 2026-11-29 08:00"),
        ({"next_at": "2026-11-29T11:00:00Z"}, "(in 2 h)"),
        ({"next_at": "", "http_tokens": "required"}, "tokens are required"),
        ({"next_at": ""}, "The next sweep"),
    ],
)
def test_what_happens_next_is_said(fields: dict[str, str], says: str) -> None:
    """For every kind of row."""
    assert says in next_of(row(1, **fields), AT)


def test_the_chart_shows_the_hours_with_calls() -> None:
    """A weekly job is one column of one line; nothing is drawn of nothing."""
    lines = chart("26:40 27:5")
    assert 8 == len(lines)
    assert ("··█▁" + "·" * 20) in lines[2]
    assert lines[2].startswith("Tue")
    assert lines[2].endswith("45")
    assert [] == chart("")


@pytest.mark.parametrize(
    ("narrowed", "places"),
    [
        ((), [("222222222222", "eu-west-1"), ("222222222222", "us-east-1"), ("333333333333", "eu-west-1")]),
        (("--account", "222222222222"), [("222222222222", "eu-west-1"), ("222222222222", "us-east-1")]),
        (("--in-region", "eu-west-1"), [("222222222222", "eu-west-1"), ("333333333333", "eu-west-1")]),
        (("--account", "222222222222", "--in-region", "us-east-1"), []),
    ],
)
def test_tags_are_looked_for_wherever_the_last_sweep_saw_instances(
    here: Installation, narrowed: tuple[str, ...], places: list[tuple[str, str]]
) -> None:
    """The ledger knows only what was judged."""
    fill(here.bucket, [row(1), row(2), row(3, region="us-east-1"), row(4, account="333333333333")])
    here.aws.on_invoke("manual", {"count": 0, "results": [], "unknown": [], "problems": []})
    here.said("assess", "--tag", "team=blue", *narrowed)
    [asked] = here.aws.payloads()
    assert places == [(each["account"], each["region"]) for each in asked["find"].get("places", [])]


def test_without_a_sweep_tags_are_looked_for_where_the_ledger_knows_instances(here: Installation) -> None:
    """And that is said, with what to do."""
    here.aws.on_invoke("manual", {"count": 0, "results": [], "unknown": [], "problems": []})
    said = run("assess", "--tag", "team=blue")
    assert (0, True) == (said.exit_code, "No sweep has ended yet" in said.stderr)
