"""botocore's service models, reduced to the operations in use.

A cold start spends most of its time reading models, and EC2's is the largest. Unused services, operations, shapes that
no kept operation reaches, and documentation are removed by name from botocore's own files.
"""

from __future__ import annotations

import gzip
import json
import shutil
from typing import TYPE_CHECKING, Any

from infra.errors import PackagesUnfit
from infra.service_models import NOT_READ, READ

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Json = dict[str, Any]
Members = dict[str, frozenset[str]]
"""Some members of shapes."""

SHARED_FILES = ("_retry.json", "partitions.json", "sdk-default-configuration.json")
"""Files that every client reads, whatever its service."""


def prune(
    source: Path, destination: Path, operations: Mapping[str, frozenset[str]], read: Mapping[str, Members] = READ
) -> None:
    """Write to `destination` the part of `source`, a botocore data directory, that clients of these operations read; ``read``: shapes of which
    they read some members only, by service. Raises PackagesUnfit if it does not know them all."""
    destination.mkdir(parents=True)
    for name in SHARED_FILES:
        shutil.copyfile(source / name, destination / name)
    _write(destination / "endpoints.json", _endpoints_of(_read(source / "endpoints.json"), set(operations)))
    for service, names in operations.items():
        if not (source / service).is_dir():
            raise PackagesUnfit(f"The installed botocore does not know the service {service}")
        versions = sorted(each.name for each in (source / service).iterdir() if each.is_dir())
        newest = source / service / versions[-1]
        target = destination / service / newest.name
        target.mkdir(parents=True)
        model = _read(newest / "service-2.json")
        if unknown := sorted(names - model["operations"].keys()):
            raise PackagesUnfit(f"The installed botocore does not know {', '.join(unknown)} of {service}")
        model = _without_unread(model, NOT_READ.get(service, {}), read.get(service, {}))
        _write(target / "service-2.json", _model_of(model, names))
        _write(target / "endpoint-rule-set-1.json", _read(newest / "endpoint-rule-set-1.json"))
        corrections = newest / "service-2.sdk-extras.json"
        if corrections.exists():
            shutil.copyfile(corrections, target / corrections.name)


def _endpoints_of(endpoints: Json, services: set[str]) -> Json:
    """Keep the partitions and Regions; drop the endpoints of services that are not called."""
    prefixes = services | {"monitoring"}  # the endpoint prefix of cloudwatch
    for partition in endpoints["partitions"]:
        partition["services"] = {name: each for name, each in partition["services"].items() if name in prefixes}
    return endpoints


def _without_unread(model: Json, unread: Members, read: Members) -> Json:
    shapes = model["shapes"]
    for shape, names in unread.items():
        for name in names:
            del shapes[shape]["members"][name]
    for shape, names in read.items():
        members = shapes[shape]["members"]
        shapes[shape]["members"] = {name: members[name] for name in members if name in names}
    return model


def _model_of(model: Json, operations: frozenset[str]) -> Json:
    kept = {name: model["operations"][name] for name in sorted(operations)}
    reached: set[str] = set()
    waiting = [name for operation in kept.values() for name in _shapes_named(operation)]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(_shapes_named(model["shapes"][name]))
    shapes = {name: shape for name, shape in model["shapes"].items() if name in reached}
    pruned: Json = _without_prose({**model, "operations": kept, "shapes": shapes})
    for parameter in pruned.get("clientContextParams", {}).values():
        parameter["documentation"] = ""  # The one place where botocore requires documentation.
    return pruned


def _shapes_named(value: object) -> Iterator[str]:
    """Names of shapes that an operation or a shape refers to: `{"shape": name}`, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("shape"), str):
            yield value["shape"]
        for each in value.values():
            yield from _shapes_named(each)
    elif isinstance(value, list):
        for each in value:
            yield from _shapes_named(each)


def _without_prose(value: Any) -> Any:
    """Drop documentation: a string under the key `documentation`. A member with that name is an object, and stays."""
    if isinstance(value, dict):
        return {
            name: _without_prose(each)
            for name, each in value.items()
            if not (name == "documentation" and isinstance(each, str))
        }
    if isinstance(value, list):
        return [_without_prose(each) for each in value]
    return value


def _read(path: Path) -> Json:
    """Read one of botocore's files, which is plain or, like most of them, compressed."""
    compressed = path.with_name(path.name + ".gz")
    text = gzip.decompress(compressed.read_bytes()) if compressed.exists() else path.read_bytes()
    document: Json = json.loads(text)
    return document


def _write(path: Path, document: Json) -> None:
    path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
