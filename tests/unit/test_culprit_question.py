"""The question which software calls IMDSv1, as the manual function takes it."""

from __future__ import annotations

from typing import Any

import pytest

from imdsv2.errors import InvalidRequest
from imdsv2.people.culprit.request import INSTANCES_A_CALL, CulpritQuestion
from imdsv2.people.request import parse

ARN = "arn:aws:ec2:eu-west-1:222222222222:instance/i-0123456789abcdef0"
COHORT = "aws/222222222222/eu-west-1/group:web@lt-0123456789abcdef0+3"


def test_it_names_instances_or_a_cohort() -> None:
    """It only reads, so that nothing else is needed."""
    one, many = parse({"culprit": {"targets": [ARN]}}), parse({"culprit": {"cohort": COHORT}, "dry_run": True})
    assert isinstance(one, CulpritQuestion)
    assert isinstance(many, CulpritQuestion)
    assert ([ARN], None, COHORT) == ([str(each) for each in one.targets], one.cohort, many.cohort)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"culprit": {}}, "culprit"),
        ({"culprit": []}, "culprit"),
        ({"culprit": {"targets": [ARN], "cohort": COHORT}}, "culprit"),
        ({"culprit": {"targets": []}}, "culprit.targets"),
        ({"culprit": {"targets": ["i-1"]}}, "culprit.targets"),
        ({"culprit": {"cohort": "web"}}, "culprit.cohort"),
        ({"culprit": {"cohort": 5}}, "culprit.cohort"),
        ({"culprit": {"account": "222222222222"}}, "account"),
        ({"culprit": {"targets": [ARN]}, "until": "2027-01-01"}, "until"),
        ({"culprit": {"targets": [ARN]}, "dry_run": "no"}, "dry_run"),
        ({"culprit": {"targets": [ARN[:-3] + f"{number:03x}" for number in range(INSTANCES_A_CALL + 1)]}}, "10"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], field: str) -> None:
    """With the field, and what it takes."""
    with pytest.raises(InvalidRequest, match=field):
        parse(given)
