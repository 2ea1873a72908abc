"""EC2 and CloudWatch of the safety simulation: the world in memory, whose datapoints follow from when each instance runs and calls.

Datapoints are computed when they are asked for: ten thousand instances have hundreds of millions in a quarter of a year.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from imdsv2.aws.cloudwatch import REJECTED_CALLS, TOKENLESS_SAMPLES, UTILIZATION
from tests.bench.simulation.assumptions import HOUR, MINUTE
from tests.world.cloudwatch import CloudWatch
from tests.world.ec2 import OPEN_OPTIONS, Ec2, as_tags
from tests.world.edge import Place
from tests.world.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from tests.bench.simulation.machine import Machine
    from tests.world.clock import Clock
    from tests.world.cloudwatch import Stamps

PERIOD = 5 * MINUTE
_GROUP = "aws:autoscaling:groupName"
ARRIVES_AFTER = 5 * MINUTE
"""Seconds from the end of five minutes to their datapoint; AWS promises nothing, and shows most within a few minutes."""
TOLD_AFTER = 15 * MINUTE
"""Seconds until CloudTrail's history shows an event (its user guide)."""
LISTED_AFTER = 15 * MINUTE
"""Seconds more until ListMetrics names an instance that had none before (its API reference)."""


@dataclass(slots=True)
class SimulatedInstance:
    """An instance as AWS keeps it: when it runs, and since and until when it requires tokens."""

    machine: Machine
    clock: Clock
    required_at: float | None = None
    restored_at: float | None = None
    by_hand: bool = False
    launched_required: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def requires_tokens(self) -> bool:
        return self.required_at is not None and self.restored_at is None

    @property
    def is_there(self) -> bool:
        """Whether it has been launched, and not yet terminated."""
        return self.machine.first_launched <= self.clock.seconds < self.machine.ended

    def put_back_by_hand(self) -> None:
        """Its owner sets tokens to optional."""
        self.restored_at, self.by_hand = self.clock.seconds, True

    @property
    def state(self) -> str:
        if self.clock.seconds >= self.machine.ended:
            return "terminated"
        return "running" if self.machine.is_running(self.clock.seconds) else "stopped"

    @property
    def options(self) -> Mapping[str, Any]:
        return {**OPEN_OPTIONS, "HttpTokens": "required" if self.requires_tokens else "optional"}

    @property
    def first_launched_at(self) -> datetime:
        """When its group launched it."""
        return datetime.fromtimestamp(self.machine.first_launched, UTC)

    @property
    def stopped_at(self) -> datetime | None:
        """When its group ended it."""
        return datetime.fromtimestamp(self.machine.ended, UTC) if self.state == "terminated" else None

    def change_options(self, sent: Mapping[str, Any]) -> None:
        """Require tokens, or make them optional again, once each."""
        if sent["HttpTokens"] == "required":
            if self.required_at is not None:
                raise AssertionError(f"{self.machine.arn.instance_id} was to be enforced twice")
            self.required_at = self.clock.seconds
        else:
            self.restored_at = self.clock.seconds

    def shown(self) -> dict[str, Any]:
        """The instance in the words of DescribeInstances."""
        machine = self.machine
        begin, end = machine.run_at(self.clock.seconds)
        stopped = f"User initiated ({datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M:%S} GMT)"
        first = datetime.fromtimestamp(machine.first_launched, UTC)
        return {
            "InstanceId": machine.arn.instance_id,
            "ImageId": machine.image_id,
            "State": {"Name": self.state},
            "StateTransitionReason": "" if self.state == "running" else stopped,
            "LaunchTime": datetime.fromtimestamp(begin, UTC),
            "MetadataOptions": {**self.options, "State": "applied"},
            "NetworkInterfaces": [{"Attachment": {"DeviceIndex": 0, "AttachTime": first}}],
            "Tags": as_tags({**machine.source_tags, **self.tags}),
        }

    def is_closed(self, begin: float, end: float) -> bool:
        """Whether tokens were required from a time to another: then there is no datapoint of accepted calls."""
        return self.required_at is not None and self.required_at <= begin and end <= (self.restored_at or math.inf)

    def rejected(self, end: float) -> Sequence[int]:
        """The calls that were refused up to a time."""
        if self.required_at is None:
            return ()
        return self.machine.asked_between(self.required_at, min(end, self.restored_at or end))

    def answered(self, begin: float, end: float) -> list[int]:
        """The calls without a token that were answered from a time on, up to another."""
        refused = self.rejected(end)
        calls = self.machine.asked_between(begin, end)
        return [call for call in calls if not refused or not refused[0] <= call <= refused[-1]]


class SimulatedEc2(Ec2[SimulatedInstance]):
    """EC2 of one account and Region. It shows what has been launched, and for an hour what was terminated; groups and AMIs are looked
    up, because every look at a cohort asks for one."""

    def __init__(self, instances: Mapping[str, SimulatedInstance]) -> None:
        super().__init__({})
        self._groups: defaultdict[str, dict[str, SimulatedInstance]] = defaultdict(dict)
        self._images: defaultdict[str, dict[str, SimulatedInstance]] = defaultdict(dict)
        for each in instances.values():
            if each.machine.first_launched <= each.clock.seconds:
                self.launch(each)

    def launch(self, instance: SimulatedInstance) -> None:
        """From now on, it is there."""
        instance_id = instance.machine.arn.instance_id
        self.instances[instance_id] = self._images[instance.machine.image_id][instance_id] = instance
        if instance.machine.source_tags:
            self._groups[instance.machine.group][instance_id] = instance

    def describe_images(self, *, Filters: Sequence[Mapping[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803 - AWS's name
        """All are the account's own."""
        [asked] = [each["Values"] for each in Filters if each["Name"] == "image-id"]
        account = next(iter(self.instances.values())).machine.arn.account
        return {"Images": [{"ImageId": each, "OwnerId": account} for each in asked]}

    def with_tag(self, key: str, value: str) -> Iterable[tuple[str, SimulatedInstance]]:
        """Only groups are asked for."""
        assert key == _GROUP
        return self._groups[value].items() if value in self._groups else ()

    def _listed(self, filters: Sequence[Mapping[str, Any]], after: str) -> Iterator[SimulatedInstance]:
        index = {f"tag:{_GROUP}": self._groups, "image-id": self._images}
        asked = [(index[each["Name"]], each["Values"]) for each in filters if each["Name"] in index]
        shown = (
            [each for of, names in asked for name in names if name in of for each in of[name].values()]
            if asked
            else None
        )
        others = [each for each in filters if each["Name"] not in index]
        if shown is None:
            listed = super()._listed(filters, after)
        else:
            ids = [each.machine.arn.instance_id for each in shown]
            left = shown[ids.index(after) + 1 if after else 0 :]
            listed = (each for each in left if self._passes(each, others))
        return (each for each in listed if each.clock.seconds < each.machine.ended + HOUR)

    @staticmethod
    def _passes(instance: SimulatedInstance, filters: Sequence[Mapping[str, Any]]) -> bool:
        assert not {each["Name"] for each in filters} - {"instance-state-name"}
        return all(instance.state in each["Values"] for each in filters)


class SimulatedMetrics(CloudWatch):
    """The metrics of simulated instances. Times in its answers are seconds since 1970, as the service's own sessions read them."""

    def __init__(self, clock: Clock, instances: Mapping[str, SimulatedInstance]) -> None:
        super().__init__(clock)
        self._clock = clock
        self._instances = instances
        self.looked_at: Collection[str] | None = None
        """What ListMetrics gets to see; None: all."""

    def get_metric_data(self, **request: Any) -> dict[str, Any]:
        """As any CloudWatch, without remembering a quarter of a year of questions."""
        answer = super().get_metric_data(**request)
        self.asked.clear()
        return answer

    def _refuse(self, request: Mapping[str, Any]) -> None:
        """Let every request pass: looking at each would take a tenth of the simulation's time, and the service's requests
        are looked at by the tests of the evidence."""

    def _active_since(self, metric: str, since: datetime) -> list[str]:
        """Instances of which refused calls since a time show."""
        assert metric == REJECTED_CALLS.name
        now, begin = self._clock.seconds, since.timestamp()
        end = int(now - LISTED_AFTER - ARRIVES_AFTER) // PERIOD * PERIOD
        is_for_guard = now - begin <= 3 * HOUR
        names = self._instances if self.looked_at is None or not is_for_guard else self.looked_at
        return [
            name
            for name in names
            if (instance := self._instances.get(name)) is not None
            and any(
                call >= begin and call // HOUR not in instance.machine.lost_hours for call in instance.rejected(end)
            )
        ]

    def _series(self, stat: Mapping[str, Any], start: datetime, end: datetime) -> tuple[Stamps, list[float]]:
        instance = self._instances[stat["Metric"]["Dimensions"][0]["Value"]]
        span = int(start.timestamp()), int(end.timestamp())
        if stat["Stat"] == TOKENLESS_SAMPLES.stat:
            period = stat["Period"]
            stamps = [
                stamp
                for stamp in self._observed(instance, period, *span)
                if not instance.is_closed(stamp, stamp + period)
            ]
            return stamps[::-1], [float(stat["Period"] // MINUTE)] * len(stamps)
        stamps, values = self._points(instance, stat["Metric"]["MetricName"], stat["Period"], *span)
        return stamps[::-1], values[::-1]

    def _points(
        self, instance: SimulatedInstance, metric: str, period: int, begin: int, end: int
    ) -> tuple[list[int], list[float]]:
        """Datapoints of whole periods that CloudWatch shows by now; periods are counted from ``begin``."""
        shown = min(end, int(self._clock.seconds - ARRIVES_AFTER) // PERIOD * PERIOD)
        machine = instance.machine
        lost = machine.dark_hours if metric == UTILIZATION.name else machine.lost_hours | machine.dark_hours
        if metric == REJECTED_CALLS.name:
            calls = [call for call in instance.rejected(shown) if call >= begin // PERIOD * PERIOD]
            return _sums(calls, lost, period, begin)
        if period > HOUR:
            # A coarse look, for use: where there was none it makes no difference in which weeks an instance ran.
            return _sums(instance.answered(begin, shown), lost, period, begin)
        stamps = self._observed(instance, period, begin, end, lost)
        if metric != UTILIZATION.name:
            stamps = [stamp for stamp in stamps if not instance.is_closed(stamp, stamp + period)]
        counts = dict(zip(*_sums(instance.answered(begin, shown), lost, period, begin), strict=True))
        return stamps, [counts.get(stamp, 0.0) for stamp in stamps] if counts else [0.0] * len(stamps)

    def _observed(
        self, instance: SimulatedInstance, period: int, begin: int, end: int, lost: frozenset[int] | None = None
    ) -> list[int]:
        """The periods of which CloudWatch shows a datapoint of accepted calls by now, by their beginnings."""
        shown = min(end, int(self._clock.seconds - ARRIVES_AFTER) // PERIOD * PERIOD)
        gaps = instance.machine.lost_hours | instance.machine.dark_hours if lost is None else lost
        if period < HOUR:
            return [each for each in periods_of(instance.machine, begin, shown) if each // HOUR not in gaps]
        ran = hours_of(instance.machine, begin, shown)
        return [hour * HOUR for hour in ran if hour not in gaps] if gaps else [hour * HOUR for hour in ran]


class SimulatedTrail(Trail):
    """CloudTrail's history: it tells of a reboot through EC2 a quarter of an hour later."""

    def __init__(self, clock: Clock, instances: Mapping[str, SimulatedInstance]) -> None:
        super().__init__()
        self._clock = clock
        self._instances = instances

    def remembered(self) -> Iterable[tuple[datetime, str]]:
        """What it tells of by now."""
        told = self._clock.seconds - TOLD_AFTER
        return [
            (datetime.fromtimestamp(reboot, UTC), name)
            for name, each in self._instances.items()
            if each.machine.by_api
            for reboot in each.machine.reboots
            if reboot <= told
        ]


def places(clock: Clock, instances: Iterable[SimulatedInstance]) -> dict[tuple[str, str], Place[SimulatedMetrics]]:
    """EC2 and CloudWatch of each account and Region."""
    by_place: defaultdict[tuple[str, str], dict[str, SimulatedInstance]] = defaultdict(dict)
    for each in instances:
        arn = each.machine.arn
        by_place[arn.account, arn.region][arn.instance_id] = each
    return {
        place: Place(SimulatedEc2(here), SimulatedMetrics(clock, here), SimulatedTrail(clock, here))
        for place, here in by_place.items()
    }


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


def periods_of(machine: Machine, begin: float, end: float) -> list[int]:
    """The five-minute periods in which an instance ran, by their beginnings."""
    runs = machine.runs
    periods: list[int] = []
    for run_begin, run_end in runs[max(0, bisect_left(runs, (begin, 0)) - 1) :]:
        if run_begin >= end:
            break
        first = int(max(run_begin, begin)) // PERIOD * PERIOD
        periods.extend(range(max(first, periods[-1] + PERIOD) if periods else first, int(min(run_end, end)), PERIOD))
    return periods
