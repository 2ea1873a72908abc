"""A small AWS in process for the tests: accounts, a fleet, a ledger, and the line over them."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from boto3.dynamodb.types import TypeDeserializer
from botocore.stub import Stubber
from moto.ec2.models import ec2_backends

from imdsv2.aws.parsing import metrics_session
from imdsv2.aws.security_hub import SecurityHub
from imdsv2.aws.sessions import CONFIG, MemberClients
from imdsv2.domain.instance import InstanceArn
from imdsv2.domain.request import Finding, Request, Source
from imdsv2.intake.event_names import EventNames
from imdsv2.ledger.account import Accounts
from imdsv2.ledger.cohort import Cohorts
from imdsv2.ledger.last_good_policy import LastGoodPolicy
from imdsv2.ledger.table import Ledger
from imdsv2.line.messages import Directions
from imdsv2.settings import Names, Settings
from imdsv2.wiring.guard import build_guard
from imdsv2.wiring.service import Edge, Service, assemble
from tests.world.ledger_table import TABLE as TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import botocore.session

    from imdsv2.aws.pacing import Pacing
    from imdsv2.domain.account import Account
    from imdsv2.guard.run import Guard
    from imdsv2.line.run import Line
    from tests.integration.answers import Metrics, Wire
    from tests.world.clock import Clock
    from tests.world.security_hub import Findings

HUB = "123456789012"
"""The account of moto's own credentials plays the security account."""
MEMBER = "222222222222"
OTHER = "333333333333"
REGION = "eu-west-1"
IMAGE = "ami-12c6146b"

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=360)
PARAMETER = "/imdsv2-remediation/policy"

ROLES = "imdsv2-remediation-"
"""The roles of the accounts, without the last part of their names."""
EVENT_NAMES = EventNames(custom_action_id="RequireIMDSv2")
DIRECTIONS = Directions("imdsv2-remediation-manual")

_broken = itertools.count()

SETTINGS = Settings(
    region=REGION,
    ledger_table=TABLE,
    policy_parameter=PARAMETER,
    notifications_topic_arn="topic",
    lease=LEASE,
    dead_letter_queue_url=None,
    quota_share=0.5,
    names=Names(member_roles=ROLES, manual_function="imdsv2-remediation-manual"),
)

GATES_OFF = {"canary": None, "max_enforcements_per_hour": 1_000_000, "digest": "off"}
"""What the policy says of canaries, caps and the digest unless a test is about them: every instance here has the same image."""

REFUSED_WITHOUT_ENDPOINT = "The HttpEndpoint is not set to 'enabled' in this request. Set it and try again."


@dataclass(slots=True, kw_only=True)
class Cloud:
    """AWS as the service meets it, and the means to set it up and to look behind it."""

    wire: Wire
    hub: Findings
    metrics: Metrics
    session: botocore.session.Session
    outside: botocore.session.Session
    topic_arn: str
    dead_letter_url: str
    clock: Clock
    _clients: dict[tuple[str, str, str], Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A client of the service's own role."""
        return self.session.create_client(service, region_name=REGION, config=CONFIG)

    def as_account(self, account: str, service: str, region: str = REGION) -> Any:
        """A client of somebody in an account, whose calls are not recorded."""
        place = (account, service, region)
        if place not in self._clients:
            self._clients[place] = self.outside.create_client(service, region_name=region, **self._keys(account))
        return self._clients[place]

    def _keys(self, account: str) -> dict[str, Any]:
        if account == HUB:
            return {}
        granted = self.as_account(HUB, "sts").assume_role(
            RoleArn=f"arn:aws:iam::{account}:role/OrganizationAccountAccessRole", RoleSessionName="somebody"
        )["Credentials"]
        return {
            "aws_access_key_id": granted["AccessKeyId"],
            "aws_secret_access_key": granted["SecretAccessKey"],
            "aws_session_token": granted["SessionToken"],
        }

    def policy(self, **fields: Any) -> None:
        """Write the policy; canaries, caps and the digest are off in it unless they are named."""
        self.raw_policy(json.dumps(GATES_OFF | fields))

    def raw_policy(self, text: str) -> None:
        """Write what need not be a policy."""
        self.as_account(HUB, "ssm").put_parameter(Name=PARAMETER, Value=text, Type="String", Overwrite=True)

    def last_good_policy(self) -> LastGoodPolicy:
        """The policy that the ledger keeps."""
        return LastGoodPolicy(self.client("dynamodb"), TABLE)

    def ledger(self) -> Ledger:
        """A ledger with a client of its own."""
        return Ledger(self.client("dynamodb"), TABLE)

    def accounts(self) -> Accounts:
        """The accounts' items of the ledger's table, with a client of their own."""
        return Accounts(self.client("dynamodb"), TABLE)

    def cohorts(self) -> Cohorts:
        """The cohorts' items of the ledger's table, with a client of their own."""
        return Cohorts(self.client("dynamodb"), TABLE)

    def function(self, pacing: Pacing | None = None) -> Service:
        """Another function instance: the same AWS, nothing else shared but the clock, and ``pacing`` where it is given."""
        logger, now = Logger(service="test"), self.clock.tick
        edge = Edge(
            clients=MemberClients(
                self.session,
                metrics_session(self.session),
                self.client("sts"),
                ROLES,
                lambda: "test-session",
                now,
                pacing,
            ),
            dynamodb=self.client("dynamodb"),
            ssm=self.client("ssm"),
            sns=self.client("sns"),
            hub=SecurityHub(self.client("securityhub"), logger),
            now=now,
            logger=logger,
        )
        return assemble(edge, replace(SETTINGS, notifications_topic_arn=self.topic_arn))

    def line(self) -> Line:
        """The line of another function instance."""
        return self.function().line

    def guard(self) -> Guard:
        """The guard of another function instance."""
        return build_guard(self.function())

    def launch(
        self,
        *,
        account: str = MEMBER,
        region: str = REGION,
        count: int = 1,
        days: int = 100,
        use: float = 0.0,
        observed: bool = True,
        endpoint: str = "enabled",
        tokens: str = "optional",
        hop_limit: int = 1,
        tags: Mapping[str, str] | None = None,
        image: str = IMAGE,
    ) -> list[InstanceArn]:
        """Launch a reservation that long ago; ``observed``: the metric has every hour since, each with that much use."""
        reservation = self.as_account(account, "ec2", region).run_instances(
            ImageId=image,
            InstanceType="t3.micro",
            MinCount=count,
            MaxCount=count,
            MetadataOptions={"HttpTokens": tokens, "HttpEndpoint": endpoint, "HttpPutResponseHopLimit": hop_limit},
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ]
            if tags
            else [],
        )
        arns = []
        launched = self.clock() - timedelta(days=days)
        for launch in reservation["Instances"]:
            each = ec2_backends[account][region].get_instance(launch["InstanceId"])
            each.launch_time = launched
            for interface in each.nics.values():
                interface.attach_time = launched
            arns.append(InstanceArn.of(region=region, account=account, instance_id=each.id))
            if observed:
                first, end = int(launched.timestamp() // 3600), int(self.clock().timestamp() // 3600)
                self.metrics.put(each.id, "MetadataNoToken", range(max(first, end - 455 * 24), end), use)
        return arns

    def one(self, **how: Any) -> InstanceArn:
        """Launch one instance."""
        (arn,) = self.launch(**how)
        return arn

    def quiet(self, arn: InstanceArn, hours: float) -> None:
        """Time passes in which an instance reports that nothing called IMDSv1."""
        first = int(self.clock().timestamp() // 3600)
        self.clock.move(hours=hours)
        self.metrics.put(arn.instance_id, "MetadataNoToken", range(first, int(self.clock().timestamp() // 3600)))

    def instance(self, arn: InstanceArn) -> Any:
        """The instance as the emulator has it."""
        return ec2_backends[arn.account][arn.region].get_instance(arn.instance_id)

    def tokens(self, arn: InstanceArn) -> str:
        """What EC2 asks of callers of the instance's metadata service."""
        return str(self.instance(arn).metadata_options.http_tokens)

    def set_options(self, arn: InstanceArn, **options: str) -> None:
        """Somebody else changes metadata options: http_tokens, http_endpoint, state."""
        for name, value in options.items():
            setattr(self.instance(arn).metadata_options, name, value)

    def tags(self, arn: InstanceArn) -> dict[str, str]:
        """The tags of an instance."""
        return {tag["key"]: tag["value"] for tag in self.instance(arn).get_tags()}

    def tag(self, arn: InstanceArn, **tags: str) -> None:
        """Somebody tags an instance; underscores stand for colons."""
        ec2_backends[arn.account][arn.region].create_tags(
            [arn.instance_id], {name.replace("_", ":"): value for name, value in tags.items()}
        )

    def items(self) -> list[dict[str, Any]]:
        """Everything in the ledger's table."""
        decode = TypeDeserializer().deserialize
        page = self.as_account(HUB, "dynamodb").scan(TableName=TABLE)
        return [{name: decode(value) for name, value in item.items()} for item in page["Items"]]

    def current(self, arn: InstanceArn) -> dict[str, Any]:
        """The `current` item of an instance."""
        (item,) = [each for each in self.items() if each["pk"] == str(arn) and each["sk"] == "current"]
        return item

    def history(self, arn: InstanceArn) -> list[str]:
        """The statuses through which an instance has gone."""
        events = [each for each in self.items() if each["pk"] == str(arn) and each["sk"].startswith("event#")]
        return [str(each["status"]) for each in sorted(events, key=lambda each: str(each["sk"]))]

    def changes(self) -> list[dict[str, Any]]:
        """What was asked of EC2 to change metadata options, dry runs left out."""
        made = [call.params for call in self.wire.made("ModifyInstanceMetadataOptions")]
        return [params for params in made if not params.get("DryRun")]

    def published(self) -> list[dict[str, Any]]:
        """What people were told."""
        return [call.params for call in self.wire.made("Publish")]


class Stub:
    """Clients with a Stubber each, which have to be asked exactly what a test has laid out."""

    def __init__(self, session: botocore.session.Session) -> None:
        self._session = session
        self._stubbers: dict[int, Stubber] = {}

    def client(self, service: str) -> Any:
        """A client that answers only what was laid out."""
        client: Any = self._session.create_client(
            service, region_name=REGION, aws_access_key_id="x", aws_secret_access_key="x"
        )
        self._stubbers[id(client)] = stubber = Stubber(client)
        stubber.activate()
        return client

    def answer(self, client: Any, operation: str, answer: dict[str, Any], expected: dict[str, Any]) -> None:
        """The next call shall be this one, and is answered so."""
        self._stubbers[id(client)].add_response(operation, answer, expected)

    def refuse(
        self, client: Any, operation: str, code: str, message: str = "no", *, expected: dict[str, Any] | None = None
    ) -> None:
        """The next call shall be of this operation, and is refused."""
        self._stubbers[id(client)].add_client_error(operation, code, message, expected_params=expected)

    def check_all_used(self) -> None:
        """Raise AssertionError if something that was laid out was not asked for."""
        for stubber in self._stubbers.values():
            stubber.assert_no_pending_responses()


def arn_of(name: str, *, account: str = MEMBER, region: str = REGION) -> InstanceArn:
    """An instance by the end of its id."""
    return InstanceArn.of(region=region, account=account, instance_id=f"i-{name:0>17}")


def asked(
    arn: InstanceArn, source: Source = Source.SECURITYHUB, finding: dict[str, Any] | None = None, **how: Any
) -> Request:
    """A request for an instance, with the finding (ASFF) that it came by, if any."""
    identity = None
    if finding is not None:
        identity = Finding(
            id=finding["Id"],
            product_arn=finding["ProductArn"],
            region=finding["ProductArn"].split(":")[3],
            updated_at=datetime.fromisoformat(finding["UpdatedAt"]),
        )
    return Request(arn=arn, source=source, finding=identity, **how)


def known_finding(name: str, *, updated_at: datetime | None = NOW, annotated_at: datetime | None = None) -> Finding:
    """A finding by a short name."""
    return Finding(
        id=f"arn:aws:securityhub:eu-west-1:{MEMBER}:security-control/EC2.8/finding/{name}",
        product_arn="arn:aws:securityhub:eu-west-1::product/aws/securityhub",
        region=REGION,
        updated_at=updated_at,
        annotated_at=annotated_at,
    )


def count_broken(accounts: Accounts, account: str, count: int, enforced_that_day: int, now: datetime) -> Account:
    """Count so many instances, none of which was counted before, towards the breaker of an account."""
    broken = {f"i-{next(_broken):017x}": now for _ in range(count)}
    return accounts.count_broken(account, broken, enforced_that_day, now)
