"""The question where instances come from: the forms that are taken, and the field named in each refusal."""

from __future__ import annotations

from typing import Any

import pytest

from imdsv2.domain.instance import Place
from imdsv2.errors import InvalidRequest
from imdsv2.people.request import parse
from imdsv2.people.sources.request import SourceQuestion
from tests.fixtures.events import INSTANCE_ID, MEMBER, REGION, REGION_OF_PARTITION, instance_arn

THERE: dict[str, Any] = {"account": MEMBER, "region": REGION}


def question(event: object) -> SourceQuestion:
    """The question in a request."""
    read = parse(event)
    assert isinstance(read, SourceQuestion)
    return read


def test_an_account_and_region_are_one_place() -> None:
    """With all that is in it."""
    read = question({"sources": THERE})
    assert ({Place("aws", REGION, MEMBER): frozenset()}, False, True) == (read.places, read.principals, read.dry_run)


@pytest.mark.parametrize(("partition", "region"), REGION_OF_PARTITION.items())
def test_the_region_names_the_partition(partition: str, region: str) -> None:
    """Everywhere."""
    assert [Place(partition, region, MEMBER)] == list(question({"sources": {**THERE, "region": region}}).places)


def test_instances_are_asked_for_place_by_place() -> None:
    """In one question, by ARN or by their parts."""
    elsewhere = instance_arn("i-00000000").replace(REGION, "us-east-1")
    triple = {**THERE, "instance_id": INSTANCE_ID}
    read = question({"sources": {"targets": [instance_arn(), elsewhere, triple], "principals": True}})
    assert read.principals
    assert {
        Place("aws", REGION, MEMBER): frozenset({INSTANCE_ID}),
        Place("aws", "us-east-1", MEMBER): frozenset({"i-00000000"}),
    } == read.places


@pytest.mark.parametrize("dry_run", [True, False])
def test_it_only_reads_so_that_nobody_has_to_answer_for_it(dry_run: bool) -> None:
    """`dry_run` is taken, and makes no difference; a caller and a reason are taken as everywhere."""
    assert dry_run == question({"sources": THERE, "dry_run": dry_run}).dry_run
    assert question({"sources": THERE, "caller": "ada", "reason": "A look."}).dry_run


NO_SCOPES: list[Any] = [None, [], {}, "x", True, {"region": REGION}, {"principals": True}]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        *(({"sources": scope}, "sources") for scope in NO_SCOPES),
        ({"sources": {"account": MEMBER}}, "sources.region"),
        ({"sources": {**THERE, "account": "12"}}, "sources.account"),
        ({"sources": {**THERE, "region": "moon"}}, "sources.region"),
        ({"sources": {**THERE, "principals": "yes"}}, "sources.principals"),
        ({"sources": {**THERE, "cohort": "x"}}, "sources.'cohort'"),
        ({"sources": {**THERE, "targets": [instance_arn()]}}, "sources"),
        ({"sources": {"targets": []}}, "sources.targets"),
        ({"sources": {"targets": ["x"]}}, "sources.targets"),
        ({"sources": {"targets": [instance_arn()] * 501}}, "sources.targets"),
        ({"sources": THERE, "dry_run": "no"}, "dry_run"),
        ({"sources": THERE, "caller": 5}, "caller"),
        ({"sources": THERE, "until": "2027-01-01"}, "'until'"),
        ({"sources": THERE, "targets": [instance_arn()]}, "'targets'"),
        ({"sources": THERE, "undo": THERE}, "'undo'"),
    ],
)
def test_what_it_does_not_take_is_refused_by_its_name(event: dict[str, Any], field: str) -> None:
    """With what it takes instead."""
    with pytest.raises(InvalidRequest) as caught:
        parse(event)
    assert field == caught.value.field
    assert len(str(caught.value)) <= 500
