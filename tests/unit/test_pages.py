"""Answers in pages: when one ends, and when it never would."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import pytest
from botocore.exceptions import PaginationError

from imdsv2.aws.errors import CALL_FAILURES, may_pass
from imdsv2.aws.pages import listed, pages


def answering(*tokens: str | None) -> Any:
    """A call whose pages name these next pages, and then begin again."""
    following = cycle(tokens)

    def call(**_: Any) -> dict[str, Any]:
        token = next(following)
        return {} if token is None else {"NextToken": token}

    return call


@pytest.mark.parametrize("last", [None, ""])
def test_an_answer_ends_where_no_page_is_named(last: str | None) -> None:
    """An empty name is none, and a page without anything on it is not the end."""
    assert 3 == len(list(pages(answering("b", "c", last))))


@pytest.mark.parametrize("tokens", [("b",), ("b", "c"), ("b", "c", "d", "e", "f")])
def test_an_answer_that_goes_round_in_circles_is_a_failed_call(tokens: tuple[str, ...]) -> None:
    """It would be read until the function's time is over, and its whole batch would come back with it, and again."""
    read: list[object] = []
    with pytest.raises(PaginationError) as caught:
        read += pages(answering(*tokens), Names=["web"])
    assert isinstance(caught.value, CALL_FAILURES)
    assert may_pass(caught.value)


def test_who_reads_so_many_pages_only_asks_for_no_more() -> None:
    """Callers with a limit of their own."""
    made: list[str | None] = []

    def call(**request: Any) -> dict[str, Any]:
        made.append(request.get("NextToken"))
        return {"NextToken": f"{len(made)}"}

    assert 4 == len(list(islice(pages(call), 4)))
    assert [None, "1", "2", "3"] == made


@pytest.mark.parametrize("page", [{}, {"Accounts": None}, {"Accounts": {}}, {"accounts": ["1"]}])
def test_only_a_list_that_is_empty_says_that_there_is_nothing(page: dict[str, Any]) -> None:
    """A page without one is a failed call."""
    assert [] == listed({"Accounts": []}, "Accounts")
    with pytest.raises(CALL_FAILURES, match="no list Accounts"):
        listed(page, "Accounts")
