"""The account under test: clients of its self-test role, and the calls that launch, look at, change and end the instances."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from imdsv2.aws.errors import CALL_FAILURES
from imdsv2.aws.sessions import CONFIG
from imdsv2.domain.instance import InstanceArn, Place, partition_of
from imdsv2.selftest.agenda import HOP_LIMIT, INSTANCE_TYPE, INSTANCES
from imdsv2.selftest.order import SELFTEST_TAG
from imdsv2.selftest.script import user_data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from botocore.session import Session
    from mypy_boto3_sts import STSClient

    from imdsv2.selftest.agenda import Agenda
    from imdsv2.selftest.order import Order

IMAGE_PARAMETER = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
"""AWS's public parameter that names the newest Amazon Linux for arm64 in each Region."""

_SHORTEST_SESSION_NAME, _LONGEST_SESSION_NAME = 2, 64
_NOT_IN_SESSION_NAMES = re.compile(r"[^\w+=,.@-]", re.ASCII)
"""Step Functions takes more characters in the name of an execution than STS does in that of a session."""
_LIVING = ("pending", "running", "stopping", "stopped", "shutting-down")


class Account:
    """One account and Region, entered by its self-test role. Every method may raise one of CALL_FAILURES.

    Args:
        session: botocore session.
        sts: STS client with the function's own role.
        order: names account and Region.
        role: the name of the role.
        execution: the execution's name: value of the tag of its instances.
    """

    def __init__(self, session: Session, sts: STSClient, order: Order, role: str, execution: str) -> None:
        self._session = session
        self._sts = sts
        self._order = order
        self._role = role
        self._execution = execution
        self.place = Place(partition_of(order.region), order.region, order.account)

    def client(self, service: str, policy: Mapping[str, Any] | None = None) -> Any:
        """A client in a new session of the role. ``policy``: a session policy, which limits what the session may do."""
        limits: dict[str, Any] = {} if policy is None else {"Policy": json.dumps(policy)}
        keys = self._sts.assume_role(
            RoleArn=f"arn:{self.place.partition}:iam::{self.place.account}:role/{self._role}",
            RoleSessionName=_session_name(self._execution),
            **limits,
        )["Credentials"]
        return self._session.create_client(
            service,
            region_name=self.place.region,
            config=CONFIG,
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
        )

    def arn(self, instance_id: str) -> InstanceArn:
        return self.place.instance(instance_id)

    def newest_image(self) -> str:
        """The id of the newest Amazon Linux for arm64."""
        return str(self.client("ssm").get_parameter(Name=IMAGE_PARAMETER)["Parameter"]["Value"])

    def launch(self, agenda: Agenda) -> dict[str, str]:
        """Launch the instances; role to instance id. A repetition launches none again: EC2 knows them by their client token."""
        ec2, image = self.client("ec2"), self.newest_image()
        launched = {}
        for role in INSTANCES:
            answer = ec2.run_instances(**self._request(role, image, agenda))
            launched[role] = str(answer["Instances"][0]["InstanceId"])
        return launched

    def _request(self, role: str, image: str, agenda: Agenda) -> dict[str, Any]:
        tags = {**self._order.tags, SELFTEST_TAG: self._execution, "Name": f"imdsv2-selftest {role}"}
        marked = [{"Key": key, "Value": value} for key, value in tags.items()]
        place = {} if self._order.subnet is None else {"SubnetId": self._order.subnet}
        return {
            **place,
            "ImageId": image,
            "InstanceType": INSTANCE_TYPE,
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": self._token(role),
            "InstanceInitiatedShutdownBehavior": "terminate",
            "CreditSpecification": {"CpuCredits": "standard"},
            # With the endpoint disabled, EC2 takes no other option, and there would be no user data that ends the instance.
            "MetadataOptions": {
                "HttpTokens": "optional",
                "HttpEndpoint": "enabled",
                "HttpPutResponseHopLimit": HOP_LIMIT,
            },
            "TagSpecifications": [{"ResourceType": kind, "Tags": marked} for kind in ("instance", "volume")],
            "UserData": user_data(agenda, role),
        }

    def _token(self, role: str) -> str:
        """Of 64 characters at most, and another one for each execution: names may differ only in their last characters."""
        return f"{hashlib.sha256(self._execution.encode()).hexdigest()[:40]}-{role}"

    def end_all(self) -> list[str]:
        """Terminate every instance of this self-test, by its tag and its client token; returns their ids.

        Anybody may give an instance that tag, and the console's "Launch more like this" copies it.
        """
        ec2 = self.client("ec2")
        filters = [
            {"Name": f"tag:{SELFTEST_TAG}", "Values": [self._execution]},
            {"Name": "instance-state-name", "Values": list(_LIVING)},
        ]
        found = ec2.describe_instances(Filters=filters)["Reservations"]
        tagged = [instance for reservation in found for instance in reservation["Instances"]]
        ids = [str(instance["InstanceId"]) for instance in tagged if self._is_ours(instance)]
        failed: list[Exception] = []
        for each in ids:
            # One by one: EC2 ends none of a list of which it refuses one, e.g. because somebody protected it from that.
            try:
                ec2.terminate_instances(InstanceIds=[each])
            except CALL_FAILURES as error:
                failed.append(error)
        if failed:
            raise failed[0]
        return ids

    def _is_ours(self, instance: Mapping[str, Any]) -> bool:
        """Whether it was launched with one of this self-test's tokens. Where EC2 shows none, the tag alone says so."""
        token = instance.get("ClientToken")
        return not token or token in {self._token(role) for role in INSTANCES}


def _session_name(execution: str) -> str:
    """The execution's name as STS takes it."""
    return _NOT_IN_SESSION_NAMES.sub("-", execution[:_LONGEST_SESSION_NAME]).ljust(_SHORTEST_SESSION_NAME, "-")


def consoles(ec2: Any, ids: Sequence[str]) -> tuple[dict[str, str], Exception | None]:
    """What the instances wrote to their consoles so far, and why EC2 shows none of any, if it does not.

    A console is empty where there is nothing yet, or where EC2 shows none, e.g. of an instance that stops or has ended: what it wrote
    before was seen by earlier looks.
    """
    shown: dict[str, str] = {}
    failed: list[Exception] = []
    for each in ids:
        try:
            # botocore decodes it from base64.
            shown[each] = str(ec2.get_console_output(InstanceId=each, Latest=True).get("Output", ""))
        except CALL_FAILURES as error:
            shown[each] = ""
            failed.append(error)
    return shown, failed[0] if failed and len(failed) == len(shown) else None
