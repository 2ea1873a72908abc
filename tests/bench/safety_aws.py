"""What stands in for AWS in the safety simulation: EC2, CloudWatch and the ledger's table, in memory.

The service's code is the real one from the line and the guard down to the calls that it makes. Only the storage of the ledger is replaced
one level higher, at its methods: ten thousand instances for a quarter of a year would take the local DynamoDB hours. The
stand-in refuses what the table would refuse: a write that has not seen the newest version, and a move that no life makes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from imdsv2.aws.cloudwatch import REJECTED_CALLS, UTILIZATION
from imdsv2.domain.hours import HOUR
from imdsv2.domain.lifecycle import check
from imdsv2.domain.policy import PolicyInForce
from imdsv2.ledger.account import Accounts
from imdsv2.ledger.items import account_key
from imdsv2.ledger.table import Enforced, Entry, Ledger
from tests.bench.safety_fleet import BEGIN, MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client

    from imdsv2.domain.account import Account
    from imdsv2.domain.instance import InstanceArn, Placed
    from imdsv2.domain.policy import Policy
    from imdsv2.domain.request import Finding
    from imdsv2.ledger.table import Change
    from tests.bench.safety_fleet import Machine

PERIOD = 5 * MINUTE
ARRIVES_AFTER = 5 * MINUTE
"""Seconds from the end of five minutes to their datapoint; AWS promises nothing, and shows most within a few minutes."""
LISTED_AFTER = 15 * MINUTE
"""Seconds more until ListMetrics names an instance that had none before (its API reference)."""


@dataclass(slots=True)
class Clock:
    """Time moves only between the service's runs."""

    seconds: float = BEGIN

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)


@dataclass(slots=True)
class Box:
    """An instance as AWS keeps it: its machine, and since and until when it requires tokens."""

    machine: Machine
    required_at: float | None = None
    restored_at: float | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def requires_tokens(self) -> bool:
        return self.required_at is not None and self.restored_at is None

    def rejected(self, end: float) -> Sequence[int]:
        """The calls that were refused up to a time."""
        if self.required_at is None:
            return ()
        return self.machine.calls_between(self.required_at, min(end, self.restored_at or end))

    def answered(self, begin: float, end: float) -> list[int]:
        """The calls without a token that were answered from a time on, up to another."""
        refused = self.rejected(end)
        calls = self.machine.calls_between(begin, end)
        return [call for call in calls if not refused or not refused[0] <= call <= refused[-1]]


class Place:
    """EC2 and CloudWatch of one account and Region, as far as the service uses them."""

    def __init__(self, clock: Clock, boxes: Iterable[Box]) -> None:
        self._clock = clock
        self.boxes = {box.machine.arn.instance_id: box for box in boxes}
        self.looked_at: Collection[str] | None = None
        """What ListMetrics gets to see; None: all."""

    # EC2

    def describe_instances(
        self,
        InstanceIds: Sequence[str] = (),  # noqa: N803 - AWS's names
        Filters: object = None,  # noqa: N803 - AWS's names
        MaxResults: int | None = None,  # noqa: N803 - AWS's names
    ) -> dict[str, Any]:
        """By ids, or (the only filter that the service uses) those that run and allow IMDSv1."""
        now = self._clock.seconds
        seen = (
            [self.boxes[each] for each in InstanceIds]
            if InstanceIds
            else [box for box in self.boxes.values() if not box.requires_tokens and box.machine.is_running(now)]
        )
        return {"Reservations": [{"Instances": [_description(box, now) for box in seen]}]}

    def create_tags(self, *, Resources: Sequence[str], Tags: Sequence[Mapping[str, str]]) -> None:  # noqa: N803 - AWS's names
        for each in Resources:
            self.boxes[each].tags.update((tag["Key"], tag["Value"]) for tag in Tags)

    def delete_tags(self, *, Resources: Sequence[str], Tags: Sequence[Mapping[str, str]]) -> None:  # noqa: N803 - AWS's names
        for each in Resources:
            for tag in Tags:
                self.boxes[each].tags.pop(tag["Key"], None)

    def modify_instance_metadata_options(self, *, InstanceId: str, HttpTokens: str) -> None:  # noqa: N803 - AWS's names
        box = self.boxes[InstanceId]
        if HttpTokens == "required":
            if box.required_at is not None:
                raise AssertionError(f"{InstanceId} was to be enforced twice")
            box.required_at = self._clock.seconds
        else:
            box.restored_at = self._clock.seconds

    # CloudWatch

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        begin, end = request["StartTime"].timestamp(), request["EndTime"].timestamp()
        results = []
        for query in request["MetricDataQueries"]:
            stat = query["MetricStat"]
            box = self.boxes[stat["Metric"]["Dimensions"][0]["Value"]]
            stamps, values = self._points(box, stat["Metric"]["MetricName"], stat["Period"], int(begin), int(end))
            results.append({"Id": query["Id"], "StatusCode": "Complete", "Timestamps": stamps, "Values": values})
        return {"MetricDataResults": results}

    def list_metrics(self, **_: str) -> dict[str, Any]:
        """Instances of which refused calls of the last three hours show."""
        end = int(self._clock.seconds - LISTED_AFTER - ARRIVES_AFTER) // PERIOD * PERIOD
        begin = self._clock.seconds - 3 * HOUR
        named = [
            name
            for name in (self.boxes if self.looked_at is None else self.looked_at)
            if (box := self.boxes.get(name)) is not None
            and any(call >= begin and call // HOUR not in box.machine.lost_hours for call in box.rejected(end))
        ]
        return {"Metrics": [{"Dimensions": [{"Name": "InstanceId", "Value": name}]} for name in named]}

    def _points(self, box: Box, metric: str, period: int, begin: int, end: int) -> tuple[list[int], list[float]]:
        """Datapoints of whole periods that CloudWatch shows by now; periods are counted from ``begin``."""
        shown = min(end, int(self._clock.seconds - ARRIVES_AFTER) // PERIOD * PERIOD)
        lost: frozenset[int] = box.machine.lost_hours if metric != UTILIZATION.name else frozenset()
        if metric == REJECTED_CALLS.name:
            calls = [call for call in box.rejected(shown) if call >= begin // PERIOD * PERIOD]
            return _sums(calls, lost, period, begin)
        if period > HOUR:
            # A coarse look, for use: where there was none it makes no difference in which weeks an instance ran.
            return _sums(box.answered(begin, shown), lost, period, begin)
        ran = hours_of(box.machine, begin, shown)
        stamps = [hour * HOUR for hour in ran if hour not in lost] if lost else [hour * HOUR for hour in ran]
        counts = dict(zip(*_sums(box.answered(begin, shown), lost, period, begin), strict=True))
        return stamps, [counts.get(stamp, 0.0) for stamp in stamps] if counts else [0.0] * len(stamps)


def _sums(calls: Iterable[int], lost: frozenset[int], period: int, begin: int) -> tuple[list[int], list[float]]:
    sums: dict[int, float] = {}
    for call in calls:
        if call // HOUR not in lost:
            stamp = begin + (call - begin) // period * period
            sums[stamp] = sums.get(stamp, 0.0) + 1
    return list(sums), list(sums.values())


def hours_of(machine: Machine, begin: float, end: float) -> list[int]:
    """The hours in which an instance ran, for at least one period of the metric."""
    runs = machine.runs
    hours: list[int] = []
    for run_begin, run_end in runs[max(0, bisect_left(runs, (begin, 0)) - 1) :]:
        if run_begin >= end:
            break
        first, last = int(max(run_begin, begin) // HOUR), int((min(run_end, end) - PERIOD) // HOUR)
        hours.extend(range(max(first, hours[-1] + 1) if hours else first, last + 1))
    return hours


def _description(box: Box, now: float) -> dict[str, Any]:
    machine = box.machine
    begin, end = machine.run_at(now)
    running = begin <= now < end
    stopped_at = datetime.fromtimestamp(end, UTC)
    tags = {"aws:autoscaling:groupName": machine.group, **box.tags}
    return {
        "InstanceId": machine.arn.instance_id,
        "State": {"Name": "running" if running else "stopped"},
        "StateTransitionReason": "" if running else f"User initiated ({stopped_at:%Y-%m-%d %H:%M:%S} GMT)",
        "LaunchTime": datetime.fromtimestamp(begin, UTC),
        "MetadataOptions": {
            "HttpTokens": "required" if box.requires_tokens else "optional",
            "HttpEndpoint": "enabled",
            "HttpPutResponseHopLimit": 2,
            "State": "applied",
        },
        "NetworkInterfaces": [
            {"Attachment": {"DeviceIndex": 0, "AttachTime": datetime.fromtimestamp(machine.first_launched, UTC)}}
        ],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


@dataclass(frozen=True, slots=True)
class Members:
    """Every account lets every role in."""

    places: Mapping[tuple[str, str], Place]

    def ec2(self, place: Placed, role: str) -> EC2Client:
        return cast("EC2Client", self.places[place.account, place.region])

    def cloudwatch(self, place: Placed) -> CloudWatchClient:
        return cast("CloudWatchClient", self.places[place.account, place.region])

    def session_name(self, place: Placed, role: str) -> str:
        return "simulation"


class MemoryLedger(Ledger):
    """The ledger's items of instances, in memory. ``touched``: what was written since somebody last looked."""

    def __init__(self) -> None:
        self.entries: dict[InstanceArn, Entry] = {}
        self.touched: set[InstanceArn] = set()
        self.looked_at: Collection[InstanceArn] | None = None
        """What the guard gets to see of the watched; None: all."""

    def read(self, arns: Iterable[InstanceArn]) -> dict[InstanceArn, Entry]:
        return {arn: self.entries.get(arn) or Entry(arn=arn) for arn in arns}

    def write(self, changes: Sequence[Change], now: datetime) -> set[InstanceArn]:
        overtaken = set()
        for change in changes:
            known = self.entries.get(change.entry.arn)
            if change.entry.version != (known.version if known else 0):
                overtaken.add(change.entry.arn)
                continue
            applied = change.applied()
            if applied.status is not None:
                check(change.entry.status, applied.status)
            self.entries[applied.arn] = applied
            self.touched.add(applied.arn)
        return overtaken

    def watched(self, account: str) -> list[Enforced]:
        candidates = self.entries if self.looked_at is None else self.looked_at
        return [
            _enforced(entry)
            for arn in sorted(candidates)
            if account_key(arn) == account and (entry := self.entries[arn]).is_watched
        ]

    def enforced_since(self, account: str, since: datetime) -> list[Enforced]:
        return [
            _enforced(entry)
            for arn, entry in self.entries.items()
            if account_key(arn) == account and (when := entry.time("enforced_at")) is not None and when >= since
        ]


def _enforced(entry: Entry) -> Enforced:
    enforced_at = entry.time("enforced_at")
    assert enforced_at is not None
    return Enforced(
        arn=entry.arn,
        status=str(entry.status),
        enforced_at=enforced_at,
        restarted_at=entry.time("restarted_at"),
        cohort=entry.attributes.get("cohort"),
        asked_back=False,
    )


class MemoryAccounts(Accounts):
    """The real accounts' items on a table in memory. ``looked_at``: the accounts that the guard gets to see; None: all."""

    def __init__(self, table: Table) -> None:
        super().__init__(cast("DynamoDBClient", table), "ledger")
        self.looked_at: Collection[str] | None = None

    def all(self) -> list[Account]:
        if self.looked_at is None:
            return super().all()
        return [self._read(key) for key in sorted(self.looked_at)]


class Serial:
    """A thread pool's place, taken by one thing after the other: the same outcome each time, and a tenth of the time."""

    def __init__(self, at_once: int) -> None:
        """As many at once as one likes."""

    def __enter__(self) -> Serial:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is left to wait for."""

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        return [work(item) for item in items]


class Table:
    """DynamoDB as the items of accounts and cohorts need it: whole items, each write on condition of the version that was read."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], dict[str, Any]] = {}

    class exceptions:  # noqa: N801 - botocore's name
        """Where botocore's clients keep their exceptions."""

        class ConditionalCheckFailedException(ClientError):
            """A condition did not hold."""

    def get_item(self, *, Key: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803 - AWS's name
        item = self._items.get(_key(Key))
        return {"Item": item} if item else {}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - AWS's name
        return {
            "Responses": {
                table: [self._items[key] for key in map(_key, wanted["Keys"]) if key in self._items]
                for table, wanted in RequestItems.items()
            }
        }

    def query(self, *, ExpressionAttributeValues: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803 - AWS's name
        [wanted] = (each["S"] for each in ExpressionAttributeValues.values())
        return {"Items": [item for (pk, _), item in self._items.items() if pk == wanted]}

    def put_item(self, *, Item: dict[str, Any], ExpressionAttributeValues: Any = None, **_: Any) -> None:  # noqa: N803 - AWS's names
        known = self._items.get(_key(Item))
        seen = ExpressionAttributeValues[":version"] if ExpressionAttributeValues else None
        if (known["version"] if known else None) != seen:
            raise self.exceptions.ConditionalCheckFailedException({"Error": {}}, "PutItem")
        self._items[_key(Item)] = Item

    def update_item(self, *, Key: dict[str, Any], ExpressionAttributeValues: dict[str, Any], **_: Any) -> None:  # noqa: N803 - AWS's names
        """The guard's claim of an account."""
        item = self._items[_key(Key)]
        version = int(item["version"]["N"]) + 1
        self._items[_key(Key)] = {
            **item,
            "guarded_at": ExpressionAttributeValues[":now"],
            "version": {"N": str(version)},
        }


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """A policy that nobody changes."""

    policy: Policy

    def current(self, now: datetime) -> PolicyInForce:
        return PolicyInForce(policy=self.policy, is_from_parameter=True)

    def keep(self, now: datetime) -> None:
        """There is nothing to remember."""


class SilentHub:
    """Security Hub where nothing is suppressed."""

    def suppressed(self, findings: Mapping[InstanceArn, Sequence[Finding]]) -> dict[InstanceArn, str]:
        return {}


@dataclass(slots=True)
class Ears:
    """People, who hear of an open breaker; the rest only fills the ledger."""

    breakers: list[Account] = field(default_factory=list)

    def tell(self, arns: Collection[InstanceArn], now: datetime, *, workflow: bool) -> None:
        """Notes and notifications decide nothing."""

    def breaker_opened(self, account: Account) -> None:
        self.breakers.append(account)
