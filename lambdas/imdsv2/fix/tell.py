"""Tells people what became of sources. A message that could not be delivered is owed, and sent by the guard's next pass."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from imdsv2.aws.errors import CALL_FAILURES, KEYS_REFUSED, describe_error
from imdsv2.domain.source_fix import FORBIDDEN_BY, TELL, FixStatus
from imdsv2.domain.texts.commands import CALLER
from imdsv2.domain.texts.message import Message
from imdsv2.domain.texts.pasting import lines_to_paste

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from aws_lambda_powertools import Logger

    from imdsv2.aws.topic import Topic
    from imdsv2.domain.source_fix import SourceFix
    from imdsv2.ledger.sources import SourceFixes

_HEADLINES = {
    FixStatus.ANNOUNCED: "Next launches will require IMDSv2",
    FixStatus.FIXED: "Next launches require IMDSv2",
    FixStatus.VERIFIED: "Next launches require IMDSv2, and nothing broke",
    FixStatus.GOING_BACK: "Next launches still require IMDSv2: they could not be put back",
    FixStatus.GONE_BACK: "Next launches allow IMDSv1 again",
    FixStatus.LEFT: "Next launches were not changed: somebody else changed them",
    FixStatus.FAILED: "Next launches could not be changed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FixTeller:
    """Sends messages about sources. ``now``: the clock."""

    fixes: SourceFixes
    topic: Topic
    manual_function: str
    now: Callable[[], datetime]
    logger: Logger

    def tell(self, fix: SourceFix) -> SourceFix:
        """Send what is owed, and write that it is sent. The item as it is then."""
        if TELL not in fix.owes or not _is_news(fix) or not self._send(fix):
            return fix
        try:
            return self.fixes.save(replace(fix, owes=fix.owes - {TELL})) or fix
        except CALL_FAILURES as error:
            problem = {"source": fix.key, "problem": describe_error(error)}
            self.logger.warning("not written that a source was told; it is told again", extra=problem)
            return fix

    def announce(self, fix: SourceFix, hours: int) -> None:
        """Give the owner notice; it begins when the message is delivered."""
        if self._send(fix):
            ends_at = self.now() + timedelta(hours=hours)
            self.fixes.save(replace(fix, notice_ends_at=ends_at, owes=fix.owes - {TELL}))

    def _send(self, fix: SourceFix) -> bool:
        place, status = fix.place, FixStatus(str(fix.status))
        subject = f"{_HEADLINES[status]}: {fix.named} in {place.account} {place.region}"
        lines = [subject, f"{fix.key}\n  {_said(fix)}"]
        if fix.stands:
            ours, theirs = lines_to_paste(undo_command(fix.key), self.manual_function)
            lines.append(f"To put it back: {ours}\n  or, without the command line: {theirs}")
        lines.append(f"The manual function is {self.manual_function}.")
        addressed = {"kind": "source", "owner": fix.owner or place.account}
        attributes = {"source": fix.key[:256], "status": str(status), **addressed}
        try:
            self.topic.send(Message(subject=subject, text="\n\n".join(lines), attributes=attributes))
        except CALL_FAILURES as error:
            problem = {"source": fix.key, "problem": describe_error(error)}
            self.logger.warning("source not told; the guard's next pass does it", extra=problem)
            return False
        return True


def _is_news(fix: SourceFix) -> bool:
    """Whether people have to hear how it stands: of what goes back, only that it cannot."""
    return fix.status in _HEADLINES and (fix.status is not FixStatus.GOING_BACK or bool(fix.hindered_by))


def _said(fix: SourceFix) -> str:
    if fix.status is not FixStatus.GOING_BACK or not fix.hindered_by:
        return fix.explanation
    if FORBIDDEN_BY in fix.hindered_by:
        to_do = "have that allow it to the service's role there"
    elif fix.hindered_by.partition(" ")[0] in KEYS_REFUSED:
        to_do = "deploy the member roles of this version there"
    else:
        to_do = "end what stands in its way, such as an instance refresh"
    return (
        f"{fix.explanation} AWS refuses to put it back ({fix.hindered_by}), which is tried again every few minutes: {to_do}, or point it to "
        "the version before by hand."
    )


def undo_command(key: str) -> str:
    """The command that puts a source back."""
    payload = {"undo": {"source": key}, "dry_run": False, "caller": CALLER}
    return json.dumps(payload).replace("'", "\\u0027")
