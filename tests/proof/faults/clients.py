"""The clients of all runs: their own role's are made once, since they keep no state but retry quotas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.session import Session

from imdsv2.aws.sessions import CONFIG, metrics_session
from tests.proof.faults.wire import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.awsrequest import AWSResponse

    from tests.proof.faults.wire import Call

REGION = "eu-west-1"
_SERVICES = ("dynamodb", "ssm", "sns", "securityhub", "sts", "sqs", "s3", "organizations")


class Clients:
    """The sessions for members' clients, and a client of the function's own role for each service."""

    def __init__(self) -> None:
        self.network = Network(_nowhere)
        self.service = self.network.join(Session())
        self.metrics = self.network.join(metrics_session())
        self._own: dict[str, Any] = {
            service: self.service.create_client(
                service,
                region_name=REGION,
                config=CONFIG,
                aws_access_key_id="ASIAOWN",
                aws_secret_access_key="secret",
            )
            for service in _SERVICES
        }

    def own(self, service: str) -> Any:
        """The client of the function's own role."""
        return self._own[service]


def _nowhere(call: Call) -> AWSResponse:
    raise AssertionError(f"no world answers {call.name}")


_made: list[Clients] = []


def clients(receive: Callable[[Call], AWSResponse]) -> Clients:
    """The clients, led to the present run."""
    if not _made:
        _made.append(Clients())
    _made[0].network.receive = receive
    return _made[0]
