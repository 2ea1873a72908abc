"""Between botocore and the world: lets calls pass, or fails the chosen ones in the chosen way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.proof.faults.kinds import DONE, KINDS, Fault
from tests.proof.faults.wire import answered, refused, response
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from botocore.awsrequest import AWSResponse

    from tests.proof.faults.wire import Answer, Call
    from tests.world.clock import Clock

_NO_ANSWER_SECONDS = 30
_SLOW_SECONDS = 29
_OLD_SESSION_SECONDS = 15
"""The service does not renew a session that is only seconds old."""
EMPTY = "proof-empty-page"
"""The token of an empty page; asked with it, the world answers as if it had not been."""

_THROTTLING = {
    "ec2": ("RequestLimitExceeded", 503),
    "autoscaling": ("Throttling", 400),
    "batch": ("TooManyRequestsException", 429),
    "cloudtrail": ("ThrottlingException", 400),
    "eks": ("ThrottlingException", 429),
    "cloudwatch": ("ThrottlingException", 400),
    "dynamodb": ("ThrottlingException", 400),
    "securityhub": ("TooManyRequestsException", 429),
    "ssm": ("ThrottlingException", 400),
    "sns": ("Throttling", 400),
    "sts": ("Throttling", 400),
    "sqs": ("RequestThrottled", 403),
    "s3": ("SlowDown", 503),
    "organizations": ("TooManyRequestsException", 400),
}
_DENIED = {"ec2": ("UnauthorizedOperation", 403), "sns": ("AuthorizationError", 403), "sts": ("AccessDenied", 403)}
_EXPIRED = {"ec2": ("RequestExpired", 400), "dynamodb": ("ExpiredTokenException", 400)}
_WRONG = {"ec2": b"<Response><other/></Response>", "query": b"<Other><Result><thing>1</thing></Result></Other>"}


@dataclass(frozen=True, slots=True)
class Shot:
    """One fault: the ``nth`` call of an operation, counted from 0, meets a kind."""

    operation: str
    nth: int
    kind: str


class Injector:
    """Fails the calls of one run as its shots say. ``do``: the world's answer, which may raise ClientError; ``stale``: the
    same from the state before the last write."""

    def __init__(self, clock: Clock, do: Callable[[Call], Answer], stale: Callable[[Call], Answer]) -> None:
        self._clock, self._do, self._stale = clock, do, stale
        self.shots: Sequence[Shot] = ()
        self.counted: Counter[str] = Counter()
        self.armed = False
        self.fired: set[Shot] = set()
        self.reached: Callable[[Call], None] = lambda _: None
        """Told of each call that is counted, before it is answered."""
        self._is_stale: set[str] = set()

    def receive(self, call: Call) -> AWSResponse:
        """What an attempt of a call gets. Raises what botocore's HTTP session would."""
        if self.armed and call.number is None:
            call.number = self.counted[call.name]
            self.counted[call.name] += 1
            self.reached(call)
        fault = self._fault_of(call)
        if call.name in self._is_stale or fault is Fault.STALE:
            self._is_stale.add(call.name)  # From now on: how old the state may be is the world's business.
            return self._answer(call, self._stale)
        return self._meet(call, fault)

    def forget(self) -> None:
        """From now on nothing fails."""
        self.armed, self.shots = False, ()
        self._is_stale.clear()

    def _fault_of(self, call: Call) -> Fault:
        for shot in self.shots:
            if (shot.operation, shot.nth) == (call.name, call.number):
                self.fired.add(shot)
                return KINDS[shot.kind].at(call.attempt)
        return Fault.NONE

    def _meet(self, call: Call, fault: Fault) -> AWSResponse:
        done = self._answer(call, self._do) if fault in DONE else None
        if fault in {Fault.TIMEOUT, Fault.TIMEOUT_AFTER}:
            self._clock.move(seconds=_NO_ANSWER_SECONDS)
            raise ReadTimeoutError(endpoint_url=call.url)
        if fault in {Fault.RESET, Fault.RESET_AFTER}:
            raise ConnectionClosedError(endpoint_url=call.url)
        if fault is Fault.EXPIRED:
            self._clock.move(seconds=_OLD_SESSION_SECONDS)
        code = _code(call, fault)
        if code is not None:
            return refused(call, refusal(code[0], "The fault matrix says so.", call.operation, status=code[1]))
        match fault:
            case Fault.UNREADABLE:
                return response(call, 200, b'{"Responses": <html>')
            case Fault.WRONG:
                return response(call, 200, _WRONG.get(call.protocol, b'{"Other": [{"Thing": 1}]}'))
            case Fault.PARTIAL:
                return answered(call, _partial(call))
            case Fault.EMPTY_PAGE:
                return answered(call, _empty_page(call))
            case Fault.SLOW:
                self._clock.move(seconds=_SLOW_SECONDS)
        return done or self._answer(call, self._do)

    @staticmethod
    def _answer(call: Call, do: Callable[[Call], Answer]) -> AWSResponse:
        try:
            return answered(call, do(call))
        except ClientError as error:
            return refused(call, error)


def _code(call: Call, fault: Fault) -> tuple[str, int] | None:
    """The error code and the HTTP status of a refusal, in the words of the call's service."""
    match fault:
        case Fault.THROTTLED:
            return _THROTTLING[call.service]
        case Fault.DENIED:
            return _DENIED.get(call.service, ("AccessDeniedException", 400))
        case Fault.EXPIRED:
            return _EXPIRED.get(call.service, ("ExpiredToken", 403))
        case Fault.ERROR | Fault.ERROR_AFTER:
            return "InternalError", 500
        case Fault.UNAVAILABLE:
            return "ServiceUnavailable", 503
    return None


def _partial(call: Call) -> Answer:
    """An answer that leaves all of it to be asked again."""
    asked = call.params
    match call.operation:
        case "GetMetricData":
            empty = {"Label": "x", "Timestamps": [], "Values": [], "StatusCode": "PartialData"}
            return {"MetricDataResults": [{"Id": each["Id"], **empty} for each in asked["MetricDataQueries"]]}
        case "BatchGetItem":
            return {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}
    unprocessed = [
        {"FindingIdentifier": each, "ErrorCode": "ConcurrentUpdateError", "ErrorMessage": "no"}
        for each in asked["FindingIdentifiers"]
    ]
    return {"ProcessedFindings": [], "UnprocessedFindings": unprocessed}


def _empty_page(call: Call) -> Answer:
    if call.operation == "Query":
        return {"Items": [], "Count": 0, "LastEvaluatedKey": {"pk": {"S": EMPTY}, "sk": {"S": EMPTY}}}
    items: dict[str, Any] = {
        "DescribeInstances": "Reservations",
        "GetMetricData": "MetricDataResults",
        "ListMetrics": "Metrics",
        "ListAccounts": "Accounts",
        "DescribeAutoScalingGroups": "AutoScalingGroups",
        "DescribeLaunchConfigurations": "LaunchConfigurations",
        "DescribeLaunchTemplates": "LaunchTemplates",
        "DescribeLaunchTemplateVersions": "LaunchTemplateVersions",
        "LookupEvents": "Events",
        "ListInventoryEntries": "Entries",
    }
    return {items.get(call.operation, "Findings"): [], "NextToken": EMPTY}
