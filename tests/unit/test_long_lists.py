"""Long lists in XML are what botocore makes of them, item by item."""

from __future__ import annotations

import tracemalloc
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import pytest
from botocore.parsers import ResponseParserError, ResponseParserFactory
from hypothesis import given
from hypothesis import strategies as st

from imdsv2.aws.long_lists import read
from imdsv2.aws.parsing import Parsers, new_session

SHAPE: Any = new_session().get_service_model("ec2").operation_model("DescribeInstances").output_shape
THEIRS = ResponseParserFactory().create_parser("ec2")
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=8
)
INSTANCES = st.fixed_dictionaries(
    {"tags": st.dictionaries(TEXTS, TEXTS, max_size=3), "note": TEXTS, "launched": st.booleans()}
)
RESERVATIONS = st.lists(st.lists(INSTANCES, max_size=3), max_size=5)


def body(
    reservations: list[list[dict[str, Any]]], token: str | None = None, namespace: str = "http://ec2.amazonaws.com/doc/"
) -> bytes:
    """An answer to DescribeInstances."""
    root = Element("DescribeInstancesResponse", {"xmlns": namespace} if namespace else {})
    SubElement(root, "requestId").text = "11111111-2222"
    listed = SubElement(root, "reservationSet")
    for instances in reservations:
        reservation = SubElement(listed, "item")
        SubElement(reservation, "reservationId").text = "r-1"
        inside = SubElement(reservation, "instancesSet")
        for number, each in enumerate(instances):
            instance = SubElement(inside, "item")
            SubElement(instance, "instanceId").text = f"i-{number:017x}"
            SubElement(instance, "whatever").text = each["note"]
            tags = SubElement(instance, "tagSet")
            for key, value in each["tags"].items():
                tag = SubElement(tags, "item")
                SubElement(tag, "key").text, SubElement(tag, "value").text = key, value
            if each["launched"]:
                SubElement(instance, "launchTime").text = "2026-11-20T12:00:00.000Z"
    if token is not None:
        SubElement(root, "nextToken").text = token
    content: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def theirs(content: bytes) -> Any:
    """What botocore makes of it."""
    return THEIRS.parse(answer(content), SHAPE)


def answer(content: bytes) -> dict[str, Any]:
    """As it comes from the wire."""
    return {"body": content, "headers": {}, "status_code": 200}


@given(RESERVATIONS, st.none() | TEXTS, st.sampled_from(["", "http://ec2.amazonaws.com/doc/2016-11-15/"]))
def test_an_answer_is_what_botocore_makes_of_it(reservations: Any, token: str | None, namespace: str) -> None:
    """With its token and its request id, with and without a namespace."""
    content = body(reservations, token, namespace)
    expected = theirs(content)
    expected["ResponseMetadata"] = {"RequestId": expected["ResponseMetadata"]["RequestId"]}
    assert expected == read(THEIRS, content, SHAPE)


def page(instances: int = 1000) -> bytes:
    """A large one."""
    some = {"tags": {f"key-{number}": "v" * 20 for number in range(9)}, "note": "n" * 800, "launched": True}
    return body([[some]] * instances, "next")


def test_a_page_comes_through_the_sessions_parser() -> None:
    """As botocore's own, whatever way it takes."""
    content = page()
    assert theirs(content) == Parsers().create_parser("ec2").parse(answer(content), SHAPE)


def test_no_tree_is_made_of_a_page() -> None:
    """It takes less than half of the memory."""
    content = page()
    peaks = []
    for parser in (THEIRS, Parsers().create_parser("ec2")):
        tracemalloc.start()
        parser.parse(answer(content), SHAPE)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] / 2, peaks


@pytest.mark.parametrize("at", [0.1, 0.5, 0.999])
@pytest.mark.parametrize("broken", [b"", b"</nobody>", b"\xff\xfe", b"<launchTime>yesterday</launchTime></item>"])
def test_a_page_that_breaks_off_or_cannot_be_read_is_no_answer(at: float, broken: bytes) -> None:
    """However much of it was read before."""
    content = page()
    with pytest.raises(ResponseParserError):
        Parsers().create_parser("ec2").parse(answer(content[: int(len(content) * at)] + broken), SHAPE)


@pytest.mark.parametrize(
    "found", [b"<launchTime>yesterday</launchTime>", b"<launchTime>2026-13-01T00:00:00Z</launchTime>"]
)
def test_a_time_that_is_none_makes_a_whole_page_unreadable(found: bytes) -> None:
    """One instance of a thousand is enough."""
    content = page().replace(b"<launchTime>2026-11-20T12:00:00.000Z</launchTime>", found, 1)
    with pytest.raises(ResponseParserError):
        Parsers().create_parser("ec2").parse(answer(content), SHAPE)
