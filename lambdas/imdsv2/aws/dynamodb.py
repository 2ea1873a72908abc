"""The ledger's client of DynamoDB, through which items pass as they are: what the ledger hands over is DynamoDB's own form already, and so
is what it reads. botocore takes up every value and every type by itself, to check it, to write it and to read it, which took most of the
time of a write or a read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.config import Config

from imdsv2.aws.parsing import Parsers, session_beside
from imdsv2.aws.sessions import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable

    import botocore.session
    from mypy_boto3_dynamodb import DynamoDBClient

_CONFIG = CONFIG.merge(Config(parameter_validation=False))
_AS_SENT = frozenset({"S", "N", "BOOL", "NULL", "SS", "NS"})
"""Types of DynamoDB's values; the others hold bytes, or other values."""


def ledger_client(beside: botocore.session.Session, region: str) -> DynamoDBClient:
    """A client whose session shares what another has loaded, see ``session_beside``. DynamoDB checks what it is sent. Bytes, which the
    ledger does not have, cannot be sent; those of others are read as botocore reads them."""
    session = session_beside(beside)
    session.register_component("response_parser_factory", ItemParsers())
    client: Any = session.create_client("dynamodb", region_name=region, config=_CONFIG)
    serializer = client._serializer  # noqa: SLF001 - botocore offers no other way to a client's serializer
    serializer._serialize_type_map = _with_items_as_given(serializer._serialize_type_map)  # noqa: SLF001 - it looks the method up by this name
    return client  # type: ignore[no-any-return]


class ItemParsers(Parsers):
    """Parsers that leave the values of items as DynamoDB sends them, which is how botocore gives them, but for bytes."""

    def create_parser(self, protocol_name: str) -> Any:
        parser = super().create_parser(protocol_name)
        parser._handle_map = _with_items_as_sent(parser._handle_map)  # noqa: SLF001 - botocore looks the method up by this name
        return parser


def _with_items_as_given(serialize: Callable[..., None]) -> Callable[..., None]:
    def serialize_map(serialized: dict[str, Any], value: Any, shape: Any, key: str) -> None:
        if shape.value.name == "AttributeValue":
            serialized[key] = value
        else:
            serialize(serialized, value, shape, key)

    return serialize_map


def _with_items_as_sent(handle: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def handle_map(shape: Any, value: Any) -> Any:
        is_of_values = shape.value.name == "AttributeValue" and isinstance(value, dict)
        return value if is_of_values and all(map(_has_no_bytes, value.values())) else handle(shape, value)

    return handle_map


def _has_no_bytes(value: Any) -> bool:
    """Whether a value of an item is one that botocore gives as it was sent."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((kind, content),) = value.items()
    if kind == "M":
        return isinstance(content, dict) and all(map(_has_no_bytes, content.values()))
    if kind == "L":
        return isinstance(content, list) and all(map(_has_no_bytes, content))
    return kind in _AS_SENT and content is not None
