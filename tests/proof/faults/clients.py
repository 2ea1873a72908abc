"""The clients of all runs: their own role's are made once, since they keep no state but retry quotas, which each run finds full."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from botocore.retries.quota import RetryQuota
from botocore.session import Session

from imdsv2.aws.parsing import metrics_session, new_session
from imdsv2.aws.sessions import CONFIG
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
        self.metrics = self.network.join(metrics_session(new_session()))
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
        # botocore gives no way to a client's retry quota; hundreds of faults use it up, and then it no longer retries.
        self._quotas = [each for each in gc.get_objects() if isinstance(each, RetryQuota)]

    def refill(self) -> None:
        """Let every client retry as one does that has just been made."""
        for quota in self._quotas:
            quota.release(RetryQuota.INITIAL_CAPACITY)

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
    _made[0].refill()
    return _made[0]
