"""The message of a digest."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from imdsv2.domain.texts.message import Message
from imdsv2.domain.texts.words import count, minute
from imdsv2.line.messages import DIGEST_KIND
from imdsv2.sweep.digest_rows import AGAIN_AFTER, BROKE, CHANGED, ENDS, NEEDS, NO_OWNER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from imdsv2.sweep.digest_rows import OwnerDigest, Section

_TITLES = {
    BROKE: "BROKE, OR WAS PUT BACK",
    NEEDS: "NEEDS YOU",
    CHANGED: "CHANGED",
    ENDS: "ENDS SOON",
}
_IN_SUBJECT = {BROKE: "broke", NEEDS: "to look at", CHANGED: "changed", ENDS: "ending soon"}
_ABOUT = (
    "The service imdsv2-remediation requires IMDSv2 on EC2 instances where the evidence says that nothing needs IMDSv1 any more: by IMDSv1, "
    "whoever makes an instance fetch a URL gets its credentials."
)


def digest_message(owner: str, digest: OwnerDigest, until: datetime) -> Message:
    """The digest of an owner, for what happened between two times."""
    told = {name: each for name, each in digest.sections.items() if each.count}
    numbers = ", ".join(f"{each.count} {_IN_SUBJECT[name]}" for name, each in told.items())
    whose = "instances without an owner" if owner == NO_OWNER else owner
    parts = [
        _ABOUT,
        f"Instances of {_on_one_line(owner)}, from {minute(digest.since)} to {minute(until)}."
        if owner != NO_OWNER
        else f"Instances without an owner's tag, from {minute(digest.since)} to {minute(until)}.",
        *("\n".join(_section(name, each, owner)) for name, each in told.items()),
        "\n".join(_where(owner)),
    ]
    return Message(
        subject=f"IMDSv2 digest {until:%Y-%m-%d}, {_on_one_line(whose)[:40]}: {numbers}",
        text="\n\n".join(parts),
        attributes={"kind": DIGEST_KIND, "owner": owner},
    )


def _section(name: str, section: Section, owner: str) -> Iterator[str]:
    of = ", ".join(f"{number} {what}" for what, number in section.of.most_common())
    yield f"{_TITLES[name]}: {count(section.count, 'instance')} ({of})"
    yield from section.entries
    left = section.count - len(section.entries)
    if left:
        yield f"- and {left} more: {_list(owner)}"


def _where(owner: str) -> Iterator[str]:
    yield f"All of them: {_list(owner)}"
    yield "One of them, with its evidence and what happens next: imdsv2 explain INSTANCE"
    yield "imdsv2 is the command line of the service: if you do not have it, ask your security team."
    yield f"Breakage is told at once; everything else once a day. What only still needs you comes again after {AGAIN_AFTER.days} days."


def _list(owner: str) -> str:
    return "imdsv2 list" if owner == NO_OWNER else shlex.join(["imdsv2", "list", "--owner", _on_one_line(owner)])


def _on_one_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)
