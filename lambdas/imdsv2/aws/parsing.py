"""botocore sessions whose clients raise one error for every answer that cannot be read, and read times quickly.

botocore raises ResponseParserError where XML or JSON is broken, but what it meets inside of them (a time that is none, a number
that is a word, bytes that are no UTF-8) as ValueError, KeyError and the like, which nobody takes for a failed call.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.parsers import ResponseParserError, ResponseParserFactory
from botocore.utils import parse_timestamp

from imdsv2.aws import long_lists, number_lists

if TYPE_CHECKING:
    from collections.abc import Callable


_LARGE_BYTES = 100_000
_large_one = Lock()
"""Large answers are parsed one after the other: a page of instances takes twenty megabytes for that, and as Python runs one thread at a
time, several at once would be done no sooner."""
_OF_NUMBERS = frozenset({"double", "timestamp"})
_NUMBERS = frozenset({int, float})
_SOURCE_MODELS = Path(__file__).parents[2] / "source_models"


class Parsers(ResponseParserFactory):
    """botocore's parsers, of which nothing else than ResponseParserError comes."""

    def __init__(self) -> None:
        super().__init__()
        self.set_parser_defaults(timestamp_parser=to_time)

    def create_parser(self, protocol_name: str) -> Any:
        parser: Any = super().create_parser(protocol_name)
        parser.parse = _readable(parser.parse)
        if protocol_name == "ec2":
            parser._do_parse = _item_by_item(parser, parser._do_parse)  # noqa: SLF001 - botocore looks the method up by this name
        return parser


class _NumberParsers(Parsers):
    """Parsers that leave numbers as they are sent, and times too where they are sent as numbers; lists of them, which many results share,
    are not to be changed. botocore would make a datetime of each time, which took nine tenths of the time for a page of 100,800 datapoints,
    and take up each number by itself, which took most of the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.set_parser_defaults(timestamp_parser=_seconds_or_time)

    def create_parser(self, protocol_name: str) -> Any:
        parser = super().create_parser(protocol_name)
        # botocore looks these methods up by their names.
        parser._handle_list = _with_numbers_as_sent(parser._handle_list)  # noqa: SLF001
        if protocol_name == "json":
            parser._parse_body_as_json = _with_lists_shared(parser._parse_body_as_json)  # noqa: SLF001
        return parser


def new_session() -> botocore.session.Session:
    """A session of botocore with these parsers."""
    session = botocore.session.Session()
    session.register_component("response_parser_factory", Parsers())
    return session


def session_beside(first: botocore.session.Session) -> botocore.session.Session:
    """A session with the handlers that another has now, and the models that it has read: to make these anew takes longer than a client.
    Clients copy the handlers; what is registered with one does not concern another."""
    session = botocore.session.Session(event_hooks=first.get_component("event_emitter"), include_builtin_handlers=False)
    session.register_component("data_loader", first.get_component("data_loader"))
    session.register_component("response_parser_factory", Parsers())
    return session


def metrics_session(beside: botocore.session.Session) -> botocore.session.Session:
    """A session for CloudWatch only, see ``session_beside``: its clients leave timestamps as the epoch seconds that CloudWatch sends, and
    leave it to CloudWatch to check the 500 queries of a call."""
    session = session_beside(beside)
    session.set_default_client_config(Config(parameter_validation=False))
    session.register_component("response_parser_factory", _NumberParsers())
    return session


def source_session() -> botocore.session.Session:
    """A session for what launches instances. The model of these calls is most of EC2's, and shipped apart, so that other functions do not
    read it at each start; outside the deployed asset, botocore's own serves."""
    session = new_session()
    session.get_component("data_loader").search_paths.insert(0, str(_SOURCE_MODELS))
    return session


def to_time(value: Any) -> datetime:
    """A time of an answer. The usual form (`2026-03-01T12:00:00.000Z`) is read without botocore's own parser, which tries all forms that
    people write and took a tenth of a sweep's processor time. Raises ValueError or RuntimeError, as that does."""
    if isinstance(value, str) and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    parsed: datetime = parse_timestamp(value)
    return parsed


def _seconds_or_time(value: Any) -> Any:
    return value if isinstance(value, int | float) else parse_timestamp(value)


def _with_numbers_as_sent(handle: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def handle_list(shape: Any, value: Any) -> Any:
        is_of_numbers = shape.member.type_name in _OF_NUMBERS and isinstance(value, list)
        return value if is_of_numbers and _NUMBERS.issuperset(map(type, value)) else handle(shape, value)

    return handle_list


def _with_lists_shared(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parse_body(body: bytes) -> Any:
        if len(body) < _LARGE_BYTES:
            return parse(body)
        try:
            return number_lists.read(body.decode())
        except ValueError:
            return parse(body)

    return parse_body


def _item_by_item(parser: Any, parse: Callable[..., Any]) -> Callable[..., Any]:
    def do_parse(response: dict[str, Any], shape: Any) -> Any:
        body = response["body"]
        return long_lists.read(parser, body, shape) if shape and len(body) >= _LARGE_BYTES else parse(response, shape)

    return do_parse


def _readable(parse: Callable[..., Any]) -> Callable[..., Any]:
    def parse_or_say(response: dict[str, Any], shape: Any) -> Any:
        body = response["body"]  # A stream is not read here.
        is_large = isinstance(body, bytes) and len(body) >= _LARGE_BYTES
        try:
            with _large_one if is_large else nullcontext():
                return parse(response, shape)
        except ResponseParserError:
            raise
        except Exception as error:
            raise ResponseParserError(f"the answer cannot be read ({type(error).__name__}: {error})") from error

    return parse_or_say
