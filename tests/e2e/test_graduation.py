"""Graduation on the deployed stack, by the command line: what is open is settled one after the other, then the place is locked, enforced,
and put back by one call. EC2's defaults, launches and refusals are those of the local AWS; the functions and roles are the real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from boto3.dynamodb.types import TypeDeserializer
from botocore.config import Config
from botocore.exceptions import ClientError

from local.cloud.run import ADMINISTRATION, MEMBERS
from tests.e2e.terminal import Terminal

if TYPE_CHECKING:
    from tests.e2e.terminal import Ended
    from tests.e2e.world import World

REGION, DECLARED, BUILDERS = "eu-central-1", "eu-north-1", "eu-west-3"
"""Regions in which no other test launches anything."""
ACCOUNT = MEMBERS[1]


@dataclass(frozen=True)
class Place:
    """The account and Region, as its own administrator sees it, and the command line for it."""

    world: World
    region: str = REGION

    @property
    def ec2(self) -> Any:
        return self.world.cloud.session(account=ACCOUNT, region=self.region).client("ec2")

    def graduate(self, *options: str) -> Ended:
        """`imdsv2 graduate`, answered in JSON."""
        there = ("--account", ACCOUNT, "--in-region", self.region)
        return Terminal(self.world.cloud).pipe("graduate", *there, *options, "-o", "json")

    def still_open(self, *options: str) -> set[tuple[str, str]]:
        """What keeps it from being ready, by the answer to a real order, which is refused."""
        before = self.defaults()
        refused = self.graduate(*options, "--yes")
        assert (3, "refused", False) == (refused.code, refused.document["result"], refused.document["ready"])
        assert before == self.defaults(), "nothing was changed"
        return {(each["what"], each["name"]) for each in refused.document["open"]}

    def defaults(self) -> dict[str, Any]:
        """The account's defaults there."""
        level = dict(self.ec2.get_instance_metadata_defaults()["AccountLevel"])
        return {name: value for name, value in level.items() if name != "ManagedBy"}

    def launch(self, **options: Any) -> tuple[str, dict[str, Any]]:
        """Somebody launches an instance: its id, and its metadata options. Raises ClientError."""
        answer = self.ec2.run_instances(
            ImageId="ami-0d00e0f0a0b0c0d01", MinCount=1, MaxCount=1, InstanceType="t3.micro", MetadataOptions=options
        )
        [instance] = answer["Instances"]
        return instance["InstanceId"], instance["MetadataOptions"]

    def builder(self, number: int) -> Any:
        """EC2 for a build server, in a session of its own for each build."""
        role = f"arn:aws:iam::{ACCOUNT}:role/{ADMINISTRATION}"
        sts = self.world.home.client("sts")
        keys = sts.assume_role(RoleArn=role, RoleSessionName=f"build-{number}")["Credentials"]
        session: Any = self.world.home
        return session.client(
            "ec2",
            region_name=self.region,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
            config=Config(user_agent=f"APN/1.0 HashiCorp/1.0 Packer/1.11.{number % 10}"),
        )

    def build(self, number: int, **launch: Any) -> None:
        """It launches a builder, which is gone when the image is made."""
        ec2 = self.builder(number)
        [one] = ec2.run_instances(MinCount=1, MaxCount=1, **launch)["Instances"]
        ec2.terminate_instances(InstanceIds=[one["InstanceId"]])

    def end(self, instance_id: str) -> None:
        """Its owner terminates it."""
        self.ec2.terminate_instances(InstanceIds=[instance_id])

    def group(self) -> tuple[str, str]:
        """A group of no instances yet, from a template that says `optional`: its name, and the template's id."""
        data = {"InstanceType": "t3.micro", "ImageId": "ami-0d00e0f0a0b0c0d01"}
        made = self.ec2.create_launch_template(
            LaunchTemplateName="till", LaunchTemplateData={**data, "MetadataOptions": {"HttpTokens": "optional"}}
        )["LaunchTemplate"]
        scaling: Any = self.world.cloud.session(account=ACCOUNT, region=self.region).client("autoscaling")
        scaling.create_auto_scaling_group(
            AutoScalingGroupName="till",
            MinSize=0,
            MaxSize=3,
            DesiredCapacity=0,
            AvailabilityZones=[f"{self.region}a"],
            LaunchTemplate={"LaunchTemplateId": made["LaunchTemplateId"], "Version": "$Latest"},
        )
        return "till", str(made["LaunchTemplateId"])

    def ledger(self) -> list[dict[str, Any]]:
        """The ledger's items of the place: the current one, then the events in their order."""
        found = self.world.home.client("dynamodb").query(
            TableName=self.world.cloud.outputs["LedgerTableName"],
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues={":pk": {"S": f"defaults#aws/{ACCOUNT}/{self.region}"}},
        )
        decode = TypeDeserializer().deserialize
        return [{name: decode(value) for name, value in item.items()} for item in found["Items"]]


def test_a_place_is_settled_locked_enforced_and_put_back(world: World) -> None:
    """Each thing that is open is named until it is settled; one undo takes back both steps."""
    place = Place(world)
    place.ec2.modify_instance_metadata_defaults(HttpPutResponseHopLimit=1)
    before = place.defaults()
    _settle_everything(world, place)

    shown = place.graduate("--hop-limit", "3", "--dry-run")
    assert (0, "would_lock", True, before) == (
        shown.code,
        shown.document["result"],
        shown.document["ready"],
        place.defaults(),
    )
    early = place.graduate("--enforce", "--yes")
    assert (3, [("defaults", "HttpTokens")]) == (
        early.code,
        [(each["what"], each["name"]) for each in early.document["open"]],
    )

    locked = place.graduate("--hop-limit", "3", "--reason", "Quarter goal.", "--yes")
    assert (0, "locked") == (locked.code, locked.document["result"]), locked.err
    assert {**before, "HttpTokens": "required", "HttpPutResponseHopLimit": 3} == place.defaults()
    silent, options = place.launch()
    assert ("required", 3) == (options["HttpTokens"], options["HttpPutResponseHopLimit"])
    again = place.graduate("--hop-limit", "3", "--yes")
    assert (3, "already_locked") == (again.code, again.document["result"])

    _enforce(place)
    undone = place.graduate("--unlock", "--yes")
    assert (0, "unlocked", before) == (undone.code, undone.document["result"], place.defaults()), undone.err
    back, options = place.launch(HttpTokens="optional")
    assert "optional" == options["HttpTokens"]
    assert 3 == place.graduate("--unlock", "--yes").code
    _told_in_the_ledger(place)
    for each in (silent, back):
        place.end(each)


def _settle_everything(world: World, place: Place) -> None:
    """An instance, its watch, and a group's template: the service and the owner settle one after the other."""
    group, template = place.group()
    tags = {"aws:autoscaling:groupName": group}
    one = world.launch_one(account=ACCOUNT, region=place.region, tags=tags)
    source = ("source", f"auto_scaling_group {group}")
    assert {("instance", one.arn), source} == place.still_open()
    enforced = Terminal(world.cloud).pipe("enforce", one.arn, "--yes")
    assert 0 == enforced.code, enforced.err
    assert {("watch", one.arn), source} == place.still_open()
    world.age(one, hours=80)
    world.guard()
    assert "verified" == world.current(one)["status"]
    assert ("watch", one.arn) in place.still_open(), "its next start is still to come"
    place.end(one.instance_id)
    stray, _ = place.launch()
    assert {("instance", f"arn:aws:ec2:{place.region}:{ACCOUNT}:instance/{stray}")} <= place.still_open()
    place.end(stray)
    world.launch_one(account=ACCOUNT, region=place.region, tags=tags, options={"HttpTokens": "required"})
    assert {source} == place.still_open()
    place.ec2.create_launch_template_version(
        LaunchTemplateId=template,
        SourceVersion="1",
        LaunchTemplateData={"MetadataOptions": {"HttpTokens": "required"}},
    )


def _enforce(place: Place) -> None:
    """A launch that allows IMDSv1 passes the first step and keeps the place from the second; after this it fails."""
    allowing, options = place.launch(HttpTokens="optional")
    assert "optional" == options["HttpTokens"]
    refused = place.graduate("--enforce", "--yes")
    assert (3, True) == (refused.code, allowing in str(refused.document["open"]))
    place.end(allowing)
    # It is gone, but CloudTrail remembers how it was launched.
    assert {("launch", f"arn:aws:iam::{ACCOUNT}:root")} == place.still_open("--enforce")
    modern, _ = place.launch(HttpTokens="required")
    place.end(modern)
    enforced = place.graduate("--enforce", "--yes")
    assert (0, "enabled") == (enforced.code, place.defaults()["HttpTokensEnforced"]), enforced.err
    assert "rollbacks" in enforced.err
    with pytest.raises(ClientError, match="httpTokensEnforced"):
        place.launch(HttpTokens="optional")


def _told_in_the_ledger(place: Place) -> None:
    """Every step, with who asked and why, and with what was before."""
    current, *events = place.ledger()
    steps = ["locking", "locked", "locking", "locked", "unlocking", "unlocked"]
    assert ("unlocked", steps) == (current["status"], [each["status"] for each in events])
    assert all("arn:aws:iam::111111111111:root" in each["caller"] for each in events)
    assert ["Quarter goal." == each.get("because") for each in events] == [True, True, False, False, False, False]
    assert {"HttpTokens": "no-preference", "HttpPutResponseHopLimit": 1} == events[0]["before"]
    there = ("--account", ACCOUNT, "--in-region", place.region)
    trail = Terminal(place.world.cloud).pipe("audit", *there, "--events-only", "-o", "json")
    told = [each for each in trail.document["events"] if each.get("about") == "metadata defaults"]
    assert [f"defaults_{each}" for each in steps] == [each["kind"] for each in told]


def test_a_builder_that_lives_for_minutes_keeps_a_place_open(world: World) -> None:
    """Nothing runs there when somebody looks: CloudTrail alone knows that it allows IMDSv1, by itself or by its template, and it is named
    with its tool until its newest launch says otherwise."""
    place = Place(world, BUILDERS)
    image = {"ImageId": "ami-0d00e0f0a0b0c0d01", "InstanceType": "t3.micro"}
    place.build(1734029381, **image)
    shown = place.graduate("--dry-run").document
    assert ("would_lock", True) == (shown["result"], shown["ready"])
    [silent] = shown["launches"]["would_get_tokens"]
    assert "assumed-role" in silent["principal"]

    place.build(1734029382, **image, MetadataOptions={"HttpTokens": "optional"})
    builder = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ADMINISTRATION}/build-1734029382"
    assert {("launch", builder)} == place.still_open()
    refused = place.graduate("--yes")
    assert "Packer/1.11.2" in refused.document["open"][0]["explanation"]
    place.build(1734029383, **image, MetadataOptions={"HttpTokens": "required"})
    assert place.graduate("--dry-run").document["ready"]

    data: Any = {**image, "MetadataOptions": {"HttpTokens": "optional"}}
    made = place.ec2.create_launch_template(LaunchTemplateName="bake", LaunchTemplateData=data)["LaunchTemplate"]
    place.build(1734029384, LaunchTemplate={"LaunchTemplateName": "bake", "Version": "$Latest"})
    assert {("launch", builder.replace("382", "384"))} == place.still_open()
    place.ec2.create_launch_template_version(
        LaunchTemplateId=made["LaunchTemplateId"],
        SourceVersion="1",
        LaunchTemplateData={"MetadataOptions": {"HttpTokens": "required"}},
    )
    locked = place.graduate("--yes")
    assert (0, "locked") == (locked.code, locked.document["result"]), locked.err


def test_defaults_under_a_declarative_policy_are_left_alone(world: World) -> None:
    """For both steps and the undo, with the sentence that says where they are changed."""
    place = Place(world, DECLARED)
    declared = {"account": ACCOUNT, "region": DECLARED, "defaults": {"HttpTokens": "required"}}
    world.cloud.ask("PUT", "declarative-policy", declared)
    for options in ((), ("--enforce",), ("--unlock",)):
        left = place.graduate(*options, "--yes")
        assert (3, "left_alone") == (left.code, left.document["result"])
        assert "declarative policy" in left.document["explanation"]
    assert [] == place.ledger()
    assert {"HttpTokens": "required", "HttpTokensEnforced": "disabled"} == place.defaults()
