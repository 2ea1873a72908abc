"""`source.calls`: what it costs in AWS calls to trace where the instances of an account and Region come from; `source.sweep`: the same
of the sweep's look at sources, which traces once and asks the account nothing else.

The fleet is the one of the simulated herd, as far as launching goes: 40% in groups, the rest from templates, stacks and hands. Its
clients answer from memory and count; the code that asks is the service's own.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from imdsv2.aws.origins import Traced, trace
from imdsv2.domain.in_force import PolicyInForce
from imdsv2.domain.instance import Place
from imdsv2.domain.policy import Policy
from imdsv2.ledger.source_verdicts import SourceVerdicts
from imdsv2.ledger.table import Ledger
from imdsv2.line.sources.book import SourceBook
from imdsv2.line.sources.judging import SourceJudge
from imdsv2.sweep.sources import SourceSweep
from tests.bench.measurement import Measurement
from tests.world.dynamodb import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INSTANCES = 1_000
IDS_A_LEDGER_READ = 100
PLACE = Place("aws", "eu-west-1", "222222222222")
LAUNCHED = datetime(2026, 11, 1, tzinfo=UTC)


class Fleet:
    """The launchers of a place and its instances, and the clients of AWS that tell of them. ``calls``: by operation."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.groups: list[dict[str, Any]] = []
        self.configurations: list[dict[str, Any]] = []
        self.templates: list[dict[str, Any]] = []

    def launch(self, count: int, tags: Mapping[str, str], image: str = "ami-00000001") -> None:
        """So many instances with the tags that AWS sets."""
        self.tags += [(image, dict(tags))] * count

    def template(self, *, latest: int = 1) -> str:
        """A launch template. Its id."""
        template = f"lt-{len(self.templates):08}"
        self.templates.append(
            {
                "LaunchTemplateId": template,
                "LaunchTemplateName": f"name-{template}",
                "DefaultVersionNumber": latest,
                "LatestVersionNumber": latest,
            }
        )
        return template

    def group(self, count: int, tags: Mapping[str, str] | None = None, **launching: Any) -> None:
        """A group with so many instances, which have further tags where a service made the group."""
        name = f"group-{len(self.groups)}"
        self.groups.append({"AutoScalingGroupName": name, "AutoScalingGroupARN": f"arn:{name}", **launching})
        self.launch(count, {"aws:autoscaling:groupName": name, **(tags or {})})

    # --- The clients -------------------------------------------------------------------------------------------------

    def ec2(self, _there: object, _role: str) -> Any:
        """EC2 of the place."""
        return self

    ec2_of_sources = ec2

    def other(self, _service: str, _there: object) -> Any:
        """Auto Scaling of the place."""
        return self

    def describe_instances(self, **asked: Any) -> dict[str, Any]:
        """A page of 1,000."""
        self.calls["DescribeInstances"] += 1
        start = int(asked.get("NextToken", "0"))
        page = [self._instance(number) for number in range(start, min(start + 1000, len(self.tags)))]
        more = {"NextToken": str(start + 1000)} if start + 1000 < len(self.tags) else {}
        return {"Reservations": [{"Instances": page}], **more}

    def _instance(self, number: int) -> dict[str, Any]:
        image, tags = self.tags[number]
        return {
            "InstanceId": f"i-{number:017x}",
            "State": {"Name": "running"},
            "LaunchTime": LAUNCHED,
            "ImageId": image,
            "MetadataOptions": {"HttpTokens": "optional", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }

    def describe_auto_scaling_groups(self, **asked: Any) -> dict[str, Any]:
        """By names, a hundred at most."""
        self.calls["DescribeAutoScalingGroups"] += 1
        return {"AutoScalingGroups": self._named(self.groups, "AutoScalingGroupName", asked["AutoScalingGroupNames"])}

    def describe_launch_configurations(self, **asked: Any) -> dict[str, Any]:
        """By names, a hundred at most."""
        self.calls["DescribeLaunchConfigurations"] += 1
        names = asked["LaunchConfigurationNames"]
        return {"LaunchConfigurations": self._named(self.configurations, "LaunchConfigurationName", names)}

    @staticmethod
    def _named(several: Iterable[dict[str, Any]], name: str, asked: list[str]) -> list[dict[str, Any]]:
        if len(asked) > 100:
            raise ValueError("no more than 100 names a call")
        return [each for each in several if each[name] in asked]

    def describe_launch_templates(self, **asked: Any) -> dict[str, Any]:
        """A page of 200."""
        self.calls["DescribeLaunchTemplates"] += 1
        start = int(asked.get("NextToken", "0"))
        more = {"NextToken": str(start + 200)} if start + 200 < len(self.templates) else {}
        return {"LaunchTemplates": self.templates[start : start + 200], **more}

    def describe_launch_template_versions(self, **asked: Any) -> dict[str, Any]:
        """The latest versions of all templates, a page of 200, or versions of one."""
        self.calls["DescribeLaunchTemplateVersions"] += 1
        if "LaunchTemplateId" in asked:
            numbers = [(asked["LaunchTemplateId"], int(each)) for each in asked["Versions"]]
            return {"LaunchTemplateVersions": [self._version(*each) for each in numbers]}
        start = int(asked.get("NextToken", "0"))
        page = [
            self._version(each["LaunchTemplateId"], each["LatestVersionNumber"])
            for each in self.templates[start : start + 200]
        ]
        more = {"NextToken": str(start + 200)} if start + 200 < len(self.templates) else {}
        return {"LaunchTemplateVersions": page, **more}

    @staticmethod
    def _version(template: str, number: int) -> dict[str, Any]:
        return {
            "LaunchTemplateId": template,
            "VersionNumber": number,
            "LaunchTemplateData": {"ImageId": "ami-00000001"},
        }

    def describe_images(self, **asked: Any) -> dict[str, Any]:
        """By a filter of a hundred ids at most."""
        self.calls["DescribeImages"] += 1
        ids = asked["Filters"][0]["Values"]
        if len(ids) > 100:
            raise ValueError("no more than 100 ids a call")
        return {"Images": [{"ImageId": each, "OwnerId": PLACE.account} for each in ids]}

    def describe_fleets(self, **asked: Any) -> dict[str, Any]:
        """By ids."""
        self.calls["DescribeFleets"] += 1
        return {"Fleets": [{"FleetId": each, "LaunchTemplateConfigs": []} for each in asked["FleetIds"]]}

    def describe_nodegroup(self, **asked: Any) -> dict[str, Any]:
        """One node group, with a template of the customer's own."""
        self.calls["DescribeNodegroup"] += 1
        return {"nodegroup": {"launchTemplate": {"id": self.templates[0]["LaunchTemplateId"], "version": "1"}}}

    def describe_compute_environments(self, **asked: Any) -> dict[str, Any]:
        """None of them has a template of the customer's own."""
        self.calls["DescribeComputeEnvironments"] += 1
        return {"computeEnvironments": [{"computeEnvironmentName": each} for each in asked["computeEnvironments"]]}

    def describe_spot_fleet_requests(self, **asked: Any) -> dict[str, Any]:
        """By ids."""
        self.calls["DescribeSpotFleetRequests"] += 1
        ids = asked["SpotFleetRequestIds"]
        return {"SpotFleetRequestConfigs": [{"SpotFleetRequestId": each} for each in ids]}

    def get_instance_metadata_defaults(self) -> dict[str, Any]:
        """No preference."""
        self.calls["GetInstanceMetadataDefaults"] += 1
        return {"AccountLevel": {}}

    def trace(self) -> Traced:
        """What the service finds out."""
        members: Any = self
        return trace(members, PLACE)


def herd() -> Fleet:
    """A thousand instances: 400 in groups of 2 to 60 (some of EKS and Batch), 250 from templates, 100 of stacks, 50 of fleets, Karpenter and EMR, 200 by hand."""
    fleet = Fleet()
    for number, size in enumerate((60, 50, 40, 40, 30, 30, 25, 25, 20, 20, 15, 15, 10, 5, 5, 2, 2, 2, 2, 2)):
        if number % 10 == 9:
            name = f"configuration-{number}"
            fleet.configurations.append({"LaunchConfigurationName": name, "ImageId": "ami-00000002"})
            fleet.group(size, LaunchConfigurationName=name)
        else:
            version = {0: "$Latest", 1: "1", 2: "$Default"}[number % 3]
            template = fleet.template(latest=2 if number < 4 else 1)
            fleet.group(size, _service(number), LaunchTemplate={"LaunchTemplateId": template, "Version": version})
    for _ in range(50):
        template = fleet.template()
        fleet.launch(5, {"aws:ec2launchtemplate:id": template, "aws:ec2launchtemplate:version": "1"})
    for number in range(100):
        fleet.launch(1, {"aws:cloudformation:stack-name": f"s{number}", "aws:cloudformation:logical-id": "Box"})
    fleet.launch(20, {"karpenter.sh/nodepool": "p"})
    fleet.launch(15, {"aws:ec2:fleet-id": "fleet-00000001"})
    fleet.launch(5, {"aws:ec2spot:fleet-request-id": "sfr-00000001"})
    fleet.launch(10, {"aws:elasticmapreduce:job-flow-id": "j-1"})
    for number in range(200):
        fleet.launch(1, {}, image=f"ami-{number // 4:08x}")
    return fleet


def _service(number: int) -> dict[str, str]:
    """Tags of the groups that EKS (five) and Batch (one) made."""
    if number % 4 == 1:
        return {"eks:cluster-name": "c", "eks:nodegroup-name": f"n{number}"}
    return {"AWSBatchServiceTag": "batch"} if number == 2 else {}


def measure() -> Measurement:
    """Trace the fleet once."""
    fleet = herd()
    if len(fleet.tags) != INSTANCES:
        raise RuntimeError(f"{len(fleet.tags)} instances instead of {INSTANCES}")
    traced = fleet.trace()
    if traced.found.problems:
        raise RuntimeError(str(traced.found.problems))
    spread = ", ".join(f"{count} {name}" for name, count in sorted(fleet.calls.items()))
    return Measurement(
        name="source.calls",
        value=fleet.calls.total(),
        unit="calls per 1,000 instances",
        spread=f"({len(traced.origins)} sources: {spread}; besides, at most {INSTANCES // IDS_A_LEDGER_READ} reads of the ledger)",
    )


class _Ledger(Table):
    """The ledger's table, which counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        self.asked["reads"] += 1
        return super().batch_get_item(**request)

    def transact_write_items(self, **request: Any) -> dict[str, Any]:
        self.asked["writes"] += 1
        return super().transact_write_items(**request)


def measure_sweep() -> Measurement:
    """Have the sweep judge the sources of the same fleet, for the first time: each leaves an event."""
    fleet, table = herd(), _Ledger()
    policies: Any = SimpleNamespace(current=lambda _: PolicyInForce(policy=Policy()))
    nothing: Any = SimpleNamespace()
    members: Any = fleet
    book = SourceBook(
        verdicts=SourceVerdicts(table.client, "ledger"),
        hub=nothing,
        topic=nothing,
        policies=policies,
        now=lambda: LAUNCHED,
        logger=nothing,
    )
    judge = SourceJudge(clients=members, ledger=Ledger(table.client, "ledger"))
    found = SourceSweep(judge=judge, book=book, logger=nothing).go_through(PLACE, dry_run=False)
    return Measurement(
        name="source.sweep",
        value=fleet.calls.total(),
        unit="calls per 1,000 instances",
        spread=f"({len(found.documents)} sources; besides, {table.asked['reads']} reads and {table.asked['writes']} writes of the ledger)",
    )
