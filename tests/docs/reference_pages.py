"""Writes the generated blocks of docs/reference from the code and from the deployed templates.

`KEEP=1 pytest tests/docs/test_reference_pages.py` (or `make kept`) writes them into the pages.
"""

from __future__ import annotations

import ast
import re
from functools import partial
from typing import TYPE_CHECKING

from tests.docs import templates
from tests.docs.pages import REFERENCE, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORD = ROOT / "lambdas" / "imdsv2" / "ledger" / "record.py"
_STORED = {
    "str": "string",
    "int": "number",
    "bool": "boolean",
    "datetime": "time",
    "date": "day",
    "frozenset[str]": "list of strings",
}
"""How an attribute's type is stored; everything else is a map."""

_OBVIOUS = {
    "unrefused_since": "The beginning of the time in which no call was refused. Line.",
    "decided_at": "When the verdict was given last, be it the same as before. Line.",
    "lease_until": "The end of that lease.",
    "after": "The same as EC2 showed them after it.",
    "enforced_at": "When the service required tokens.",
    "approval": "A person's word on a change that waits: `approved` or `refused`, by whom, until when, and why.",
    "hold": "A person's hold: owner, reason, last day, by whom.",
    "released_by": "Who ended the last hold, in which request, and why.",
    "acceptance": "A person's word that the change may be made in spite of the evidence; one attempt uses it up.",
    "cleared_by": "Who said so, in which request, and why.",
    "mended_by": "Who said so, in which request, and why.",
    "undone_by": "Who had it put back, in which request, and why.",
    "told_owner": "The owner to whom that notice was delivered. Line.",
    "verified_at": "When the watch ended without a sign of breakage.",
    "broken_at": "When its software was found broken.",
    "rolled_back_at": "When tokens were made optional again.",
}
"""Attributes that need no docstring beside the one before them, or beside their name, in the code; a reader of the ledger sees neither."""


def record() -> Iterator[str]:
    """A table for each part of an instance's record, as the class documents it."""
    source = RECORD.read_text()
    lines = source.splitlines()
    [body] = [each.body for each in ast.parse(source).body if isinstance(each, ast.ClassDef) and each.name == "Record"]
    part = ""
    for field, meaning in _fields(body):
        above = lines[field.lineno - 2].strip()
        title = above[2:].partition(".")[0] if above.startswith("# ") else part
        if title != part or not part:
            part = title or "Identity"
            yield from ("", f"### {part}", "", "| attribute | type | meaning |", "| --- | --- | --- |")
        assert isinstance(field.target, ast.Name)
        kind = ast.unparse(field.annotation).removesuffix(" | None")
        yield f"| `{field.target.id}` | {_STORED.get(kind, 'map')} | {meaning} |"


def _fields(body: list[ast.stmt]) -> Iterator[tuple[ast.AnnAssign, str]]:
    """The attributes with their docstrings. The ARN is the key of the item."""
    for field, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        if not isinstance(field, ast.AnnAssign) or ast.unparse(field.target) == "arn":
            continue
        said = following.value if isinstance(following, ast.Expr) else None
        meaning = str(said.value) if isinstance(said, ast.Constant) else _OBVIOUS.get(ast.unparse(field.target), "")
        yield field, " ".join(meaning.replace("``", "`").split())


BLOCKS: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "record": ("ledger", record),
    "members": ("permissions", partial(templates.roles, templates.MEMBER, beginning="imdsv2-remediation-")),
    "functions": ("permissions", partial(templates.roles, templates.SERVICE, beginning="imdsv2-remediation-fn-")),
    "alarms": ("metrics", templates.alarms),
}
"""Each block, with its page and what writes it."""


def drawn(page: str) -> str:
    """A page of the reference with its blocks as they are now."""
    text = (REFERENCE / f"{page}.md").read_text()
    for name, (where, write) in BLOCKS.items():
        if where == page:
            rows = "\n".join(write()).strip("\n")
            block = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end of generated -->)", re.DOTALL)
            text = block.sub(lambda found, rows=rows: f"{found[1]}\n{rows}\n\n{found[2]}", text)  # type: ignore[misc]
    return text
