"""Answers to AWS calls that moto cannot give, checked against botocore's models as its Stubber checks them.

`Wire` sits where every client of the process passes by. It records each call with the account it acts in, lets a test
step in (refuse, wait, look, change the world meanwhile), and lets a fake answer in moto's place.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ParamValidationError
from botocore.validate import ParamValidator
from moto.iam.models import get_account_id_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

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
        left = [times]

        def step(call: Call) -> None:
            if not when(call) or left[0] == 0:
                return
            if left[0] is not None:
                left[0] -= 1
            raise refusal(code, message, operation, ResponseMetadata={"HTTPStatusCode": status})

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
            refused: Answer = {"ResponseMetadata": {"HTTPStatusCode": 400}} | dict(error.response)
            return SimpleNamespace(status_code=refused["ResponseMetadata"]["HTTPStatusCode"]), refused
        if answer is None:
            return None
        check(model, answer)
        return SimpleNamespace(status_code=200), {"ResponseMetadata": {"HTTPStatusCode": 200}, **answer}


def check(model: Any, answer: Answer) -> None:
    """Raise ParamValidationError if AWS could not have answered so."""
    report = ParamValidator().validate(answer, model.output_shape)
    if report.has_errors():
        raise ParamValidationError(report=report.generate_report())


def refusal(code: str, message: str, operation: str, **more: Any) -> ClientError:
    """AWS's refusal of a call."""
    answer: Any = {"Error": {"Code": code, "Message": message}, **more}
    return ClientError(answer, operation)


class Hub:
    """Security Hub, old and new, as far as moto lacks it: findings by id, with what was written on them."""

    def __init__(self, wire: Wire) -> None:
        self.findings: dict[str, dict[str, Any]] = {}
        wire.fake("GetFindings", self._get)
        wire.fake("BatchUpdateFindings", self._update)
        wire.fake("GetFindingsV2", self._get_v2)
        wire.fake("BatchUpdateFindingsV2", self._update_v2)

    def holds(self, *findings: dict[str, Any], workflow: str | None = None) -> None:
        """Take findings in as they were sent, ASFF or OCSF."""
        for finding in findings:
            if "finding_info" in finding:
                self.findings[finding["finding_info"]["uid"]] = {"status_id": finding["status_id"], "v2": finding}
            else:
                status = workflow or finding["Workflow"]["Status"]
                self.findings[finding["Id"]] = {"workflow": status, "product": finding["ProductArn"]}

    def note_on(self, finding: dict[str, Any]) -> str | None:
        """Our note on a finding, if there is one."""
        note: str | None = self.findings[finding["Id"]].get("note")
        return note

    def workflow_of(self, finding: dict[str, Any]) -> str:
        """The workflow status of a finding."""
        return str(self.findings[finding["Id"]]["workflow"])

    def _get(self, call: Call) -> Answer:
        wanted = [each["Value"] for each in call.params["Filters"]["Id"]]
        if len(wanted) > 20:
            raise refusal("InvalidInputException", "at most 20 values a filter", call.operation)
        return {"Findings": [self._asff(each) for each in wanted if "workflow" in self.findings.get(each, {})]}

    def _asff(self, finding_id: str) -> dict[str, Any]:
        known = self.findings[finding_id]
        asff: dict[str, Any] = {
            "SchemaVersion": "2018-10-08",
            "Id": finding_id,
            "ProductArn": known["product"],
            "GeneratorId": "security-control/EC2.8",
            "AwsAccountId": "222222222222",
            "CreatedAt": "2026-10-01T06:00:00.000Z",
            "UpdatedAt": "2026-11-20T06:00:00.000Z",
            "Title": "EC2 instances should use IMDSv2",
            "Description": "Checks it.",
            "Resources": [{"Type": "AwsEc2Instance", "Id": "arn:..."}],
            "Workflow": {"Status": known["workflow"]},
        }
        if "note" in known:
            asff["Note"] = {
                "Text": known["note"],
                "UpdatedBy": "imdsv2-remediation",
                "UpdatedAt": "2026-11-20T06:00:00Z",
            }
        return asff

    def _update(self, call: Call) -> Answer:
        asked = call.params["FindingIdentifiers"]
        if len(asked) > 100:
            raise refusal("InvalidInputException", "at most 100 findings", call.operation)
        known = [each for each in asked if "workflow" in self.findings.get(each["Id"], {})]
        for each in known:
            self.findings[each["Id"]]["note"] = call.params["Note"]["Text"]
            if "Workflow" in call.params:
                self.findings[each["Id"]]["workflow"] = call.params["Workflow"]["Status"]
        unknown = [
            {"FindingIdentifier": each, "ErrorCode": "FindingNotFound", "ErrorMessage": "no such finding"}
            for each in asked
            if each not in known
        ]
        return {"ProcessedFindings": known, "UnprocessedFindings": unknown}

    def _get_v2(self, call: Call) -> Answer:
        (composite,) = call.params["Filters"]["CompositeFilters"]
        wanted = [each["Filter"]["Value"] for each in composite["StringFilters"]]
        assert all(each["FieldName"] == "finding_info.uid" for each in composite["StringFilters"])
        assert "OR" == composite["Operator"]
        known = [self.findings[each] for each in wanted if "v2" in self.findings.get(each, {})]
        return {"Findings": [{**each["v2"], "status_id": each["status_id"], **_comment(each)} for each in known]}

    def _update_v2(self, call: Call) -> Answer:
        asked = call.params["FindingIdentifiers"]
        known = [each for each in asked if "v2" in self.findings.get(each["FindingInfoUid"], {})]
        for each in known:
            self.findings[each["FindingInfoUid"]]["note"] = call.params["Comment"]
            if "StatusId" in call.params:
                self.findings[each["FindingInfoUid"]]["status_id"] = call.params["StatusId"]
        unknown = [
            {"FindingIdentifier": each, "ErrorCode": "ResourceNotFoundException", "ErrorMessage": "no such finding"}
            for each in asked
            if each not in known
        ]
        return {"ProcessedFindings": [{"FindingIdentifier": each} for each in known], "UnprocessedFindings": unknown}


def _comment(known: dict[str, Any]) -> dict[str, Any]:
    return {"comment": known["note"]} if "note" in known else {}


class Metrics:
    """CloudWatch's memory of instances, with its real limits; moto's takes minutes over a fleet."""

    def __init__(self, wire: Wire, now: Callable[[], datetime]) -> None:
        self._now = now
        self._points: dict[tuple[str, str], dict[int, float]] = {}
        self.status: str | None = "Complete"
        """The word for every result; None leaves the answer to moto."""
        wire.fake("GetMetricData", self._get)
        wire.fake("ListMetrics", self._list)

    def put(self, instance_id: str, metric: str, hours: Iterable[int], value: float = 0.0) -> None:
        """One datapoint an hour, at its beginning; hours are counted since 1970."""
        self._points.setdefault((instance_id, metric), {}).update({hour * 3600: value for hour in hours})

    def put_at(self, instance_id: str, metric: str, when: datetime, value: float) -> None:
        """One datapoint, to the minute."""
        minute = int(when.timestamp() // 60 * 60)
        self._points.setdefault((instance_id, metric), {})[minute] = value

    def forget(self, instance_id: str) -> None:
        """Drop everything about an instance."""
        self._points = {key: value for key, value in self._points.items() if key[0] != instance_id}

    def _list(self, call: Call) -> Answer:
        """What had a datapoint in the last three hours."""
        assert {"Namespace": "AWS/EC2", "RecentlyActive": "PT3H"}.items() <= call.params.items()
        since = self._now().timestamp() - 3 * 3600
        names = {"Namespace": "AWS/EC2", "MetricName": call.params["MetricName"]}
        ids = [
            instance_id
            for (instance_id, metric), points in self._points.items()
            if metric == call.params["MetricName"] and max(points) >= since
        ]
        return {"Metrics": [{**names, "Dimensions": [{"Name": "InstanceId", "Value": each}]} for each in ids]}

    def _get(self, call: Call) -> Answer | None:
        if self.status is None:
            return None
        queries = call.params["MetricDataQueries"]
        assert 1 <= len(queries) <= 500
        begin, end = (call.params[name].timestamp() for name in ("StartTime", "EndTime"))
        results, left = [], 100_800
        for query in queries:
            stat = query["MetricStat"]
            (dimension,) = stat["Metric"]["Dimensions"]
            known = self._points.get((dimension["Value"], stat["Metric"]["MetricName"]), {})
            period = stat["Period"]
            sums: dict[int, float] = {}
            for second, value in known.items():
                if begin <= second < end:
                    start = second // period * period
                    sums[start] = sums.get(start, 0.0) + value
            left -= len(sums)
            results.append(
                {
                    "Id": query["Id"],
                    "Label": "x",
                    "Timestamps": [float(start) for start in sorted(sums)],
                    "Values": [sums[start] for start in sorted(sums)],
                    "StatusCode": self.status,
                }
            )
        assert left >= 0, "one answer holds no more than 100,800 datapoints; ask for less at once"
        return {"MetricDataResults": results}
