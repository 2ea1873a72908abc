"""The policy as a document: read, changed field by field, judged by the service's own parser, compared, written."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from imdsv2_cli.aws import code_of
from imdsv2_cli.failure import Failure, nearest, usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from pathlib import Path

    from imdsv2.domain.policy import Policy
    from imdsv2_cli.base import App

_LISTS = frozenset({"include_accounts", "exclude_accounts", "exclude_regions"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """The policy parameter as it stands. ``document``: what is written there, without defaults; ``problem``: why that is no document."""

    name: str
    version: int
    modified_at: datetime
    modified_by: str
    document: dict[str, Any]
    problem: str = ""


def read_parameter(app: App) -> Parameter:
    """The parameter, with who wrote it last."""
    from datetime import UTC

    name = app.stack_output("PolicyParameterName")
    ssm = app.client("ssm")
    found = ssm.get_parameter(Name=name)["Parameter"]
    described = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [name]}])["Parameters"]
    problem = ""
    try:
        document = _parsed(found["Value"])
    except Failure as refused:
        document, problem = (
            None,
            f"{name} is refused ({refused.message.rstrip('.')}), and the service follows the last valid policy",
        )
    return Parameter(
        name=name,
        version=found["Version"],
        modified_at=found["LastModifiedDate"].astimezone(UTC),
        modified_by=next(
            (str(each["LastModifiedUser"]) for each in described if "LastModifiedUser" in each), "unknown"
        ),
        document=document or {},
        problem=problem
        if document is not None or problem
        else f"{name} holds no JSON object, and the service follows the last valid policy",
    )


def earlier_version(app: App, found: Parameter, version: int) -> dict[str, Any]:
    """The document of another version of the parameter. Raises Failure if Systems Manager does not have it any more."""
    try:
        earlier = app.client("ssm").get_parameter(Name=f"{found.name}:{version}")["Parameter"]
    except Exception as error:
        if code_of(error) != "ParameterVersionNotFound":
            raise
        raise usage(
            f"there is no version {version} of {found.name}",
            f"the present one is {found.version}",
            "name an earlier one",
        ) from error
    return _parsed(earlier["Value"]) or {}


def read_file(path: Path) -> dict[str, Any]:
    """The document in a file. Raises Failure."""
    from imdsv2.domain.json_values import read_json, without_repeats
    from imdsv2.errors import PolicyRefused

    try:
        document = read_json(path.read_bytes(), without_repeats)
    except OSError as error:
        raise usage(f"{path} cannot be read", error.strerror or str(error), "name a file that you may read") from error
    except PolicyRefused as refused:
        raise usage("the service would refuse this policy", str(refused)) from refused
    except ValueError as error:
        raise usage(f"{path} is no JSON object", str(error), "correct it there, and save it in UTF-8") from error
    if not isinstance(document, dict):
        raise usage(f"{path} is no JSON object", todo='write e.g. {"mode": "observe"}')
    return document


def _parsed(text: str) -> dict[str, Any] | None:
    """A document as the service reads it; None for what is no JSON object. Raises Failure for a field that is given twice."""
    from imdsv2.domain.json_values import without_repeats
    from imdsv2.errors import PolicyRefused

    try:
        document = json.loads(text, object_pairs_hook=without_repeats)
    except PolicyRefused as refused:
        raise usage("the service would refuse this policy", str(refused)) from refused
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def policies_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Policy, Policy]:
    """The policies that two documents make, as the service reads them. ``after`` has to be a valid one."""
    from imdsv2.domain.policy import Policy

    old = Policy.from_document(_in_force(before)) if _is_taken(before) else Policy()
    return old, Policy.from_document(after)


def _is_taken(document: Mapping[str, Any]) -> bool:
    try:
        effective(document)
    except Failure:
        return False
    return True


def write_parameter(app: App, found: Parameter, document: Mapping[str, Any]) -> int:
    """Write the document, unless somebody else has written since it was read. Returns its version. Raises Failure, also where it took the
    place of what somebody wrote between the look and the call."""
    ssm = app.client("ssm")
    version = ssm.get_parameter(Name=found.name)["Parameter"]["Version"]
    if version != found.version:
        raise Failure(
            "the policy was not written", f"somebody has written version {version} since", "look, and repeat it"
        )
    written = ssm.put_parameter(Name=found.name, Value=json.dumps(document, indent=2), Type="String", Overwrite=True)
    mine = int(written["Version"])
    if mine > found.version + 1:
        raise Failure(
            f"the policy was written as version {mine}, over version {mine - 1} that somebody wrote at the same moment",
            "Systems Manager takes both, and yours is in force",
            f"look whether theirs is still wanted: imdsv2 policy diff --version {mine - 1}",
        )
    return mine


def in_force(found: Parameter) -> dict[str, Any]:
    """The policy that is written, every field with its value. Raises Failure where the service refuses what is written: then it follows
    another, which is not known here."""
    from imdsv2.domain.policy import Policy
    from imdsv2.errors import PolicyRefused

    why, todo = found.problem, "write a whole one: imdsv2 policy set --from FILE"
    if not why:
        try:
            return Policy.from_document(found.document).to_document()
        except PolicyRefused as refused:
            why, todo = str(refused), "correct it: imdsv2 policy set FIELD=VALUE"
    raise Failure("the service refuses the policy that is written, and changes nothing meanwhile", why, todo)


def effective(document: object) -> dict[str, Any]:
    """The policy that a document makes, every field with its value. Raises Failure if the service would refuse it."""
    from imdsv2.domain.policy import Policy
    from imdsv2.errors import PolicyRefused

    try:
        return Policy.from_document(document).to_document()
    except PolicyRefused as refused:
        known = [each.name for each in fields(Policy)]
        hint = nearest(refused.field, known) if refused.field not in known else ""
        raise usage("the service would refuse this policy", str(refused), hint) from refused


def assign(document: Mapping[str, Any], assignments: Iterable[str], unset: Iterable[str] = ()) -> dict[str, Any]:
    """The document with some fields changed. Raises Failure if an assignment cannot be read, or the service would refuse the result."""
    changed = dict(document)
    for each in assignments:
        name, separator, text = each.partition("=")
        if not separator:
            raise usage(f"{each} is no assignment", todo="write FIELD=VALUE, e.g. mode=off")
        outer, _, inner = name.strip().partition(".")
        if inner:
            before = changed.get(outer, effective({}).get(outer))
            changed[outer] = {**(before if isinstance(before, dict) else {}), inner: _value(inner, text)}
        else:
            changed[outer] = _value(outer, text)
    for name in unset:
        if name not in effective({}):
            raise usage(f"{name} is no field of the policy", todo=nearest(name, effective({})))
        changed.pop(name, None)
    effective(changed)
    return changed


def _value(name: str, text: str) -> Any:
    """A value as JSON has it; lists also with commas, texts also without quotes."""
    text = text.strip()
    if name in _LISTS and not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The fields whose value in force differs. A document that is refused has only what is written in it."""
    old, new = _in_force(before), _in_force(after)
    return [
        {"field": name, "before": old.get(name), "after": new.get(name)}
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _in_force(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return effective(document) if _is_taken(document) else document
