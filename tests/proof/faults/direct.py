"""Clients that ask the world without botocore between: ten times as fast, for the days after a fault, in which nothing fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.proof.faults.wire import Call
from tests.world.edge import Unpaced

if TYPE_CHECKING:
    from collections.abc import Callable

    from imdsv2.domain.instance import Placed
    from tests.proof.faults.aws import Aws


class Direct:
    """A client of one service. Raises ClientError, as botocore's do."""

    def __init__(self, aws: Aws, service: str, access_key: str = "") -> None:
        self._aws, self._service, self._key = aws, service, access_key
        self.exceptions = aws.table.exceptions

    def __getattr__(self, method: str) -> Callable[..., Any]:
        operation = "".join(word.capitalize() for word in method.split("_"))

        def ask(**asked: Any) -> Any:
            return self._aws.do(Call(service=self._service, operation=operation, params=asked, access_key=self._key))

        return ask


class DirectMembers(Unpaced):
    """The member accounts."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    def ec2(self, there: Placed, role: str) -> Any:
        """EC2 through a role."""
        return Direct(self._aws, "ec2", f"ASIA{there.account}{role.upper()}")

    ec2_of_sources = ec2

    def cloudwatch(self, there: Placed) -> Any:
        """CloudWatch through the read role."""
        return Direct(self._aws, "cloudwatch", f"ASIA{there.account}READ")

    def autoscaling(self, there: Placed, role: str) -> Any:
        """Auto Scaling through a role."""
        return Direct(self._aws, "autoscaling", f"ASIA{there.account}{role.upper()}")

    def other(self, service: str, there: Placed) -> Any:
        """Another service through the read role."""
        return Direct(self._aws, service, f"ASIA{there.account}READ")

    def ssm(self, there: Placed, role: str) -> Any:
        """Systems Manager through a role."""
        return Direct(self._aws, "ssm", f"ASIA{there.account}{role.upper()}")

    def session_name(self, there: Placed, role: str) -> str:
        """The name of the session."""
        return "invocation"
