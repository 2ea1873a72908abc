"""Large answers are parsed one after the other, whatever asked for them; small ones wait for nobody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Semaphore
from typing import TYPE_CHECKING, Any

import pytest
from botocore.parsers import ResponseParserError, ResponseParserFactory

from imdsv2.aws.parsing import Parsers

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE_SECONDS = 10
LARGE, SMALL = b"x" * 1_000_000, b"x" * 1_000


class Slow:
    """A parser that goes on when it is let."""

    def __init__(self) -> None:
        self.begun, self.let = Semaphore(0), Event()

    def parse(self, response: Mapping[str, Any], _: Any) -> dict[str, Any]:
        self.begun.release()
        assert self.let.wait(PATIENCE_SECONDS)
        if response["status_code"] != 200:
            raise ValueError("no answer of AWS")
        return {}


def parser_like(made: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client's parser, of which the work is done by another."""
    monkeypatch.setattr(ResponseParserFactory, "create_parser", lambda *_: made)
    return Parsers().create_parser("query")


def answer(body: object, status: int = 200) -> dict[str, Any]:
    return {"status_code": status, "headers": {}, "body": body}


def test_large_answers_are_parsed_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small one, or a stream, is not kept waiting."""
    slow, quick = Slow(), Slow()
    quick.let.set()
    parser, other = parser_like(slow, monkeypatch), parser_like(quick, monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        parsed = [pool.submit(parser.parse, answer(LARGE), None) for _ in range(2)]
        try:
            assert slow.begun.acquire(timeout=PATIENCE_SECONDS)
            assert not slow.begun.acquire(timeout=0.2), "two are parsed at once"
            assert other.parse(answer(SMALL), None) == other.parse(answer(object()), None) == {}
        finally:
            slow.let.set()
        assert [each.result(PATIENCE_SECONDS) for each in parsed] == [{}, {}]


def test_an_unreadable_large_answer_keeps_none_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is parsed."""
    quick = Slow()
    quick.let.set()
    parser = parser_like(quick, monkeypatch)
    with pytest.raises(ResponseParserError, match="no answer of AWS"):
        parser.parse(answer(LARGE, status=500), None)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(parser.parse, answer(LARGE), None).result(PATIENCE_SECONDS) == {}
