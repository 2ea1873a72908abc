"""Answers to AWS calls that moto cannot give, checked against botocore's models as its Stubber checks them.

`Wire` sits where every client of the process passes by. It records each call with the account it acts in, lets a test
step in (refuse, wait, look, change the world meanwhile), and lets a fake answer in moto's place.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError
from botocore.validate import ParamValidator
from moto.iam.models import get_account_id_from

from tests.world.cloudwatch import CloudWatch
from tests.world.refusal import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.world.security_hub import Findings

Params = dict[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call that was made: by whom it was allowed, where, and with what."""

    service: str
    operation: str
    account: str
    region: str
    params: Params


class Wire:
    """Every call of the process, in the order in which they were made."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._steps: dict[str, list[Callable[[Call], Answer | None]]] = defaultdict(list)
        self._fakes: dict[str, Callable[[Call], Answer | None]] = {}
        self._lock = threading.Lock()

    def on(self, operation: str, step: Callable[[Call], Answer | None]) -> None:
        """Before each call of an operation: raise to refuse it, return an answer, or None to let it pass."""
        self._steps[operation].append(step)

    def fake(self, operation: str, answer: Callable[[Call], Answer | None]) -> None:
        """Answer an operation in moto's place, after whatever a test steps in with."""
        self._fakes[operation] = answer

    def refuse(
        self,
        operation: str,
        code: str,
        message: str = "no",
        *,
        when: Callable[[Call], bool] = lambda _: True,
        times: int | None = None,
        status: int = 400,
    ) -> None:
        """Refuse calls of an operation, all that `when` chooses or only the first ones."""
        # Calls come on several threads: each takes one of these, and none takes the same.
        left = itertools.repeat(True) if times is None else iter([True] * times)

        def step(call: Call) -> None:
            if when(call) and next(left, False):
                raise refusal(code, message, operation, status=status)

        self.on(operation, step)

    def made(self, *operations: str) -> list[Call]:
        """The calls of some operations."""
        return [call for call in self.calls if call.operation in operations]

    def handlers(self) -> list[tuple[str, Callable[..., Any]]]:
        """What botocore is to call."""
        return [("before-parameter-build", self._keep), ("before-call", self._pass)]

    @staticmethod
    def _keep(params: Params, context: dict[str, Any], **_: Any) -> None:
        context["asked"] = params

    def _pass(
        self, model: Any, params: Any, request_signer: Any, context: dict[str, Any], **_: Any
    ) -> tuple[Any, Answer] | None:
        call = Call(
            service=model.service_model.service_name,
            operation=model.name,
            account=get_account_id_from(request_signer._credentials.access_key),
            region=request_signer._region_name,
            params=context["asked"],
        )
        with self._lock:
            self.calls.append(call)
        fake = self._fakes.get(model.name)
        steps = [*self._steps[model.name], *([fake] if fake else [])]
        answers = (step(call) for step in steps)
        try:
            answer = next((each for each in answers if each is not None), None)
        except ClientError as error:
            # As a bad answer, so that botocore makes of it the class that the service's model has for the code.
            refused: Answer = dict(error.response)
            return SimpleNamespace(status_code=refused["ResponseMetadata"]["HTTPStatusCode"]), refused
        if answer is None:
            return None
        check(model, answer)
        return SimpleNamespace(status_code=200), {"ResponseMetadata": {"HTTPStatusCode": 200}, **answer}


def check(model: Any, answer: Answer) -> None:
    """Raise ParamValidationError if AWS could not have answered so."""
    if model.output_shape is None:  # AWS answers nothing.
        return
    report = ParamValidator().validate(answer, model.output_shape)
    if report.has_errors():
        raise ParamValidationError(report=report.generate_report())


def answer_findings(wire: Wire, findings: Findings) -> None:
    """Have the findings in memory answer for Security Hub, of which moto lacks most."""
    for operation, answer in findings.operations().items():
        wire.fake(operation, lambda call, answer=answer: answer(**call.params))  # type: ignore[misc]


class Metrics:
    """CloudWatch in memory in moto's place, which takes minutes over a fleet. Instances of all accounts share it: no two
    have the same id."""

    def __init__(self, wire: Wire, now: Callable[[], datetime]) -> None:
        self._cloudwatch = CloudWatch(now)
        self.status: str | None = "Complete"
        """The word for every result; None leaves the answer to moto."""
        wire.fake("GetMetricData", self._get)
        wire.fake("ListMetrics", lambda call: self._cloudwatch.list_metrics(**call.params))

    def put(self, instance_id: str, metric: str, hours: Iterable[int], value: float = 0.0) -> None:
        """One datapoint an hour, at its beginning; hours are counted since 1970."""
        points = self._cloudwatch.points.setdefault((metric, instance_id), {})
        points.update((_beginning(hour), value) for hour in hours)

    def put_at(self, instance_id: str, metric: str, when: datetime, value: float) -> None:
        """One datapoint, to the minute."""
        self._cloudwatch.put(metric, instance_id, when.replace(second=0, microsecond=0), value)

    def forget(self, instance_id: str) -> None:
        """Drop everything about an instance."""
        points = self._cloudwatch.points
        self._cloudwatch.points = {key: value for key, value in points.items() if key[1] != instance_id}

    def _get(self, call: Call) -> Answer | None:
        """With times as numbers, which is how the service's own sessions read them."""
        if self.status is None:
            return None
        self._cloudwatch.status = self.status
        answer = self._cloudwatch.get_metric_data(**call.params)
        assert "NextToken" not in answer, "one answer holds no more than 100,800 datapoints; ask for less at once"
        results = [
            {**each, "Timestamps": [when.timestamp() for when in each["Timestamps"]]}
            for each in answer["MetricDataResults"]
        ]
        return {"MetricDataResults": results}


@cache
def _beginning(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * 3600, UTC)
