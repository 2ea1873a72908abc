"""Reads long lists in XML item by item.

A page of a thousand instances is two megabytes of XML, of which botocore makes a tree of twenty and then takes a tenth. Here each item of
a list is taken as soon as it has ended, and its tree is given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import XMLPullParser

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

_FED_BYTES = 16_384


def read(parser: Any, body: bytes, shape: Any) -> dict[str, Any]:
    """What botocore's parser of EC2's answers makes of a body of a shape. Raises ParseError, or what the parser raises."""
    lists = {
        parser._member_key_name(member, name): (name, member.member)  # noqa: SLF001 - botocore's own, as for all its XML
        for name, member in shape.members.items()
        if member.type_name == "list"
    }
    found: dict[str, list[Any]] = {}
    above: list[Element] = []
    for event, element in _events(body):
        if event == "start":
            above.append(element)
            continue
        above.pop()
        if len(above) == 2 and (in_list := lists.get(parser._node_tag(above[1]))):  # noqa: SLF001 - the root, and a list in it
            name, item = in_list
            found.setdefault(name, []).append(parser._parse_shape(item, element))  # noqa: SLF001
            above[1].remove(element)
    parsed: dict[str, Any] = parser._parse_shape(shape, element)  # noqa: SLF001 - what ended last is the root
    parser._inject_response_metadata(element, parsed)  # noqa: SLF001
    return parsed | found


def _events(body: bytes) -> Iterator[tuple[str, Element]]:
    """Where elements begin and end."""
    xml: Any = XMLPullParser(("start", "end"))
    for begin in range(0, len(body), _FED_BYTES):
        xml.feed(body[begin : begin + _FED_BYTES])
        yield from xml.read_events()
    xml.close()
    yield from xml.read_events()
