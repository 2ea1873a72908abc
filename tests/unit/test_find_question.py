"""The question which instances there are: the forms that are taken, and the field named in each refusal."""

from __future__ import annotations

from typing import Any

import pytest

from imdsv2.errors import InvalidRequest
from imdsv2.people.find_request import FindQuestion
from imdsv2.people.request import parse
from tests.fixtures.events import MEMBER, REGION


def search(event: object) -> FindQuestion:
    """The question in a request."""
    read = parse(event)
    assert isinstance(read, FindQuestion)
    return read


def test_everything_may_be_asked_for() -> None:
    """Wherever the ledger knows anything."""
    assert FindQuestion() == search({"find": {}})


def test_names_ids_and_tags_narrow_it() -> None:
    """Each name once, in their order."""
    read = search(
        {"find": {"names": ["web", "i-0a1b2c3d", "web"], "account": MEMBER, "region": REGION, "tags": {"team": ""}}}
    )
    assert (("web", "i-0a1b2c3d"), MEMBER, REGION, {"team": ""}) == (read.names, read.account, read.region, read.tags)


@pytest.mark.parametrize("dry_run", [True, False])
def test_it_only_reads_so_that_nobody_has_to_answer_for_it(dry_run: bool) -> None:
    """As with the question of sources."""
    assert dry_run == search({"find": {}, "dry_run": dry_run, "caller": "ada", "reason": "A look."}).dry_run


REFUSED: list[tuple[Any, str]] = [
    (None, "find"),
    ([], "find"),
    ("web", "find"),
    ({"name": "web"}, "find."),
    ({"names": "web"}, "find.names"),
    ({"names": [""]}, "find.names"),
    ({"names": ["x" * 257]}, "find.names"),
    ({"names": [7]}, "find.names"),
    ({"names": ["x"] * 501}, "find.names"),
    ({"account": "2222"}, "find.account"),
    ({"region": "eu-wst-1"}, "find.region"),
    ({"places": MEMBER}, "find.places"),
    ({"places": [MEMBER]}, "find.places[0]"),
    ({"places": [{"account": MEMBER, "region": "eu-west-1"}, {"account": MEMBER}]}, "find.places[1]"),
    ({"places": [{"account": "22", "region": "eu-west-1"}]}, "find.places[0].account"),
    ({"places": [{"account": MEMBER, "region": "eu-wst-1"}]}, "find.places[0].region"),
    ({"places": [{"account": MEMBER, "region": "eu-west-1"}] * 2001}, "find.places"),
    ({"tags": ["team"]}, "find.tags"),
    ({"tags": {"team": 1}}, "find.tags"),
    ({"tags": {str(number): "" for number in range(11)}}, "find.tags"),
]


@pytest.mark.parametrize(("given", "field"), REFUSED)
def test_what_is_no_question_is_refused_by_its_field(given: Any, field: str) -> None:
    """So that whoever asks knows what to change."""
    with pytest.raises(InvalidRequest) as refused:
        parse({"find": given})
    assert refused.value.field.startswith(field)


def test_a_field_that_is_none_is_refused() -> None:
    """Beside the question, too."""
    with pytest.raises(InvalidRequest):
        parse({"find": {}, "targets": []})
