"""What a sweep publishes: figures by account and by reason, bounded however many accounts there are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imdsv2 import telemetry

SERVICE = "imdsv2-remediation"
HOLDS_NOTHING = ("already_required", "endpoint_disabled", "exempt", "out_of_scope", "gone", "unused", "cohort_unused")


@pytest.fixture(autouse=True)
def namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the stack sets it."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Imdsv2Remediation")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", SERVICE)


def published(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, ...], float]:
    """Each value by its metric and its dimensions."""
    found = {}
    for line in capsys.readouterr().out.splitlines():
        document: dict[str, Any] = json.loads(line)
        [declared] = document["_aws"]["CloudWatchMetrics"]
        [metric], [dimensions] = declared["Metrics"], declared["Dimensions"]
        assert ("Imdsv2Remediation", SERVICE) == (declared["Namespace"], document["service"])
        of = (str(document[each]) for each in sorted(dimensions) if each != "service")
        found[str(metric["Name"]), *of] = document[metric["Name"]][0]
    return found


def test_a_sweep_says_what_allows_imdsv1_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    """An account's Regions are added up; an account is unreachable if any of its Regions is, and then has no figure that looks like less."""
    tallies: list[dict[str, Any]] = [
        {"account": "111111111111", "imdsv1_allowed": 3},
        {"account": "111111111111", "imdsv1_allowed": 4},
        {"account": "222222222222", "imdsv1_allowed": None},
        {"account": "222222222222", "imdsv1_allowed": 1},
        {"account": "444444444444", "imdsv1_allowed": 0},
    ]
    summary = {
        "imdsv1_allowed": 7,
        "by_verdict": {"v1_in_use": 5, "canary_wait": 2, **dict.fromkeys(HOLDS_NOTHING, 900)},
        "errors": {"222222222222 eu-west-1": "denied", "222222222222 us-east-1": "denied"},
        "unreachable": {"333333333333": "no role"},
    }
    telemetry.report_fleet(summary, tallies, SERVICE)
    assert {
        ("Imdsv1Allowed", "111111111111"): 7,
        ("Imdsv1Allowed", "444444444444"): 0,
        ("Held", "v1_in_use"): 5,
        ("Held", "canary_wait"): 2,
        ("Imdsv1AllowedInAll",): 7,
        ("UnreachableAccounts",): 2,
    } == published(capsys)


def test_a_thousand_accounts_cost_no_more_than_a_hundred(capsys: pytest.CaptureFixture[str]) -> None:
    """CloudWatch bills each series; those with most to do are shown, and the sum is right."""
    tallies = [{"account": f"{number:012}", "imdsv1_allowed": number} for number in range(1000)]
    telemetry.report_fleet({"by_verdict": {}, "errors": {}, "unreachable": {}}, tallies, SERVICE)
    shown = {key: value for key, value in published(capsys).items() if key[0] == "Imdsv1Allowed"}
    assert telemetry.ACCOUNTS_SHOWN + 1 == len(shown)
    assert sum(range(1000)) == sum(shown.values())
    assert sum(range(900)) == shown["Imdsv1Allowed", "others"]
