"""Answers in pages: calls of AWS that go on with `NextToken`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    _Page = TypeVar("_Page", bound=Mapping[str, object])


def pages(call: Callable[..., _Page], **request: Any) -> Iterator[_Page]:
    """Every page of an answer, each asked for when it is wanted. Raises what the call raises."""
    while True:
        page = call(**request)
        yield page
        if not page.get("NextToken"):
            return
        request["NextToken"] = page["NextToken"]
