"""Answers in pages: calls of AWS that go on with `NextToken`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import PaginationError
from botocore.parsers import ResponseParserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    _Page = TypeVar("_Page", bound=Mapping[str, object])


def pages(call: Callable[..., _Page], **request: Any) -> Iterator[_Page]:
    """Every page of an answer, each asked for when it is wanted, and not kept while the next one is read. Raises what the call raises, and
    PaginationError where AWS names a page that was read already: such an answer has no end, and what was read of it may not be all."""
    asked: set[object] = set()
    while True:
        page = call(**request)
        token = page.get("NextToken")
        yield page
        del page
        if not token:
            return
        if token in asked:
            raise PaginationError(message="AWS names a next page that was read already")
        asked.add(token)
        request["NextToken"] = token


def listed(page: Mapping[str, object], name: str) -> list[Any]:
    """What a page lists under a name. Raises ResponseParserError where it has no such list: only one that is empty says that there is
    nothing."""
    found = page.get(name)
    if not isinstance(found, list):
        raise ResponseParserError(f"the answer has no list {name}")
    return found
