"""The clouds that checks run on: what they share, the world in memory, and one that is reached by boto3's clients."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.world.clock import Clock
from tests.world.cloudwatch import CloudWatch
from tests.world.conformance.recorded import Recorded
from tests.world.dynamodb import Table
from tests.world.ec2 import OPEN_OPTIONS, Ec2, Instance
from tests.world.edge import Sns, Ssm
from tests.world.ledger_table import create_table
from tests.world.security_hub import Findings

if TYPE_CHECKING:
    from collections.abc import Mapping

REGION = "eu-west-1"
IMAGE = "ami-12c6146b"
RECENT = timedelta(minutes=2)
METRICS = ("MetadataNoToken", "MetadataNoTokenRejected", "CPUUtilization")


class Cloud(ABC):
    """One account and Region of an AWS: its clients, and the means to bring about what they are asked about."""

    def __init__(self, account: str, **clients: Any) -> None:
        self.account = account
        self.begun = datetime.now(UTC)
        self.ids: list[str] = []
        """What was launched, in order."""
        self.ec2 = clients["ec2"]
        self.cloudwatch = clients["cloudwatch"]
        self.hub = clients["securityhub"]
        self.dynamodb = clients["dynamodb"]
        self.ssm = clients["ssm"]
        self.sns = clients["sns"]

    def is_recent(self, when: datetime) -> bool:
        """Whether a time is that of the check."""
        return abs(when - self.begun) < RECENT

    def neutral(self, answer: Any) -> Any:
        """An answer in which instances are named by the order of their launch, so that two clouds can be compared."""
        match answer:
            case str():
                for number, instance_id in enumerate(self.ids):
                    answer = answer.replace(instance_id, f"instance {number}")
                return answer.replace(self.account, "account")
            case dict():
                return {self.neutral(key): self.neutral(value) for key, value in answer.items()}
            case set():
                return sorted(map(self.neutral, answer))
            case list() | tuple():
                return [self.neutral(each) for each in answer]
        return answer

    def launch(self, tags: Mapping[str, str] | None = None, **options: Any) -> str:
        """Launch an instance with tags and metadata options; returns its id."""
        self.ids.append(self._launch(tags or {}, options))
        return self.ids[-1]

    @abstractmethod
    def _launch(self, tags: Mapping[str, str], options: Mapping[str, Any]) -> str: ...

    @abstractmethod
    def stop(self, instance_id: str) -> None:
        """Stop an instance."""

    @abstractmethod
    def start(self, instance_id: str) -> None:
        """Start it again."""

    @abstractmethod
    def terminate(self, instance_id: str) -> None:
        """Terminate it."""

    @abstractmethod
    def wait(self, seconds: float) -> None:
        """Let time pass."""

    @abstractmethod
    def answer_incompletely(self, instance_id: str, status: str) -> None:
        """Give every result about an instance's metrics a status code other than `Complete`."""

    @abstractmethod
    def hold(self, finding: dict[str, Any]) -> None:
        """Have Security Hub know a finding, in either format."""

    @abstractmethod
    def create_ledger(self) -> None:
        """The ledger's table, empty."""

    @abstractmethod
    def create_topic(self) -> str:
        """A topic; returns its ARN."""

    @abstractmethod
    def put_parameter(self, name: str, value: str) -> None:
        """A parameter of Systems Manager."""

    @abstractmethod
    def put_calendar(self, name: str, *, is_open: bool) -> None:
        """A change calendar without events, which is open or closed."""


class InMemory(Cloud):
    """The world; what it is asked and says is checked and recorded."""

    def __init__(self) -> None:
        self._clock = Clock(datetime.now(UTC))
        self._ec2: Ec2[Instance] = Ec2({})
        self._cloudwatch = CloudWatch(self._clock)
        self._findings = Findings()
        self._parameters: dict[str, str] = {}
        self._calendars: dict[str, bool] = {}
        fakes = {
            "ec2": self._ec2,
            "cloudwatch": self._cloudwatch,
            "securityhub": self._findings,
            "dynamodb": Table(),
            "ssm": Ssm(self._parameters.__getitem__, self._calendars.__getitem__),
            "sns": Sns(lambda _: None),
        }
        self.recorded = {service: Recorded(service, fake) for service, fake in fakes.items()}
        super().__init__("444444444444", **self.recorded)

    def _launch(self, tags: Mapping[str, str], options: Mapping[str, Any]) -> str:
        instance_id, now = f"i-{len(self.ids):017x}", self._clock()
        self._ec2.instances[instance_id] = Instance(
            instance_id=instance_id,
            image=IMAGE,
            launched_at=now,
            first_launched_at=now,
            options={**OPEN_OPTIONS, **options},
            tags=dict(tags),
        )
        return instance_id

    def stop(self, instance_id: str) -> None:
        self._ec2.instances[instance_id].stop(self._clock())

    def start(self, instance_id: str) -> None:
        self._ec2.instances[instance_id].start(self._clock())

    def terminate(self, instance_id: str) -> None:
        self._ec2.instances[instance_id].terminate(self._clock())

    def wait(self, seconds: float) -> None:
        self._clock.move(seconds=seconds)

    def answer_incompletely(self, instance_id: str, status: str) -> None:
        self._cloudwatch.statuses |= {(metric, instance_id): status for metric in METRICS}

    def hold(self, finding: dict[str, Any]) -> None:
        self._findings.holds(finding)

    def create_ledger(self) -> None:
        """There is one."""

    def create_topic(self) -> str:
        return "topic"

    def put_parameter(self, name: str, value: str) -> None:
        self._parameters[name] = value

    def put_calendar(self, name: str, *, is_open: bool) -> None:
        self._calendars[name] = is_open


class Served(Cloud):
    """A cloud behind boto3's clients, set up by AWS's own calls as far as there are any."""

    def _launch(self, tags: Mapping[str, str], options: Mapping[str, Any]) -> str:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        launched = self.ec2.run_instances(
            ImageId=IMAGE,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            MetadataOptions=dict(options),
            TagSpecifications=[{"ResourceType": "instance", "Tags": pairs}] if pairs else [],
        )
        return str(launched["Instances"][0]["InstanceId"])

    def stop(self, instance_id: str) -> None:
        self.ec2.stop_instances(InstanceIds=[instance_id])

    def start(self, instance_id: str) -> None:
        self.ec2.start_instances(InstanceIds=[instance_id])

    def terminate(self, instance_id: str) -> None:
        self.ec2.terminate_instances(InstanceIds=[instance_id])

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def answer_incompletely(self, instance_id: str, status: str) -> None:
        raise AssertionError("moto's CloudWatch always answers completely: a deviation leaves this question out")

    def hold(self, finding: dict[str, Any]) -> None:
        if "finding_info" in finding:
            raise AssertionError("moto imports no findings of Security Hub V2: a deviation leaves this question out")
        self.hub.batch_import_findings(Findings=[finding])

    def create_ledger(self) -> None:
        create_table(self.dynamodb)

    def create_topic(self) -> str:
        return str(self.sns.create_topic(Name="notices")["TopicArn"])

    def put_parameter(self, name: str, value: str) -> None:
        self.ssm.put_parameter(Name=name, Value=value, Type="String")

    def put_calendar(self, name: str, *, is_open: bool) -> None:
        content = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nX-CALENDAR-TYPE:DEFAULT_{'OPEN' if is_open else 'CLOSED'}\r\n"
        content += "PRODID:-//AWS//Change Calendar 1.0//EN\r\nBEGIN:VTODO\r\nDTSTAMP:20260101T000000Z\r\nUID:none\r\n"
        content += "SUMMARY:No event yet\r\nEND:VTODO\r\nEND:VCALENDAR\r\n"
        self.ssm.create_document(Name=name, Content=content, DocumentType="ChangeCalendar", DocumentFormat="TEXT")
