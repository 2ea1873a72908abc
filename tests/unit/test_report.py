"""The answer to a manual invocation, in the exact format that other programs rely on."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError

from imdsv2.domain.documents import evidence_document, options_document, to_seconds
from imdsv2.domain.instance import InstanceArn, Missing
from imdsv2.domain.lifecycle import Status
from imdsv2.domain.request import Source
from imdsv2.domain.verdict import Decision, Reason
from imdsv2.errors import LedgerContended
from imdsv2.line.judgement import Outcomes
from imdsv2.people.answer import answer_document, error_document
from imdsv2.people.request import JudgementOrder, parse_order
from tests.unit.builders import NOW, arn, evidence, gap, judgement, options, refused, request, use, verdict

FIELDS = [
    "target",
    "decision",
    "reason",
    "explanation",
    "evidence",
    "before",
    "planned_call",
    "permitted",
    "status",
    "error",
]
MANUAL = request(source=Source.MANUAL, finding=None)
REFUSED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not today"}}, "UpdateItem")


def answer(
    order: JudgementOrder, judged: dict[InstanceArn, Any], failed: dict[InstanceArn, Exception] | None = None
) -> Any:
    """The answer as the caller gets it: through JSON."""
    outcomes = Outcomes(judged=judged, echoes=set(), failed=failed or {})
    return json.loads(json.dumps(answer_document(order, outcomes, "observe"), allow_nan=False))


def only_result(**fields: Any) -> Any:
    """The result of a dry run of one instance."""
    order = parse_order({"targets": [str(arn())]})
    (result,) = answer(order, {arn(): judgement(MANUAL, **fields)})["results"]
    return result


def test_a_dry_run_is_answered_in_the_contract_s_words() -> None:
    """Every field, and no other."""
    order = parse_order({"targets": [str(arn())]})
    expected = {
        "dry_run": True,
        "mode": "observe",
        "results": [
            {
                "target": str(arn()),
                "decision": "enforce",
                "reason": "unused",
                "explanation": "No IMDSv1 call.",
                "evidence": {
                    "window_start": "2026-10-16T14:30:00Z",
                    "window_end": "2026-11-20T14:30:00Z",
                    "tokenless_calls": 0,
                    "tokenless_hours": 0,
                    "last_tokenless_call": None,
                    "pattern": None,
                    "refused_calls": 0,
                    "boot_observed": True,
                    "boot_tokenless_calls": 0,
                    "observed_hours": 839,
                    "coverage": 1.0,
                    "longest_gap_hours": 0,
                    "newest_datapoint": "2026-11-20T14:00:00Z",
                    "period_seconds": 3600,
                },
                "before": {"HttpTokens": "optional", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
                "planned_call": {"HttpTokens": "required"},
                "permitted": True,
                "status": "would_enforce",
                "error": None,
            }
        ],
    }
    assert expected == answer(order, {arn(): judgement(MANUAL, permitted=True)})


def test_results_come_in_the_order_asked() -> None:
    """Valid and invalid ones, in groups of any account, and one target twice."""
    names = [str(arn(3)), "nonsense", str(arn(1, account="333333333333")), str(arn(3))]
    order = parse_order({"targets": names})
    judged = {each: judgement(request(arn=each)) for each in (arn(1, account="333333333333"), arn(3))}
    results = answer(order, judged)["results"]
    assert names == [result["target"] for result in results]
    assert ["enforce", None, "enforce", "enforce"] == [result["decision"] for result in results]
    assert all(FIELDS == list(result) for result in results)


def test_a_target_that_is_none_fails_alone() -> None:
    """With a code and a message, and no decision."""
    order = parse_order({"targets": [{"account": "2"}]})
    (result,) = answer(order, {})["results"]
    assert (None, None, "InvalidTarget") == (result["decision"], result["reason"], result["error"]["code"])
    assert "account, region and instance_id" in result["error"]["message"]
    assert all(result[field] is None for field in ("evidence", "before", "planned_call", "permitted", "status"))


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (REFUSED, "AccessDeniedException", "not today"),
        (LedgerContended("others keep changing these instances"), "LedgerContended", "others keep changing"),
    ],
)
def test_an_attempt_that_failed_fails_alone(failure: Exception, code: str, message: str) -> None:
    """With AWS's or the service's own code and message; never a stack trace."""
    order = parse_order({"targets": [str(arn(1)), str(arn(2))]})
    first, second = answer(order, {arn(2): judgement(request(arn=arn(2)))}, {arn(1): failure})["results"]
    assert (None, code) == (first["decision"], first["error"]["code"])
    assert message in first["error"]["message"]
    assert "enforce" == second["decision"]


def test_a_missing_instance_is_no_error() -> None:
    """It is skipped as `gone`, without options."""
    gone = verdict(decision=Decision.SKIP, reason=Reason.GONE, revisit_at=None)
    result = only_result(verdict=gone, status=Status.SKIPPED, target=Missing(arn=arn()), evidence=None)
    assert ("skip", "gone", "skipped", None) == tuple(
        result[field] for field in ("decision", "reason", "status", "error")
    )
    assert (None, None, None) == (result["before"], result["evidence"], result["planned_call"])


@pytest.mark.parametrize("reason", [Reason.V1_IN_USE, Reason.SWITCHED_OFF, Reason.SUPPRESSED])
def test_what_is_held_plans_no_call(reason: Reason) -> None:
    """Without a call, there is no permission to check."""
    result = only_result(verdict=verdict(decision=Decision.HOLD, reason=reason), status=Status.HELD)
    assert ("hold", reason, None, None) == tuple(
        result[field] for field in ("decision", "reason", "planned_call", "permitted")
    )


def test_a_permission_that_could_not_be_asked_for_is_unknown() -> None:
    """`null` with the reason; the verdict stands."""
    unknown = {"code": "PermissionUnknown", "message": "EC2 is throttling"}
    result = only_result(permitted=None, error=unknown)
    assert (None, unknown, "enforce") == (result["permitted"], result["error"], result["decision"])


def test_a_refusal_of_ec2_is_a_failure_with_its_code() -> None:
    """Status `failed`, no decision, EC2's code."""
    error = {"code": "UnsupportedOperation", "message": "no"}
    result = only_result(status=Status.FAILED, error=error)
    assert ("failed", None, error) == (result["status"], result["decision"], result["error"])


def test_an_error_answers_for_the_whole_invoke() -> None:
    """It replaces the results."""
    assert {"error": {"code": "InvalidRequest", "message": "m"}} == error_document("InvalidRequest", "m")


def test_evidence_that_was_not_obtained_is_null() -> None:
    """So are the options of an instance that was not found."""
    assert (None, None) == (evidence_document(None), options_document(None))


def test_evidence_says_when_the_last_call_was() -> None:
    """To the second, in UTC; shares to four digits."""
    seen = evidence(use=use(3, hours=2, pattern="daily at 14:00"), refused=refused(5), gap=gap(7), coverage=2 / 3)
    document = evidence_document(seen)
    assert document is not None
    expected = {
        "tokenless_calls": 3,
        "tokenless_hours": 2,
        "last_tokenless_call": "2026-11-20T14:00:00Z",
        "pattern": "daily at 14:00",
        "refused_calls": 5,
        "coverage": 0.6667,
        "longest_gap_hours": 7,
    }
    assert expected == {field: document[field] for field in expected}


def test_options_bear_ec2_s_names() -> None:
    """As the ledger and the answer show them, before and after."""
    expected = {"HttpTokens": "required", "HttpPutResponseHopLimit": 3, "HttpEndpoint": "enabled"}
    assert expected == options_document(options(http_tokens="required", hop_limit=3, state="pending"))


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (None, None),
        (NOW, "2026-11-20T14:30:00Z"),
        (NOW + timedelta(microseconds=999_999), "2026-11-20T14:30:00Z"),
        (datetime(2026, 11, 21, 3, 30, tzinfo=timezone(timedelta(hours=13))), "2026-11-20T14:30:00Z"),
    ],
)
def test_times_are_utc_to_the_second(when: datetime | None, text: str | None) -> None:
    """Truncated, not rounded: no event is reported later than it happened."""
    assert text == to_seconds(when)
