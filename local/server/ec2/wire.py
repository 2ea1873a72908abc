"""How EC2 speaks: parameters in numbered fields, answers in XML."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.server.platform import Params, Response

NAMESPACE: Final = "http://ec2.amazonaws.com/doc/2016-11-15/"


@dataclass(eq=False)
class Ec2Error(Exception):
    """A refusal: what EC2 answers in place of a result."""

    code: str
    message: str
    status: int = 400

    def response(self) -> Response:
        """The refusal as EC2 sends it."""
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error><Code>{escape(self.code)}</Code><Message>{escape(self.message)}</Message></Error></Errors>"
            f"<RequestID>{uuid.uuid4()}</RequestID></Response>"
        )
        return self.status, {"Content-Type": "text/xml;charset=UTF-8"}, body.encode()


def answer(action: str, inner: str) -> Response:
    """A result as EC2 sends it."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{NAMESPACE}">'
        f"<requestId>{uuid.uuid4()}</requestId>{inner}</{action}Response>"
    )
    return 200, {"Content-Type": "text/xml;charset=UTF-8"}, body.encode()


def item(fields: Iterable[tuple[str, str]]) -> str:
    """XML elements in the order given, values escaped."""
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields)


def one(params: Params, name: str) -> str | None:
    """The value of a parameter, or None where it was not sent."""
    values = params.get(name)
    return values[0] if values else None


def many(params: Params, name: str) -> list[str]:
    """The values of a numbered parameter (`InstanceId.1`, `InstanceId.2`, ...)."""
    values: list[str] = []
    while (value := one(params, f"{name}.{len(values) + 1}")) is not None:
        values.append(value)
    return values


def tags(params: Params, prefix: str = "Tag") -> dict[str, str | None]:
    """Numbered `Key`/`Value` pairs; None where no value was sent (as DeleteTags may)."""
    found: dict[str, str | None] = {}
    while (key := one(params, f"{prefix}.{len(found) + 1}.Key")) is not None:
        found[key] = one(params, f"{prefix}.{len(found) + 1}.Value")
    return found


def filters(params: Params) -> dict[str, list[str]]:
    """The request's filters: all must hold, each by any of its values."""
    found: dict[str, list[str]] = {}
    while (name := one(params, f"Filter.{len(found) + 1}.Name")) is not None:
        found[name] = many(params, f"Filter.{len(found) + 1}.Value")
    return found


def refuse_dry_run(params: Params) -> None:
    """A dry run that got this far was allowed, which EC2 says by an error.

    Raises:
        Ec2Error: `DryRunOperation`, where the request is one.
    """
    if (one(params, "DryRun") or "").lower() == "true":
        raise Ec2Error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
