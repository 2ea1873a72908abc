"""Holds what a server answers against the service's model: botocore drops in silence what it does not know."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from botocore.model import ListShape, OperationModel, Shape, StructureShape

IN_EVERY_ANSWER = {"requestId", "ResponseMetadata", "Message", "Code", "__type", "message"}


def check_answers(client: Any) -> Any:
    """Make a client of EC2 or Security Hub fail on an answer that its model does not know. Returns the client."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(f"before-parse.{service}", _check)
    return client


def _check(operation_model: OperationModel, response_dict: dict[str, Any], **_: Any) -> None:
    shape = operation_model.output_shape
    if shape is None or response_dict["status_code"] >= 300 or not response_dict["body"]:
        return
    if operation_model.service_model.resolved_protocol == "ec2":
        _check_xml(ET.fromstring(response_dict["body"]), shape)  # noqa: S314 - our own server's answer
    else:
        _check_json(json.loads(response_dict["body"]), shape)


def _check_xml(element: ET.Element, shape: Shape) -> None:
    if shape.type_name == "list":
        member = _as_list(shape).member
        for child in element:
            _check_xml(child, member)
    if shape.type_name != "structure":
        return
    structure = _as_structure(shape)
    known = {member.serialization.get("name", name): member for name, member in structure.members.items()}
    for child in element:
        name = child.tag.rpartition("}")[2]
        if name not in IN_EVERY_ANSWER:
            assert name in known, f"{shape.name} has no {name}, it has {sorted(known)}"
            _check_xml(child, known[name])


def _check_json(value: Any, shape: Shape) -> None:
    if shape.type_name == "list":
        for each in value:
            _check_json(each, _as_list(shape).member)
    if shape.type_name != "structure" or _as_structure(shape).is_document_type:
        return
    structure = _as_structure(shape)
    assert set(value) <= set(structure.members) | IN_EVERY_ANSWER, (
        f"{shape.name}: {set(value) - set(structure.members)}"
    )
    assert set(structure.required_members) <= set(value), (
        f"{shape.name}: {set(structure.required_members) - set(value)} missing"
    )
    for name in set(value) & set(structure.members):
        _check_json(value[name], structure.members[name])


def _as_list(shape: Shape) -> ListShape:
    return shape  # type: ignore[return-value]


def _as_structure(shape: Shape) -> StructureShape:
    return shape  # type: ignore[return-value]
